//! Whether to bid for a range, and how much. Pure.

use std::collections::BTreeMap;

use conclave_sdk::api::{AuctionView, ProverView};
use conclave_types::{Amount, AuctionId, Range, RollupId};

use crate::config::ProverConfig;
use crate::jobs::range_of;
use crate::strategy::Offered;
use crate::track::Track;

/// Bids in auctions that are still open.
#[derive(Debug, Default)]
pub(crate) struct Bids(BTreeMap<AuctionId, Placed>);

#[derive(Debug, Clone)]
struct Placed {
    range: Range,
    bond: Amount,
}

/// Why there is no bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Abstention {
    /// The rollup is not served, or not any more.
    #[error("the rollup is not served")]
    NotServed,
    /// The rollup moved to another program.
    #[error("the range is of another program")]
    OtherProgram,
    /// The range was not read to its end yet.
    #[error("the range was not read yet")]
    NotRead,
    /// Not registered, or slashed and not re-armed.
    #[error("the member is not an armed prover")]
    NotArmed,
    /// All slots are taken by jobs and open bids.
    #[error("no slot is free")]
    NoSlot,
    /// The free bond does not cover the job beside the open bids.
    #[error("the free bond is too small")]
    NoBond,
    /// It could not be proven in time.
    #[error("the deadline is too short for the work at hand")]
    NoTime,
    /// The strategy's price is above the ceiling.
    #[error("the ceiling is below the price")]
    TooCheap,
}

/// What the member could take on.
pub(crate) struct Capacity<'a> {
    pub(crate) config: &'a ProverConfig,
    pub(crate) prover: Option<&'a ProverView>,
    /// Ranges that are to be proven already.
    pub(crate) unproven: Vec<Range>,
}

impl Bids {
    /// Whether a bid was placed there.
    pub(crate) fn contains(&self, auction: AuctionId) -> bool {
        self.0.contains_key(&auction)
    }

    /// Notes a bid.
    pub(crate) fn place(&mut self, view: &AuctionView, bond: Amount) {
        let range = range_of(view);
        self.0.insert(AuctionId(view.id), Placed { range, bond });
    }

    /// Forgets a bid that could not be submitted, so that it is tried again.
    pub(crate) fn withdraw(&mut self, auction: AuctionId) {
        self.0.remove(&auction);
    }

    /// Forgets bids in auctions that are closed.
    pub(crate) fn keep_open(&mut self, auctions: &[AuctionView]) {
        self.0.retain(|id, _| {
            auctions
                .iter()
                .any(|view| view.id == id.0 && view.state == "bidding")
        });
    }

    /// The price to bid in an auction, with the bond it would lock.
    pub(crate) fn consider(
        &self,
        view: &AuctionView,
        tracks: &BTreeMap<RollupId, Track>,
        capacity: &Capacity<'_>,
    ) -> Result<(Amount, Amount), Abstention> {
        let range = range_of(view);
        let track = tracks
            .get(&range.rollup)
            .filter(|track| track.broken.is_none())
            .ok_or(Abstention::NotServed)?;
        if view.program != track.program.version().to_string() {
            return Err(Abstention::OtherProgram);
        }
        if track.next_index() < range.to {
            return Err(Abstention::NotRead);
        }
        let bond = track.terms.bond(range.count());
        self.check_standing(capacity, bond)?;
        self.check_time(tracks, capacity, track, &range)?;
        let config = capacity.config;
        let offered = Offered {
            count: range.count(),
            cost: track
                .calibration
                .cost(range.count(), config.price_per_second),
            ceiling: Amount(view.price_max),
            last: track.last_price,
        };
        let price = config
            .strategy
            .price(&offered)
            .ok_or(Abstention::TooCheap)?;
        Ok((price, bond))
    }

    /// Slots and bond, beside those that open bids may come to take.
    fn check_standing(&self, capacity: &Capacity<'_>, bond: Amount) -> Result<(), Abstention> {
        let prover = capacity
            .prover
            .filter(|prover| prover.armed)
            .ok_or(Abstention::NotArmed)?;
        let held = usize::from(prover.jobs) + self.0.len();
        if held >= usize::from(prover.slots) {
            return Err(Abstention::NoSlot);
        }
        let promised = self.0.values().map(|placed| u128::from(placed.bond.0));
        let needed = promised.sum::<u128>() + u128::from(bond.0);
        match needed <= u128::from(prover.bond_free) {
            true => Ok(()),
            false => Err(Abstention::NoBond),
        }
    }

    /// Half of the deadline must do for the work ahead and the range itself, so that a busy machine
    /// still makes it.
    fn check_time(
        &self,
        tracks: &BTreeMap<RollupId, Track>,
        capacity: &Capacity<'_>,
        track: &Track,
        range: &Range,
    ) -> Result<(), Abstention> {
        let time_us = |range: &Range| {
            let calibration = tracks.get(&range.rollup).map(|track| &track.calibration);
            calibration.map_or(0, |calibration| calibration.time_us(range.count()))
        };
        let bidding = self.0.values().map(|placed| &placed.range);
        let ahead: u128 = capacity
            .unproven
            .iter()
            .chain(bidding)
            .map(|range| u128::from(time_us(range)))
            .sum();
        let workers = capacity.config.workers.max(1) as u128;
        let needed = ahead / workers + u128::from(track.calibration.time_us(range.count()));
        match needed <= u128::from(track.terms.deadline_ms) * 1_000 / 2 {
            true => Ok(()),
            false => Err(Abstention::NoTime),
        }
    }
}
