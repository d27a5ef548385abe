//! The engine: one input in, one step out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_crypto::Signatures;
use conclave_light::Verifier;
use conclave_types::{
    Block, BlockHeader, BlockId, CommitCertificate, Entry, Epoch, Height, OffenceKind,
    QuorumCertificate, Refusal, ValidatorIndex, View,
};

use crate::blocks::Blocks;
use crate::broken::{Broken, Switch};
use crate::certificates::Certificates;
use crate::config::{EngineConfig, Recovered};
use crate::elector::{Elected, Elector, Voted};
use crate::fetch::{Behind, Fetch};
use crate::pacemaker::Pacemaker;
use crate::proposal::Candidate;
use crate::propose::Leading;
use crate::routing::VoteRouting;
use crate::safety::Safety;
use crate::tally::Tally;
use crate::{Action, Evidence, Fault, Input, Message, Now, SafetyState, Step, Write};

/// One validator's part in agreement. See the crate's documentation.
#[cfg_attr(test, derive(Clone))]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) signatures: Arc<dyn Signatures>,
    pub(crate) safety: Safety,
    pub(crate) elector: Elector,
    pub(crate) blocks: Blocks,
    pub(crate) tally: Tally,
    pub(crate) certificates: Certificates,
    pub(crate) pacemaker: Pacemaker,
    pub(crate) routing: VoteRouting,
    /// The host has something to order.
    pub(crate) pending: bool,
    /// Proposals of the current view, by proposer.
    pub(crate) candidates: BTreeMap<ValidatorIndex, Candidate>,
    pub(crate) leading: Leading,
    /// The leader after a quorum certificate and its backup, for what it certifies.
    pub(crate) elected: Option<(Voted, Elected)>,
    pub(crate) fetches: BTreeMap<BlockId, Fetch>,
    /// The newest certificate of what was handed out as committed.
    pub(crate) committed: Option<CommitCertificate>,
    /// A newer one whose blocks are not all here.
    pub(crate) uncovered: Option<CommitCertificate>,
    /// What the host was last told is too far ahead, while it is.
    pub(crate) behind: Option<Behind>,
    /// The newest view of a commit vote seen from each peer.
    pub(crate) commit_votes_seen: BTreeMap<ValidatorIndex, View>,
    /// The newest timeout seen from each peer, of any view, its signature unchecked.
    pub(crate) timeouts_seen: BTreeMap<ValidatorIndex, (View, Refusal)>,
    /// The proofs of misbehaviour that were handed out.
    reported: BTreeSet<(ValidatorIndex, OffenceKind)>,
    pub(crate) now: u64,
    /// Before, nothing is due.
    started: bool,
    pub(crate) step: Step,
    /// Which rule is off; none but in tests of the simulator.
    pub(crate) broken: Switch,
    wake_at: Option<u64>,
    forked: bool,
}

impl Engine {
    /// An engine at its epoch's origin, or where it was.
    pub fn new(
        config: EngineConfig,
        signatures: Arc<dyn Signatures>,
        recovered: Option<Recovered>,
    ) -> Self {
        let recovered = recovered.unwrap_or_else(|| Recovered {
            safety: SafetyState::origin(&config.origin),
            committed: Vec::new(),
            certificate: None,
            blocks: Vec::new(),
        });
        let mut certificates = Certificates::default();
        certificates.trust(&recovered.safety);
        Self {
            safety: Safety::new(&config, Arc::clone(&signatures), recovered.safety),
            elector: Elector::new(&config.committee),
            blocks: Blocks::new(&config.origin, recovered.committed, recovered.blocks),
            tally: Tally::default(),
            certificates,
            pacemaker: Pacemaker::new(config.parameters.clone()),
            routing: VoteRouting::of(&config.committee),
            pending: false,
            candidates: BTreeMap::new(),
            leading: Leading::Idle,
            elected: None,
            fetches: BTreeMap::new(),
            committed: recovered
                .certificate
                .filter(|certificate| certificate.epoch == config.committee.epoch),
            uncovered: None,
            behind: None,
            commit_votes_seen: BTreeMap::new(),
            timeouts_seen: BTreeMap::new(),
            reported: BTreeSet::new(),
            now: 0,
            started: false,
            step: Step::default(),
            broken: Switch::default(),
            wake_at: None,
            forked: false,
            config,
            signatures,
        }
    }

