//! From ordered envelopes to their openings.

use super::*;

impl Sequencer {
    pub(super) fn start_lane(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<Envelope>>,
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
            self.openings.finish(context, result, Vec::new(), None, 0);
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
        };
        let envelopes = envelopes.to_vec();
        let points = envelopes
            .iter()
            .map(|e| self.points.remove(&e.header.id()))
            .collect();
        actions.push(Action::Work(Work::Bundle {
            context,
            envelopes,
            points,
        }));
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
        let envelopes = envelopes.to_vec();
        let block = self.queue.iter().find(|p| p.block.header.height == height);
        let (Some(block), Some(bundle)) = (block, record.bundle) else {
            return self.release(height, lane, actions);
        };
        if envelopes.len() != record.verdicts.len() {
            return self.release(height, lane, actions);
        }
        let context = ShareContext {
            block: block.id,
            height,
            lane,
        };
        self.openings.reopen(bundle, record.evidence);
        let verdicts = record.verdicts;
        actions.push(Action::Work(Work::Decrypt {
            context,
            envelopes,
            verdicts,
        }));
    }

    pub(super) fn shares(&mut self, bundle: ShareBundle, actions: &mut Vec<Action>) {
        let (height, lane) = (bundle.height, bundle.lane);
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
}
