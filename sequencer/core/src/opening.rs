//! From a committed block's sealed envelopes to what opens them, lane by lane. Nothing here needs a
//! body.
//!
//! ```text
//! start ─▶ groups ─┬─ shares of a quorum ─▶ Work::Open ──────────┬─▶ verdicts of all groups ─▶ opened
//!                  └─ an opener's openings ─▶ Work::CheckOpenings ┘
//! ```

mod early;
mod group;
mod lane;

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_seal::{Liar, MalformedEvidence, OpenResult, Verdict};
use conclave_types::{
    EnvelopeHeader, Height, ShareBundle, ShareContext, ShareLane, ValidatorIndex, limits,
};

use self::early::{Early, Word};
use self::group::Group;
use self::lane::Lane;
use crate::message::{Action, Fetch, GroupOpenings};
use crate::openers::TURN_MS;
use crate::work::{Claim, Work};

pub(crate) use self::lane::OpenedLane;

/// Between repetitions of what we sent while a block is not executed: one turn of the openers.
const REPEAT_MS: u64 = TURN_MS;

/// Which lane of which height.
type Key = (Height, ShareLane);

/// All lanes that are not executed yet, and what came before their blocks.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    lanes: BTreeMap<Key, Lane>,
    early: Early,
}

impl Openings {
    /// Starts a lane: the block is final, so the shares may leave.
    pub(crate) fn start(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        committee: Arc<Committee>,
        now: u64,
    ) {
        let mut lane = Lane::new(context, envelopes, committee, now);
        for (from, word) in self.early.take(context.height, context.lane) {
            lane.hear(from, word);
        }
        self.lanes.insert((context.height, context.lane), lane);
    }

    /// The groups that our shares are to be made for.
    pub(crate) fn groups(&self, key: Key) -> Vec<(ShareContext, Vec<Arc<EnvelopeHeader>>)> {
        let groups = self
            .lanes
            .get(&key)
            .into_iter()
            .flat_map(|lane| &lane.groups);
        groups
            .map(|(_, group)| (group.context, group.envelopes.clone()))
            .collect()
    }

    /// Whether the lane was started.
    #[cfg(feature = "broken-rules")]
    pub(crate) fn is_started(&self, key: Key) -> bool {
        self.lanes.contains_key(&key)
    }

