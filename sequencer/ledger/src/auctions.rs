//! Auctions and awards: closing, missed deadlines, cancellation. The market decides, the ledger
//! moves the money.

use conclave_market::{Auction, Award, ContentsDigest, Phase, SlashSplit, Stage, Timer, clear};
use conclave_types::{Amount, AuctionId, ProgramVersion, RollupId};

use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::money::{minus, plus};
use crate::rollup::{Chunk, Rollup};

impl Ledger {
    /// Closes an auction whose bids are open: awards the range, or auctions it again.
    pub(crate) fn close_auction(&mut self, context: &mut Context, id: AuctionId) {
        let headers = self.take_bids(id);
        let offers = self.open_offers(context, id, &headers);
        let Some(mut auction) = self.state.auctions.get(&id).cloned() else {
            return;
        };
        self.agenda.untrack(&auction);
        let rollup = auction.rollup();
        let fund = self
            .state
            .rollups
            .get(&rollup)
            .map_or(Amount::ZERO, |r| r.fund);
        let ceiling = auction.max_price.min(fund);
        let provers = &self.state.provers;
        let clearing = clear(&auction, ceiling, &offers, |account| provers.get(&account));
        auction.bids = clearing.bids.clone();

        let Some((winner, price)) = clearing.winner else {
            context.events.push(LedgerEvent::NoBids {
                auction: id,
                rollup,
                bids: clearing.bids,
            });
            let next = self.reopen(context, &auction);
            auction.phase = Phase::Unsold { next };
            self.store(auction);
            return;
        };
        let bond = auction.intent.bond;
        if let Some(prover) = self.state.provers.get_mut(&winner) {
            prover.lock(bond);
        }
        if let Some(rollup) = self.state.rollups.get_mut(&rollup) {
            rollup.fund = minus(rollup.fund, price);
        }
        auction.phase = Phase::Awarded(Award::new(winner, price, bond, clearing.standby));
        self.store(auction);
        context.events.push(LedgerEvent::AuctionCleared {
            auction: id,
            rollup,
            winner,
            price,
            standby: clearing.standby,
            bids: clearing.bids,
        });
        self.start_deadline(context, id);
    }

    /// Starts the deadline of an award whose range begins where the rollup is settled.
    pub(crate) fn start_deadline(&mut self, context: &mut Context, id: AuctionId) {
        let Some(auction) = self.state.auctions.get(&id) else {
            return;
        };
        let settled = self.state.settled.get(&auction.rollup());
        if settled.is_none_or(|settled| settled.next != auction.intent.range.from) {
            return;
        }
        let delay_ms = auction.intent.deadline_ms;
        let deadline = Timer::after(context.height, context.time, delay_ms);
        let mut auction = auction.clone();
        let Some(award) = auction.award_mut() else {
            return;
        };
        award.deadline = Some(deadline);
        context.events.push(LedgerEvent::DeadlineStarted {
            auction: id,
            stage: award.stage,
            deadline,
        });
        self.store(auction);
    }

    /// Handles a deadline that passed.
    pub(crate) fn miss_deadline(&mut self, context: &mut Context, id: AuctionId) {
        let auction = self.state.auctions.get(&id);
        let Some(award) = auction.and_then(Auction::award) else {
            return;
        };
        let late = match (award.stage, award.standby) {
            (Stage::Standby, Some(standby)) => standby.prover,
            _ => award.winner,
        };
        context.events.push(LedgerEvent::DeadlineMissed {
            auction: id,
            stage: award.stage,
            prover: late,
        });
        self.end_turn(context, id);
    }

    /// Ends the turn of whoever was to deliver: slashes the winner and calls the standby, or opens
    /// the job.
    pub(crate) fn end_turn(&mut self, context: &mut Context, id: AuctionId) {
        let Some(mut auction) = self.state.auctions.get(&id).cloned() else {
            return;
        };
        self.agenda.untrack(&auction);
        let rollup = auction.rollup();
        let Some(award) = auction.award_mut() else {
            return;
        };
        award.deadline = None;
        let standby = award.standby.filter(|_| award.stage == Stage::Winner);
        if award.stage == Stage::Winner {
            self.slash(context, id, rollup, award);
        } else {
            let premium = std::mem::take(&mut award.premium);
            award.escrow = minus(award.escrow, premium);
            self.state.insure(premium);
        }
        let Some(standby) = standby else {
            award.stage = Stage::Open;
            context.events.push(LedgerEvent::JobOpened { auction: id });
            self.store(auction);
            self.release_later(context, rollup, id);
            return;
        };
        award.stage = Stage::Standby;
        self.store(auction);
        context.events.push(LedgerEvent::StandbyCalled {
            auction: id,
            standby,
        });
        self.start_deadline(context, id);
    }

    /// Frees whoever is bound to ranges after one that is open to all: those go back to the backlog
    /// until it is settled.
    fn release_later(&mut self, context: &mut Context, rollup: RollupId, open: AuctionId) {
        for id in self.outstanding(rollup) {
            if id != open {
                self.requeue(id);
                self.cancel(context, id);
            }
        }
    }

