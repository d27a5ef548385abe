//! Blocks and proposals.

use bincode::{Decode, Encode};

use crate::ids::digest_id;
use crate::{
    BatchRef, BlockTime, BlsSignature, ChainId, Digest, Domain, Epoch, Height, QuorumCertificate,
    TimeoutCertificate, ValidatorIndex, View, codec,
};

digest_id! {
    /// The digest of a block's header.
    BlockId;
}

impl BlockId {
    /// The block at height 0, which nobody proposed.
    pub fn genesis(chain: ChainId) -> Self {
        Self(Domain::Block.digest(chain.as_bytes()))
    }
}

/// What is voted on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlockHeader {
    pub chain: ChainId,
    pub epoch: Epoch,
    pub view: View,
    pub height: Height,
    /// The block that this one's justification certifies.
    pub parent: BlockId,
    /// The view of that justification, so that views lost between two blocks show in the chain.
    pub parent_view: View,
    pub proposer: ValidatorIndex,
    pub time: BlockTime,
    /// [`Block::payload_digest`] of the batches.
    pub payload: Digest,
    /// The height whose ledger root this header names, a few blocks back.
    pub ledger_height: Height,
    pub ledger_root: Digest,
    /// On an epoch's last block, and on no other: the digest of the next epoch's
    /// [`EpochSetup`](crate::EpochSetup).
    pub next_epoch: Option<Digest>,
}

/// A header and the batches it orders, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Block {
    pub header: BlockHeader,
    pub batches: Vec<BatchRef>,
}

/// A block with what justifies it in its view.
///
/// An epoch's last block is proposed again, as it is, in later views while it lacks its commit
/// certificate: then `justify` certifies the block itself, and the proposal's view is not the
/// header's.
///
/// The signature is the leader's own prepare vote for the block: two different ones for one view
/// are the evidence of an equivocation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    pub block: Block,
    /// Certifies the parent, or the block itself.
    pub justify: QuorumCertificate,
    /// Of the view before, when no quorum certificate was formed in it.
    pub timeout: Option<TimeoutCertificate>,
    pub signature: BlsSignature,
}

impl Proposal {
    /// Whether the certified block is proposed again.
    pub fn is_repeated(&self) -> bool {
        self.justify.block == self.block.id()
    }

    /// The view that it is for.
    pub fn view(&self) -> View {
        if !self.is_repeated() {
            return self.block.header.view;
        }
        let before = match &self.timeout {
            None => self.justify.view,
            Some(tc) => tc.view,
        };
        View(before.0.saturating_add(1))
    }
}

impl BlockHeader {
    /// The block's id.
    pub fn id(&self) -> BlockId {
        BlockId(Domain::Block.digest(&codec::encode(self)))
    }
}

impl Block {
    /// The block's id, which covers the batches through the header's `payload`.
    pub fn id(&self) -> BlockId {
        self.header.id()
    }

    /// The digest of a list of batches. The aggregate signatures are covered too: a block has
    /// one encoding.
    pub fn payload_digest(batches: &[BatchRef]) -> Digest {
        let mut hasher = Domain::BlockPayload.hasher();
        for batch in batches {
            hasher = hasher.part(&codec::encode(batch));
        }
        hasher.digest()
    }
}
