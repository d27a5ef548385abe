//! From a committed block's sealed envelopes to what opens them, lane by lane. Nothing here needs a
//! body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_seal::{Liar, MalformedEvidence, Verdict};
use conclave_types::{
    EnvelopeHeader, Height, ShareBundle, ShareContext, ShareLane, Signers, ValidatorIndex, limits,
};

use crate::message::{Action, Fetch, Message};
use crate::work::Work;

/// Between repetitions of our own shares while a lane does not open.
const REPEAT_MS: u64 = 250;

/// Bundles of one peer that may wait for their blocks, of up to 4 MiB each.
const EARLY_PER_SIGNER_MAX: usize = 16;

/// What opens a lane's envelopes.
#[derive(Debug, Clone)]
pub(crate) struct OpenedLane {
    pub(crate) envelopes: Vec<Arc<EnvelopeHeader>>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) own: Option<ShareBundle>,
    pub(crate) evidence: Option<MalformedEvidence>,
}

/// One lane of one committed block.
#[derive(Debug)]
struct Lane {
    context: ShareContext,
    envelopes: Vec<Arc<EnvelopeHeader>>,
    own: Option<ShareBundle>,
    bundles: BTreeMap<ValidatorIndex, ShareBundle>,
    liars: BTreeSet<ValidatorIndex>,
    /// An attempt to open runs on this many bundles.
    running: Option<usize>,
    tried: usize,
    sent_ms: u64,
    opened: Option<OpenedLane>,
}

impl OpenedLane {
    /// The envelopes found malformed, in order.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = Arc<EnvelopeHeader>> + '_ {
        let verdicts = self.envelopes.iter().zip(&self.verdicts);
        let malformed = verdicts.filter(|(_, verdict)| **verdict == Verdict::Malformed);
        malformed.map(|(envelope, _)| envelope.clone())
    }
}

/// All lanes that are not executed yet, and shares that came before their block.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    lanes: BTreeMap<(Height, ShareLane), Lane>,
    early: BTreeMap<(Height, ShareLane), BTreeMap<ValidatorIndex, ShareBundle>>,
}

impl Openings {
    /// Starts a lane: the block is final, so the shares may leave.
    ///
    /// `points` are our share points as far as they were computed ahead.
    pub(crate) fn start(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        now: u64,
    ) {
        let key = (context.height, context.lane);
        let bundles = self.early.remove(&key).unwrap_or_default();
        let lane = Lane {
            context,
            envelopes,
            own: None,
            bundles,
            liars: BTreeSet::new(),
            running: None,
            tried: 0,
            sent_ms: now,
            opened: None,
        };
        self.lanes.insert(key, lane);
    }

    pub(crate) fn envelopes(&self, key: (Height, ShareLane)) -> Option<&[Arc<EnvelopeHeader>]> {
        let lane = self.lanes.get(&key)?;
        let opened = lane.opened.as_ref();
        Some(opened.map_or(&lane.envelopes, |opened| &opened.envelopes))
    }

    /// Whether the lane was started.
    pub(crate) fn is_started(&self, key: (Height, ShareLane)) -> bool {
        self.lanes.contains_key(&key)
    }

    /// Notes our own bundle, which may come after the peers' opened the lane.
    pub(crate) fn own(&mut self, bundle: ShareBundle) {
        if let Some(lane) = self
            .lanes
            .get_mut(&(bundle.context.height, bundle.context.lane))
        {
            match &mut lane.opened {
                Some(opened) => opened.own = Some(bundle.clone()),
                None => drop(lane.bundles.insert(bundle.signer, bundle.clone())),
            }
            lane.own = Some(bundle);
        }
    }

    /// Notes a peer's bundle; those of blocks that are not final here wait, one per peer and
    /// lane, at most a bounded number of heights ahead.
    pub(crate) fn add(&mut self, bundle: ShareBundle, executed: Height) {
        let key = (bundle.context.height, bundle.context.lane);
        if bundle.context.height <= executed
            || bundle.context.height.0 > executed.0 + 2 * limits::LEDGER_LAG_BLOCKS_MAX
        {
            return;
        }
        match self.lanes.get_mut(&key) {
            Some(lane) if lane.opened.is_none() && bundle.context.block == lane.context.block => {
                if !lane.liars.contains(&bundle.signer) {
                    lane.bundles.insert(bundle.signer, bundle);
                }
            }
            Some(_) => {}
            None => self.add_early(bundle),
        }
    }

