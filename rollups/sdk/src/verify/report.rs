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
    /// The index of the first transaction. `None` if the range delivered nothing and lies amid the
    /// stream: what the node says of its place there is then unproven.
    pub first_index: Option<TxIndex>,
    /// How many transactions there are.
    pub transactions: u64,
    /// The ledger that proves the outcomes, and the settled root in it.
    pub ledger: ProvenLedger,
    /// The root that the first proof had to start from, if the caller gave one.
    pub anchor: Option<StateRoot>,
    /// Settled proofs inside the range, in order, each verified and connected to the one before.
    /// What they start from is shown only if [`settled`](Self::settled) says where they lead.
    pub proofs: Vec<ProofReport>,
    /// Settled proofs that reach outside the range, or of programs not at hand.
    pub proofs_skipped: u64,
}

impl RangeReport {
    /// The index after the last transaction; `None` with [`first_index`](Self::first_index).
    pub fn next_index(&self) -> Option<TxIndex> {
        self.first_index
            .map(|first| TxIndex(first.0 + self.transactions))
    }

    /// The root that the verified proofs lead to, and the transaction it stands before.
    ///
    /// `None` without proofs, and also if they are not anchored: they start from no root that the
    /// caller gave, and do not end at the one that the ledger holds. Such proofs may start from a
    /// root that the node made up.
    pub fn settled(&self) -> Option<(StateRoot, TxIndex)> {
        let (root, index) = self.end()?;
        let in_ledger = self
            .ledger
            .settled
            .is_some_and(|settled| settled.root == root && settled.next == index);
        (self.anchor.is_some() || in_ledger).then_some((root, index))
    }

    /// Where the proofs end, anchored or not.
    pub(super) fn end(&self) -> Option<(StateRoot, TxIndex)> {
        self.proofs
            .last()
            .map(|proof| (proof.new_root, proof.to_index))
    }
}
