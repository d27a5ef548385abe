//! Extractors whose refusals are [`Failure`]s, so that every error is the same JSON.

use core::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use conclave_types::{Envelope, codec, limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ErrorCode, Failure};

/// The query parameters. `T` denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

/// For routes that take no query parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// The one id in the path.
pub(super) struct PathId<T>(pub(super) T);

/// A submitted envelope, decoded canonically from a bounded body.
pub(super) struct EnvelopeBody(pub(super) Envelope);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Failure::query(rejection.body_text())),
        }
    }
}

impl<S, T> FromRequestParts<S> for PathId<T>
where
    S: Send + Sync,
    T: FromStr<Err: core::fmt::Display>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let refuse = |reason: String| Failure::new(ErrorCode::BadPath, reason);
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| refuse(rejection.body_text()))?;
        text.parse()
            .map(Self)
            .map_err(|error: T::Err| refuse(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequest<S> for EnvelopeBody {
    type Rejection = Failure;

    /// The body is bounded by the router's body limit while it is read.
    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let binary = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| {
                value
                    .as_bytes()
                    .eq_ignore_ascii_case(b"application/octet-stream")
            });
        if !binary {
            let code = ErrorCode::BadContentType;
            return Err(Failure::new(code, code.meaning()));
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Failure::new(
                        ErrorCode::BodyTooLarge,
                        format!(
                            "the body is larger than {} bytes",
                            limits::ENVELOPE_BYTES_MAX
                        ),
                    ),
                    _ => Failure::new(ErrorCode::BadEnvelope, rejection.body_text()),
                })?;
        codec::decode(&bytes, limits::ENVELOPE_BYTES_MAX)
            .map(Self)
            .map_err(|error| Failure::new(ErrorCode::BadEnvelope, error.to_string()))
    }
}