    /// Keeps what came before its block, the lowest heights first; what is dropped comes again.
    fn add_early(&mut self, bundle: ShareBundle) {
        let (key, signer) = ((bundle.context.height, bundle.context.lane), bundle.signer);
        self.early.entry(key).or_default().insert(signer, bundle);
        let of_signer = |of: &&mut BTreeMap<_, _>| of.contains_key(&signer);
        let waiting = self.early.values_mut().filter(of_signer).count();
        if waiting > EARLY_PER_SIGNER_MAX
            && let Some(highest) = self.early.values_mut().rfind(of_signer)
        {
            highest.remove(&signer);
        }
    }

    #[cfg(test)]
    pub(crate) fn early_heights(&self, signer: ValidatorIndex) -> impl Iterator<Item = u64> + '_ {
        let early = self
            .early
            .iter()
            .filter(move |(_, of)| of.contains_key(&signer));
        early.map(|((height, _), _)| height.0)
    }

    /// Starts an attempt at a lane that has a quorum of shares it did not try yet.
    pub(crate) fn attempt(
        &mut self,
        key: (Height, ShareLane),
        committee: &Committee,
    ) -> Option<Work> {
        let lane = self.lanes.get_mut(&key)?;
        let mut signers = Signers::default();
        lane.bundles
            .retain(|_, bundle| bundle.context.block == lane.context.block);
        for signer in lane.bundles.keys() {
            signers.insert(*signer);
        }
        let ready = lane.opened.is_none()
            && lane.running.is_none()
            && lane.bundles.len() > lane.tried
            && committee.has_quorum(&signers);
        if !ready {
            return None;
        }
        lane.running = Some(lane.bundles.len());
        Some(Work::Open {
            context: lane.context,
            envelopes: lane.envelopes.clone(),
            bundles: lane.bundles.values().cloned().collect(),
        })
    }

    /// Takes the result of an attempt; names of liars are returned.
    pub(crate) fn finish(
        &mut self,
        context: ShareContext,
        result: conclave_seal::OpenResult,
        evidence: Option<MalformedEvidence>,
        tried: usize,
    ) -> Vec<Liar> {
        let Some(lane) = self.lanes.get_mut(&(context.height, context.lane)) else {
            return Vec::new();
        };
        lane.running = None;
        for liar in &result.liars {
            lane.liars.insert(liar.validator);
            lane.bundles.remove(&liar.validator);
        }
        lane.tried = tried.saturating_sub(result.liars.len());
        // The lane may have been opened another way meanwhile, and all ways lead to the same.
        if let Some(verdicts) = result.verdicts
            && lane.opened.is_none()
        {
            lane.opened = Some(OpenedLane {
                envelopes: std::mem::take(&mut lane.envelopes),
                verdicts,
                own: lane.own.clone(),
                evidence,
            });
            lane.bundles.clear();
        }
        result.liars
    }

    /// The lane's contents, once opened and once our own shares are there to be kept: peers that
    /// are behind will ask for them.
    pub(crate) fn opened(&self, key: (Height, ShareLane)) -> Option<&OpenedLane> {
        let opened = self.lanes.get(&key)?.opened.as_ref()?;
        (opened.own.is_some() || opened.verdicts.is_empty()).then_some(opened)
    }

    /// Forgets a block's lanes and everything early up to it.
    pub(crate) fn forget(&mut self, height: Height) {
        self.lanes.retain(|(at, _), _| *at > height);
        self.early.retain(|(at, _), _| *at > height);
    }

    /// Repeats our shares of blocks that are not executed, and asks the peers for theirs: they may
    /// have been away, or sent them while we were.
    ///
    /// A lane that opened here is repeated too: until its block is executed, and its shares can be
    /// asked for, some peer may wait for ours in this lane while we wait for its in the next.
    pub(crate) fn repeat(&mut self, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for ((height, name), lane) in &mut self.lanes {
            if now < lane.sent_ms + REPEAT_MS {
                continue;
            }
            lane.sent_ms = now;
            if let Some(own) = &lane.own {
                actions.push(Action::Broadcast(Message::Shares(own.clone())));
            }
            if lane.opened.is_none() {
                actions.push(Action::Fetch(Fetch::Shares {
                    height: *height,
                    lane: *name,
                }));
            }
        }
        actions
    }
}