    /// Handles one input. After an [`Action::Fork`] nothing more is handled.
    pub fn handle(&mut self, now: Now, input: Input) -> Step {
        if self.forked {
            return Step::default();
        }
        self.now = self.now.max(now.0);
        if self.is_over() {
            self.answer_straggler(&input);
            return std::mem::take(&mut self.step);
        }
        self.started |= matches!(input, Input::Start);
        match input {
            Input::Start => self.start(),
            // The wake-up is used up, even if it came early.
            Input::Tick => self.wake_at = None,
            Input::Proposal { from, proposal } => self.on_proposal(from, *proposal),
            Input::PrepareVote { from, vote } => self.on_prepare_vote(from, &vote),
            Input::CommitVote { from, vote } => self.on_commit_vote(from, &vote),
            Input::Timeout { from, timeout } => self.on_timeout(from, &timeout),
            Input::QuorumCertificate { from, certificate } => self.on_quorum(from, &certificate),
            Input::TimeoutCertificate { from, certificate } => {
                self.on_timeout_certificate(from, &certificate);
            }
            Input::CommitCertificate { from, certificate } => {
                self.on_commit_certificate(from, certificate);
            }
            Input::PayloadPending(pending) => self.on_payload_pending(pending),
            Input::Payload {
                view,
                batches,
                time,
                ledger_height,
                ledger_root,
                next_epoch,
            } => {
                let named = (ledger_height, ledger_root);
                self.on_payload(view, batches, time, named, next_epoch);
            }
            Input::ProposalChecked { block, valid } => self.on_checked(block, valid),
            Input::Block { from, block } => self.on_block(from, *block),
            Input::Synced {
                from,
                blocks,
                certificate,
            } => self.on_synced(from, blocks, certificate),
        }
        // Its host may tell it of what waits before it starts, and no view has begun by then.
        if !self.started {
            return std::mem::take(&mut self.step);
        }
        self.poll();
        self.finish()
    }

    /// The current view.
    pub fn view(&self) -> View {
        self.safety.view()
    }

    /// The view before the current one, whose late messages may still show a contradiction.
    pub(crate) fn view_before(&self) -> View {
        View(self.view().0.saturating_sub(1))
    }

    /// The highest quorum certificate seen.
    pub fn high_qc(&self) -> &QuorumCertificate {
        &self.safety.state().high_qc
    }

    /// The height and id of the last committed block.
    pub fn committed(&self) -> (Height, BlockId) {
        let tip = self.blocks.tip();
        (tip.height, tip.id)
    }

    /// The newest commit certificate.
    pub fn commit_certificate(&self) -> Option<&CommitCertificate> {
        self.committed.as_ref()
    }

    /// The durable state, as last written.
    pub fn safety(&self) -> &SafetyState {
        self.safety.state()
    }

    /// An uncommitted block, to serve a peer's fetch. Older and abandoned ones are on disk.
    pub fn block(&self, id: &BlockId) -> Option<&Arc<Block>> {
        self.blocks.get(id)
    }

    /// The leader of the current view by the certificate that entered it, as far as this node can
    /// tell.
    pub fn leader(&mut self) -> Option<ValidatorIndex> {
        match &self.safety.state().entry {
            Entry::Timeout(_) => Some(self.elector.after_timeout(self.view())),
            Entry::Quorum(qc) => {
                let voted = (qc.view, qc.height, qc.block);
                self.elect(voted).map(|elected| elected.leader)
            }
        }
    }

    /// The epoch whose committee this engine is part of.
    pub fn epoch(&self) -> Epoch {
        self.config.committee.epoch
    }

    /// Whether the epoch's last block is final: then the engine signs nothing more and only shows the
    /// certificate to those who lack it.
    pub fn is_over(&self) -> bool {
        self.blocks.tip().ends_epoch
    }

    /// The epoch's last block and its commit certificate, once it is final.
    pub fn ending(&self) -> Option<(&BlockHeader, &CommitCertificate)> {
        let header = self.blocks.tip_header()?;
        header.next_epoch?;
        Some((header, self.committed.as_ref()?))
    }

    /// Shows a peer that still works on the epoch that it is over. A commit certificate is no question.
    fn answer_straggler(&mut self, input: &Input) {
        if let Some(from) = input.asker().filter(|from| *from != self.config.index)
            && let Some(cc) = self.committed.clone()
        {
            self.send(from, Message::CommitCertificate(cc));
        }
    }

