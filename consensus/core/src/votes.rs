//! Votes and timeouts, own and others'.

use conclave_types::{
    Ballot, CommitCertificate, CommitVote, Entry, PrepareVote, QuorumCertificate, Timeout,
    ValidatorIndex, View, VoteKind,
};

use crate::broken::Broken;
use crate::engine::Engine;
use crate::routing::VoteRouting;
use crate::tally::{Certified, Outcome};
use crate::{Evidence, Fault, Message};

/// How far ahead of the current view votes are kept: enough for votes that overtake the
/// certificate of the view before.
const VIEWS_AHEAD: u64 = 8;
/// How far behind it commit votes are kept: they are re-sent while views go by.
const COMMIT_VIEWS_BEHIND: u64 = 64;

impl Engine {
    pub(crate) fn on_prepare_vote(&mut self, from: ValidatorIndex, vote: &PrepareVote) {
        let view = vote.view;
        // One of the view before may show a double vote.
        let wanted = view >= self.view_before() && self.is_near(view);
        if self.is_own_word(from, vote.signer)
            && vote.epoch == self.config.committee.epoch
            && wanted
        {
            let ballot = Ballot {
                height: vote.height,
                block: vote.block,
                signature: vote.signature,
            };
            self.count_prepare(view, from, ballot, false);
        }
    }

    pub(crate) fn on_commit_vote(&mut self, from: ValidatorIndex, vote: &CommitVote) {
        if !self.is_own_word(from, vote.signer) || vote.epoch != self.config.committee.epoch {
            return;
        }
        let view = vote.view;
        let ballot = Ballot {
            height: vote.height,
            block: vote.block,
            signature: vote.signature,
        };
        self.note_commit_vote(from, view, ballot);
        let seen = self.commit_votes_seen.insert(from, view);
        if let Some(cc) = self.committed.as_ref().filter(|cc| cc.view >= view) {
            // Late votes are normal. One that comes again, or is older than what came before, is
            // from a peer that has not seen the certificate.
            if seen >= Some(view) || cc.view > view {
                let answer = Message::CommitCertificate(cc.clone());
                self.send(from, answer);
            }
            return;
        }
        if view >= self.commit_votes_from() && self.is_near(view) {
            self.count_commit(view, from, ballot, false);
        }
    }

    /// Rule 6, receiving: the certificates inside count whatever this node's view is.
    pub(crate) fn on_timeout(&mut self, from: ValidatorIndex, timeout: &Timeout) {
        if !self.is_own_word(from, timeout.signer) || timeout.epoch != self.config.committee.epoch {
            return;
        }
        if let Err(reason) = check_shape(timeout) {
            let view = timeout.view;
            return self.fault(from, Fault::Malformed { view, reason });
        }
        if timeout.high_qc.view > self.high_qc().view {
            let Some(qc) = self.check_quorum(from, &timeout.high_qc) else {
                return;
            };
            self.learn_quorum(&qc);
        }
        if timeout.view > self.view() && !self.follow(from, &timeout.entry) {
            return;
        }
        // Not before: one of a view that nobody can enter would hide all later ones.
        self.note_timeout(timeout);
        if timeout.view < self.view() {
            let answer = self.newest_certificate();
            return self.send(from, answer);
        }
        if let Some(high_qc) = self.check_quorum(from, &timeout.high_qc) {
            let timeout = Timeout {
                high_qc,
                ..timeout.clone()
            };
            self.count_timeout(&timeout, false);
        }
    }

    /// Enters the view that a peer's certificate enters; `false` if it does not verify.
    fn follow(&mut self, from: ValidatorIndex, entry: &Entry) -> bool {
        match entry {
            Entry::Quorum(qc) => match self.check_quorum(from, qc) {
                Some(qc) => self.learn_quorum(&qc),
                None => return false,
            },
            Entry::Timeout(tc) => match self.check_timeout(from, tc) {
                Some(tc) => self.learn_timeout(tc),
                None => return false,
            },
        }
        true
    }

    pub(crate) fn count_own_prepare(&mut self, vote: &PrepareVote) {
        let ballot = Ballot {
            height: vote.height,
            block: vote.block,
            signature: vote.signature,
        };
        self.count_prepare(vote.view, vote.signer, ballot, true);
    }

    pub(crate) fn count_prepare(
        &mut self,
        view: View,
        signer: ValidatorIndex,
        ballot: Ballot,
        own: bool,
    ) {
        let Some(certified) = self.count(VoteKind::Prepare, view, signer, ballot, own) else {
            return;
        };
        let qc = QuorumCertificate {
            epoch: self.config.committee.epoch,
            view,
            height: certified.height,
            block: certified.block,
            aggregate: certified.aggregate,
        };
        self.share_quorum(&qc);
        self.learn_quorum(&qc);
    }

    /// Sends a prepare vote, to everyone if no certificate comes of it in time.
    pub(crate) fn send_prepare_vote(&mut self, vote: &PrepareVote) {
        let voted = (vote.view, vote.height, vote.block);
        self.route_vote(voted, Message::PrepareVote(vote.clone()));
        self.expect_quorum();
        self.count_own_prepare(vote);
    }

    /// Starts the wait for the collectors' certificate.
    pub(crate) fn expect_quorum(&mut self) {
        if self.routing == VoteRouting::Collectors {
            let wait = self.pacemaker.escalate();
            self.pacemaker.prepare.start(self.now, wait);
        }
    }

