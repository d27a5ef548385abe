//! Why a rollup node cannot start, or must stop.

use std::io;
use std::path::PathBuf;

use conclave_payments::{StateError, WalletError};
use conclave_types::RollupId;

/// The node must stop; a request that fails is an [`ApiFailure`](crate::ApiFailure) instead.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// A setting is out of its bounds.
    #[error("[CV-PAY-100] {reason}; correct the configuration")]
    Config { reason: String },
    /// A file could not be read or written.
    #[error("[CV-PAY-101] {}: {source}; check path and permissions", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A genesis file is not what this version writes.
    #[error("[CV-PAY-102] genesis file {}: {reason}; write it again with the same accounts", path.display())]
    GenesisFile { path: PathBuf, reason: String },
    /// The accounts of a genesis do not make a state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The id belongs to another rollup, or to this one with other parameters that cannot change.
    #[error(
        "[CV-PAY-103] rollup {rollup} is registered with another {what} ({theirs}, ours is {ours}); choose another id or use that rollup's genesis and operator"
    )]
    ForeignRegistration {
        rollup: RollupId,
        what: &'static str,
        ours: String,
        theirs: String,
    },
    /// The ledger did not take a registration step.
    #[error(
        "[CV-PAY-104] {step} had no effect: {reason}; check the operator's balance and fee account"
    )]
    Registration { step: &'static str, reason: String },
    /// The database cannot be used; nothing more is acknowledged.
    #[error("[CV-PAY-105] rollup database: {0}; free disk space or restore the data directory")]
    Store(String),
    /// The database belongs to another rollup, or its contents do not replay.
    #[error(
        "[CV-PAY-106] the data directory does not fit: {reason}; move it away and the node follows its stream again"
    )]
    WrongData { reason: String },
    /// The stream skipped or repeated transactions.
    #[error(
        "[CV-PAY-107] the stream goes on at transaction {found}, but {expected} is next; restart the node to follow again"
    )]
    Gap { expected: u64, found: u64 },
    /// The ledger settled another root than execution gives.
    #[error(
        "[CV-PAY-108] the ledger settled root {settled} at transaction {index}, execution gives {executed}; stop using this rollup and report it"
    )]
    Diverged {
        index: u64,
        settled: String,
        executed: String,
    },
    /// The API's address cannot be used.
    #[error("[CV-PAY-109] cannot listen on {address}: {source}; choose another address")]
    Listen { address: String, source: io::Error },
    /// The operator's key file cannot be used.
    #[error(transparent)]
    Key(#[from] conclave_crypto::KeyFileError),
    /// A devnet wallet cannot be used.
    #[error("devnet wallet {number}: {source}")]
    Wallet { number: u32, source: WalletError },
    /// The SDK could not go on.
    #[error("{0}")]
    Sequencer(String),
    /// A part of the node ended before it was told to.
    #[error("[CV-PAY-110] {part} stopped: {reason}; restart the node and report it if it returns")]
    Part { part: &'static str, reason: String },
}

impl RollupError {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
