//! What the transport reports to its own node.

use std::net::SocketAddr;
use std::time::Duration;

use conclave_types::ValidatorIndex;

/// The transport cannot start, or cannot take a set of peers.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Another process listens there.
    #[error(
        "[CV-NET-001] port in use: {listen} (UDP) is taken by another process; stop it or listen elsewhere"
    )]
    PortInUse { listen: SocketAddr },
    /// The socket could not be made for another reason.
    #[error(
        "[CV-NET-002] cannot listen on {listen} (UDP): {reason}; check the address and permissions"
    )]
    Listen { listen: SocketAddr, reason: String },
    /// The list of peers contradicts itself or the node's own key.
    #[error("[CV-NET-003] peer {peer}: {reason}; check the genesis and the node's key")]
    Peers {
        peer: ValidatorIndex,
        reason: &'static str,
    },
    /// The certificate or the TLS configuration could not be made.
    #[error("[CV-NET-004] cannot prepare TLS: {reason}; check the transport key")]
    Tls { reason: String },
    /// The transport was shut down, and its peers change no more.
    #[error(
        "[CV-NET-005] the peers cannot change, the transport has stopped; start the node again"
    )]
    Stopped,
}

/// A message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such peer; oneself is none.
    #[error("[CV-NET-010] validator {peer} is no peer of this node; check the index")]
    UnknownPeer { peer: ValidatorIndex },
    /// Longer than its class allows; the peer would cut us off.
    #[error("[CV-NET-011] message of {bytes} bytes, at most {bytes_max} are allowed; split it")]
    TooLong { bytes: usize, bytes_max: usize },
    /// Too much waits for this peer in a class that refuses the newest.
    #[error("[CV-NET-012] the queue to validator {peer} is full; the message was dropped")]
    Full { peer: ValidatorIndex },
    /// The transport was shut down.
    #[error("[CV-NET-013] the transport has stopped; start the node again")]
    Stopped,
}

/// A request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No such peer; oneself is none.
    #[error("[CV-NET-020] validator {peer} is no peer of this node; check the index")]
    UnknownPeer { peer: ValidatorIndex },
    /// The request is longer than [`bounds::REQUEST_BYTES_MAX`](super::bounds::REQUEST_BYTES_MAX).
    #[error("[CV-NET-021] request of {bytes} bytes, at most {bytes_max} are allowed; split it")]
    TooLong { bytes: usize, bytes_max: usize },
    /// There is no connection to the peer now.
    #[error("[CV-NET-022] validator {peer} is not connected; ask another one")]
    NotConnected { peer: ValidatorIndex },
    /// Too many requests to this peer are open already.
    #[error("[CV-NET-023] too many open requests to validator {peer}; ask another one")]
    Busy { peer: ValidatorIndex },
    /// No complete answer came in time.
    #[error(
        "[CV-NET-024] validator {peer} did not answer within {} ms; ask another one",
        within.as_millis()
    )]
    TimedOut {
        peer: ValidatorIndex,
        within: Duration,
    },
    /// The peer declined to answer, or is too busy.
    #[error("[CV-NET-025] validator {peer} declined to answer; ask another one")]
    Declined { peer: ValidatorIndex },
    /// The connection broke.
    #[error(
        "[CV-NET-026] the connection to validator {peer} broke ({reason}); ask again or another one"
    )]
    Lost {
        peer: ValidatorIndex,
        reason: String,
    },
    /// The answer is longer than allowed; the peer was punished.
    #[error("[CV-NET-027] validator {peer} sent too long an answer; ask another one")]
    AnswerTooLong { peer: ValidatorIndex },
}
