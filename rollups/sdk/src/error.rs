//! Why a request to the nodes did not give an answer.

use crate::api::ApiError;

/// One node that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFailure {
    /// The node's base URL.
    pub node: String,
    /// What happened.
    pub reason: String,
}

/// A request without a usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No node URL was given, or one is not an `http://host:port` base.
    #[error("[CV-SDK-001] {reason}; give base URLs such as http://127.0.0.1:26700")]
    Nodes { reason: String },
    /// A node understood the request and refused it. Its code and remedy are in `error`.
    #[error("[{}] {}; {}", error.code, error.message, error.remedy)]
    Refused {
        /// The node's base URL.
        node: String,
        /// HTTP status.
        status: u16,
        /// The node's own words.
        error: ApiError,
    },
    /// No node answered, in all rounds. The last failure of each is listed.
    #[error(
        "[CV-SDK-002] no node answered ({}); check that they run and are reachable",
        describe(failures)
    )]
    Unavailable { failures: Vec<NodeFailure> },
    /// An answer is not what the API promises.
    #[error("[CV-SDK-003] {node} gave an unusable answer: {reason}; check its version")]
    Answer { node: String, reason: String },
}

impl ClientError {
    /// The stable code of a node's refusal, if this is one.
    pub fn refusal_code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// Whether a node said that it does not know what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

fn describe(failures: &[NodeFailure]) -> String {
    let lines: Vec<_> = failures
        .iter()
        .map(|failure| format!("{}: {}", failure.node, failure.reason))
        .collect();
    lines.join("; ")
}
