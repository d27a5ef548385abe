//! Proof that a validator broke a rule of agreement: signed messages that no honest validator signs
//! together. What makes one valid is checked in `conclave-light`.

use bincode::{Decode, Encode};

use crate::{BlockId, BlsSignature, Epoch, Height, ValidatorIndex, View, VoteKind};

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

/// Which rule was broken, and the two signed messages that show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
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
}

/// The kinds of [`Offence`], of which a validator is accused once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffenceKind {
    DoublePrepareVote,
    DoubleCommitVote,
    DoubleTimeout,
    CommitAfterTimeout,
}

/// Evidence against one validator, in one encoding: the pair is in order. Its size is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
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
        }
    }

    /// Whether the two messages contradict each other and are in order, if their signatures are
    /// right.
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
        }
    }
}
