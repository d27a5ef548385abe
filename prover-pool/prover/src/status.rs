//! What a member shows of itself.

use serde::Serialize;

/// A member at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProverStatus {
    /// Its account.
    pub account: String,
    /// Free money.
    pub balance: u64,
    /// Prepaid fees.
    pub fees: u64,
    /// Bond that no job holds.
    pub bond_free: u64,
    /// Bond that its jobs hold.
    pub bond_locked: u64,
    /// Jobs it may hold.
    pub slots: u16,
    /// Jobs it holds.
    pub held: u16,
    /// Whether it may win.
    pub armed: bool,
    /// Ranges it settled, ever.
    pub settled: u64,
    /// Deadlines it missed, ever.
    pub missed: u64,
    /// Bids in open auctions that this run placed.
    pub bids_placed: u64,
    /// Proofs that this run made.
    pub proofs_made: u64,
    /// Proofs of this run that the ledger accepted.
    pub proofs_accepted: u64,
    /// What it works on.
    pub jobs: Vec<JobStatus>,
    /// What it serves.
    pub rollups: Vec<RollupStatus>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// The auction that it is from.
    pub auction: u64,
    /// The rollup.
    pub rollup: u32,
    /// The first transaction.
    pub from_index: u64,
    /// The one after the last.
    pub to_index: u64,
    /// `wanted`, `proving`, `proven`, `submitting`, `accepted` or `failed`.
    pub stage: String,
    /// Why it failed.
    pub reason: Option<String>,
}

/// One served rollup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollupStatus {
    /// The rollup.
    pub rollup: u32,
    /// Everything up to this height was read.
    pub height: u64,
    /// The index that the next transaction will have.
    pub next_index: u64,
    /// Up to where the own state has followed the settled one.
    pub settled_index: u64,
    /// Microseconds for a range of 64 transactions, as measured.
    pub time_us_64: u64,
    /// Why it is not served any more.
    pub broken: Option<String>,
}
