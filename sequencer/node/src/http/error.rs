//! Every error of the API: its stable code, HTTP status and remedy, in one list.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conclave_sdk::api::ApiError;
use conclave_types::Height;

use crate::backend::{ArchiveError, Refusal};

/// Seconds in `Retry-After`: about a block, after which a full mempool has drained some.
const RETRY_AFTER_SECONDS: &str = "1";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $what:literal, $remedy:literal;)*) => {
        /// What the API itself refuses; submissions are refused with the sequencer's own codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What is wrong, in general.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    /// An id in the path that does not parse.
    BadPath = "CV-API-001", BAD_REQUEST, "the id in the path is not valid",
        "use the id as another answer of this API gave it";
    /// A query parameter that is unknown, missing, repeated or out of bounds.
    BadQuery = "CV-API-002", BAD_REQUEST, "a query parameter is unknown, missing or out of bounds",
        "compare the parameters with docs/api.md or GET /v1/openapi.json";
    /// A body that is no envelope.
    BadEnvelope = "CV-API-003", BAD_REQUEST, "the body is not the canonical encoding of an envelope",
        "encode the envelope with the SDK of the same protocol version";
    /// A header of the request that does not parse.
    BadHeader = "CV-API-004", BAD_REQUEST, "a header of the request is not valid",
        "send the id of the last event as it was received, or leave the header out";
    /// A body over the bound.
    BodyTooLarge = "CV-API-005", PAYLOAD_TOO_LARGE, "the body is larger than an envelope may be",
        "split the transactions over several envelopes";
    /// A body that does not say it is binary.
    BadContentType = "CV-API-006", UNSUPPORTED_MEDIA_TYPE, "the body is not application/octet-stream",
        "send the header content-type: application/octet-stream";
    /// A path that no route has.
    UnknownRoute = "CV-API-007", NOT_FOUND, "no route has this path",
        "GET /v1/openapi.json lists the routes";
    /// A route without this method.
    WrongMethod = "CV-API-008", METHOD_NOT_ALLOWED, "the route does not take this method",
        "GET /v1/openapi.json lists the methods of every route";
    /// A well-formed id that names nothing here.
    NotFound = "CV-API-009", NOT_FOUND, "nothing here has this id",
        "check the id, or ask again once this node has caught up";
    /// Work that took longer than a request may.
    TimedOut = "CV-API-010", GATEWAY_TIMEOUT, "the answer took too long",
        "ask again; the same envelope may be submitted again without being charged twice";
    /// More requests at once than the node serves.
    Overloaded = "CV-API-011", SERVICE_UNAVAILABLE, "too many requests at once",
        "try again shortly, or at another validator";
    /// More followers at once than the node serves.
    TooManyStreams = "CV-API-012", SERVICE_UNAVAILABLE, "too many streams at once",
        "try again shortly, or follow at another validator";
    /// A node that does not take part yet.
    NotReady = "CV-API-013", SERVICE_UNAVAILABLE, "the node does not take part",
        "wait until it has caught up, or use another validator";
    /// Our own failure.
    Internal = "CV-API-014", INTERNAL_SERVER_ERROR, "the node failed to answer",
        "look at the node's log, and use another validator meanwhile";
    /// History that only the archive has, and the archive does not give.
    Archive = "CV-API-015", SERVICE_UNAVAILABLE, "the archive of this node cannot give this height",
        "ask again shortly, or ask another validator";
    /// Heights that were executed before this node joined.
    NoHistory = "CV-API-016", SERVICE_UNAVAILABLE, "this node joined later and has no contents of this height",
        "ask a validator that was there, or read from a later height";
}

impl ErrorCode {
    /// Whether the same request may succeed later.
    const fn retry(self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::TooManyStreams | Self::NotReady | Self::Archive
        )
    }

    /// The table of the documentation, in Markdown.
    pub fn table() -> String {
        let mut table =
            String::from("| code | status | meaning | what to do |\n| --- | --- | --- | --- |\n");
        for code in Self::ALL {
            let (status, meaning, remedy) = (code.status().as_u16(), code.meaning(), code.remedy());
            table.push_str(&format!(
                "| `{}` | {status} | {meaning} | {remedy} |\n",
                code.code()
            ));
        }
        table
    }
}

/// A request that failed: the answer to it, as JSON.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    retry: bool,
    error: ApiError,
}

impl Failure {
    /// One of our own codes, with what was wrong in this case.
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            retry: code.retry(),
            error: ApiError {
                code: code.code().into(),
                message: message.into(),
                remedy: code.remedy().into(),
            },
        }
    }

    /// A query parameter that parses but cannot be served.
    pub(super) fn query(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadQuery, message)
    }

    /// A well-formed id that names nothing.
    pub(super) fn unknown(what: &str, id: impl core::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("no {what} {id}"))
    }

    /// Contents of a height that this node was not there for; those after `last` are here.
    pub(super) fn no_history(last: Height) -> Self {
        Self::new(
            ErrorCode::NoHistory,
            format!("the contents that this node has begin after height {last}"),
        )
    }

    /// The store lost what an executed height must have.
    pub(super) fn missing(what: &str, height: u64) -> Self {
        Self::new(
            ErrorCode::Internal,
            format!("{what} of height {height} cannot be read"),
        )
    }
}

/// An archive that is busy or away may answer soon; one that is damaged will not.
impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self {
            retry: error.retry(),
            ..Self::new(ErrorCode::Archive, error.to_string())
        }
    }
}

/// A submission that the sequencer did not admit.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match (refusal.code, refusal.retry) {
            ("CV-SEQ-007", _) => StatusCode::CONFLICT,
            ("CV-SEQ-008" | "CV-SEQ-012", _) => StatusCode::PAYMENT_REQUIRED,
            ("CV-SEQ-011", _) => StatusCode::TOO_MANY_REQUESTS,
            // Retrying helps only after somebody registers the rollup, so no delay is suggested.
            ("CV-SEQ-005", _) | (_, false) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, true) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self {
            status,
            retry: matches!(
                status,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            ),
            error: ApiError {
                code: refusal.code.into(),
                message: refusal.reason,
                remedy: refusal.remedy.into(),
            },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if self.retry {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
