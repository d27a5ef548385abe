//! Extractors whose refusals are [`ApiFailure`]s, so that every error is the same JSON.

use core::fmt::Display;
use core::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ApiFailure;

/// The query parameters; `T` denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

/// For routes that take no query parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// The one id in the path.
pub(super) struct PathId<T>(pub(super) T);

/// A bounded body, JSON or binary.
pub(super) enum Body {
    Json(Bytes),
    Binary(Vec<u8>),
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiFailure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(ApiFailure::query(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiFailure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|rejection| ApiFailure::path(rejection.body_text()))?;
        text.parse()
            .map(Self)
            .map_err(|error: T::Err| ApiFailure::path(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiFailure> {
        let kind = content_type(request.headers());
        let binary = match kind.as_str() {
            "application/octet-stream" => true,
            "application/json" => false,
            _ => {
                return Err(ApiFailure::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "CV-PAY-137",
                    format!("content type {kind:?} is not taken"),
                    "send application/json or application/octet-stream",
                ));
            }
        };
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiFailure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "CV-PAY-141",
                "the body is longer than any payment",
                "send one payment at a time",
            ),
            _ => ApiFailure::body(rejection.body_text()),
        })?;
        Ok(match binary {
            true => Self::Binary(bytes.into()),
            false => Self::Json(bytes),
        })
    }
}

impl Body {
    /// The JSON value, for routes that take nothing else.
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, ApiFailure> {
        match self {
            Self::Json(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| ApiFailure::body(error.to_string()))
            }
            Self::Binary(_) => Err(ApiFailure::body("this route takes JSON only".into())),
        }
    }
}

/// The content type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}
