//! Others' proposals, from arrival to this node's vote.

use std::sync::Arc;

use conclave_types::{
    Ballot, Block, BlockId, BlockTime, Proposal, QuorumCertificate, TimeoutCertificate,
    ValidatorIndex, View, limits,
};

use crate::blocks::Path;
use crate::broken::Broken;
use crate::engine::Engine;
use crate::safety::Justification;
use crate::{Action, Fault, Write};

/// A proposal of the current view whose certificates are verified.
#[derive(Clone)]
pub(crate) struct Candidate {
    block: Arc<Block>,
    id: BlockId,
    justify: QuorumCertificate,
    timeout: Option<TimeoutCertificate>,
    stage: Stage,
}

/// What is to become of a proposal whose ancestors are here.
enum Judgement {
    /// The host checks it.
    Check(Vec<Arc<Block>>),
    /// The certified last block of the epoch once more: it was checked before it was certified.
    Vote,
    /// Nothing.
    Refuse,
    /// It builds on the epoch's last block.
    Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its ancestors are being fetched.
    Orphan,
    /// The host is checking it.
    Checking,
    /// Voted for, or refused.
    Settled,
}

impl Candidate {
    /// The certificate whose block must be here before the candidate can be judged.
    pub(crate) fn waits_for(&self) -> Option<&QuorumCertificate> {
        (self.stage == Stage::Orphan).then_some(&self.justify)
    }

    fn is_repeated(&self) -> bool {
        self.justify.block == self.id
    }
}

impl Engine {
    pub(crate) fn on_proposal(&mut self, from: ValidatorIndex, proposal: Proposal) {
        let (view, repeated) = (proposal.view(), proposal.is_repeated());
        let own_word = proposal.block.header.proposer == from || repeated;
        if !own_word || self.config.committee.weight(from) == 0 {
            return self.fault(from, Fault::Impersonation);
        }
        if let Err(reason) = self.check_proposal_shape(view, &proposal) {
            return self.fault(from, Fault::Malformed { view, reason });
        }
        if from == self.config.index {
            return self.on_block(from, proposal.block);
        }
        let Proposal {
            block,
            justify,
            timeout,
            signature,
        } = proposal;
        // The leader's signature is its prepare vote. A second proposal shows up as a double vote.
        let ballot = Ballot {
            height: block.header.height,
            block: block.id(),
            signature,
        };
        if view < self.view() {
            if view == self.view_before() {
                self.count_prepare(view, from, ballot, false);
            }
            // Too late for a vote, but its block may be certified and missing here.
            return self.on_block(from, block);
        }
        let Some(justify) = self.check_quorum(from, &justify) else {
            return;
        };
        let timeout = match timeout {
            None => None,
            Some(tc) => match self.check_timeout(from, &tc) {
                None => return,
                checked => checked,
            },
        };
        self.learn_quorum(&justify);
        if let Some(tc) = &timeout {
            self.learn_timeout(tc.clone());
        }
        if view != self.view() {
            return self.on_block(from, block);
        }
        if repeated {
            // It is certified, so it is among what the highest certificate asks for.
            self.fetches.remove(&ballot.block);
            self.blocks.insert(Arc::new(block.clone()));
        }
        if !self.may_lead(from, view, &justify, timeout.is_some()) {
            return self.fault(from, Fault::NotLeader { view });
        }
        self.candidates.entry(from).or_insert_with(|| Candidate {
            block: Arc::new(block),
            id: ballot.block,
            justify,
            timeout,
            stage: Stage::Orphan,
        });
        self.count_prepare(view, from, ballot, false);
    }

    /// Whether the sender leads the view by this justification, or, while the ancestry that says
    /// so is being fetched, is one of those who may.
    fn may_lead(
        &mut self,
        from: ValidatorIndex,
        view: View,
        justify: &QuorumCertificate,
        by_timeout: bool,
    ) -> bool {
        if by_timeout {
            return self.elector.after_timeout(view) == from;
        }
        match self.elect((justify.view, justify.height, justify.block)) {
            Some(elected) => elected.leader == from,
            None => self.elector.may_lead_after_quorum(view, from),
        }
    }

