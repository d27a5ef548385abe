//! Validator to validator: QUIC with mutual TLS between the pinned keys of one committee, which may
//! change while it runs.
//!
//! ```text
//! send/broadcast ─▶ queue per peer and class ─▶ writer ─▶ QUIC stream ─▶ reader ─▶ TransportEvents
//!                   (bounded, never blocks)       one session per connection      (receiver per class)
//! request ───────────────────────────────▶ bidirectional stream ─▶ IncomingRequest ─▶ Responder
//!
//! Transport (owner) ─┬─ acceptor: TLS, Hello, then hands the connection to its peer's driver
//!                    └─ manager: the roster of peers ◀── set_peers
//!                       └─ driver per peer: dial or await ─▶ session ─▶ back-off or cool-down ─▶ again
//! ```
//!
//! Invariants:
//! - A message comes from the validator it is said to come from: the TLS key of its connection is
//!   that validator's pinned key, and both ends said Hello for the same chain.
//! - Who is not in the present set of peers has no connection, no driver and no queue. A connection
//!   ends with its peer, TLS takes no key that left, and a handshake asks for its peer at its end.
//! - A peer that is the same in two sets notices nothing of the change between them.
//! - Sending never blocks. Each queue has a bound and a policy ([`Class`]).
//! - One slow class or peer never holds up another: classes have their own queue, streams and
//!   receiver, peers have their own connection, and the flow-control windows leave room for
//!   consensus when all bulk streams stand still ([`bounds`]).
//! - Delivery is at most once and ordered per peer for `Consensus` and `Shares`; `Dispersal` frames
//!   may overtake each other. What was in flight when a connection broke is lost; the protocols
//!   above send again.
//! - Dropping [`Transport`] ends every task, closes every connection and every receiver.
//!
//! Of two validators the one with the lower index dials, so that two never have two connections. A
//! newer connection replaces an older one: it is how a restarted dialer comes back. A restarted
//! listener is noticed at once as well, since its stateless-reset key survives restarts.
//!
//! The node's own index and key are those of its start: to change its key a validator starts again
//! with the new one.
//!
//! A message to oneself is not the transport's business and is refused as unknown peer.

mod accept;
pub mod bounds;
mod class;
mod config;
mod dial;
mod error;
mod events;
mod handle;
mod hello;
mod manager;
mod metrics;
mod peer;
mod queue;
mod quic;
mod receive;
mod request;
mod roster;
mod send;
mod session;
mod tls;

#[cfg(test)]
mod tests;

pub use class::Class;
pub use config::{PeerConfig, Timing, TransportConfig};
pub use error::{RequestError, SendError, TransportError};
pub use events::{
    Disconnect, IncomingRequest, Message, PeerEvent, Refusal, Responder, TransportEvents,
};
pub use handle::{PeerStatus, Transport, TransportHandle};
pub use hello::Hello;
pub use metrics::{ClassMetrics, Counter, Metrics};