    pub(crate) fn verifier(&self) -> Verifier<'_> {
        Verifier {
            chain: self.config.chain,
            committee: &self.config.committee,
            signatures: &*self.signatures,
            origin: Some(self.config.origin),
        }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.step.actions.push(action);
    }

    /// To all others.
    pub(crate) fn broadcast(&mut self, message: Message) {
        self.act(Action::Broadcast(message));
    }

    pub(crate) fn send(&mut self, to: ValidatorIndex, message: Message) {
        self.act(Action::Send { to, message });
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.step.writes.push(write);
    }

    pub(crate) fn is_reported(&self, validator: ValidatorIndex, kind: OffenceKind) -> bool {
        self.reported.contains(&(validator, kind))
    }

    /// Proofs are handed out once per validator and kind.
    pub(crate) fn accuse(&mut self, validator: ValidatorIndex, evidence: Evidence) {
        if let Evidence::Proof(proof) = &evidence
            && !self.reported.insert((validator, proof.offence.kind()))
        {
            return;
        }
        let evidence = Box::new(evidence);
        self.act(Action::Misbehaviour {
            validator,
            evidence,
        });
    }

    pub(crate) fn fault(&mut self, validator: ValidatorIndex, fault: Fault) {
        self.accuse(validator, Evidence::Fault(fault));
    }

    /// Reports two final blocks at one height, and refuses all further work.
    pub(crate) fn fork(&mut self, committed: BlockId, certificate: CommitCertificate) {
        self.forked = true;
        self.act(Action::Fork {
            committed,
            certificate,
        });
    }

    /// The leader of the view after the certificate of a block, and its backup; `None` while the
    /// block's ancestry is not here.
    pub(crate) fn elect(&mut self, voted: Voted) -> Option<Elected> {
        if let Some((_, elected)) = self.elected.filter(|(known, _)| *known == voted) {
            return Some(elected);
        }
        let (view, height, block) = voted;
        let ancestry = self.blocks.ancestry(block, height)?;
        let next = View(view.0.saturating_add(1));
        let elected = self.elector.after_quorum(next, ancestry);
        self.elected = Some((voted, elected));
        Some(elected)
    }

    /// Enters the view after a verified certificate, if it is ahead (rule 1).
    pub(crate) fn enter(&mut self, entry: Entry) {
        if !self.safety.enter(entry) {
            return;
        }
        self.candidates.clear();
        self.leading = Leading::Idle;
        self.tally.timeouts.clear();
        self.prune_votes();
        self.begin_view();
    }

    pub(crate) fn begin_view(&mut self) {
        let (view, high) = (self.view().0, self.high_qc().view.0);
        let lost = view.saturating_sub(high.saturating_add(1));
        self.pacemaker.enter(self.now, lost);
        let (block, height) = (self.high_qc().block, self.high_qc().height);
        self.blocks.shed(block, height, View(view));
    }

    /// Takes up the work after a start: whatever was sent last may never have arrived.
    fn start(&mut self) {
        self.begin_view();
        let state = self.safety.state().clone();
        let view = state.view();
        if let Some(vote) = state.prepare_vote.filter(|vote| vote.view == view) {
            self.count_own_prepare(&vote);
            self.broadcast(Message::PrepareVote(vote));
        }
        let covered = self.committed.as_ref().map(|cc| cc.view);
        if let Some(vote) = state.commit_vote.filter(|vote| Some(vote.view) > covered) {
            self.send_commit_vote(vote);
        }
        if let Some(timeout) = state.timeout.filter(|timeout| timeout.view == view) {
            self.send_timeout(&timeout);
        }
    }

    /// Does everything that has become possible or due.
    fn poll(&mut self) {
        self.advance_candidates();
        self.try_commit();
        if self.is_over() {
            return self.fetches.clear();
        }
        self.note_payload();
        self.poll_timers();
        self.poll_propose();
        self.poll_fetches();
    }

    fn finish(&mut self) -> Step {
        let wake = match self.is_over() {
            true => u64::MAX,
            false => self.next_wake(),
        };
        if self.wake_at != Some(wake) && !self.forked {
            self.wake_at = Some(wake);
            self.act(Action::WakeAt(wake));
        }
        if let Some(state) = self.safety.take_changed()
            && !self.broken.off(Broken::Rule7Durable)
        {
            self.step.writes.push(Write::Safety(Box::new(state)));
        }
        std::mem::take(&mut self.step)
    }

    fn note_payload(&mut self) {
        let known = self.pending || self.has_uncommitted_payload();
        self.pacemaker.note_payload(self.now, known);
    }

    fn next_wake(&mut self) -> u64 {
        let deadline = self
            .safety
            .can_time_out()
            .then(|| self.pacemaker.deadline());
        let times = [
            deadline,
            self.propose_wake(),
            self.pacemaker.timeout.at(),
            self.pacemaker.prepare.at(),
            self.pacemaker.commit.at(),
            self.fetches.values().map(|fetch| fetch.retry_at).min(),
            self.behind.as_ref().map(|behind| behind.retry_at),
        ];
        // A voter's view is either timed or its timeout re-sent; whoever does not vote waits for others.
        times.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}
