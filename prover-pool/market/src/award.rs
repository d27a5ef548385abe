//! Awards: who may prove a range, until when, and who is next.

use bincode::{Decode, Encode};
use conclave_types::{AccountId, Amount};
use serde::Serialize;

use crate::settlement::RecordedProof;
use crate::timer::Timer;

/// Whose turn a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize)]
pub enum Stage {
    /// Only the winner may submit.
    Winner,
    /// The winner missed the deadline; only the standby may submit.
    Standby,
    /// Anyone may, with a deposit, for a late price.
    Open,
}

/// The runner-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Standby {
    pub prover: AccountId,
    /// Its own bid: the most it is paid.
    pub price: Amount,
}

/// A range's job after a clearing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Award {
    pub winner: AccountId,
    /// The winner's bid.
    pub price: Amount,
    /// What the winner has locked.
    pub bond: Amount,
    pub standby: Option<Standby>,
    pub stage: Stage,
    /// Money held for whoever delivers: the price, from the rollup's fund, and after a slash the
    /// standby's part of the bond.
    pub escrow: Amount,
    /// The part of `escrow` that came from a slashed bond.
    pub premium: Amount,
    /// The current stage's deadline; `None` while the predecessor is unsettled, and when open.
    pub deadline: Option<Timer>,
    /// Valid proofs so far, at most one per system.
    pub proofs: Vec<RecordedProof>,
}

impl Award {
    /// A fresh award in the winner's turn.
    pub const fn new(
        winner: AccountId,
        price: Amount,
        bond: Amount,
        standby: Option<Standby>,
    ) -> Self {
        Self {
            winner,
            price,
            bond,
            standby,
            stage: Stage::Winner,
            escrow: price,
            premium: Amount::ZERO,
            deadline: None,
            proofs: Vec::new(),
        }
    }
}
