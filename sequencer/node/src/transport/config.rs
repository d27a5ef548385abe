//! What the transport is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use conclave_types::{ChainId, TransportKey, ValidatorIndex};
use zeroize::Zeroizing;

/// Everything the transport needs to know.
pub struct TransportConfig {
    pub chain: ChainId,
    pub own: ValidatorIndex,
    /// The 32-byte seed of the own ed25519 transport key.
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen (UDP). Port 0 takes any.
    pub listen: SocketAddr,
    /// The committee without oneself, to begin with.
    pub peers: Vec<PeerConfig>,
    pub timing: Timing,
}

/// Another validator: all three together. With another key or address it is another peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    pub index: ValidatorIndex,
    pub key: TransportKey,
    /// `host:port`; names are resolved again at every attempt to connect.
    pub address: String,
}

/// Durations, with defaults for committees on provisioned links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between signs of life on a quiet connection; a fifth of `idle`.
    pub keep_alive: Duration,
    /// Silence after which a connection counts as lost.
    pub idle: Duration,
    /// For TLS and Hello together. Packets of an attempt that begins while a link is cut are
    /// repeated at doubling intervals, so a long one would find the link healed late.
    pub handshake: Duration,
    /// Before the first attempt to connect again; doubles up to `back_off_max`. Each wait is drawn
    /// from its upper half. Both together bound how long a healed link stays unused.
    pub back_off: Duration,
    pub back_off_max: Duration,
    /// How long a punished peer is kept out the first time; doubles up to `cool_down_max`, and
    /// starts over once a peer behaved for `cool_down_max`.
    pub cool_down: Duration,
    pub cool_down_max: Duration,
    /// How long a shutdown waits for queued consensus messages to be acknowledged.
    pub flush: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(2),
            idle: Duration::from_secs(10),
            handshake: Duration::from_millis(1_500),
            back_off: Duration::from_millis(100),
            back_off_max: Duration::from_millis(500),
            cool_down: Duration::from_secs(2),
            cool_down_max: Duration::from_secs(600),
            flush: Duration::from_secs(2),
        }
    }
}
