//! One lane of one committed block: its groups, and what they come to together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_seal::{MalformedEvidence, Verdict};
use conclave_types::{
    EnvelopeHeader, ShareBundle, ShareContext, ShareGroup, ShareLane, ValidatorIndex,
};

use super::early::Word;
use super::group::{Group, Sender};
use crate::openers::{self, TURN_MS};

/// What opens a lane's envelopes.
#[derive(Debug, Clone)]
pub(crate) struct OpenedLane {
    pub(crate) lane: ShareLane,
    pub(crate) envelopes: Vec<Arc<EnvelopeHeader>>,
    pub(crate) verdicts: Vec<Verdict>,
    /// Our own shares of all of them.
    pub(crate) own: Vec<ShareBundle>,
    pub(crate) evidence: Option<MalformedEvidence>,
}

/// One lane of one committed block.
#[derive(Debug)]
pub(super) struct Lane {
    /// Of the whole lane.
    pub(super) context: ShareContext,
    /// Of the epoch of the key.
    pub(super) committee: Arc<Committee>,
    pub(super) envelopes: Vec<Arc<EnvelopeHeader>>,
    pub(super) groups: BTreeMap<ShareGroup, Group>,
    pub(super) own: Vec<ShareBundle>,
    /// Our own bundles were made, or we hold no shares of the key.
    pub(super) own_made: bool,
    pub(super) evidence: Option<MalformedEvidence>,
    /// A check of others' openings is under way.
    pub(super) checking: bool,
    /// Who said something came out that did not.
    pub(super) false_openers: BTreeSet<ValidatorIndex>,
    pub(super) started_ms: u64,
    pub(super) sent_ms: u64,
    pub(super) opened: Option<OpenedLane>,
}

impl OpenedLane {
    /// The envelopes found malformed, in order.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = Arc<EnvelopeHeader>> + '_ {
        let verdicts = self.envelopes.iter().zip(&self.verdicts);
        let malformed = verdicts.filter(|(_, verdict)| **verdict == Verdict::Malformed);
        malformed.map(|(envelope, _)| envelope.clone())
    }
}

impl Lane {
    pub(super) fn new(
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        committee: Arc<Committee>,
        now: u64,
    ) -> Self {
        let (block, lane) = (context.block, context.lane);
        let places = openers::groups(&committee, block, lane, envelopes.len());
        let group = |(group, places): (ShareGroup, Vec<usize>)| {
            let of_group = places.iter().map(|place| envelopes[*place].clone());
            let of_group = of_group.collect();
            let context = ShareContext { group, ..context };
            (group, Group::new(context, places, of_group))
        };
        Self {
            context,
            committee,
            groups: places.into_iter().map(group).collect(),
            envelopes,
            own: Vec::new(),
            own_made: false,
            evidence: None,
            checking: false,
            false_openers: BTreeSet::new(),
            started_ms: now,
            sent_ms: now,
            opened: None,
        }
    }

    /// Takes a peer's word, if it weighs anything under the lane's key.
    pub(super) fn hear(&mut self, from: ValidatorIndex, word: Word) {
        if self.committee.weight(from) == 0 {
            return;
        }
        match word {
            Word::Shares(bundle) => {
                if let Some(group) = self.groups.get_mut(&bundle.context.group) {
                    group.add(bundle);
                }
            }
            Word::Openings(openings) if !self.false_openers.contains(&from) => {
                if let Some(group) = self.groups.get_mut(&openings.context.group) {
                    group.claim(from, openings);
                }
            }
            Word::Openings(_) => {}
        }
    }

    /// Puts the groups' verdicts together once all are decided.
    pub(super) fn assemble(&mut self) {
        if self.opened.is_some() {
            return;
        }
        let mut verdicts = vec![Verdict::Malformed; self.envelopes.len()];
        for group in self.groups.values() {
            let Some(decided) = &group.verdicts else {
                return;
            };
            for (place, verdict) in group.places.iter().zip(decided) {
                verdicts[*place] = *verdict;
            }
        }
        self.opened = Some(OpenedLane {
            lane: self.context.lane,
            envelopes: self.envelopes.clone(),
            verdicts,
            own: self.own.clone(),
            evidence: self.evidence.clone(),
        });
    }

    pub(super) fn sender<'a>(
        &self,
        committee: &'a Committee,
        own: ValidatorIndex,
        now: u64,
    ) -> Sender<'a> {
        Sender {
            committee,
            own,
            turn: now.saturating_sub(self.started_ms) / TURN_MS,
        }
    }
}
