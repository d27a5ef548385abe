//! The leader's side of a view.

use std::sync::Arc;

use conclave_types::{
    BatchRef, Block, BlockHeader, BlockTime, Digest, Entry, Height, PrepareVote, Proposal,
    QuorumCertificate, TimeoutCertificate, View, limits,
};

use crate::blocks::{Path, is_awaited};
use crate::engine::Engine;
use crate::safety::Justification;
use crate::{Action, Message, Write};

/// How far this node is in leading the current view.
#[cfg_attr(test, derive(Clone))]
pub(crate) enum Leading {
    /// Not the leader, or nothing to propose yet.
    Idle,
    /// The host was asked for the payload of a block with this justification.
    Asked(Box<Mandate>),
    /// The proposal is out.
    Proposed,
}

/// What makes this node the leader, and what it has to build on.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Mandate {
    justify: QuorumCertificate,
    timeout: Option<TimeoutCertificate>,
    parent_time: BlockTime,
}

impl Engine {
    pub(crate) fn on_payload_pending(&mut self, pending: bool) {
        self.pending = pending;
        if !pending && matches!(self.leading, Leading::Asked(_)) {
            self.leading = Leading::Idle;
        }
    }

    /// Asks the host for a payload once this node leads and a block is wanted.
    pub(crate) fn poll_propose(&mut self) {
        let Some((justify, timeout)) = self.mandate() else {
            return;
        };
        let due = self.now >= self.propose_due();
        let Path::Complete(ancestors) = self.blocks.path(justify.block, justify.height) else {
            return;
        };
        if self.ends_epoch(&justify.block) {
            let last = self.blocks.get(&justify.block).cloned();
            if let Some(last) = last.filter(|_| due) {
                self.propose_again(&last, justify, timeout);
            }
            return;
        }
        let Some(parent_time) = self.blocks.time(&justify.block) else {
            return;
        };
        if !due && !self.pending {
            return;
        }
        self.act(Action::RequestPayload {
            view: self.view(),
            parent: justify.block,
            parent_height: justify.height,
            parent_time,
            ancestors,
            due,
        });
        self.leading = Leading::Asked(Box::new(Mandate {
            justify,
            timeout,
            parent_time,
        }));
    }

    /// When [`Self::poll_propose`] will ask even with nothing pending, if this node leads.
    pub(crate) fn propose_wake(&mut self) -> Option<u64> {
        let (justify, _) = self.mandate()?;
        self.blocks.time(&justify.block)?;
        let at = self.propose_due();
        // Past it, only a missing ancestor holds the leader up, and its arrival wakes the engine.
        (at > self.now).then_some(at)
    }

    /// Builds the block, votes for it and sends the proposal, whose signature is that vote.
    pub(crate) fn on_payload(
        &mut self,
        view: View,
        mut batches: Vec<BatchRef>,
        time: BlockTime,
        (ledger_height, ledger_root): (Height, Digest),
        next_epoch: Option<Digest>,
    ) {
        if view != self.view() || !matches!(self.leading, Leading::Asked(_)) {
            return;
        }
        let Leading::Asked(mandate) = std::mem::replace(&mut self.leading, Leading::Proposed)
        else {
            return;
        };
        let Mandate {
            justify,
            timeout,
            parent_time,
        } = *mandate;
        batches.truncate(limits::BLOCK_BATCHES_MAX);
        let header = BlockHeader {
            chain: self.config.chain,
            epoch: self.config.committee.epoch,
            view,
            height: justify.height.next(),
            parent: justify.block,
            parent_view: justify.view,
            proposer: self.config.index,
            time: time.max(BlockTime(parent_time.0.saturating_add(1))),
            payload: Block::payload_digest(&batches),
            ledger_height,
            ledger_root,
            next_epoch,
        };
        let justification = Justification {
            justify: &justify,
            timeout: timeout.as_ref(),
            after_last: false,
        };
        let Some(vote) = self.safety.prepare(&header, &justification) else {
            return;
        };
        let block = Arc::new(Block { header, batches });
        self.blocks.insert(Arc::clone(&block));
        self.send_proposal(&block, justify, timeout, &vote);
    }

    /// Proposes the certified last block of the epoch once more, as it is: nothing may extend it, and
    /// it takes the commit votes of a new view to make it final.
    fn propose_again(
        &mut self,
        last: &Arc<Block>,
        justify: QuorumCertificate,
        timeout: Option<TimeoutCertificate>,
    ) {
        let justification = Justification {
            justify: &justify,
            timeout: timeout.as_ref(),
            after_last: true,
        };
        let Some(vote) = self.safety.prepare(&last.header, &justification) else {
            return;
        };
        self.leading = Leading::Proposed;
        self.send_proposal(last, justify, timeout, &vote);
    }

    fn send_proposal(
        &mut self,
        block: &Arc<Block>,
        justify: QuorumCertificate,
        timeout: Option<TimeoutCertificate>,
        vote: &PrepareVote,
    ) {
        self.write(Write::Block(Arc::clone(block)));
        self.broadcast(Message::Proposal(Box::new(Proposal {
            block: Block::clone(block),
            justify,
            timeout,
            signature: vote.signature,
        })));
        self.expect_quorum();
        self.count_own_prepare(vote);
    }

    /// Whether anybody waits for an uncommitted block: on the way to the highest QC, or proposed in
    /// the current view.
    pub(crate) fn has_uncommitted_payload(&self) -> bool {
        self.blocks.has_payload_at(self.view()) || self.has_certified_payload()
    }

    fn has_certified_payload(&self) -> bool {
        let (block, height) = (self.high_qc().block, self.high_qc().height);
        match self.blocks.path(block, height) {
            Path::Complete(path) => path.iter().any(|block| is_awaited(block)),
            _ => false,
        }
    }

    fn propose_due(&self) -> u64 {
        self.pacemaker.propose_at(self.has_certified_payload())
    }

    /// The certificates that make this node the leader of the current view, while it may still
    /// propose.
    fn mandate(&mut self) -> Option<(QuorumCertificate, Option<TimeoutCertificate>)> {
        if !matches!(self.leading, Leading::Idle) || !self.safety.can_prepare() {
            return None;
        }
        let (view, high_qc) = (self.view(), self.high_qc().clone());
        let fresh = high_qc.view.0.checked_add(1) == Some(view.0);
        let own = self.config.index;
        let certified = (high_qc.view, high_qc.height, high_qc.block);
        if fresh
            && self
                .elect(certified)
                .is_some_and(|elected| elected.leader == own)
        {
            return Some((high_qc, None));
        }
        match &self.safety.state().entry {
            Entry::Timeout(tc) if self.elector.after_timeout(view) == own => {
                Some((high_qc, Some(tc.clone())))
            }
            _ => None,
        }
    }
}
