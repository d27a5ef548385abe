//! One group of a lane's envelopes: its shares, what others say came out of them, and the verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_seal::{OpenResult, Verdict};
use conclave_types::{
    EnvelopeHeader, ShareBundle, ShareContext, ShareGroup, Signers, ValidatorIndex,
};

use crate::message::{Action, GroupOpenings, Message};
use crate::openers::{Receivers, receivers};
use crate::work::Work;

#[derive(Debug)]
pub(super) struct Group {
    pub(super) context: ShareContext,
    /// The positions of its envelopes in the lane.
    pub(super) places: Vec<usize>,
    pub(super) envelopes: Vec<Arc<EnvelopeHeader>>,
    pub(super) own: Option<ShareBundle>,
    bundles: BTreeMap<ValidatorIndex, ShareBundle>,
    liars: BTreeSet<ValidatorIndex>,
    /// An attempt to open is under way.
    running: bool,
    /// On how many bundles the last one ran.
    tried: usize,
    /// What others say came out. What needs no checking, and what was checked, is not here.
    claims: BTreeMap<ValidatorIndex, Vec<Verdict>>,
    /// Who says that some are malformed, which only a quorum's shares can show.
    doubters: BTreeMap<ValidatorIndex, Vec<Verdict>>,
    pub(super) verdicts: Option<Vec<Verdict>>,
    /// Who was sent our shares, or the verdicts instead, since the last repetition.
    told: BTreeSet<ValidatorIndex>,
    told_all: bool,
    published: bool,
    /// Something had to be sent again.
    repeated: bool,
}

/// Who sends, and when: the turn counts from 0.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) committee: &'a Committee,
    pub(super) own: ValidatorIndex,
    pub(super) turn: u64,
}

impl Group {
    pub(super) fn new(
        context: ShareContext,
        places: Vec<usize>,
        envelopes: Vec<Arc<EnvelopeHeader>>,
    ) -> Self {
        Self {
            context,
            places,
            envelopes,
            own: None,
            bundles: BTreeMap::new(),
            liars: BTreeSet::new(),
            running: false,
            tried: 0,
            claims: BTreeMap::new(),
            doubters: BTreeMap::new(),
            verdicts: None,
            told: BTreeSet::new(),
            told_all: false,
            published: false,
            repeated: false,
        }
    }

    /// Takes shares, our own or a peer's.
    pub(super) fn add(&mut self, bundle: ShareBundle) {
        let fits = bundle.context == self.context && !self.liars.contains(&bundle.signer);
        if fits && self.verdicts.is_none() {
            self.bundles.insert(bundle.signer, bundle);
        }
    }

    /// Takes what somebody says came out, to be checked; that some are malformed is not for it to
    /// say, but makes everybody look.
    pub(super) fn claim(&mut self, from: ValidatorIndex, openings: GroupOpenings) {
        let fits = openings.context == self.context;
        if !fits || openings.verdicts.len() != self.places.len() || self.verdicts.is_some() {
            return;
        }
        match openings.verdicts.contains(&Verdict::Malformed) {
            true => drop(self.doubters.insert(from, openings.verdicts)),
            false => drop(self.claims.insert(from, openings.verdicts)),
        }
    }

    /// The claims to check, which are gone from here then.
    pub(super) fn take_claims(&mut self) -> BTreeMap<ValidatorIndex, Vec<Verdict>> {
        std::mem::take(&mut self.claims)
    }

    /// Starts an attempt if there is a quorum of shares that was not tried yet.
    pub(super) fn attempt(&mut self, committee: &Arc<Committee>) -> Option<Work> {
        let mut signers = Signers::default();
        for signer in self.bundles.keys() {
            signers.insert(*signer);
        }
        let ready = self.verdicts.is_none()
            && !self.running
            && self.bundles.len() > self.tried
            && committee.has_quorum(&signers);
        if !ready {
            return None;
        }
        self.running = true;
        Some(Work::Open {
            context: self.context,
            envelopes: self.envelopes.clone(),
            bundles: self.bundles.values().cloned().collect(),
            committee: Arc::clone(committee),
        })
    }

    /// Takes the result of an attempt on so many bundles.
    pub(super) fn finish(&mut self, result: &OpenResult, tried: usize) {
        self.running = false;
        for liar in &result.liars {
            self.liars.insert(liar.validator);
            self.bundles.remove(&liar.validator);
        }
        self.tried = tried.saturating_sub(result.liars.len());
        if let Some(verdicts) = &result.verdicts {
            self.decide(verdicts.clone());
        }
    }

    /// Decides the group. All ways lead to the same verdicts, so the first is kept.
    pub(super) fn decide(&mut self, verdicts: Vec<Verdict>) {
        if self.verdicts.is_none() {
            self.verdicts = Some(verdicts);
            self.bundles.clear();
        }
    }

    /// Those who called an envelope malformed that is not, or the other way round, once it shows.
    pub(super) fn false_doubters(&mut self) -> Vec<ValidatorIndex> {
        let Some(verdicts) = &self.verdicts else {
            return Vec::new();
        };
        let doubters = std::mem::take(&mut self.doubters).into_iter();
        let wrong = doubters.filter(|(_, claimed)| claimed != verdicts);
        wrong.map(|(from, _)| from).collect()
    }

    /// Sends what is due now and was not sent since the last [`repeat`](Self::repeat).
    ///
    /// While the group is open, our shares go to those who combine it in this turn. Once it is
    /// decided its openings are worth more than shares, and whoever combines it gives them to all.
    /// If some are malformed, or are said to be, everybody has to see for itself, and shares go to
    /// all. Where everybody combines, shares are all that is sent, unless they were not enough.
    pub(super) fn due(&mut self, sender: Sender<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        let turn = receivers(sender.committee, self.context.group, sender.turn);
        let whole = self.context.group == ShareGroup::Whole;
        let malformed = self
            .verdicts
            .as_ref()
            .map(|verdicts| verdicts.contains(&Verdict::Malformed));
        let combines = turn.contains(sender.own);
        if malformed.is_some() && combines && (!whole || self.repeated) && !self.published {
            self.published = true;
            actions.extend(self.openings().map(Action::Broadcast));
        }
        if malformed == Some(false) && (!whole || self.repeated) {
            if !combines && let (Receivers::Some(to), Some(message)) = (turn, self.openings()) {
                self.tell(sender.own, to, &message, &mut actions);
            }
            return actions;
        }
        let Some(own) = &self.own else {
            return actions;
        };
        let looks = malformed == Some(true) || !self.doubters.is_empty();
        let message = Message::Shares(own.clone());
        match turn {
            Receivers::Some(to) if !looks => self.tell(sender.own, to, &message, &mut actions),
            _ if self.told_all => {}
            _ => {
                self.told_all = true;
                actions.push(Action::Broadcast(message));
            }
        }
        actions
    }

    /// What came out, to be said.
    fn openings(&self) -> Option<Message> {
        let verdicts = self.verdicts.clone()?;
        Some(Message::Openings(GroupOpenings {
            context: self.context,
            verdicts,
        }))
    }

    /// To those of the receivers who were not told yet.
    fn tell(
        &mut self,
        own: ValidatorIndex,
        receivers: Vec<ValidatorIndex>,
        message: &Message,
        actions: &mut Vec<Action>,
    ) {
        for to in receivers {
            if to != own && self.told.insert(to) {
                let message = message.clone();
                actions.push(Action::Send { to, message });
            }
        }
    }

    /// Forgets what was sent: it may have been lost.
    pub(super) fn repeat(&mut self) {
        self.told.clear();
        self.told_all = false;
        self.published = false;
        self.repeated = true;
    }
}
