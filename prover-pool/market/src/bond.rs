//! Provers and the bonds they answer with.

use bincode::{Decode, Encode};
use conclave_types::{Amount, MarketParameters};
use serde::Serialize;

use crate::bid::BidVerdict;
use crate::intent::percent;

/// A registered prover.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Prover {
    /// Jobs it says it can do at once.
    pub slots: u16,
    /// Jobs it holds.
    pub used: u16,
    /// Bond that no job holds.
    pub free: Amount,
    /// Bond that its jobs hold.
    pub locked: Amount,
    /// False from a slash until it re-arms; a disarmed prover wins nothing.
    pub armed: bool,
}

/// Bond that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BondError {
    /// More is asked than is free.
    #[error("[CV-MKT-001] the free bond is {free}, {wanted} are asked; wait for jobs to settle")]
    NotFree { free: Amount, wanted: Amount },
    /// The sum does not fit 64 bits.
    #[error("[CV-MKT-002] the bond would exceed 2^64-1; post less")]
    Overflow,
}

/// How a slashed bond is shared. The parts add up to the bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlashSplit {
    /// To the harmed rollup, first.
    pub rollup: Amount,
    /// Kept for the standby's delivery, next.
    pub standby: Amount,
    /// To the insurance pool: the rest.
    pub pool: Amount,
}

impl Prover {
    /// A prover with nothing posted yet.
    pub const fn new(slots: u16) -> Self {
        Self {
            slots,
            used: 0,
            free: Amount::ZERO,
            locked: Amount::ZERO,
            armed: true,
        }
    }

    /// Why this prover cannot take a job of the given bond now, if it cannot.
    pub fn refusal(&self, bond: Amount) -> Option<BidVerdict> {
        if !self.armed {
            return Some(BidVerdict::Disarmed);
        }
        if self.free < bond {
            return Some(BidVerdict::BondTooSmall);
        }
        (self.used >= self.slots).then_some(BidVerdict::NoSlot)
    }

    /// Whether its bids for jobs of the given bond are kept: bond that another job may free before
    /// the close counts.
    pub fn may_bid(&self, bond: Amount) -> bool {
        self.armed && self.slots > 0 && self.free.checked_add(self.locked) >= Some(bond)
    }

    /// Adds to the free bond.
    pub fn post(&mut self, amount: Amount) -> Result<(), BondError> {
        let free = self.free.checked_add(amount).ok_or(BondError::Overflow)?;
        free.checked_add(self.locked).ok_or(BondError::Overflow)?;
        self.free = free;
        Ok(())
    }

    /// Takes from the free bond.
    pub fn withdraw(&mut self, amount: Amount) -> Result<(), BondError> {
        self.free = self.free.checked_sub(amount).ok_or(BondError::NotFree {
            free: self.free,
            wanted: amount,
        })?;
        Ok(())
    }

    /// Takes a job: one slot, and its bond moves from free to locked. [`Prover::refusal`] must
    /// have been `None`.
    pub fn lock(&mut self, bond: Amount) {
        assert!(self.refusal(bond).is_none(), "locked beyond capacity");
        self.used += 1;
        self.free.0 -= bond.0;
        self.locked.0 += bond.0;
    }

    /// Gives a job back unharmed.
    pub fn release(&mut self, bond: Amount) {
        self.take_locked(bond);
        self.free.0 += bond.0;
    }

    /// Takes a job's bond away and disarms; the caller distributes it.
    pub fn slash(&mut self, bond: Amount) {
        self.take_locked(bond);
        self.armed = false;
    }

    fn take_locked(&mut self, bond: Amount) {
        assert!(
            self.used > 0 && self.locked >= bond,
            "released a job that was not held"
        );
        self.used -= 1;
        self.locked.0 -= bond.0;
    }
}

impl SlashSplit {
    /// Splits a bond. Without a standby its part goes to the pool.
    pub fn of(bond: Amount, market: &MarketParameters, standby: bool) -> Self {
        let rollup = percent(bond, market.rollup_percent).min(bond);
        let rest = Amount(bond.0 - rollup.0);
        let standby = match standby {
            true => percent(bond, market.standby_percent).min(rest),
            false => Amount::ZERO,
        };
        Self {
            rollup,
            standby,
            pool: Amount(rest.0 - standby.0),
        }
    }
}