    /// Takes the winner's bond: the rollup first, then what waits for the standby's delivery, the
    /// rest to the pool.
    fn slash(&mut self, context: &mut Context, id: AuctionId, rollup: RollupId, award: &mut Award) {
        let market = &self.state.parameters.market;
        let split = SlashSplit::of(award.bond, market, award.standby.is_some());
        if let Some(prover) = self.state.provers.get_mut(&award.winner) {
            prover.slash(award.bond);
        }
        self.credit_rollup(rollup, split.rollup);
        award.premium = split.standby;
        award.escrow = plus(award.escrow, split.standby);
        self.state.insure(split.pool);
        context.events.push(LedgerEvent::Slashed {
            auction: id,
            prover: award.winner,
            bond: award.bond,
            to_rollup: split.rollup,
            to_standby: split.standby,
            to_pool: split.pool,
        });
    }

    /// Ends an unfinished auction without a settlement: held bids are dropped unopened, a winner
    /// still in time gets its bond back, the escrow returns to where it came from.
    pub(crate) fn cancel(&mut self, context: &mut Context, id: AuctionId) {
        let Some(mut auction) = self.state.auctions.get(&id).cloned() else {
            return;
        };
        self.agenda.untrack(&auction);
        self.take_bids(id);
        if let Some(award) = auction.award() {
            self.free_winner(award);
            let price = minus(award.escrow, award.premium);
            self.credit_rollup(auction.rollup(), price);
            self.state.insure(award.premium);
        }
        auction.phase = Phase::Cancelled;
        if let Some(rollup) = self.state.rollups.get_mut(&auction.rollup()) {
            rollup.outstanding.retain(|other| *other != id);
        }
        self.store(auction);
        context.events.push(LedgerEvent::Cancelled { auction: id });
    }

    /// Freezes a program version: its rollups' unfinished ranges go back to the backlog until the
    /// rollups move to another version.
    pub(crate) fn freeze(&mut self, context: &mut Context, id: AuctionId, program: ProgramVersion) {
        if self.state.frozen.contains(&program) {
            return;
        }
        self.state.frozen.insert(program, context.height);
        context.events.push(LedgerEvent::ProgramFrozen {
            program,
            auction: id,
        });
        let unfinished = self.state.rollups.iter().flat_map(|(_, r)| &r.outstanding);
        let mut hit: Vec<RollupId> = unfinished
            .filter_map(|id| self.state.auctions.get(id))
            .filter(|auction| auction.intent.program == program)
            .map(Auction::rollup)
            .collect();
        hit.dedup();
        for rollup in hit {
            for id in self.outstanding(rollup) {
                self.requeue(id);
                self.cancel(context, id);
            }
        }
    }

    /// Gives a winner that is still in time its bond and slot back.
    pub(crate) fn free_winner(&mut self, award: &Award) {
        if award.stage == Stage::Winner
            && let Some(prover) = self.state.provers.get_mut(&award.winner)
        {
            prover.release(award.bond);
        }
    }

    /// Pays into a rollup's fund, or to its owner once it has left.
    pub(crate) fn credit_rollup(&mut self, id: RollupId, amount: Amount) {
        let Some(rollup) = self.state.rollups.get_mut(&id) else {
            self.state.insure(amount);
            return;
        };
        if rollup.is_active() {
            rollup.fund = plus(rollup.fund, amount);
        } else {
            let owner = rollup.config.owner;
            self.state.credit(owner, amount);
        }
    }

    pub(crate) fn outstanding(&self, rollup: RollupId) -> Vec<AuctionId> {
        let rollup = self.state.rollups.get(&rollup);
        rollup.map_or_else(Vec::new, |rollup| rollup.outstanding.clone())
    }

    /// Stores a changed auction and follows its timer.
    pub(crate) fn store(&mut self, auction: Auction) {
        self.agenda.track(&auction);
        self.state.auctions.insert(auction.id, auction);
    }

    /// Auctions the same range again; the new auction takes the old one's place.
    fn reopen(&mut self, context: &mut Context, auction: &Auction) -> AuctionId {
        let round = auction.round.saturating_add(1);
        let next = self.open_auction(context, auction.intent.clone(), round);
        let id = next.id;
        if let Some(rollup) = self.state.rollups.get_mut(&auction.rollup()) {
            for place in &mut rollup.outstanding {
                if *place == auction.id {
                    *place = id;
                }
            }
        }
        context
            .events
            .push(LedgerEvent::AuctionReopened { auction: next });
        id
    }

    /// Puts an unfinished range back into the backlog, unless its rollup has left.
    fn requeue(&mut self, id: AuctionId) {
        let Some(auction) = self.state.auctions.get(&id) else {
            return;
        };
        let rollup = self.state.rollups.get(&auction.rollup());
        if !rollup.is_some_and(Rollup::is_active) {
            return;
        }
        let (range, intent) = (auction.intent.range, &auction.intent);
        let chunk = Chunk {
            to: range.to,
            from_height: range.from_height,
            to_height: range.to_height,
            oldest: intent.oldest,
            contents: ContentsDigest(intent.contents),
            bytes: intent.bytes,
        };
        self.state.backlog.insert((range.rollup, range.from), chunk);
    }
}
