//! Why a member cannot run. What goes wrong with one job or one rollup is in the status.

use std::io;
use std::path::PathBuf;

use conclave_crypto::KeyFileError;
use conclave_sdk::{ClientError, GatewayError};

/// A member that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProverError {
    /// The account key could not be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The nodes' URLs are not valid.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The gateway could not be opened.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The data directory cannot be used.
    #[error("[CV-PROVER-040] data directory {}: {source}; make it writable", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    /// No worker threads.
    #[error("[CV-PROVER-041] worker threads could not be started: {source}; allow more threads")]
    Threads { source: io::Error },
    /// Nothing to do.
    #[error("[CV-PROVER-042] the configuration names no rollup; add at least one")]
    NoRollups,
}
