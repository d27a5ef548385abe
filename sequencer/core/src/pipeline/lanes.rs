//! From ordered envelopes to their openings.

use super::*;

use crate::opening::OpenedLane;

/// How far behind the newest final block the shares of one may still be on their way by themselves.
const SHARES_COME_BLOCKS: u64 = 4;

impl Sequencer {
    /// Starts a lane for each key that the envelopes are sealed to.
    pub(super) fn start_lanes(
        &mut self,
        (block, height): (BlockId, Height),
        kind: LaneKind,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        now: u64,
        actions: &mut Vec<Action>,
    ) -> Vec<ShareLane> {
        let mut by_key: BTreeMap<Epoch, Vec<Arc<EnvelopeHeader>>> = BTreeMap::new();
        for envelope in envelopes {
            let of_key = by_key.entry(envelope.core.epoch).or_default();
            of_key.push(envelope);
        }
        let mut lanes = Vec::with_capacity(by_key.len());
        for (key, envelopes) in by_key {
            let lane = kind.of(key);
            let context = ShareContext {
                block,
                height,
                lane,
            };
            self.start_lane(context, envelopes, now, actions);
            lanes.push(lane);
        }
        lanes
    }

    /// What opened the lanes of a kind; `None` while one of them is closed, or none was started.
    pub(super) fn opened_lanes(
        &self,
        pending: &Pending,
        kind: LaneKind,
    ) -> Option<Vec<OpenedLane>> {
        let height = pending.block.header.height;
        let lanes = pending.lanes.get(&kind)?.iter();
        lanes
            .map(|lane| self.openings.opened((height, *lane)).cloned())
            .collect()
    }

    fn start_lane(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        let (height, lane) = (context.height, context.lane);
        self.openings.start(context, envelopes, now);
        if height <= self.recovered_to {
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
        let Some(block) = block.filter(|_| count == record.verdicts.len()) else {
            return self.release(height, lane, actions);
        };
        let context = ShareContext {
            block: block.id,
            height,
            lane,
        };
        self.openings.own((height, lane), record.bundle);
        let result = conclave_seal::OpenResult {
            verdicts: Some(record.verdicts),
            liars: Vec::new(),
        };
        self.openings.finish(context, result, record.evidence, 0);
    }

    pub(super) fn shares(&mut self, bundle: ShareBundle, actions: &mut Vec<Action>) {
        let (height, lane) = (bundle.height, bundle.lane);
        self.openings.add(bundle, self.executed);
        self.attempt(height, lane, actions);
    }

    pub(super) fn attempt(&mut self, height: Height, lane: ShareLane, actions: &mut Vec<Action>) {
        if let Some(committee) = self.epochs.of(lane.key)
            && let Some(work) = self.openings.attempt((height, lane), committee)
        {
            actions.push(Action::Work(work));
        }
    }
}
