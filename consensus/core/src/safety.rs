//! The one place that answers "may I sign this?", and the only one that signs.
//!
//! Rules of the protocol enforced here:
//! - 1: the view is the one that the entering certificate enters, and nothing else sets it.
//! - 2: one prepare vote per view, for a justified block, and none after a timeout.
//! - 3: the highest QC only grows.
//! - 4: no commit vote for a view at or before one that was given up; no timeout of a view at or
//!   before one that a commit vote was sent for.
//! - 7: every signature changes [`SafetyState`], which the step writes before it sends.
//!
//! A validator that lost its state signs nothing up to [`SafetyState::abstain_through`]; see
//! `rejoin`.
//!
//! Why that is safe: if 2f+1 sent commit-vote(v), every TC of a view w ≥ v has an honest signer
//! among them. It sent its commit vote first (rule 4) and so signed its timeout with a highest QC
//! of view v or later. Hence a justified block of a view after v extends the block committed in v.
//!
//! Nothing extends an epoch's last block b within its epoch; what a later view may vote on instead,
//! once there is a QC of b, is b itself, justified by that QC (rule 2). The argument above needs of
//! a justified block of a later view only that it *is, or extends,* the block that its `justify`
//! certifies: for an ordinary proposal it extends it, for a repeated one it is it. So if b or an
//! ancestor of it was committed in view v, every QC of a view after v is of a block that is or
//! extends the committed one. For b itself there is no block that extends it, so every QC of the
//! epoch after a commit of b in view v, and after any QC that a TC of a later view must carry, is of
//! b: whichever view's commit certificate forms first, the epoch's last block is the same one.
//! Rule 4 speaks of views only, and a view still has one prepare vote and one commit vote.
//!
//! Views are counted anew in each epoch, and the epoch is part of every signed message; nothing is
//! compared across epochs. What is signed in an epoch rests on its origin, which is final.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_crypto::Signatures;
use conclave_types::{
    BlockHeader, ChainId, CommitVote, Entry, Epoch, Origin, PrepareVote, QuorumCertificate,
    Timeout, TimeoutCertificate, ValidatorIndex, View, VoteKind,
};

use crate::EngineConfig;
use crate::broken::{Broken, Switch};

/// What a validator must never forget.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SafetyState {
    /// The highest quorum certificate seen: the lock.
    pub high_qc: QuorumCertificate,
    /// The certificate that entered the current view.
    pub entry: Entry,
    /// The last prepare vote; its view is the last voted view.
    pub prepare_vote: Option<PrepareVote>,
    /// The last commit vote; re-sent until a commit certificate covers it.
    pub commit_vote: Option<CommitVote>,
    /// The last timeout; re-sent until its view is left.
    pub timeout: Option<Timeout>,
    /// Nothing is signed in this view or an earlier one: before its state was lost this validator
    /// may have. View 0 for one that never lost it.
    pub abstain_through: View,
}

impl SafetyState {
    /// The state of a validator that has never signed anything in an epoch. Starting a validator
    /// that has signed in it before from this state makes it Byzantine.
    pub fn origin(origin: &Origin) -> Self {
        let high_qc = QuorumCertificate::origin(origin);
        Self {
            entry: Entry::Quorum(high_qc.clone()),
            high_qc,
            prepare_vote: None,
            commit_vote: None,
            timeout: None,
            abstain_through: View(0),
        }
    }

    /// The epoch that all of it is about.
    pub fn epoch(&self) -> Epoch {
        self.high_qc.epoch
    }

    /// The current view.
    pub fn view(&self) -> View {
        self.entry.enters()
    }

    /// Whether a validator in this state, which lost an earlier one, can have forgotten that it
    /// signed in the next epoch, whose origin this last block is: its memory is complete only if
    /// that block was first proposed in a view that it may sign in again. See `rejoin`.
    pub fn may_have_left(&self, last: &BlockHeader) -> bool {
        last.view <= self.abstain_through
    }
}

/// What a block of the current view is proposed on.
pub(crate) struct Justification<'a> {
    /// The verified certificate of the parent, or of the block itself if it is the epoch's last.
    pub(crate) justify: &'a QuorumCertificate,
    /// The verified certificate of the lost view before.
    pub(crate) timeout: Option<&'a TimeoutCertificate>,
    /// The certified block is the epoch's last.
    pub(crate) after_last: bool,
}

impl Justification<'_> {
    /// Whether the certified block itself is proposed again.
    fn repeats(&self, header: &BlockHeader) -> bool {
        self.after_last && self.justify.block == header.id() && header.next_epoch.is_some()
    }

    fn is_extended_by(&self, header: &BlockHeader) -> bool {
        !self.after_last
            && header.parent == self.justify.block
            && header.parent_view == self.justify.view
    }
}

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Safety {
    chain: ChainId,
    epoch: Epoch,
    origin: Origin,
    index: ValidatorIndex,
    /// This node has a vote in the epoch.
    votes: bool,
    signatures: Arc<dyn Signatures>,
    state: SafetyState,
    /// The state differs from what was last taken for writing.
    changed: bool,
    pub(crate) broken: Switch,
}

impl Safety {
    pub(crate) fn new(
        config: &EngineConfig,
        signatures: Arc<dyn Signatures>,
        state: SafetyState,
    ) -> Self {
        let epoch = config.committee.epoch;
        assert!(
            config.origin.epoch == epoch && state.epoch() == epoch,
            "committee, origin and state are of one epoch"
        );
        Self {
            chain: config.chain,
            epoch,
            origin: config.origin,
            index: config.index,
            votes: config.committee.weight(config.index) > 0,
            signatures,
            state,
            changed: false,
            broken: Switch::default(),
        }
    }