    /// Sends a commit vote and keeps sending it until a certificate covers it (rule 4).
    pub(crate) fn send_commit_vote(&mut self, vote: CommitVote) {
        // The wait runs from the first vote that no certificate covers: views may go by faster.
        if self.pacemaker.commit.at().is_none() {
            self.await_commit();
        }
        let ballot = Ballot {
            height: vote.height,
            block: vote.block,
            signature: vote.signature,
        };
        let (view, signer) = (vote.view, vote.signer);
        let voted = (view, vote.height, vote.block);
        self.route_vote(voted, Message::CommitVote(vote));
        self.count_commit(view, signer, ballot, true);
    }

    /// Starts the wait for a certificate that covers the newest commit vote.
    pub(crate) fn await_commit(&mut self) {
        let wait = match self.routing {
            VoteRouting::Everyone => self.pacemaker.resend_first(),
            VoteRouting::Collectors => self.pacemaker.escalate(),
        };
        self.pacemaker.commit.start(self.now, wait);
    }

    /// Sends a timeout and keeps sending it until the view is left (rule 6).
    pub(crate) fn send_timeout(&mut self, timeout: &Timeout) {
        let wait = self.pacemaker.resend_first();
        self.pacemaker.timeout.start(self.now, wait);
        self.broadcast(Message::Timeout(Box::new(timeout.clone())));
        self.count_timeout(timeout, true);
    }

    /// Gives up the view and sends again, when it is time.
    pub(crate) fn poll_timers(&mut self) {
        if self.now >= self.pacemaker.deadline()
            && let Some(timeout) = self.safety.time_out()
        {
            self.send_timeout(&timeout);
        }
        let longest = self.pacemaker.longest();
        // Without back-off: after a partition nothing moves the view until a quorum's timeouts have
        // met, so this is how long a healed network stands still.
        let often = self.pacemaker.resend_first();
        if self.pacemaker.timeout.due(self.now, often)
            && !self.broken.off(Broken::Rule6Resend)
            && let Some(timeout) = self.safety.state().timeout.clone()
        {
            self.broadcast(Message::Timeout(Box::new(timeout)));
        }
        if self.pacemaker.prepare.due(self.now, longest)
            && let Some(vote) = self.safety.state().prepare_vote.clone()
        {
            self.broadcast(Message::PrepareVote(vote));
        }
        if self.pacemaker.commit.due(self.now, longest)
            && let Some(vote) = self.safety.state().commit_vote.clone()
        {
            self.broadcast(Message::CommitVote(vote));
        }
    }

    pub(crate) fn prune_votes(&mut self) {
        let from = self.commit_votes_from();
        self.tally.prune(self.view(), from);
    }

    fn count_commit(&mut self, view: View, signer: ValidatorIndex, ballot: Ballot, own: bool) {
        let Some(certified) = self.count(VoteKind::Commit, view, signer, ballot, own) else {
            return;
        };
        let cc = CommitCertificate {
            epoch: self.config.committee.epoch,
            view,
            height: certified.height,
            block: certified.block,
            aggregate: certified.aggregate,
        };
        self.share_commit(&cc);
        self.learn_commit(cc);
    }

    fn count(
        &mut self,
        kind: VoteKind,
        view: View,
        signer: ValidatorIndex,
        ballot: Ballot,
        own: bool,
    ) -> Option<Certified> {
        let verifier = conclave_light::Verifier {
            chain: self.config.chain,
            committee: &self.config.committee,
            signatures: &*self.signatures,
            origin: Some(self.config.origin),
        };
        let outcome = self.tally.vote(&verifier, kind, view, signer, ballot, own);
        self.settle(outcome)
    }

    fn count_timeout(&mut self, timeout: &Timeout, own: bool) {
        let verifier = conclave_light::Verifier {
            chain: self.config.chain,
            committee: &self.config.committee,
            signatures: &*self.signatures,
            origin: Some(self.config.origin),
        };
        let outcome = self
            .tally
            .timeouts
            .add(&verifier, &mut self.tally.suspects, timeout, own);
        if let Some(tc) = self.settle(outcome) {
            // Others may lack one of the timeouts.
            self.broadcast(Message::TimeoutCertificate(Box::new(tc.clone())));
            self.learn_timeout(tc);
        }
    }

    fn settle<C>(&mut self, outcome: Outcome<C>) -> Option<C> {
        for (validator, evidence) in outcome.accused {
            self.accuse(validator, evidence);
        }
        outcome.certificate
    }

    /// Votes travel straight from their signer, so one in another's name is the sender's fault.
    fn is_own_word(&mut self, from: ValidatorIndex, signer: ValidatorIndex) -> bool {
        let own = from == signer && self.config.committee.weight(from) > 0;
        if !own {
            self.accuse(from, Evidence::Fault(Fault::Impersonation));
        }
        own && from != self.config.index
    }

    fn is_near(&self, view: View) -> bool {
        view.0 <= self.view().0.saturating_add(VIEWS_AHEAD)
    }

    /// The first view whose commit votes are of use.
    fn commit_votes_from(&self) -> View {
        let window = self.view().0.saturating_sub(COMMIT_VIEWS_BEHIND);
        let committed = self.committed.as_ref().map_or(0, |cc| cc.view.0);
        View(window.max(committed.saturating_add(1)))
    }
}

/// A timeout names the certificate that entered its view, and one from before it.
fn check_shape(timeout: &Timeout) -> Result<(), &'static str> {
    let before = match &timeout.entry {
        Entry::Quorum(qc) => qc.view,
        Entry::Timeout(tc) => tc.view,
    };
    if before.0.checked_add(1) != Some(timeout.view.0) {
        return Err("the entering certificate is not of the view before");
    }
    match timeout.high_qc.view < timeout.view {
        true => Ok(()),
        false => Err("the highest certificate is not from before the view"),
    }
}
