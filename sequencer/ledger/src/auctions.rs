//! Auctions and awards: closing, missed deadlines, cancellation. The market decides, the ledger
//! moves the money.

use conclave_market::{
    Auction, Award, ContentsDigest, Offer, Phase, SlashSplit, Stage, Timer, clear,
};
use conclave_types::{
    AccountId, Amount, AuctionId, EnvelopeHeader, ProgramVersion, ReleaseRule, RollupId, SystemOp,
};

use crate::block::{Content, Outcome};
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::money::{minus, plus};
use crate::rollup::Chunk;
use crate::system::decode_operation;

impl Ledger {
    /// Holds a sealed bid until its auction's close. Void unless the auction takes bids and its
    /// payer is an armed prover with the bond for it who has not bid yet.
    pub(crate) fn hold_bid(&mut self, context: &mut Context, header: &EnvelopeHeader) -> Outcome {
        let ReleaseRule::AtClose(id) = header.core.release else {
            return Outcome::Void;
        };
        let bidder = header.core.payer;
        let Some(auction) = self.state.auctions.get(&id) else {
            return Outcome::Void;
        };
        let prover = self.state.provers.get(&bidder);
        let capable = prover.is_some_and(|prover| prover.may_bid(auction.intent.bond));
        let full = auction.held as usize >= conclave_types::limits::AUCTION_BIDS_MAX;
        if !auction.is_bidding() || !capable || full || self.has_bid(id, bidder) {
            return Outcome::Void;
        }
        let number = auction.held;
        self.state.bids.insert((id, number), header.clone());
        if let Some(auction) = self.state.auctions.get_mut(&id) {
            auction.held = number + 1;
        }
        context.events.push(LedgerEvent::BidHeld {
            auction: id,
            bidder,
            envelope: header.id(),
        });
        Outcome::Held
    }

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
            let next = self.reopen(context, &auction);
            auction.phase = Phase::Unsold { next };
            self.store(auction);
            context.events.push(LedgerEvent::NoBids {
                auction: id,
                rollup,
                bids: clearing.bids,
            });
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

    /// Handles a deadline that passed: slashes the winner and calls the standby, or opens the job.
    pub(crate) fn miss_deadline(&mut self, context: &mut Context, id: AuctionId) {
        let Some(mut auction) = self.state.auctions.get(&id).cloned() else {
            return;
        };
        self.agenda.untrack(&auction);
        let rollup = auction.rollup();
        let Some(award) = auction.award_mut() else {
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

    /// Puts an unfinished range back into the backlog.
    fn requeue(&mut self, id: AuctionId) {
        let Some(auction) = self.state.auctions.get(&id) else {
            return;
        };
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

    fn has_bid(&self, id: AuctionId, bidder: AccountId) -> bool {
        let held = self.state.bids.range((id, 0)..=(id, u32::MAX));
        held.into_iter()
            .any(|(_, header)| header.core.payer == bidder)
    }

    fn take_bids(&mut self, id: AuctionId) -> Vec<EnvelopeHeader> {
        let held = self.state.bids.range((id, 0)..=(id, u32::MAX));
        let keys: Vec<(AuctionId, u32)> = held.map(|(key, _)| *key).collect();
        let taken = keys.iter().filter_map(|key| self.state.bids.remove(key));
        taken.collect()
    }

    /// What the held bids turn out to hold, in the order they came. A malformed seal costs its
    /// payer the surcharge.
    fn open_offers(
        &mut self,
        context: &mut Context,
        id: AuctionId,
        headers: &[EnvelopeHeader],
    ) -> Vec<Offer> {
        let mut offers = Vec::with_capacity(headers.len());
        for header in headers {
            let envelope = header.id();
            let content = context.bids.remove(&envelope);
            let (m, price) = match content {
                Some(Content::Opened { plaintext, m }) => (Some(m), bid_price(id, &plaintext)),
                Some(Content::UndecryptableBody { m }) => (Some(m), None),
                _ => {
                    self.surcharge(context, header.core.payer);
                    (None, None)
                }
            };
            offers.push(Offer {
                envelope,
                bidder: header.core.payer,
                m,
                price,
            });
        }
        offers
    }
}

/// The price of a plaintext that is a bid for this auction.
fn bid_price(id: AuctionId, plaintext: &[u8]) -> Option<Amount> {
    match decode_operation(plaintext) {
        Ok(SystemOp::Bid(bid)) if bid.auction == id => Some(bid.price),
        _ => None,
    }
}
