//! The IO shell of a validator: sockets, files, clocks and threads around the sans-IO cores.
//!
//! ```text
//! clients ──HTTP──▶ http ─┐                       ┌─▶ store writer ──fsync──▶ file ─▶ "then" effects
//! peers ◀──QUIC──▶ transport ─▶ core thread: Replica ─▶ effects ─┼─▶ transport, answers
//!                         ▲                       └─▶ workers, fetches ─┐
//!                         └──────────────────── events ─────────────────┘
//! ```
//!
//! Invariants:
//! - One thread owns the [`Replica`]; everything else talks to it by events.
//! - What an effect says must be durable is, before anything that follows it leaves this node.
//! - CPU-heavy work runs on worker threads, never on the reactor and never on the core's thread.
//! - Every queue from outside is bounded; what waits there makes peers and clients wait.

mod archive;
pub mod backend;
mod begin;
mod catchup;
pub mod ceremony;
mod committees;
mod conduct;
mod contents;
mod describe;
mod dispersal;
mod download;
mod epochs;
mod handle;
pub mod http;
mod join;
mod keyring;
mod membership;
mod metrics;
mod newcomer;
mod node;
mod operator;
mod provable;
mod records;
mod recovery;
mod replica;
mod reports;
mod retention;
mod secrets;
mod serve;
mod shell;
pub mod store;
mod timeline;
pub mod transport;
mod vault;
mod workers;

#[cfg(test)]
extern crate self as conclave_node;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveError, ArchivePlace};
#[cfg(feature = "conduct")]
pub use conduct::Bend;
pub use epochs::{
    EngineFactory, IN_DOUBT, Resumed, SetupOf, StoredAgreement, Succession, replayed, resume,
    serving,
};
pub use handle::NodeHandle;
pub use keyring::Keyring;
pub use membership::Membership;
pub use newcomer::mark_new;
pub use node::{Node, NodeConfig, NodeError, NodeKeys};
pub use operator::Operator;
pub use records::{BlockRecord, RECORD_BYTES_MAX, SnapshotManifest, SnapshotRecord};
pub use recovery::RecoveryError;
pub use replica::{Effect, Event, PeerMessage, Record, Replica};
pub use secrets::{GenesisShares, SecretsError, destroy_if_retired};
pub use serve::{Request, Response};
pub use vault::VaultError;
