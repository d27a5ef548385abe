//! Intents: ranges that are long or old enough go into auctions.

use conclave_market::{Auction, Intent, Phase, Stage, Timer, ceiling, reference_price};
use conclave_types::{Amount, AuctionId, BlockTime, Range, RollupId, TxIndex};

use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::rollup::{Chunk, OUTSTANDING_MAX, Rollup};

/// An auction's window doubles with every round that finds nobody, this many times at most, so
/// that an unserved rollup does not keep an idle chain busy.
const WINDOW_DOUBLINGS_MAX: u32 = 4;

impl Ledger {
    /// Raises every intent that is due at the end of a block.
    pub(crate) fn raise_intents(&mut self, context: &mut Context) {
        let ids: Vec<RollupId> = self.state.rollups.iter().map(|(id, _)| *id).collect();
        for id in ids {
            while let Some((from, chunk)) = self.due_chunk(id, context.time) {
                self.state.backlog.remove(&(id, from));
                let range = Range {
                    rollup: id,
                    from,
                    to: chunk.to,
                    from_height: chunk.from_height,
                    to_height: chunk.to_height,
                };
                self.raise(context, range, &chunk);
            }
        }
    }

    /// When the oldest part of a backlog makes an intent due by age, over all rollups.
    pub(crate) fn next_intent_by_age(&self) -> Option<BlockTime> {
        let due = self.state.rollups.iter().filter_map(|(id, rollup)| {
            let (_, chunk) = self.next_chunk(*id, rollup)?;
            Some(age_due(rollup, &chunk))
        });
        due.min()
    }

    fn due_chunk(&self, id: RollupId, time: BlockTime) -> Option<(TxIndex, Chunk)> {
        let rollup = self.state.rollups.get(&id)?;
        let (from, chunk) = self.next_chunk(id, rollup)?;
        (chunk.is_full(from, &rollup.config) || time >= age_due(rollup, &chunk))
            .then_some((from, chunk))
    }

    /// The first part of the backlog, if an auction for it may be opened.
    fn next_chunk(&self, id: RollupId, rollup: &Rollup) -> Option<(TxIndex, Chunk)> {
        let config = &rollup.config;
        let payable = rollup.fund > Amount::ZERO || config.reserve_price == Amount::ZERO;
        let wanted = rollup.is_active() && rollup.is_proven() && payable;
        let room = rollup.outstanding.len() < OUTSTANDING_MAX;
        if !wanted || !room || self.is_stuck(rollup) || self.state.frozen.contains(&config.program)
        {
            return None;
        }
        let all = (id, TxIndex(0))..=(id, TxIndex(u64::MAX));
        let (key, chunk) = self.state.backlog.range(all).next()?;
        Some((key.1, *chunk))
    }

    /// Whether the rollup's next range is open to all: nobody is to be bound to a later one while
    /// that may take for ever.
    fn is_stuck(&self, rollup: &Rollup) -> bool {
        let first = rollup.outstanding.first();
        let award = first.and_then(|id| self.state.auctions.get(id)?.award());
        award.is_some_and(|award| award.stage == Stage::Open)
    }

    fn raise(&mut self, context: &mut Context, range: Range, chunk: &Chunk) {
        let Some(rollup) = self.state.rollups.get_mut(&range.rollup) else {
            return;
        };
        let intent = Intent {
            range,
            program: rollup.config.program,
            contents: chunk.contents.0,
            bytes: chunk.bytes,
            oldest: chunk.oldest,
            reference: Amount::ZERO,
            bond: Amount::ZERO,
            deadline_ms: rollup.config.deadline_ms,
        };
        let id = self.state.meta.next_auction;
        rollup.outstanding.push(id);
        let auction = self.open_auction(context, intent, 0);
        context.events.push(LedgerEvent::IntentRaised { auction });
    }

    /// Opens an auction for an intent at the rollup's present terms. Its place among the rollup's
    /// outstanding ones is the caller's to keep.
    pub(crate) fn open_auction(
        &mut self,
        context: &Context,
        mut intent: Intent,
        round: u32,
    ) -> Auction {
        let id = self.state.meta.next_auction;
        self.state.meta.next_auction = AuctionId(id.0 + 1);
        let market = &self.state.parameters.market;
        let mut max_price = Amount::ZERO;
        if let Some(rollup) = self.state.rollups.get(&intent.range.rollup) {
            let (config, count) = (&rollup.config, intent.range.count());
            intent.program = config.program;
            intent.deadline_ms = config.deadline_ms;
            intent.reference = reference_price(config, count);
            intent.bond = bond(intent.reference, config.bond_percent);
            max_price = ceiling(config, market, count, round, rollup.fund);
        }
        let window_ms = market
            .window_ms
            .saturating_mul(1 << round.min(WINDOW_DOUBLINGS_MAX));
        let auction = Auction {
            id,
            intent,
            round,
            max_price,
            close: Timer::after(context.height, context.time, window_ms),
            held: 0,
            phase: Phase::Bidding,
            bids: Vec::new(),
        };
        self.agenda.track(&auction);
        self.state.auctions.insert(id, auction.clone());
        auction
    }
}

fn age_due(rollup: &Rollup, chunk: &Chunk) -> BlockTime {
    BlockTime(chunk.oldest.0.saturating_add(rollup.config.range_age_ms))
}

/// `percent` hundredths of the reference price, saturating.
fn bond(reference: Amount, percent: u32) -> Amount {
    let bond = u128::from(reference.0) * u128::from(percent) / 100;
    Amount(u64::try_from(bond).unwrap_or(u64::MAX))
}