    pub(crate) fn state(&self) -> &SafetyState {
        &self.state
    }

    pub(crate) fn view(&self) -> View {
        self.state.view()
    }

    /// The state to write, if it changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Option<SafetyState> {
        std::mem::take(&mut self.changed).then(|| self.state.clone())
    }

    /// Rule 3: takes a verified quorum certificate as the lock, if it is higher.
    pub(crate) fn observe(&mut self, qc: &QuorumCertificate) {
        let lower = qc.view < self.state.high_qc.view && self.broken.off(Broken::Rule3Lock);
        if qc.view > self.state.high_qc.view || lower {
            self.state.high_qc = qc.clone();
            self.changed = true;
        }
    }

    /// Rule 1: enters the view after a verified certificate; `false` if that view was left or is
    /// the current one.
    pub(crate) fn enter(&mut self, entry: Entry) -> bool {
        let ahead = entry.enters() > self.view();
        if ahead {
            self.state.entry = entry;
            self.changed = true;
        }
        ahead
    }

    /// Whether a prepare vote in the current view is still possible.
    pub(crate) fn can_prepare(&self) -> bool {
        if !self.votes {
            return false;
        }
        let once = self.last_voted() < Some(self.view()) || self.broken.off(Broken::Rule2Once);
        once && (!self.gave_up(self.view()) || self.broken.off(Broken::Rule2GivenUp))
    }

    /// Whether the current view was given up.
    fn timed_out(&self) -> bool {
        self.gave_up(self.view())
    }

    /// Rule 2: the vote in the current view for a block with its verified justification.
    pub(crate) fn prepare(
        &mut self,
        header: &BlockHeader,
        justification: &Justification<'_>,
    ) -> Option<PrepareVote> {
        let (view, justify) = (self.view(), justification.justify);
        let follows = |before: View| before.0.checked_add(1) == Some(view.0);
        let justified = match justification.timeout {
            None => follows(justify.view),
            Some(tc) => follows(tc.view) && justify.view >= tc.high_qc.view && justify.view < view,
        };
        let justified = justified || self.broken.off(Broken::Rule2Justified);
        let extends = header.view == view && justification.is_extended_by(header);
        let fits = extends || justification.repeats(header);
        if !self.can_prepare() || !justified || !fits {
            return None;
        }
        let (height, block) = (header.height, header.id());
        let message = VoteKind::Prepare.message(self.chain, self.epoch, view, height, block);
        let vote = PrepareVote {
            epoch: self.epoch,
            view,
            height,
            block,
            signer: self.index,
            signature: self.signatures.sign(&message),
        };
        self.state.prepare_vote = Some(vote.clone());
        self.changed = true;
        Some(vote)
    }

    /// Rule 4: the commit vote for a verified quorum certificate, unless its view or a later one
    /// was given up, or this or a later view has one already.
    pub(crate) fn commit(&mut self, qc: &QuorumCertificate) -> Option<CommitVote> {
        let newest = self.state.commit_vote.as_ref().map(|vote| vote.view);
        let gave_up = self.gave_up(qc.view) && !self.broken.off(Broken::Rule4CommitVote);
        if !self.votes || qc.view == View(0) || newest >= Some(qc.view) || gave_up {
            return None;
        }
        let (view, height, block) = (qc.view, qc.height, qc.block);
        let message = VoteKind::Commit.message(self.chain, self.epoch, view, height, block);
        let vote = CommitVote {
            epoch: self.epoch,
            view,
            height,
            block,
            signer: self.index,
            signature: self.signatures.sign(&message),
        };
        self.state.commit_vote = Some(vote.clone());
        self.changed = true;
        Some(vote)
    }

    /// Rule 6: gives up the current view, once.
    ///
    /// After a lost state not before a quorum certificate past all that may have been signed is
    /// known: a commit vote of before, of a view whose certificate is lost, together with a timeout
    /// that knows nothing as high is evidence of misbehaviour.
    pub(crate) fn time_out(&mut self) -> Option<Timeout> {
        let view = self.view();
        if !self.can_time_out() {
            return None;
        }
        let high_qc = match self.broken.off(Broken::Rule6HighQc) {
            true => QuorumCertificate::origin(&self.origin),
            false => self.state.high_qc.clone(),
        };
        let message = Timeout::message(self.chain, self.epoch, view, high_qc.view);
        let timeout = Timeout {
            epoch: self.epoch,
            view,
            high_qc,
            entry: self.state.entry.clone(),
            signer: self.index,
            signature: self.signatures.sign(&message),
        };
        self.state.timeout = Some(timeout.clone());
        self.changed = true;
        Some(timeout)
    }

    /// Whether the current view may be given up, and was not.
    pub(crate) fn can_time_out(&self) -> bool {
        let remembers = self.state.high_qc.view >= self.state.abstain_through;
        let committed = self.state.commit_vote.as_ref().map(|vote| vote.view);
        self.votes && remembers && !self.timed_out() && committed < Some(self.view())
    }

    fn last_voted(&self) -> Option<View> {
        self.state.prepare_vote.as_ref().map(|vote| vote.view)
    }

    /// Whether a timeout of this view or a later one was signed, or may have been before the state
    /// was lost.
    fn gave_up(&self, view: View) -> bool {
        let signed = self.state.timeout.as_ref();
        view <= self.state.abstain_through || signed.is_some_and(|timeout| timeout.view >= view)
    }
}
