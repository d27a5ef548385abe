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

pub mod backend;
mod begin;
mod catchup;
pub mod ceremony;
mod committees;
mod contents;
mod describe;
mod dispersal;
mod download;
mod epochs;
mod handle;
pub mod http;
mod join;
mod metrics;
mod node;
mod provable;
mod records;
mod recovery;
mod replica;
mod reports;
mod serve;
mod shell;
pub mod store;
mod timeline;
pub mod transport;
mod workers;

pub use epochs::{EngineFactory, IN_DOUBT, Resumed, SetupOf, StoredAgreement, Succession, resume};
pub use handle::NodeHandle;
pub use node::{Node, NodeConfig, NodeError, NodeKeys};
pub use records::{BlockRecord, RECORD_BYTES_MAX, SnapshotManifest, SnapshotRecord};
pub use recovery::RecoveryError;
pub use replica::{Effect, Event, PeerMessage, Record, Replica};
pub use reports::Reporter;
pub use serve::{Request, Response};
