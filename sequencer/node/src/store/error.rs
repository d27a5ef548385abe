//! What can go wrong with the file, each with a stable code and a remedy.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use conclave_types::{ChainId, ValidatorIndex};
use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

/// An error of the store. [`StoreError::Busy`] passes; all others mean that the node must stop or
/// must not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused, for a reason not named below.
    #[error("[CV-STORE-001] {}: {reason}; check the path and the disk (the system's log names a failing one), then start the node again", path.display())]
    Io { path: PathBuf, reason: String },
    /// The file was written for another chain.
    #[error(
        "[CV-STORE-002] {} belongs to chain {found}, but the genesis is of chain {expected}; use the genesis of that chain or another data directory", path.display()
    )]
    WrongChain {
        path: PathBuf,
        found: ChainId,
        expected: ChainId,
    },
    /// The file belongs to another validator; voting with its memory would be voting without one.
    #[error(
        "[CV-STORE-003] {} belongs to validator {found}, but this node is validator {expected}; use the data directory of this validator", path.display()
    )]
    WrongValidator {
        path: PathBuf,
        found: ValidatorIndex,
        expected: ValidatorIndex,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "[CV-STORE-004] {} has format {found}, but this program knows formats up to {known}; run the newer program that wrote it", path.display()
    )]
    NewerFormat {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// The file is no store, or was damaged.
    #[error(
        "[CV-STORE-005] {} is damaged ({reason}); replace the disk if it fails, move the file away, and start again: the node then joins anew from its peers, and votes only where it cannot have voted before", path.display()
    )]
    Corrupted { path: PathBuf, reason: String },
    /// The file or its directory may not be written.
    #[error(
        "[CV-STORE-006] {} may not be written ({reason}); give the node's user read and write permission", path.display()
    )]
    Permission { path: PathBuf, reason: String },
    /// No space is left.
    #[error(
        "[CV-STORE-007] the disk of {} is full; free some space and start the node again", path.display()
    )]
    DiskFull { path: PathBuf },
    /// Another process holds the file.
    #[error(
        "[CV-STORE-008] {} is in use by another process; stop the other node first", path.display()
    )]
    InUse { path: PathBuf },
    /// There is no file.
    #[error(
        "[CV-STORE-009] {} does not exist; create the store when the validator starts for the first time", path.display()
    )]
    Missing { path: PathBuf },
    /// A store is there already and is never overwritten.
    #[error("[CV-STORE-010] {} exists already; open it instead", path.display())]
    Exists { path: PathBuf },
    /// An earlier write failed, or the writer was shut down.
    #[error("[CV-STORE-011] the store has stopped ({reason}); start the node again")]
    Stopped { reason: String },
    /// More is waiting to be written than may wait.
    #[error(
        "[CV-STORE-012] {bytes} bytes wait for the disk, at most {bytes_max} may; try again later"
    )]
    Busy { bytes: usize, bytes_max: usize },
    /// The file is whole, and not the one that the last orderly stop left.
    #[error(
        "[CV-STORE-014] {} is not the file that this validator last closed, but maybe an older copy of it; put the newest back, or move the file away and start again, so that the node joins anew: one that forgot its votes must not vote", path.display()
    )]
    Exchanged { path: PathBuf },
    /// A stored value does not decode.
    #[error(
        "[CV-STORE-013] a value of table {table} does not decode ({reason}); the file was written by another version or is damaged"
    )]
    Undecodable { table: &'static str, reason: String },
}

/// Runs something that may panic on a damaged file, as redb does in places.
pub(super) fn guarded<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StoreError::Corrupted {
            path: path.to_owned(),
            reason: text.unwrap_or("the database gave up").to_owned(),
        })
    })
}

pub(super) fn from_io(path: &Path, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Permission { path, reason }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        io::ErrorKind::NotFound => StoreError::Missing { path },
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            StoreError::Corrupted { path, reason }
        }
        _ => StoreError::Io { path, reason },
    }
}

pub(super) fn from_storage(path: &Path, error: &StorageError) -> StoreError {
    match error {
        StorageError::Io(error) => from_io(path, error),
        StorageError::Corrupted(reason) => StoreError::Corrupted {
            path: path.to_owned(),
            reason: reason.clone(),
        },
        other => StoreError::Io {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

pub(super) fn from_database(path: &Path, error: &DatabaseError) -> StoreError {
    let owned = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path: owned }
        }
        DatabaseError::Storage(error) => from_storage(path, error),
        other => StoreError::Corrupted {
            path: owned,
            reason: other.to_string(),
        },
    }
}

pub(super) fn from_table(path: &Path, error: &TableError) -> StoreError {
    match error {
        TableError::Storage(error) => from_storage(path, error),
        other => StoreError::Corrupted {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

pub(super) fn from_transaction(path: &Path, error: &TransactionError) -> StoreError {
    match error {
        TransactionError::Storage(error) => from_storage(path, error),
        other => StoreError::Io {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

pub(super) fn from_commit(path: &Path, error: &CommitError) -> StoreError {
    match error {
        CommitError::Storage(error) => from_storage(path, error),
        other => StoreError::Io {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}