    /// Notes our own shares, which may come after the peers' opened the lane, or that we have none
    /// under this key.
    pub(crate) fn own(&mut self, key: Key, mut bundles: Vec<ShareBundle>) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        // As from a peer: who weighs nothing under the key would spoil the quorum.
        bundles.retain(|bundle| lane.committee.weight(bundle.signer) > 0);
        for bundle in &bundles {
            if let Some(group) = lane.groups.get_mut(&bundle.context.group) {
                group.own = Some(bundle.clone());
                group.add(bundle.clone());
            }
        }
        if let Some(opened) = &mut lane.opened {
            opened.own.clone_from(&bundles);
        }
        lane.own = bundles;
        lane.own_made = true;
    }

    /// Notes a peer's shares. Those of blocks that are not final here wait, at most a bounded
    /// number of heights ahead.
    pub(crate) fn add(&mut self, bundle: ShareBundle, executed: Height) {
        let (from, context) = (bundle.signer, bundle.context);
        self.hear(from, context, Word::Shares(bundle), executed);
    }

    /// Notes what a peer says came out of a group, likewise.
    pub(crate) fn claim(&mut self, from: ValidatorIndex, said: GroupOpenings, executed: Height) {
        let context = said.context;
        self.hear(from, context, Word::Openings(said), executed);
    }

    fn hear(&mut self, from: ValidatorIndex, context: ShareContext, word: Word, executed: Height) {
        let highest = executed.0 + 2 * limits::LEDGER_LAG_BLOCKS_MAX;
        if context.height <= executed || context.height.0 > highest {
            return;
        }
        match self.lanes.get_mut(&(context.height, context.lane)) {
            Some(lane) => lane.hear(from, word),
            None => self.early.keep(from, word),
        }
    }

    #[cfg(test)]
    pub(crate) fn early_heights(&self, signer: ValidatorIndex) -> Vec<u64> {
        self.early.heights(signer)
    }

    /// What can be worked on: groups with a quorum of shares that were not tried yet, and all
    /// openings that others published meanwhile, together.
    pub(crate) fn attempt(&mut self, key: Key) -> Vec<Work> {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Vec::new();
        };
        let committee = &lane.committee;
        let groups = lane.groups.values_mut();
        let mut work: Vec<Work> = groups
            .filter_map(|group| group.attempt(committee))
            .collect();
        if lane.checking {
            return work;
        }
        let mut claims = Vec::new();
        for group in lane.groups.values_mut() {
            for (from, verdicts) in group.take_claims() {
                claims.push(Claim {
                    from,
                    group: group.context.group,
                    envelopes: group.envelopes.clone(),
                    verdicts,
                });
            }
        }
        if !claims.is_empty() {
            lane.checking = true;
            let context = lane.context;
            work.push(Work::CheckOpenings { context, claims });
        }
        work
    }

    /// Takes the result of an attempt; the senders of wrong bundles are returned.
    pub(crate) fn finish(
        &mut self,
        context: ShareContext,
        result: OpenResult,
        evidence: Option<MalformedEvidence>,
        tried: usize,
    ) -> Vec<Liar> {
        let Some(lane) = self.lanes.get_mut(&(context.height, context.lane)) else {
            return Vec::new();
        };
        if let Some(group) = lane.groups.get_mut(&context.group) {
            group.finish(&result, tried);
        }
        if lane.evidence.is_none() {
            lane.evidence = evidence;
        }
        lane.assemble();
        result.liars
    }

    /// Takes what a check of others' openings came to, each with whether it is right; those who
    /// published wrong ones are returned, and not listened to in this lane any more.
    pub(crate) fn checked(
        &mut self,
        context: ShareContext,
        checked: Vec<(Claim, bool)>,
    ) -> Vec<ValidatorIndex> {
        let mut named = Vec::new();
        let Some(lane) = self.lanes.get_mut(&(context.height, context.lane)) else {
            return named;
        };
        lane.checking = false;
        for (claim, right) in checked {
            match lane.groups.get_mut(&claim.group) {
                Some(group) if right => group.decide(claim.verdicts),
                _ if lane.false_openers.insert(claim.from) => named.push(claim.from),
                _ => {}
            }
        }
        lane.assemble();
        named
    }

    /// Those who called envelopes of a lane malformed that are not, once that shows.
    pub(crate) fn false_doubters(&mut self, key: Key) -> Vec<ValidatorIndex> {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Vec::new();
        };
        let groups = lane.groups.values_mut();
        groups.flat_map(Group::false_doubters).collect()
    }

    /// Decides a whole lane by what the own store holds of it.
    pub(crate) fn reopen(
        &mut self,
        key: Key,
        verdicts: &[Verdict],
        evidence: Option<MalformedEvidence>,
    ) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        for group in lane.groups.values_mut() {
            let of_group = group.places.iter().filter_map(|place| verdicts.get(*place));
            let of_group = of_group.copied().collect();
            group.decide(of_group);
        }
        if lane.evidence.is_none() {
            lane.evidence = evidence;
        }
        lane.assemble();
    }

    /// The lane's contents, once opened and once our own shares, if we have any, are there to be
    /// kept: peers that are behind will ask for them.
    pub(crate) fn opened(&self, key: Key) -> Option<&OpenedLane> {
        let lane = self.lanes.get(&key)?;
        lane.opened.as_ref().filter(|_| lane.own_made)
    }

    /// Forgets a block's lanes and everything early up to it.
    pub(crate) fn forget(&mut self, height: Height) {
        self.lanes.retain(|(at, _), _| *at > height);
        self.early.forget(height);
    }

    /// What has to be sent of a lane now.
    pub(crate) fn due(&mut self, key: Key, own: ValidatorIndex, now: u64) -> Vec<Action> {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Vec::new();
        };
        let committee = Arc::clone(&lane.committee);
        let sender = lane.sender(&committee, own, now);
        let groups = lane.groups.values_mut();
        groups.flat_map(|group| group.due(sender)).collect()
    }

    /// Repeats what was sent of blocks that are not executed, and asks the peers for their shares:
    /// they may have been away, or sent theirs while we were.
    ///
    /// A lane that opened here is repeated too: until its block is executed, and its shares can be
    /// asked for, some peer may wait for ours in this lane while we wait for its in the next.
    pub(crate) fn repeat(&mut self, own: ValidatorIndex, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for ((height, name), lane) in &mut self.lanes {
            let committee = Arc::clone(&lane.committee);
            let sender = lane.sender(&committee, own, now);
            let again = now >= lane.sent_ms + REPEAT_MS;
            if again {
                lane.sent_ms = now;
            }
            for group in lane.groups.values_mut() {
                if again {
                    group.repeat();
                }
                actions.extend(group.due(sender));
            }
            if again && lane.opened.is_none() {
                actions.push(Action::Fetch(Fetch::Shares {
                    height: *height,
                    lane: *name,
                }));
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests;
