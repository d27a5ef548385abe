//! Batches: the unit of dispersal, packed by one validator.

use bincode::{Decode, Encode};

use crate::ids::digest_id;
use crate::{
    ChainId, Digest, Domain, Envelope, EnvelopeHeader, Epoch, RollupId, SignatureSet,
    ValidatorIndex, codec,
};

digest_id! {
    /// The digest of a batch's header.
    BatchId;
}

/// One rollup's envelopes in a batch: how many, and the Merkle root of their ids in order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RollupContents {
    pub rollup: RollupId,
    pub count: u32,
    pub root: Digest,
}

/// What a batch commits to; the contents are sorted by rollup, which is what completeness proofs
/// rest on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BatchHeader {
    pub chain: ChainId,
    pub epoch: Epoch,
    pub author: ValidatorIndex,
    /// The author's own counter, so that equal contents make different batches.
    pub sequence: u64,
    pub contents: Vec<RollupContents>,
    /// The Merkle root of the n shards of the bodies, each hashed in [`Domain::Shard`]. Any f+1 of
    /// them give the bodies back, one after the other in the order of the envelopes.
    pub shards: Digest,
}

/// A batch without its bodies: all that ordering and opening need, held by every validator.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    pub header: BatchHeader,
    /// Grouped by rollup in the order of `header.contents`.
    pub envelopes: Vec<EnvelopeHeader>,
}

/// A batch with its envelopes, grouped by rollup in the order of `header.contents`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    pub header: BatchHeader,
    pub envelopes: Vec<Envelope>,
}

/// A batch as a block refers to it: the header and 2f+1 "stored" signatures over its id. This is
/// the availability certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BatchRef {
    pub header: BatchHeader,
    pub stored: SignatureSet,
}

impl Batch {
    /// The batch without its bodies.
    pub fn manifest(&self) -> Manifest {
        let headers = self.envelopes.iter().map(|e| e.header.clone());
        Manifest {
            header: self.header.clone(),
            envelopes: headers.collect(),
        }
    }
}

impl Manifest {
    /// The bytes of all bodies together.
    pub fn body_bytes(&self) -> u64 {
        let bytes = self.envelopes.iter().map(|e| u64::from(e.body_bytes));
        bytes.sum()
    }
}

impl BatchHeader {
    /// The batch's id.
    pub fn id(&self) -> BatchId {
        BatchId(Domain::Batch.digest(&codec::encode(self)))
    }

    /// The number of envelopes of all rollups.
    pub fn envelopes(&self) -> u64 {
        self.contents
            .iter()
            .map(|contents| u64::from(contents.count))
            .sum()
    }
}
