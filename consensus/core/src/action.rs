//! What an engine wants done, and in which order.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_types::{
    Block, BlockId, BlockTime, CommitCertificate, CommitVote, Epoch, Height, PrepareVote, Proposal,
    QuorumCertificate, Timeout, TimeoutCertificate, ValidatorIndex, View,
};

use crate::{Evidence, SafetyState};

/// The outcome of one input.
///
/// All `writes` go to disk in one transaction. The `actions` are carried out in order, and only
/// after that transaction is durable: some of them carry signatures that the writes are the memory
/// of. When the transaction fails, none of the actions may be carried out and the node stops.
#[derive(Debug, Default, PartialEq)]
#[must_use]
#[cfg_attr(test, derive(Clone))]
pub struct Step {
    pub writes: Vec<Write>,
    pub actions: Vec<Action>,
}

/// Something to make durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Replaces the state before.
    Safety(Box<SafetyState>),
    /// A block this node votes for; kept until a block of its height is committed.
    Block(Arc<Block>),
}

/// Something to do once the step's writes are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// To one peer.
    Send {
        to: ValidatorIndex,
        message: Message,
    },
    /// To all other validators.
    Broadcast(Message),
    /// This node leads the view: answer with [`crate::Input::Payload`].
    RequestPayload {
        view: View,
        parent: BlockId,
        parent_height: Height,
        parent_time: BlockTime,
        /// The uncommitted ancestors, ascending, the parent last: their batches must not repeat.
        ancestors: Vec<Arc<Block>>,
        /// A block is due even if it is empty.
        due: bool,
    },
    /// Check what the engine cannot: the batches' certificates, that no ancestor holds them, the
    /// ledger root. Answer with [`crate::Input::ProposalChecked`].
    CheckProposal {
        block: Arc<Block>,
        /// The uncommitted ancestors, ascending, the parent last.
        ancestors: Vec<Arc<Block>>,
    },
    /// The blocks are final: all ancestors that were not handed out before, ascending, and the
    /// block of the certificate last. Uncommitted blocks of these heights can be forgotten.
    Committed {
        blocks: Vec<Arc<Block>>,
        certificate: CommitCertificate,
    },
    /// Ask a peer for a block by its id; answer with [`crate::Input::Block`]. Another peer is
    /// tried when no answer comes.
    FetchBlock {
        block: BlockId,
        from: ValidatorIndex,
    },
    /// A certificate shows blocks too far ahead to fetch one by one: get committed blocks by height
    /// up to about `height`, from any peer; answer with [`crate::Input::Synced`], as often as it
    /// takes.
    Behind {
        height: Height,
        from: ValidatorIndex,
    },
    /// Call with [`crate::Input::Tick`] at this time (milliseconds as in [`crate::Now`]);
    /// replaces the wake-up before.
    WakeAt(u64),
    /// A peer broke the protocol. The shell may cut it off. A proof is given once per validator
    /// and kind of offence, and is for the ledger.
    Misbehaviour {
        validator: ValidatorIndex,
        evidence: Box<Evidence>,
    },
    /// Two certified blocks at one height: more than f validators are faulty. The node stops.
    Fork {
        committed: BlockId,
        certificate: CommitCertificate,
    },
}

/// What validators send to each other about agreement.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    Proposal(Box<Proposal>),
    PrepareVote(PrepareVote),
    CommitVote(CommitVote),
    Timeout(Box<Timeout>),
    QuorumCertificate(QuorumCertificate),
    TimeoutCertificate(Box<TimeoutCertificate>),
    CommitCertificate(CommitCertificate),
}

impl Message {
    /// The epoch that it belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Proposal(proposal) => proposal.block.header.epoch,
            Self::PrepareVote(vote) => vote.epoch,
            Self::CommitVote(vote) => vote.epoch,
            Self::Timeout(timeout) => timeout.epoch,
            Self::QuorumCertificate(qc) => qc.epoch,
            Self::TimeoutCertificate(tc) => tc.epoch,
            Self::CommitCertificate(cc) => cc.epoch,
        }
    }

    /// The input that this message is, from its authenticated sender.
    pub fn into_input(self, from: ValidatorIndex) -> crate::Input {
        use crate::Input;
        match self {
            Self::Proposal(proposal) => Input::Proposal { from, proposal },
            Self::PrepareVote(vote) => Input::PrepareVote { from, vote },
            Self::CommitVote(vote) => Input::CommitVote { from, vote },
            Self::Timeout(timeout) => Input::Timeout { from, timeout },
            Self::QuorumCertificate(certificate) => Input::QuorumCertificate { from, certificate },
            Self::TimeoutCertificate(certificate) => {
                Input::TimeoutCertificate { from, certificate }
            }
            Self::CommitCertificate(certificate) => Input::CommitCertificate { from, certificate },
        }
    }
}
