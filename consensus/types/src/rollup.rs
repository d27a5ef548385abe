//! Registered rollups, ranges of their streams, and what a proof states.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Amount, ChainId, Digest, Domain, Height, ProgramVersion, RollupId, StateRoot,
    TxIndex, codec,
};

/// A family of proofs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ProofSystem {
    /// STARKs by Winterfell.
    Winterfell,
}

/// Which proofs settle a rollup's ranges.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofPolicy {
    /// The rollup only wants order: nothing is proven or settled.
    None,
    /// Any `required` of the named systems.
    Any {
        systems: Vec<ProofSystem>,
        required: u8,
    },
}

/// What a rollup registers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RollupConfig {
    pub name: String,
    /// May change the configuration.
    pub owner: AccountId,
    pub program: ProgramVersion,
    pub genesis_root: StateRoot,
    pub policy: ProofPolicy,
    /// The public reserve: what the rollup pays at most for one transaction's proving at first.
    pub reserve_price: Amount,
    /// What the reserve may rise to, per transaction, when nobody bids.
    pub reserve_price_max: Amount,
    /// An intent is raised when this many transactions are unproven …
    pub range_transactions: u64,
    /// … or when the oldest of them is this old in block time.
    pub range_age_ms: u64,
    /// What an award's deadline is, in block time after the award.
    pub deadline_ms: u64,
    /// The winner's bond in hundredths of the reference price.
    pub bond_percent: u32,
    /// The rollup's part of its envelopes' fees, in hundredths.
    pub fee_share_percent: u8,
}

/// A gap-free part of one rollup's stream: the transactions `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
pub struct Range {
    pub rollup: RollupId,
    /// The first transaction.
    pub from: TxIndex,
    /// The one after the last.
    pub to: TxIndex,
    /// The height that ordered the first.
    pub from_height: Height,
    /// The height that ordered the last.
    pub to_height: Height,
}

/// What a proof of a range states, apart from the contents' commitment, which every validator
/// derives itself from the openings minus the checked exclusions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    pub chain: ChainId,
    pub program: ProgramVersion,
    /// The one to pay; bound into the proof, so that a copy pays its maker.
    pub prover: AccountId,
    pub range: Range,
    pub old_root: StateRoot,
    pub new_root: StateRoot,
}

impl Range {
    /// How many transactions the range holds.
    pub const fn count(&self) -> u64 {
        self.to.0 - self.from.0
    }
}

impl Statement {
    /// The statement's digest.
    pub fn digest(&self) -> Digest {
        Domain::Statement.digest(&codec::encode(self))
    }
}
