//! What is due when. Derived from the tables, so a restored ledger has the same.

use std::collections::{BTreeMap, BTreeSet};

use conclave_market::{Auction, Phase, ProposerClock, Timer};
use conclave_types::{AuctionId, BlockTime, Height, RollupId, Threshold, ValidatorIndex};

use crate::state::State;

/// Finished auctions of a rollup that stay in the state; enough for their proofs to be looked up
/// and challenged for a while.
pub const FINISHED_KEPT: usize = 64;

/// Something with a timer. Closings come first in a block, then deadlines, then changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Close(AuctionId),
    Deadline(AuctionId),
    Change(RollupId),
}

/// All running timers, and the finished auctions by rollup.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    timers: BTreeSet<(BlockTime, Due, Height)>,
    finished: BTreeMap<RollupId, BTreeSet<AuctionId>>,
}

/// Whose blocks appeared when, with the present block counted.
pub(crate) struct Proposers<'a> {
    pub(crate) state: &'a State,
    pub(crate) present: ValidatorIndex,
}

impl ProposerClock for Proposers<'_> {
    fn enough_proposers_since(&self, started: Height) -> bool {
        let setup = self.state.setup();
        let members = (0..).map(ValidatorIndex).zip(&setup.validators);
        let seen = members.filter(|(index, _)| {
            let last = self.state.proposers.get(index);
            *index == self.present || last.is_some_and(|last| *last > started)
        });
        let weight: u64 = seen.map(|(_, member)| u64::from(member.weight)).sum();
        // A checked genesis and every later epoch have a threshold.
        let one_honest = setup.threshold().map_or(u16::MAX, Threshold::one_honest);
        weight >= u64::from(one_honest)
    }
}

impl Agenda {
    /// The agenda of a state.
    pub(crate) fn of(state: &State) -> Self {
        let mut agenda = Self::default();
        for (_, auction) in state.auctions.iter() {
            agenda.track(auction);
        }
        for (id, rollup) in state.rollups.iter() {
            if let Some(pending) = &rollup.pending {
                agenda.start(pending.at, Due::Change(*id));
            }
        }
        agenda
    }

    /// Takes up an auction's timer, or that it is finished.
    pub(crate) fn track(&mut self, auction: &Auction) {
        match &auction.phase {
            Phase::Bidding => self.start(auction.close, Due::Close(auction.id)),
            Phase::Awarded(award) => {
                if let Some(deadline) = award.deadline {
                    self.start(deadline, Due::Deadline(auction.id));
                }
            }
            Phase::Unsold { .. } | Phase::Settled(_) | Phase::Cancelled => {
                let finished = self.finished.entry(auction.rollup()).or_default();
                finished.insert(auction.id);
            }
        }
    }

    /// Drops an auction's timer, before the auction changes.
    pub(crate) fn untrack(&mut self, auction: &Auction) {
        match &auction.phase {
            Phase::Bidding => self.stop(auction.close, Due::Close(auction.id)),
            Phase::Awarded(award) => {
                if let Some(deadline) = award.deadline {
                    self.stop(deadline, Due::Deadline(auction.id));
                }
            }
            Phase::Unsold { .. } | Phase::Settled(_) | Phase::Cancelled => {}
        }
    }

    pub(crate) fn start(&mut self, timer: Timer, due: Due) {
        self.timers.insert((timer.due, due, timer.started));
    }

    pub(crate) fn stop(&mut self, timer: Timer, due: Due) {
        self.timers.remove(&(timer.due, due, timer.started));
    }

    /// What is due in a block of this time, in the order in which it is handled.
    pub(crate) fn due(&self, time: BlockTime, clock: &impl ProposerClock) -> Vec<Due> {
        let mut due: Vec<Due> = self
            .timers
            .iter()
            .take_while(|(at, _, _)| *at <= time)
            .filter(|(at, _, started)| {
                let timer = Timer {
                    started: *started,
                    due: *at,
                };
                timer.is_due(time, clock)
            })
            .map(|(_, due, _)| *due)
            .collect();
        due.sort();
        due
    }

    /// The earliest time at which something may be due.
    pub(crate) fn next(&self) -> Option<BlockTime> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// Forgets and returns the finished auctions beyond those kept, oldest first.
    pub(crate) fn prune(&mut self) -> Vec<AuctionId> {
        let mut pruned = Vec::new();
        for finished in self.finished.values_mut() {
            while finished.len() > FINISHED_KEPT {
                pruned.extend(finished.pop_first());
            }
        }
        pruned
    }
}
