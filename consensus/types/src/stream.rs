//! A rollup's stream: what became of every envelope for it, chained into one digest.
//!
//! ```text
//! entries of a block ──▶ StreamLink { height, H(entries) } ──▶ digest = H(digest before, link)
//! ```
//!
//! A digest fixes everything before it: each link's hash names the digest before, so whoever knows
//! that the last one is right and hashes forward to it knows every link on the way, and also the
//! digest that the way began with.

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::{Digest, Domain, EnvelopeId, Height, StateRoot, TxIndex, codec};

/// What became of an envelope, as its rollup's stream tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum StreamOutcome {
    /// Transactions `first .. first + transactions` of the rollup.
    Opened { first: TxIndex, transactions: u32 },
    /// The fee was given back: the author of the batch coded no bodies that belong to it.
    Inconsistent,
    /// The seal holds no right key.
    Malformed,
    /// The body does not decrypt under its key.
    Undecryptable,
    /// The plaintext is no list of transactions.
    Undecodable,
    /// Charged and without effect.
    Void,
    /// A bid that opens at its auction's close.
    Held,
    /// Not charged: the payer's sequence number was used.
    Duplicate,
    /// Not charged: the sequence number is more than a window behind the newest.
    SequenceTooOld,
    /// Not charged: the fee account did not cover the fee.
    Unpaid,
    /// Not charged: ordered past its expiry.
    Expired,
    /// Not charged: the expiry is further ahead than copies are remembered.
    ExpiryTooFar,
    /// Not charged: sealed to a key of another epoch.
    WrongEpoch,
    /// A system operation that was carried out.
    Done,
    /// A system operation that changed nothing.
    Failed,
    /// Not charged: the fee was higher than the payer would pay.
    FeeTooLow,
}

/// One envelope in a rollup's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct DeliveredEntry {
    pub envelope: EnvelopeId,
    pub outcome: StreamOutcome,
    /// [`Domain::EnvelopeBody`] of the plaintext or plain body; zero when there is none.
    pub plaintext: Digest,
}

/// What one block adds to a stream's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct StreamLink {
    pub height: Height,
    /// Over the block's entries, in order.
    pub entries: Digest,
}

/// How far a rollup's stream goes, and the chain of digests that binds all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize)]
pub struct Stream {
    /// The height that registered the rollup. The stream holds every envelope that later blocks
    /// order for the rollup, and none before.
    pub registered: Height,
    /// The index that the next transaction gets.
    pub next: TxIndex,
    /// Of the last link; zero before the first.
    pub digest: Digest,
    /// The last height that ordered anything for the rollup.
    pub height: Height,
}

/// What of a rollup is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Settled {
    pub root: StateRoot,
    /// The first transaction that is not settled.
    pub next: TxIndex,
    /// The height that ordered the last settled transaction.
    pub height: Height,
}

impl StreamOutcome {
    /// The outcomes that have no numbers.
    const BARE: [Self; 15] = [
        Self::Inconsistent,
        Self::Malformed,
        Self::Undecryptable,
        Self::Undecodable,
        Self::Void,
        Self::Held,
        Self::Duplicate,
        Self::SequenceTooOld,
        Self::Unpaid,
        Self::Expired,
        Self::ExpiryTooFar,
        Self::WrongEpoch,
        Self::Done,
        Self::Failed,
        Self::FeeTooLow,
    ];

    /// The word for it in the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Inconsistent => "inconsistent",
            Self::Malformed => "malformed",
            Self::Undecryptable => "undecryptable",
            Self::Undecodable => "undecodable",
            Self::Void => "void",
            Self::Held => "held",
            Self::Duplicate => "duplicate",
            Self::SequenceTooOld => "sequence_too_old",
            Self::Unpaid => "unpaid",
            Self::Expired => "expired",
            Self::ExpiryTooFar => "expiry_too_far",
            Self::WrongEpoch => "wrong_epoch",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::FeeTooLow => "fee_too_low",
        }
    }

    /// The outcome with this name, but for `opened`, which has numbers.
    pub fn named(name: &str) -> Option<Self> {
        Self::BARE.into_iter().find(|bare| bare.name() == name)
    }

    /// Whether an entry of this outcome carries the digest of a plaintext.
    pub const fn has_plaintext(&self) -> bool {
        matches!(
            self,
            Self::Opened { .. } | Self::Undecodable | Self::Done | Self::Failed
        )
    }
}

impl StreamLink {
    /// The link of a block with these entries.
    pub fn new(height: Height, entries: &[DeliveredEntry]) -> Self {
        let mut hasher = Domain::StreamEntries.hasher();
        for entry in entries {
            hasher = hasher.part(&codec::encode(entry));
        }
        Self {
            height,
            entries: hasher.digest(),
        }
    }

    /// The stream's digest after this link.
    pub fn digest(&self, previous: &Digest) -> Digest {
        Domain::RollupStream
            .hasher()
            .part(&previous.0)
            .part(&self.height.0.to_le_bytes())
            .part(&self.entries.0)
            .digest()
    }
}
