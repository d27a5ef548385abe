//! Errors as the API answers them.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::Method};
use conclave_payments::ExclusionReason;
use conclave_sdk::api::ApiError;

use crate::Refusal;

/// Seconds after which a temporary refusal is worth another try.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A request that failed; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFailure {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub error: ApiError,
    retry: bool,
}

impl ApiFailure {
    pub(super) fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        remedy: &str,
    ) -> Self {
        Self {
            status: status.as_u16(),
            error: ApiError {
                code: code.into(),
                message: message.into(),
                remedy: remedy.into(),
            },
            retry: false,
        }
    }

    /// An unknown or unreadable query parameter.
    pub(super) fn query(reason: String) -> Self {
        let remedy = "use only the parameters that the route names";
        Self::new(StatusCode::BAD_REQUEST, "CV-PAY-130", reason, remedy)
    }

    /// An id or key in the path that is none.
    pub(super) fn path(reason: String) -> Self {
        let remedy = "give 64 hexadecimal digits";
        Self::new(StatusCode::BAD_REQUEST, "CV-PAY-139", reason, remedy)
    }

    /// A body that is not what the route takes.
    pub(super) fn body(reason: String) -> Self {
        let remedy = "send the documented JSON, or a payment's canonical bytes";
        Self::new(StatusCode::BAD_REQUEST, "CV-PAY-131", reason, remedy)
    }
}

impl From<Refusal> for ApiFailure {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Excluded(ExclusionReason::Undecodable) => StatusCode::BAD_REQUEST,
            Refusal::Excluded(_)
            | Refusal::AbsentSender { .. }
            | Refusal::InsufficientBalance { .. }
            | Refusal::ReceiverSlotTaken { .. }
            | Refusal::ExpiresTooSoon { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::WrongNonce { .. }
            | Refusal::OwnerMismatch { .. }
            | Refusal::NonceTaken { .. } => StatusCode::CONFLICT,
            Refusal::Full { .. } | Refusal::FaucetLimit => StatusCode::TOO_MANY_REQUESTS,
            Refusal::NoFaucet => StatusCode::NOT_FOUND,
            Refusal::NotReady { .. } | Refusal::FaucetFailed { .. } | Refusal::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self {
            status: status.as_u16(),
            error: split(&refusal.to_string()),
            retry: refusal.is_temporary(),
        }
    }
}

/// `[code] message; remedy` as its three parts.
fn split(text: &str) -> ApiError {
    let (code, rest) = match text
        .strip_prefix('[')
        .and_then(|text| text.split_once("] "))
    {
        Some(parts) => parts,
        None => ("CV-PAY-140", text),
    };
    let (message, remedy) = rest
        .rsplit_once("; ")
        .unwrap_or((rest, "see the node's log"));
    ApiError {
        code: code.into(),
        message: message.into(),
        remedy: remedy.into(),
    }
}

impl IntoResponse for ApiFailure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.error)).into_response();
        if self.retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_SECONDS);
        }
        response
    }
}

pub(super) async fn unknown_route(uri: Uri) -> ApiFailure {
    ApiFailure::new(
        StatusCode::NOT_FOUND,
        "CV-PAY-132",
        format!("there is no {}", uri.path()),
        "see the routes in the documentation",
    )
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiFailure {
    ApiFailure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "CV-PAY-133",
        format!("{} does not take {method}", uri.path()),
        "see the routes in the documentation",
    )
}
