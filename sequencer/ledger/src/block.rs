//! What goes into an execution and what comes out.

use bincode::{Decode, Encode};
use conclave_types::{
    BlockTime, DeliveredEntry, Digest, EnvelopeHeader, EnvelopeId, Epoch, Height, Point, RollupId,
    StreamOutcome, TxIndex, ValidatorIndex,
};
use serde::Serialize;

use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::fees::{Disposition, FeeChange, OrderedBlock};

/// What is known of an envelope's contents when its block executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The body of a plain envelope.
    Plain(Vec<u8>),
    /// The plaintext without its padding, and the opened group element.
    Opened { plaintext: Vec<u8>, m: Point },
    /// An opening certificate shows that the seal is malformed.
    Malformed,
    /// The opening is right and the body does not decrypt under it.
    UndecryptableBody { m: Point },
    /// A bid, sealed until its auction's close.
    Held,
    /// Ordered without being accepted.
    NotOpened,
    /// The author of its batch coded no bodies that belong to it.
    Inconsistent,
}

/// One envelope of a block, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub header: EnvelopeHeader,
    /// The author of the batch that carries it.
    pub author: ValidatorIndex,
    pub content: Content,
}

/// The opening of a held bid whose auction closes in the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBid {
    pub envelope: EnvelopeId,
    /// `Opened`, `Malformed` or `UndecryptableBody`.
    pub content: Content,
}

/// A committed block with all its openings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutableBlock {
    pub height: Height,
    pub epoch: Epoch,
    pub time: BlockTime,
    pub proposer: ValidatorIndex,
    /// The height whose ledger root the block's header names.
    pub ledger_height: Height,
    /// All envelopes of all batches, in order.
    pub entries: Vec<Entry>,
    /// The held bids of every auction that [`crate::Ledger::closing`] names for this block.
    pub bids: Vec<ClosedBid>,
}

/// What became of an envelope in its rollup's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum Outcome {
    /// Not charged and not opened.
    Refused(Disposition),
    /// Charged and never opened.
    Void,
    /// A bid that opens at its auction's close.
    Held,
    /// The fee was given back: the batch's author coded no bodies that belong to it.
    Inconsistent,
    /// The seal was malformed.
    Malformed,
    /// The body does not decrypt.
    UndecryptableBody,
    /// The plaintext is no list of transactions.
    Undecodable,
    /// Transactions `first .. first + transactions` of the rollup.
    Delivered { first: TxIndex, transactions: u32 },
    /// A system operation that was carried out.
    Done,
    /// A system operation that changed nothing.
    Failed(OpError),
}

/// What one block delivers to one rollup: every envelope for it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Delivery {
    pub rollup: RollupId,
    pub height: Height,
    /// The index of the first of `transactions`.
    pub first: TxIndex,
    pub entries: Vec<DeliveredEntry>,
    /// All transactions of the entries, in order. Empty for the system rollup.
    pub transactions: Vec<Vec<u8>>,
    /// The stream's digest after this delivery.
    pub digest: Digest,
}

/// The result of executing a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    pub height: Height,
    /// One per entry.
    pub dispositions: Vec<Disposition>,
    /// One per entry.
    pub outcomes: Vec<Outcome>,
    /// Ascending by rollup.
    pub deliveries: Vec<Delivery>,
    /// For [`crate::FeeLedger::queue`] of a fee ledger that runs ahead.
    pub fee_changes: Vec<FeeChange>,
    pub events: Vec<LedgerEvent>,
    pub state_root: Digest,
}

impl ExecutableBlock {
    /// What the order phase sees of it.
    pub const fn ordered(&self) -> OrderedBlock {
        OrderedBlock {
            height: self.height,
            epoch: self.epoch,
            time: self.time,
            proposer: self.proposer,
            ledger_height: self.ledger_height,
        }
    }
}

impl Outcome {
    /// What a rollup's stream tells of it. Why a system operation failed is in the events.
    pub const fn in_stream(self) -> StreamOutcome {
        match self {
            Self::Refused(disposition) => match disposition {
                Disposition::Duplicate => StreamOutcome::Duplicate,
                Disposition::SequenceTooOld => StreamOutcome::SequenceTooOld,
                Disposition::Unpaid => StreamOutcome::Unpaid,
                Disposition::Expired => StreamOutcome::Expired,
                Disposition::ExpiryTooFar => StreamOutcome::ExpiryTooFar,
                Disposition::WrongEpoch => StreamOutcome::WrongEpoch,
                Disposition::FeeTooLow => StreamOutcome::FeeTooLow,
                // Whatever was charged is not refused.
                Disposition::Accepted { .. } | Disposition::Void { .. } => StreamOutcome::Void,
            },
            Self::Void => StreamOutcome::Void,
            Self::Held => StreamOutcome::Held,
            Self::Inconsistent => StreamOutcome::Inconsistent,
            Self::Malformed => StreamOutcome::Malformed,
            Self::UndecryptableBody => StreamOutcome::Undecryptable,
            Self::Undecodable => StreamOutcome::Undecodable,
            Self::Delivered {
                first,
                transactions,
            } => StreamOutcome::Opened {
                first,
                transactions,
            },
            Self::Done => StreamOutcome::Done,
            Self::Failed(_) => StreamOutcome::Failed,
        }
    }
}
