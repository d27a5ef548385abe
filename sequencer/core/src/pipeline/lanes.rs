//! From ordered envelopes to their openings.

use super::*;

/// How far behind the newest final block the shares of one may still be on their way by themselves.
const SHARES_COME_BLOCKS: u64 = 4;

impl Sequencer {
    pub(super) fn start_lane(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        let (height, lane) = (context.height, context.lane);
        let empty = envelopes.is_empty();
        self.openings.start(context, envelopes, now);
        if empty {
            let result = conclave_seal::OpenResult {
                verdicts: Some(Vec::new()),
                liars: Vec::new(),
            };
            self.openings.finish(context, result, None, 0);
        } else if height <= self.recovered_to {
            actions.push(Action::Fetch(Fetch::Openings { height, lane }));
        } else {
            self.release(height, lane, actions);
        }
    }

    /// Makes our shares; the block is committed, so they may leave.
    pub(super) fn release(&mut self, height: Height, lane: ShareLane, actions: &mut Vec<Action>) {
        let Some(envelopes) = self.openings.envelopes((height, lane)) else {
            return;
        };
        let Some(block) = self.queue.iter().find(|p| p.block.header.height == height) else {
            return;
        };
        let context = ShareContext {
            block: block.id,
            height,
            lane,
            group: ShareGroup::Whole,
        };
        let envelopes = envelopes.to_vec();
        let points = envelopes
            .iter()
            .map(|e| self.points.remove(&e.id()))
            .collect();
        actions.push(Action::Work(Work::Bundle {
            context,
            envelopes,
            points,
        }));
        // The others have opened an old block long ago and send their shares no more; waiting for
        // the repetition would cost its pause for every block that is caught up with.
        if self.committed.0 > height.0 + SHARES_COME_BLOCKS {
            actions.push(Action::Fetch(Fetch::Shares { height, lane }));
        }
        self.attempt(height, lane, actions);
    }

    pub(super) fn reopened(
        &mut self,
        height: Height,
        lane: ShareLane,
        record: OpeningRecord,
        actions: &mut Vec<Action>,
    ) {
        let Some(envelopes) = self.openings.envelopes((height, lane)) else {
            return;
        };
        let count = envelopes.len();
        let block = self.queue.iter().find(|p| p.block.header.height == height);
        let (Some(block), Some(bundle)) = (block, record.bundle) else {
            return self.release(height, lane, actions);
        };
        if count != record.verdicts.len() {
            return self.release(height, lane, actions);
        }
        let context = ShareContext {
            block: block.id,
            height,
            lane,
            group: ShareGroup::Whole,
        };
        self.openings.own(bundle);
        let result = conclave_seal::OpenResult {
            verdicts: Some(record.verdicts),
            liars: Vec::new(),
        };
        self.openings.finish(context, result, record.evidence, 0);
    }

    pub(super) fn shares(&mut self, bundle: ShareBundle, actions: &mut Vec<Action>) {
        let (height, lane) = (bundle.context.height, bundle.context.lane);
        self.openings.add(bundle, self.executed);
        self.attempt(height, lane, actions);
    }

    pub(super) fn attempt(&mut self, height: Height, lane: ShareLane, actions: &mut Vec<Action>) {
        if let Some(work) = self
            .openings
            .attempt((height, lane), &self.config.committee)
        {
            actions.push(Action::Work(work));
        }
    }

    /// Names the sender of a wrong bundle, to everybody if it signed a wrong share.
    pub(super) fn wrong_shares(&self, liar: Liar) -> Action {
        let validator = liar.validator;
        let evidence = liar.evidence.map(|wrong| {
            Box::new(Misbehaviour {
                epoch: self.config.epoch,
                validator,
                offence: Offence::WrongShares(wrong),
            })
        });
        Action::Misbehaviour {
            validator,
            what: "shares that are unsigned, not those of this lane, or wrong",
            evidence,
        }
    }
}
