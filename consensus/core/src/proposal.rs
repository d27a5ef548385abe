//! Others' proposals, from arrival to this node's vote.

use std::sync::Arc;

use conclave_types::{
    Ballot, Block, BlockId, BlockTime, Proposal, QuorumCertificate, TimeoutCertificate,
    ValidatorIndex, View, limits,
};

use crate::blocks::Path;
use crate::broken::Broken;
use crate::engine::Engine;
use crate::{Action, Fault, Write};

/// A proposal of the current view whose certificates are verified.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Candidate {
    block: Arc<Block>,
    id: BlockId,
    justify: QuorumCertificate,
    timeout: Option<TimeoutCertificate>,
    stage: Stage,
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
}

impl Engine {
    pub(crate) fn on_proposal(&mut self, from: ValidatorIndex, proposal: Proposal) {
        let view = proposal.block.header.view;
        if proposal.block.header.proposer != from || self.config.committee.weight(from) == 0 {
            return self.fault(from, Fault::Impersonation);
        }
        if let Err(reason) = self.check_proposal_shape(&proposal) {
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
        match self.leader_after_quorum(justify.block, justify.height) {
            Some(leader) => leader == from,
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
        let Some(candidate) = self.candidates.get(&from) else {
            return;
        };
        let (parent, height) = (candidate.justify.block, candidate.justify.height);
        let (block, by_timeout) = (Arc::clone(&candidate.block), candidate.timeout.is_some());
        let ancestors = match self.blocks.path(parent, height) {
            Path::Missing { .. } => return,
            Path::Aside => None,
            Path::Complete(ancestors) => Some(ancestors),
        };
        let leader = match by_timeout {
            true => Some(self.elector.after_timeout(block.header.view)),
            false => self.leader_after_quorum(parent, height),
        };
        let time_right = self
            .blocks
            .time(&parent)
            .is_some_and(|parent_time| self.is_time_right(block.header.time, parent_time));
        let stage = match ancestors {
            Some(ancestors) if leader == Some(from) && time_right => {
                self.blocks.insert(Arc::clone(&block));
                if self.safety.can_prepare() {
                    self.act(Action::CheckProposal { block, ancestors });
                }
                Stage::Checking
            }
            _ => Stage::Settled,
        };
        if let Some(candidate) = self.candidates.get_mut(&from) {
            candidate.stage = stage;
        }
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
        let timeout = candidate.timeout.as_ref();
        let header = &candidate.block.header;
        let Some(vote) = self.safety.prepare(header, &candidate.justify, timeout) else {
            return;
        };
        let block = Arc::clone(&candidate.block);
        self.write(Write::Block(block));
        self.send_prepare_vote(&vote);
    }

    /// Everything about a proposal that needs neither keys nor other blocks.
    fn check_proposal_shape(&self, proposal: &Proposal) -> Result<(), &'static str> {
        let Proposal {
            block,
            justify,
            timeout,
            ..
        } = proposal;
        let header = &block.header;
        let before = header.view.0.checked_sub(1);
        let refuse = |wrong: bool, reason| if wrong { Err(reason) } else { Ok(()) };
        refuse(
            header.chain != self.config.chain || header.epoch != self.config.committee.epoch,
            "another chain or epoch",
        )?;
        refuse(
            header.parent != justify.block || header.parent_view != justify.view,
            "the parent is not the justified block",
        )?;
        refuse(
            header.height.0.checked_sub(1) != Some(justify.height.0),
            "the height does not follow the parent's",
        )?;
        refuse(
            !self.broken.off(Broken::Rule2Justified)
                && match timeout {
                    None => before != Some(justify.view.0),
                    Some(tc) => {
                        before != Some(tc.view.0)
                            || justify.view < tc.high_qc.view
                            || justify.view >= header.view
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
