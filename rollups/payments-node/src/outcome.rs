//! What a payment came to, as it is stored, counted and shown.

use bincode::{Decode, Encode};
use conclave_payments::{ExclusionReason, Outcome};
use serde::{Deserialize, Serialize};

/// The outcome of one ordered transaction.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Money moved.
    Applied,
    /// The nonce advanced; the sender could not pay.
    InsufficientBalance,
    /// No effect: another nonce was due.
    WrongNonce,
    /// No effect: the account has another owner root.
    OwnerMismatch,
    /// No effect: the sender's slot is empty.
    AbsentSender,
    /// No effect: another key holds the receiver's slot.
    ReceiverSlotTaken,
    /// No effect: the receiver's balance would reach 2^62. The bound on the supply keeps this from
    /// ever happening.
    BalanceOverflow,
    /// Excluded: the bytes are no payment.
    Undecodable,
    /// Excluded: ordered above its expiry height.
    Expired,
    /// Excluded: the signature is not of the stated owner.
    BadSignature,
}

impl OutcomeKind {
    /// Every outcome, in the order in which counts are stored.
    pub const ALL: [Self; 10] = [
        Self::Applied,
        Self::InsufficientBalance,
        Self::WrongNonce,
        Self::OwnerMismatch,
        Self::AbsentSender,
        Self::ReceiverSlotTaken,
        Self::BalanceOverflow,
        Self::Undecodable,
        Self::Expired,
        Self::BadSignature,
    ];

    /// The name in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::InsufficientBalance => "insufficient_balance",
            Self::WrongNonce => "wrong_nonce",
            Self::OwnerMismatch => "owner_mismatch",
            Self::AbsentSender => "absent_sender",
            Self::ReceiverSlotTaken => "receiver_slot_taken",
            Self::BalanceOverflow => "balance_overflow",
            Self::Undecodable => "undecodable",
            Self::Expired => "expired",
            Self::BadSignature => "bad_signature",
        }
    }

    /// One sentence for people.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Applied => "the payment was applied",
            Self::InsufficientBalance => {
                "the sender could not pay amount and fee; its nonce advanced"
            }
            Self::WrongNonce => "the sender's account was at another nonce",
            Self::OwnerMismatch => "the sender's account has another owner root",
            Self::AbsentSender => "the sender's slot holds no account",
            Self::ReceiverSlotTaken => "another key holds the receiver's slot",
            Self::BalanceOverflow => "the receiver's balance would reach 2^62",
            Self::Undecodable => "the ordered bytes are no payment",
            Self::Expired => "the payment was ordered above its expiry height",
            Self::BadSignature => "the signature is not of the stated owner",
        }
    }

    /// Whether the sender's account changed.
    pub const fn advances(self) -> bool {
        matches!(self, Self::Applied | Self::InsufficientBalance)
    }

    /// The position in [`ALL`](Self::ALL).
    pub(crate) const fn position(self) -> usize {
        self as usize
    }
}

impl From<Outcome> for OutcomeKind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::InsufficientBalance => Self::InsufficientBalance,
            Outcome::WrongNonce => Self::WrongNonce,
            Outcome::OwnerMismatch => Self::OwnerMismatch,
            Outcome::AbsentSender => Self::AbsentSender,
            Outcome::ReceiverSlotTaken => Self::ReceiverSlotTaken,
            Outcome::BalanceOverflow => Self::BalanceOverflow,
            Outcome::Excluded(reason) => reason.into(),
        }
    }
}

impl From<ExclusionReason> for OutcomeKind {
    fn from(reason: ExclusionReason) -> Self {
        match reason {
            ExclusionReason::Undecodable => Self::Undecodable,
            ExclusionReason::Expired => Self::Expired,
            ExclusionReason::BadSignature => Self::BadSignature,
        }
    }
}
