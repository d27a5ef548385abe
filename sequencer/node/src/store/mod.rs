//! The node's one file: a redb database behind one writer.
//!
//! ```text
//! WriteBatch ──submit/persist──▶ StoreWriter (one thread) ──group commit──▶ Store ──fsync──▶ file
//!                                     │                                      │
//!                    called back once durable ◀┘             Snapshot (MVCC) ◀┘ readers never wait
//! ```
//!
//! Invariants:
//! - A batch is applied as a whole or not at all, and batches become durable in the order of their
//!   submission.
//! - Nobody is told "durable" before the file was synced.
//! - After a failed write nothing is accepted any more ([`StoreError::Stopped`]) and the owner is
//!   told: what is on disk is then unknown until the file is opened again.
//! - Every value carries a checksum (`record.rs`) that every read looks at. A value that does not fit
//!   its checksum stops the store for good: no later write is accepted.
//! - After an orderly stop (`mark.rs`) a start relies on these; after any other, it checks all of the
//!   file first.
//! - Keys are big-endian ([`keys`]), so that a range of keys is a range of heights.
//!
//! A file belongs to one chain and one validator for ever, and is held by one process at a time.

mod batch;
mod database;
mod error;
pub mod keys;
mod mark;
mod record;
mod snapshot;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::{KeyRange, WriteBatch};
pub use database::{FORMAT_VERSION, Identity, Store};
pub use error::StoreError;
pub(crate) use mark::sync_directory;
pub use snapshot::{Row, Snapshot};
pub use table::Table;
pub use writer::{PENDING_BYTES_MAX, StoreWriter};
