//! Proof that a validator broke a rule: signed messages that no honest validator signs together, or
//! at all. What makes one valid is checked in `conclave-light`.

use bincode::{Decode, Encode};

use crate::{
    BatchedDleq, BlockId, BlsSignature, Digest, EdSignature, Epoch, Height, Point, ShareContext,
    ValidatorIndex, View, VoteKind, limits,
};

/// What one vote is for, with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ballot {
    pub height: Height,
    pub block: BlockId,
    pub signature: BlsSignature,
}

/// What one timeout names, with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Refusal {
    /// The view of the highest quorum certificate that the signer knew.
    pub high_qc_view: View,
    pub signature: BlsSignature,
}

/// One key share's shares of one part of a signed bundle, which their own proof does not support.
///
/// Whose list of points it is does not matter: an honest validator signs no proof that fails.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WrongShares {
    pub context: ShareContext,
    /// Which of the signer's key shares, from 0.
    pub key: u16,
    /// Which part, from 0.
    pub part: u32,
    /// How many the bundle has.
    pub parts: u32,
    /// C of each envelope of the part.
    pub sealed: Vec<Point>,
    /// The signer's share of each.
    pub shares: Vec<Point>,
    pub proof: BatchedDleq,
    /// From these shares to the root that was signed.
    pub path: Vec<Digest>,
    pub signature: EdSignature,
}

/// Which rule was broken, and the signed messages that show it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Offence {
    /// Two votes of one phase in one view. A leader's signature of its proposal is its prepare
    /// vote, so two proposals of one view are two prepare votes.
    DoubleVote {
        kind: VoteKind,
        view: View,
        /// The lower one by height and block.
        first: Ballot,
        second: Ballot,
    },
    /// Two timeouts of one view.
    DoubleTimeout {
        view: View,
        /// The one that names the lower view.
        first: Refusal,
        second: Refusal,
    },
    /// A commit vote after a timeout of its view or a later one.
    ///
    /// The messages carry no order of time, but the timeout names the highest quorum certificate:
    /// who has sent a commit vote of view v knows one of view v. So `high_qc_view` below the view
    /// of the vote, and that at or below the view of the timeout, shows that the vote came later.
    CommitAfterTimeout {
        timeout_view: View,
        timeout: Refusal,
        commit_view: View,
        commit: Ballot,
    },
    /// Shares that were not made with the signer's key share.
    WrongShares(Box<WrongShares>),
}

/// The kinds of [`Offence`], of which a validator is accused once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffenceKind {
    DoublePrepareVote,
    DoubleCommitVote,
    DoubleTimeout,
    CommitAfterTimeout,
    WrongShares,
}

/// Evidence against one validator; a pair is in order, so that it has one encoding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Misbehaviour {
    pub epoch: Epoch,
    pub validator: ValidatorIndex,
    pub offence: Offence,
}

impl Offence {
    /// Two votes of one view, in order.
    pub fn double_vote(kind: VoteKind, view: View, one: Ballot, other: Ballot) -> Self {
        let swap = (one.height, one.block) > (other.height, other.block);
        let (first, second) = if swap { (other, one) } else { (one, other) };
        Self::DoubleVote {
            kind,
            view,
            first,
            second,
        }
    }

    /// Two timeouts of one view, in order.
    pub fn double_timeout(view: View, one: Refusal, other: Refusal) -> Self {
        let swap = one.high_qc_view > other.high_qc_view;
        let (first, second) = if swap { (other, one) } else { (one, other) };
        Self::DoubleTimeout {
            view,
            first,
            second,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> OffenceKind {
        match self {
            Self::DoubleVote {
                kind: VoteKind::Prepare,
                ..
            } => OffenceKind::DoublePrepareVote,
            Self::DoubleVote {
                kind: VoteKind::Commit,
                ..
            } => OffenceKind::DoubleCommitVote,
            Self::DoubleTimeout { .. } => OffenceKind::DoubleTimeout,
            Self::CommitAfterTimeout { .. } => OffenceKind::CommitAfterTimeout,
            Self::WrongShares(_) => OffenceKind::WrongShares,
        }
    }

    /// Whether the messages contradict each other, or what must be, and are in order, as far as it
    /// shows without keys.
    pub fn is_contradiction(&self) -> bool {
        match self {
            Self::DoubleVote { first, second, .. } => {
                (first.height, first.block) < (second.height, second.block)
            }
            Self::DoubleTimeout { first, second, .. } => first.high_qc_view < second.high_qc_view,
            Self::CommitAfterTimeout {
                timeout_view,
                timeout,
                commit_view,
                ..
            } => timeout.high_qc_view < *commit_view && commit_view <= timeout_view,
            Self::WrongShares(wrong) => {
                let points = wrong.sealed.len();
                wrong.part < wrong.parts
                    && points == wrong.shares.len()
                    && (1..=limits::SHARE_PART_ENVELOPES_MAX).contains(&points)
            }
        }
    }
}
