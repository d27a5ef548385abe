//! What happens to an engine.

use conclave_types::{
    BatchRef, Block, BlockId, BlockTime, CommitCertificate, CommitVote, Digest, Height,
    PrepareVote, Proposal, QuorumCertificate, Timeout, TimeoutCertificate, ValidatorIndex, View,
};

/// Milliseconds since the Unix epoch by this node's clock. The shell must not let it go back: it
/// takes the wall clock once and adds monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

/// One event. `from` is always the authenticated sender.
#[derive(Debug, Clone)]
pub enum Input {
    /// The first input after [`crate::Engine::new`].
    Start,
    /// The time of the last [`crate::Action::WakeAt`] has come. Early or late ones do no harm.
    Tick,
    /// The leader's proposal, from the leader itself.
    Proposal {
        from: ValidatorIndex,
        proposal: Box<Proposal>,
    },
    /// A first-phase vote, from its signer.
    PrepareVote {
        from: ValidatorIndex,
        vote: PrepareVote,
    },
    /// A second-phase vote, from its signer.
    CommitVote {
        from: ValidatorIndex,
        vote: CommitVote,
    },
    /// A timeout, from its signer.
    Timeout {
        from: ValidatorIndex,
        timeout: Box<Timeout>,
    },
    /// An answer to a stale timeout.
    QuorumCertificate {
        from: ValidatorIndex,
        certificate: QuorumCertificate,
    },
    /// A view's end, from who made the certificate, or an answer to a stale timeout.
    TimeoutCertificate {
        from: ValidatorIndex,
        certificate: Box<TimeoutCertificate>,
    },
    /// An answer to a stale commit vote.
    CommitCertificate {
        from: ValidatorIndex,
        certificate: CommitCertificate,
    },
    /// Whether there is something to order: certified batches that no uncommitted block holds, or
    /// a ledger timer that is due. Wakes the leader at once and shortens everyone's view timer, so
    /// it must become `false` as soon as it is no longer so.
    PayloadPending(bool),
    /// The answer to [`crate::Action::RequestPayload`]. The block is proposed at once, even empty:
    /// a host that finds nothing to order answers a request that is not `due` with
    /// `PayloadPending(false)` instead.
    Payload {
        view: View,
        batches: Vec<BatchRef>,
        /// The host's wish; raised to just above the parent's time.
        time: BlockTime,
        ledger_height: Height,
        ledger_root: Digest,
        /// Makes the block the epoch's last: the digest of the next epoch's setup.
        next_epoch: Option<Digest>,
    },
    /// The answer to [`crate::Action::CheckProposal`]. It may come late or never; then the view
    /// times out.
    ProposalChecked { block: BlockId, valid: bool },
    /// The answer to [`crate::Action::FetchBlock`].
    Block {
        from: ValidatorIndex,
        block: Box<Block>,
    },
    /// The answer to [`crate::Action::Behind`]: the blocks after the committed tip, ascending, and
    /// the certificate of the last one.
    Synced {
        from: ValidatorIndex,
        blocks: Vec<Block>,
        certificate: CommitCertificate,
    },
}

impl Input {
    /// The peer that works on the epoch still, by a message that asks for something.
    pub(crate) fn asker(&self) -> Option<ValidatorIndex> {
        match self {
            Self::Proposal { from, .. }
            | Self::PrepareVote { from, .. }
            | Self::CommitVote { from, .. }
            | Self::Timeout { from, .. }
            | Self::QuorumCertificate { from, .. }
            | Self::TimeoutCertificate { from, .. } => Some(*from),
            _ => None,
        }
    }
}
