//! Why a payment or a faucet request is refused at once. Nothing was stored.

use conclave_payments::ExclusionReason;

/// A refusal in the house form: `[code] what was wrong; what to do`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no payment, or it is expired or badly signed.
    #[error(transparent)]
    Excluded(#[from] ExclusionReason),
    /// Another nonce is due.
    #[error("[CV-PAY-120] nonce {found} where {expected} is due; sign again with nonce {expected}")]
    WrongNonce { expected: u64, found: u64 },
    /// The account has another owner root.
    #[error(
        "[CV-PAY-121] slot {slot} is owned by {owner}; sign with that tree, or wait for your rotation"
    )]
    OwnerMismatch { slot: u32, owner: String },
    /// No account in the sender's slot.
    #[error("[CV-PAY-122] slot {slot} holds no account; have it credited first")]
    AbsentSender { slot: u32 },
    /// The sender cannot pay.
    #[error(
        "[CV-PAY-123] the payment takes {total}, but slot {slot} can spend {spendable}; pay less or wait for money on its way"
    )]
    InsufficientBalance {
        slot: u32,
        total: u64,
        spendable: u64,
    },
    /// Another key holds the receiver's slot.
    #[error(
        "[CV-PAY-124] slot {slot} belongs to another key; ask the receiver for its slot, or choose a free one"
    )]
    ReceiverSlotTaken { slot: u32 },
    /// The expiry leaves too little time to be ordered.
    #[error(
        "[CV-PAY-125] the payment expires at height {expiry} and the chain is at {height}; sign with an expiry of {wanted} or more"
    )]
    ExpiresTooSoon {
        expiry: u64,
        height: u64,
        wanted: u64,
    },
    /// A payment with this sender and nonce is on its way.
    #[error(
        "[CV-PAY-126] payment {pending} of slot {slot} has this nonce already; wait for its outcome"
    )]
    NonceTaken { slot: u32, pending: String },
    /// Too many payments wait.
    #[error("[CV-PAY-127] {pending} payments wait already; try again in a second")]
    Full { pending: usize },
    /// The node has not caught up with its stream.
    #[error("[CV-PAY-128] the rollup node is not ready: {reason}; try again in a few seconds")]
    NotReady { reason: String },
    /// No such faucet.
    #[error("[CV-PAY-134] this rollup has no faucet; have another account pay you")]
    NoFaucet,
    /// The faucet gave recently.
    #[error("[CV-PAY-135] the faucet gave enough for now; try again in a minute")]
    FaucetLimit,
    /// The faucet could not sign.
    #[error("[CV-PAY-136] the faucet cannot pay: {reason}; try again in a few seconds")]
    FaucetFailed { reason: String },
    /// The node is stopping.
    #[error("[CV-PAY-138] the rollup node is stopping; try again when it runs")]
    Stopping,
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub(crate) const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::NotReady { .. }
                | Self::FaucetLimit
                | Self::FaucetFailed { .. }
                | Self::Stopping
        )
    }
}
