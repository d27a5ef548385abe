//! What lies are made of: blocks, votes and timeouts signed with the member's own key.

use conclave_consensus::Message;
use conclave_node::PeerMessage;
use conclave_types::{
    BlockHeader, BlockId, BlsSignature, CommitVote, Epoch, Height, PrepareVote, Proposal,
    QuorumCertificate, Timeout, View, VoteKind,
};

use super::Member;

impl Member<'_> {
    pub(super) fn epoch(&self) -> Epoch {
        self.committee.epoch
    }

    fn sign_vote(
        &self,
        kind: VoteKind,
        view: View,
        height: Height,
        block: BlockId,
    ) -> BlsSignature {
        let message = kind.message(self.chain, self.epoch(), view, height, block);
        self.signatures.sign(&message)
    }

    pub(super) fn prepare_vote(&self, view: View, height: Height, block: BlockId) -> PeerMessage {
        PeerMessage::Agreement(Message::PrepareVote(PrepareVote {
            epoch: self.epoch(),
            view,
            height,
            block,
            signer: self.index,
            signature: self.sign_vote(VoteKind::Prepare, view, height, block),
        }))
    }

    pub(super) fn commit_vote(&self, view: View, height: Height, block: BlockId) -> PeerMessage {
        PeerMessage::Agreement(Message::CommitVote(CommitVote {
            epoch: self.epoch(),
            view,
            height,
            block,
            signer: self.index,
            signature: self.sign_vote(VoteKind::Commit, view, height, block),
        }))
    }

    /// The proposal with another header, signed anew.
    pub(super) fn propose(&self, like: &Proposal, header: BlockHeader) -> Proposal {
        let (view, height, block) = (header.view, header.height, header.id());
        let mut proposal = like.clone();
        proposal.block.header = header;
        proposal.signature = self.sign_vote(VoteKind::Prepare, view, height, block);
        proposal
    }

    /// The timeout as this member's own, naming a certificate of its choice.
    pub(super) fn time_out(&self, like: &Timeout, high_qc: QuorumCertificate) -> Timeout {
        let message = Timeout::message(self.chain, like.epoch, like.view, high_qc.view);
        Timeout {
            high_qc,
            signer: self.index,
            signature: self.signatures.sign(&message),
            ..like.clone()
        }
    }
}

pub(super) fn proposal(proposal: Proposal) -> PeerMessage {
    PeerMessage::Agreement(Message::Proposal(Box::new(proposal)))
}

pub(super) fn timeout(timeout: Timeout) -> PeerMessage {
    PeerMessage::Agreement(Message::Timeout(Box::new(timeout)))
}
