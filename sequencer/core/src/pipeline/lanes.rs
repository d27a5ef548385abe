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
                group: ShareGroup::Whole,
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
        let Some(committee) = self.epochs.of(lane.key).cloned() else {
            return;
        };
        self.openings.start(context, envelopes, committee, now);
        if height <= self.recovered_to {
            actions.push(Action::Fetch(Fetch::Openings { height, lane }));
        } else {
            self.release(now, height, lane, actions);
        }
    }

    /// Makes our shares; the block is committed, so they may leave.
    pub(super) fn release(
        &mut self,
        now: u64,
        height: Height,
        lane: ShareLane,
        actions: &mut Vec<Action>,
    ) {
        let Some(block) = self.queue.iter().find(|p| p.block.header.height == height) else {
            return;
        };
        let context = ShareContext {
            block: block.id,
            height,
            lane,
            group: ShareGroup::Whole,
        };
        let groups = self.openings.groups((height, lane));
        let job = |(context, envelopes): (_, Vec<Arc<EnvelopeHeader>>)| BundleJob {
            context,
            points: envelopes
                .iter()
                .map(|e| self.points.remove(&(e.core.epoch, e.id())))
                .collect(),
            envelopes,
        };
        let groups: Vec<BundleJob> = groups.into_iter().map(job).collect();
        if groups.is_empty() {
            return;
        }
        actions.push(Action::Work(Work::Bundle { context, groups }));
        // The others have opened an old block long ago and send their shares no more; waiting for
        // the repetition would cost its pause for every block that is caught up with.
        if self.committed.0 > height.0 + SHARES_COME_BLOCKS {
            actions.push(Action::Fetch(Fetch::Shares { height, lane }));
        }
        self.opened(now, context, actions);
    }

    pub(super) fn bundled(
        &mut self,
        now: u64,
        context: ShareContext,
        mut bundles: Vec<ShareBundle>,
        actions: &mut Vec<Action>,
    ) {
        let key = (context.height, context.lane);
        bundles.retain(|bundle| !bundle.is_empty());
        #[cfg(feature = "broken-rules")]
        if !self.openings.is_started(key) {
            let shares = bundles.into_iter().map(Message::Shares);
            actions.extend(shares.map(Action::Broadcast));
            return;
        }
        self.openings.own(key, bundles);
        self.opened(now, context, actions);
    }

    pub(super) fn reopened(
        &mut self,
        now: u64,
        height: Height,
        lane: ShareLane,
        record: OpeningRecord,
        actions: &mut Vec<Action>,
    ) {
        let key = (height, lane);
        let groups = self.openings.groups(key);
        let of_groups = |bundles: &[ShareBundle]| {
            let contexts = groups.iter().map(|(context, _)| context);
            let full = !bundles.iter().any(ShareBundle::is_empty);
            full && contexts.eq(bundles.iter().map(|bundle| &bundle.context))
        };
        let count: usize = groups.iter().map(|(_, envelopes)| envelopes.len()).sum();
        if count != record.verdicts.len() || !of_groups(&record.bundles) {
            return self.release(now, height, lane, actions);
        }
        self.openings.own(key, record.bundles);
        self.openings.reopen(key, &record.verdicts, record.evidence);
    }

    /// Takes a peer's shares. A bundle without any would count towards the quorum that an attempt to
    /// open waits for, and stand in the way of its sender's real ones.
    pub(super) fn shares(&mut self, now: u64, bundle: ShareBundle, actions: &mut Vec<Action>) {
        let context = bundle.context;
        if bundle.is_empty() {
            actions.push(Action::Misbehaviour {
                validator: bundle.signer,
                what: "a bundle without a share",
                evidence: None,
            });
            return;
        }
        self.openings.add(bundle, self.executed);
        self.opened(now, context, actions);
    }

    pub(super) fn claimed(
        &mut self,
        now: u64,
        from: ValidatorIndex,
        said: GroupOpenings,
        actions: &mut Vec<Action>,
    ) {
        let context = said.context;
        self.openings.claim(from, said, self.executed);
        self.opened(now, context, actions);
    }

    /// What a lane's news make possible: further work, and something to send.
    pub(super) fn opened(&mut self, now: u64, context: ShareContext, actions: &mut Vec<Action>) {
        let key = (context.height, context.lane);
        let work = self.openings.attempt(key);
        actions.extend(work.into_iter().map(Action::Work));
        let due = self.openings.due(key, self.config.index, now);
        if !due.is_empty() {
            actions.push(after_writes(due));
        }
        let liars = self.openings.false_doubters(key).into_iter();
        actions.extend(liars.map(wrong_opening));
    }

    /// Names the sender of a wrong bundle under an epoch's key, to everybody if it signed a wrong
    /// share.
    pub(super) fn wrong_shares(key: Epoch, liar: Liar) -> Action {
        let validator = liar.validator;
        let evidence = liar.evidence.map(|wrong| {
            Box::new(Misbehaviour {
                epoch: key,
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
