//! What an operator decides.

use std::path::PathBuf;

use conclave_types::{Amount, RollupId};
use serde::{Deserialize, Serialize};

use crate::strategy::Strategy;

/// A prover member's configuration, read from TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProverConfig {
    /// The file of the account's secret key; it pays fees, posts bond and is paid.
    pub account_key: PathBuf,
    /// Base URLs of nodes, tried in order.
    pub nodes: Vec<String>,
    /// Snapshots, proofs and counters; one directory per member.
    pub data_dir: PathBuf,
    /// The rollups to serve.
    pub rollups: Vec<ServedRollup>,
    /// How bids are priced.
    #[serde(default)]
    pub strategy: Strategy,
    /// What a second of this machine's CPU costs; bids are computed from it.
    #[serde(default = "defaults::price_per_second")]
    pub price_per_second: Amount,
    /// Threads that prove, one range each.
    #[serde(default = "defaults::workers")]
    pub workers: usize,
    /// Jobs held at once, as declared to the market.
    #[serde(default = "defaults::slots")]
    pub slots: u16,
    /// Bond to keep posted, free and locked together.
    pub bond: Amount,
    /// Whether to go on after a missed deadline cost the bond.
    #[serde(default = "defaults::yes")]
    pub rearm: bool,
    /// Whether to prove ranges that everybody else missed, for the late price and with a deposit.
    #[serde(default = "defaults::yes")]
    pub open_jobs: bool,
    /// Prepaid fees below which some balance is moved there.
    #[serde(default = "defaults::fees_min")]
    pub fees_min: Amount,
    /// How much then.
    #[serde(default = "defaults::fees_topup")]
    pub fees_topup: Amount,
    /// Between two looks at the market, in milliseconds; well below the bidding window.
    #[serde(default = "defaults::poll_ms")]
    pub poll_ms: u64,
}

/// One rollup to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedRollup {
    /// The rollup.
    pub id: RollupId,
    /// The file that describes its genesis state, in its program's format.
    pub genesis: PathBuf,
}

mod defaults {
    use conclave_types::Amount;

    pub(super) fn price_per_second() -> Amount {
        Amount(1_000)
    }
    pub(super) fn workers() -> usize {
        1
    }
    pub(super) fn slots() -> u16 {
        4
    }
    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn fees_min() -> Amount {
        Amount(20_000)
    }
    pub(super) fn fees_topup() -> Amount {
        Amount(100_000)
    }
    pub(super) fn poll_ms() -> u64 {
        75
    }
}
