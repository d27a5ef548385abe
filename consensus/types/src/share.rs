//! Decryption shares and openings.

use bincode::{Decode, Encode};

use crate::{BlockId, EnvelopeId, Epoch, Height, Point, Scalar, ValidatorIndex};

/// Which of a block's envelopes a bundle of shares is about: those of one kind that are sealed to
/// one epoch's key, whose committee holds the shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct ShareLane {
    pub kind: LaneKind,
    /// The epoch of the key.
    pub key: Epoch,
}

/// Why envelopes of a block open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum LaneKind {
    /// The envelopes that this block orders and that open on commit.
    OnCommit,
    /// The bids of the auctions that this block closes.
    AtClose,
    /// Those found malformed: parts of their opening certificates.
    Malformed,
}

impl LaneKind {
    /// The lane of this kind for envelopes sealed to that epoch's key.
    pub const fn of(self, key: Epoch) -> ShareLane {
        ShareLane { kind: self, key }
    }
}

/// Chaum–Pedersen proof that one key share made all of a list of shares, batched by weights
/// derived from the list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BatchedDleq {
    pub challenge: Scalar,
    pub response: Scalar,
}

/// One validator's shares of one lane of one committed block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShareBundle {
    pub block: BlockId,
    pub height: Height,
    pub lane: ShareLane,
    pub signer: ValidatorIndex,
    /// For each of the signer's key shares, in order: its point x_i·C for each envelope of the
    /// lane, in order.
    pub shares: Vec<Vec<Point>>,
    /// One proof per key share.
    pub proofs: Vec<BatchedDleq>,
}

/// The recovered group element of an envelope, checkable by all against its header.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Opening {
    pub envelope: EnvelopeId,
    pub m: Point,
}
