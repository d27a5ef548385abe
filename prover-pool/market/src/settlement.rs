//! Settlement: who may deliver a proof when, and who is paid how much.

use bincode::{Decode, Encode};
use conclave_types::{AccountId, Amount, Height, MarketParameters, ProofSystem, StateRoot};
use serde::Serialize;

use crate::auction::{Auction, Phase};
use crate::award::{Award, Stage};
use crate::intent::percent;

/// A valid proof of a range, recorded once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct RecordedProof {
    pub system: ProofSystem,
    pub prover: AccountId,
    pub new_root: StateRoot,
    /// The height that ordered it.
    pub height: Height,
    /// Whether it came in the open stage.
    pub late: bool,
}

/// What one prover got for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Payment {
    pub prover: AccountId,
    pub amount: Amount,
}

/// Why a proof was refused before anything was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Encode, Decode, Serialize)]
pub enum SubmitError {
    /// The auction is unknown or too long past.
    #[error("[CV-MKT-010] no such auction; follow the intents and submit to a current one")]
    UnknownAuction,
    /// The auction has not been awarded, or ended without.
    #[error("[CV-MKT-011] the auction is not awarded; wait for its close, or bid in the next one")]
    NotAwarded,
    /// The winner's time is not over.
    #[error("[CV-MKT-012] it is the winner's turn; wait until its deadline is missed")]
    WinnersTurn,
    /// The standby's time is not over.
    #[error("[CV-MKT-013] it is the standby's turn; wait until its deadline is missed")]
    StandbysTurn,
    /// The range before this one has no settled root to start from.
    #[error("[CV-MKT-014] the predecessor is not settled yet; submit again once it is")]
    PredecessorUnsettled,
    /// The rollup does not take this proof system.
    #[error(
        "[CV-MKT-015] the rollup's policy does not take this proof system; use one that it names"
    )]
    WrongSystem,
    /// A proof of this system with the same result is there already.
    #[error("[CV-MKT-016] the range has this proof already; take the next range")]
    AlreadyProven,
    /// The exclusions are not ascending positions inside the range.
    #[error(
        "[CV-MKT-017] the exclusions must be ascending positions inside the range; list each once"
    )]
    Exclusions,
    /// The proof is empty or larger than any may be.
    #[error(
        "[CV-MKT-018] the proof's size is outside 1..=458752 bytes; prove with the registered options"
    )]
    ProofSize,
    /// The submitter cannot cover the deposit for an open or settled job.
    #[error("[CV-MKT-019] submissions to an open job need a deposit; add balance first")]
    Deposit,
    /// The rollup's program is frozen.
    #[error("[CV-MKT-020] the program version is frozen; wait for the rollup's next version")]
    Frozen,
    /// The turn came to the submitter inside the submission's own block.
    #[error("[CV-MKT-021] it was not the submitter's turn before this block; submit again")]
    TooEarly,
}

/// Whether `prover` may submit to the auction now; `Ok(true)` if that takes a deposit.
///
/// A settled range still takes a proof: one of a different result is the evidence that its program
/// version is broken.
pub fn may_submit(auction: &Auction, prover: AccountId) -> Result<bool, SubmitError> {
    let award = match &auction.phase {
        Phase::Awarded(award) => award,
        Phase::Settled(_) => return Ok(true),
        Phase::Bidding | Phase::Unsold { .. } | Phase::Cancelled => {
            return Err(SubmitError::NotAwarded);
        }
    };
    match award.stage {
        Stage::Winner if prover == award.winner => Ok(false),
        Stage::Winner => Err(SubmitError::WinnersTurn),
        Stage::Standby if award.standby.is_some_and(|s| s.prover == prover) => Ok(false),
        Stage::Standby => Err(SubmitError::StandbysTurn),
        Stage::Open => Ok(true),
    }
}

/// What delivery pays in the award's stage: the winner its bid, the standby at most its bid, a late
/// prover `late_percent` of the reference price; never more than the escrow.
fn delivery_price(award: &Award, reference: Amount, market: &MarketParameters) -> Amount {
    let wanted = match (award.stage, award.standby) {
        (Stage::Winner, _) => award.price,
        (Stage::Standby, Some(standby)) => standby.price,
        (Stage::Standby | Stage::Open, _) => percent(reference, market.late_percent),
    };
    wanted.min(award.escrow)
}

/// Shares the delivery price equally among the provers of the award's proofs; the remainder goes
/// to the last. With one required proof that is simply its prover.
pub fn split_payment(award: &Award, reference: Amount, market: &MarketParameters) -> Vec<Payment> {
    let total = delivery_price(award, reference, market);
    let count = award.proofs.len() as u64;
    let Some(part) = total.0.checked_div(count) else {
        return Vec::new();
    };
    let last = total.0 - part * (count - 1);
    let amounts = (1..=count).map(|n| Amount(if n == count { last } else { part }));
    award
        .proofs
        .iter()
        .zip(amounts)
        .map(|(proof, amount)| Payment {
            prover: proof.prover,
            amount,
        })
        .collect()
}
