//! What was verified, and how far it reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_types::{AccountId, Height, RollupId, StateRoot, TxIndex};

use super::ProvenLedger;
use crate::Program;

/// What to verify.
#[derive(Clone)]
pub struct RangeRequest {
    /// Whose contents.
    pub rollup: RollupId,
    /// The first height; those up to the rollup's registration are left out.
    pub from: Height,
    /// The last height; without one, the last whose outcomes can be proven now.
    pub to: Option<Height>,
    /// The root that the first settled range must start from, when the caller knows it: the
    /// rollup's genesis root, or an earlier verified one.
    pub anchor: Option<StateRoot>,
    /// Programs whose proofs can be verified here.
    pub programs: Vec<Arc<dyn Program>>,
}

/// One settled proof that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofReport {
    /// The auction it settled.
    pub auction: u64,
    /// The first transaction it covers.
    pub from_index: TxIndex,
    /// The one after the last.
    pub to_index: TxIndex,
    /// Who made it.
    pub prover: AccountId,
    /// The root before.
    pub old_root: StateRoot,
    /// The root after.
    pub new_root: StateRoot,
    /// Its size.
    pub bytes: u64,
}

/// A verified range of heights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeReport {
    /// Whose contents.
    pub rollup: RollupId,
    /// The first height.
    pub from: Height,
    /// The last height.
    pub to: Height,
    /// Blocks whose certificates were verified: every height of the range.
    pub blocks: u64,
    /// Envelopes of the rollup: all that were ordered.
    pub envelopes: u64,
    /// How they ended; all proven by the ledger.
    pub outcomes: BTreeMap<String, u64>,
    /// The index of the first transaction.
    pub first_index: TxIndex,
    /// The index after the last.
    pub next_index: TxIndex,
    /// The ledger that proves the outcomes, and the settled root in it.
    pub ledger: ProvenLedger,
    /// Settled proofs inside the range, in order, all verified.
    pub proofs: Vec<ProofReport>,
    /// Settled proofs that reach outside the range, or of programs not at hand.
    pub proofs_skipped: u64,
}

impl RangeReport {
    /// Transactions in the range.
    pub fn transactions(&self) -> u64 {
        self.next_index.0 - self.first_index.0
    }

    /// The root that the verified proofs lead to, and the transaction it stands before.
    pub fn settled(&self) -> Option<(StateRoot, TxIndex)> {
        self.proofs
            .last()
            .map(|proof| (proof.new_root, proof.to_index))
    }
}