    /// Judges the proposals whose ancestors have arrived.
    pub(crate) fn advance_candidates(&mut self) {
        let orphans: Vec<ValidatorIndex> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.stage == Stage::Orphan)
            .map(|(from, _)| *from)
            .collect();
        for from in orphans {
            self.advance_candidate(from);
        }
    }

    fn advance_candidate(&mut self, from: ValidatorIndex) {
        let Some(candidate) = self.candidates.get(&from).cloned() else {
            return;
        };
        let justify = &candidate.justify;
        let judgement = match self.blocks.path(justify.block, justify.height) {
            Path::Missing { .. } => return,
            Path::Aside => Judgement::Refuse,
            Path::Complete(ancestors) => self.judge(from, &candidate, ancestors),
        };
        let checked = matches!(judgement, Judgement::Check(_));
        if let Some(candidate) = self.candidates.get_mut(&from) {
            candidate.stage = match checked {
                true => Stage::Checking,
                false => Stage::Settled,
            };
        }
        match judgement {
            Judgement::Check(ancestors) => {
                let block = candidate.block;
                self.blocks.insert(Arc::clone(&block));
                if self.safety.can_prepare() {
                    self.act(Action::CheckProposal { block, ancestors });
                }
            }
            Judgement::Vote => self.vote_for(&candidate),
            Judgement::Refuse => {}
            Judgement::Fault => {
                let view = candidate.block.header.view;
                let reason = "it builds on the epoch's last block";
                self.fault(from, Fault::Malformed { view, reason });
            }
        }
    }

    /// Judges a proposal of the current view by the path to the block that justifies it.
    fn judge(
        &mut self,
        from: ValidatorIndex,
        candidate: &Candidate,
        ancestors: Vec<Arc<Block>>,
    ) -> Judgement {
        let justify = &candidate.justify;
        let leader = match candidate.timeout {
            Some(_) => Some(self.elector.after_timeout(self.view())),
            None => self
                .elect((justify.view, justify.height, justify.block))
                .map(|elected| elected.leader),
        };
        if leader != Some(from) {
            return Judgement::Refuse;
        }
        if candidate.is_repeated() {
            return Judgement::Vote;
        }
        if self.ends_epoch(&justify.block) {
            return Judgement::Fault;
        }
        let parent_time = self.blocks.time(&justify.block);
        let time = candidate.block.header.time;
        match parent_time.is_some_and(|parent_time| self.is_time_right(time, parent_time)) {
            true => Judgement::Check(ancestors),
            false => Judgement::Refuse,
        }
    }

    /// Whether nothing may extend this block in this epoch.
    pub(crate) fn ends_epoch(&self, block: &BlockId) -> bool {
        self.blocks.ends_epoch(block) && !self.broken.off(Broken::LastBlock)
    }

    /// The host's verdict; a good one becomes a vote if the safety rules still allow it.
    pub(crate) fn on_checked(&mut self, block: BlockId, valid: bool) {
        let checked = self
            .candidates
            .values_mut()
            .find(|candidate| candidate.id == block && candidate.stage == Stage::Checking);
        let Some(candidate) = checked else {
            return;
        };
        candidate.stage = Stage::Settled;
        if !valid {
            return;
        }
        let candidate = candidate.clone();
        self.vote_for(&candidate);
    }

    /// Votes for a block that is known to be right, if the safety rules still allow it.
    fn vote_for(&mut self, candidate: &Candidate) {
        let justification = Justification {
            justify: &candidate.justify,
            timeout: candidate.timeout.as_ref(),
            after_last: self.ends_epoch(&candidate.justify.block),
        };
        let header = &candidate.block.header;
        let Some(vote) = self.safety.prepare(header, &justification) else {
            return;
        };
        self.write(Write::Block(Arc::clone(&candidate.block)));
        self.send_prepare_vote(&vote);
    }

    /// Everything about a proposal that needs neither keys nor other blocks.
    fn check_proposal_shape(&self, view: View, proposal: &Proposal) -> Result<(), &'static str> {
        let Proposal {
            block,
            justify,
            timeout,
            ..
        } = proposal;
        let header = &block.header;
        let repeated = proposal.is_repeated();
        let before = view.0.checked_sub(1);
        let refuse = |wrong: bool, reason| if wrong { Err(reason) } else { Ok(()) };
        refuse(
            header.chain != self.config.chain || header.epoch != self.config.committee.epoch,
            "another chain or epoch",
        )?;
        refuse(
            repeated && header.next_epoch.is_none(),
            "only an epoch's last block is proposed again",
        )?;
        refuse(
            !repeated && (header.parent != justify.block || header.parent_view != justify.view),
            "the parent is not the justified block",
        )?;
        refuse(
            !repeated && header.height.0.checked_sub(1) != Some(justify.height.0),
            "the height does not follow the parent's",
        )?;
        refuse(
            !self.broken.off(Broken::Rule2Justified)
                && match timeout {
                    None => before != Some(justify.view.0),
                    Some(tc) => {
                        before != Some(tc.view.0)
                            || justify.view < tc.high_qc.view
                            || justify.view >= view
                    }
                },
            "the certificates do not justify a block in this view",
        )?;
        refuse(
            conclave_light::verify_body(block).is_err()
                || block.batches.len() > limits::BLOCK_BATCHES_MAX,
            "the batches are not the header's",
        )
    }

    fn is_time_right(&self, time: BlockTime, parent: BlockTime) -> bool {
        let latest = self.now.saturating_add(limits::BLOCK_TIME_AHEAD_MS_MAX);
        time > parent && (time.0 <= latest || self.broken.off(Broken::BlockTime))
    }
}
