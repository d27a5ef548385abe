//! What the transport hands to its node.

use bytes::Bytes;
use conclave_types::ValidatorIndex;
use tokio::sync::{mpsc, oneshot};

use super::bounds;

/// What arrives, one bounded receiver per kind, so that a slow reader of one does not hold up the
/// others. All end when the transport does. There is no order between different receivers.
pub struct TransportEvents {
    /// A full receiver makes the peers wait in turn.
    pub consensus: mpsc::Receiver<Message>,
    /// Likewise.
    pub shares: mpsc::Receiver<Message>,
    /// Likewise.
    pub dispersal: mpsc::Receiver<Message>,
    /// When full, requests are declined.
    pub requests: mpsc::Receiver<IncomingRequest>,
    /// Comings and goings. Must be read: a peer whose coming cannot be told is not served.
    pub peers: mpsc::Receiver<PeerEvent>,
}

/// A message and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub from: ValidatorIndex,
    pub bytes: Bytes,
}

/// A request of a peer.
#[derive(Debug)]
pub struct IncomingRequest {
    pub from: ValidatorIndex,
    pub bytes: Bytes,
    pub responder: Responder,
}

/// Answers one request. Dropping it declines.
#[derive(Debug)]
pub struct Responder(pub(super) oneshot::Sender<Bytes>);

impl Responder {
    /// Sends the answer, without waiting. An answer longer than
    /// [`bounds::RESPONSE_BYTES_MAX`](super::bounds::RESPONSE_BYTES_MAX) is a mistake of the caller
    /// and declines instead.
    pub fn respond(self, bytes: Bytes) {
        if bytes.len() > bounds::RESPONSE_BYTES_MAX {
            tracing::error!(
                bytes = bytes.len(),
                "answer exceeds the bound; it is declined"
            );
            return;
        }
        // Whoever asked may have left.
        let _ = self.0.send(bytes);
    }
}

/// What happens to the connection with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// Messages flow. What was queued meanwhile is on its way.
    Connected(ValidatorIndex),
    /// They no longer do.
    Disconnected(ValidatorIndex, Disconnect),
    /// A connection was not established, by this side or the other. Dropped when nobody reads.
    Refused {
        /// `None` when it did not prove who it is.
        peer: Option<ValidatorIndex>,
        reason: Refusal,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// The network or the peer was silent for too long, or the peer restarted.
    Lost { reason: String },
    /// The peer closed it, and said why.
    ByPeer { reason: String },
    /// The peer connected anew.
    Replaced,
    /// We cut the peer off: for what it sent, or because the node asked for it.
    Punished { reason: String },
    /// It is no peer any more, or one with another key or address.
    Removed,
    /// This node shuts down.
    Shutdown,
}

/// Why a connection was not established.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// TLS failed: most often a key that is not of this committee.
    #[error("[CV-NET-030] TLS failed ({reason}); is the key in the genesis of both sides?")]
    Tls { reason: String },
    /// The key is right for no peer that may be at this end.
    #[error(
        "[CV-NET-031] the key is not that of a peer that dials this node; check index and key in the genesis"
    )]
    UnexpectedPeer,
    /// The peer runs another chain.
    #[error("[CV-NET-032] the peer runs another chain; use the same genesis on both sides")]
    WrongChain,
    /// The peer speaks another protocol version.
    #[error("[CV-NET-033] the peer speaks another protocol version; upgrade the older side")]
    WrongVersion,
    /// The peer misbehaved a short while ago.
    #[error("[CV-NET-034] cut off for misbehaviour; wait until the cool-down ends")]
    CoolingDown,
    /// The Hello did not come, or was not one.
    #[error("[CV-NET-035] no valid hello ({reason}); is the other side a validator?")]
    Hello { reason: String },
}

/// The sending halves of [`TransportEvents`].
#[derive(Clone)]
pub(super) struct Inbox {
    pub(super) consensus: mpsc::Sender<Message>,
    pub(super) shares: mpsc::Sender<Message>,
    pub(super) dispersal: mpsc::Sender<Message>,
    pub(super) requests: mpsc::Sender<IncomingRequest>,
    pub(super) peers: mpsc::Sender<PeerEvent>,
}

pub(super) fn channels() -> (Inbox, TransportEvents) {
    let (consensus, consensus_events) = mpsc::channel(bounds::CONSENSUS_INBOX_MAX);
    let (shares, shares_events) = mpsc::channel(bounds::SHARES_INBOX_MAX);
    let (dispersal, dispersal_events) = mpsc::channel(bounds::DISPERSAL_INBOX_MAX);
    let (requests, requests_events) = mpsc::channel(bounds::REQUESTS_INBOX_MAX);
    let (peers, peers_events) = mpsc::channel(bounds::PEER_EVENTS_MAX);
    let inbox = Inbox {
        consensus,
        shares,
        dispersal,
        requests,
        peers,
    };
    let events = TransportEvents {
        consensus: consensus_events,
        shares: shares_events,
        dispersal: dispersal_events,
        requests: requests_events,
        peers: peers_events,
    };
    (inbox, events)
}

impl Inbox {
    /// Tells of a refusal, unless nobody keeps up with them: strangers can cause any number.
    pub(super) fn refused(&self, peer: Option<ValidatorIndex>, reason: Refusal) {
        tracing::warn!(?peer, %reason, "connection refused");
        let _ = self.peers.try_send(PeerEvent::Refused { peer, reason });
    }
}
