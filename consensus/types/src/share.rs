//! Decryption shares and openings.

use bincode::{Decode, Encode};

use crate::{
    BlockId, Digest, EdSignature, EnvelopeId, Epoch, Height, Point, Scalar, ValidatorIndex,
};

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

/// Which of a lane's envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum ShareGroup {
    /// All of them.
    Whole,
    /// Those that this validator combines before anybody else does.
    Of(ValidatorIndex),
}

/// Which envelopes of which committed block shares are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct ShareContext {
    /// The committed block.
    pub block: BlockId,
    /// Its height.
    pub height: Height,
    /// Which of its envelopes.
    pub lane: ShareLane,
    /// Which of those.
    pub group: ShareGroup,
}

/// One validator's shares of one group of envelopes of a committed block, signed.
///
/// Envelopes are taken in *parts* of up to [`SHARE_PART_ENVELOPES_MAX`] in order, each with a proof
/// of its own per key share, so that a wrong share can be shown to others by the part it is in.
///
/// [`SHARE_PART_ENVELOPES_MAX`]: crate::limits::SHARE_PART_ENVELOPES_MAX
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShareBundle {
    pub context: ShareContext,
    pub signer: ValidatorIndex,
    /// Of each part: the digest of its envelopes' points C.
    pub lists: Vec<Digest>,
    /// For each of the signer's key shares, in order: its point x_i·C for each envelope, in order.
    pub shares: Vec<Vec<Point>>,
    /// For each key share: one proof per part.
    pub proofs: Vec<Vec<BatchedDleq>>,
    /// By the signer's transport key, over all of the above.
    pub signature: EdSignature,
}

impl ShareBundle {
    /// Whether there is no share in it: it opens nothing, whoever signed it.
    pub fn is_empty(&self) -> bool {
        self.shares.iter().all(Vec::is_empty)
    }
}

/// The recovered group element of an envelope, checkable by all against its header.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Opening {
    pub envelope: EnvelopeId,
    pub m: Point,
}
