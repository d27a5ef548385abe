//! Coding batches and rebuilding them: the CPU-heavy part of dispersal.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_crypto::{CodeShape, Coder, Committee, RebuiltBatch, Shard};
use conclave_types::{Batch, BatchId, Manifest, ValidatorIndex};

use crate::bodies::Body;

/// What a batch's author sends to one validator.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Dispersal {
    pub manifest: Arc<Manifest>,
    /// As many as the receiver's weight, in order.
    pub shards: Vec<Shard>,
}

/// What a batch's shards came to.
#[derive(Debug)]
pub struct Rebuilt {
    pub(crate) id: BatchId,
    /// `None` when there were too few that are proven.
    pub(crate) body: Option<Body>,
    /// Who sent one that is not.
    pub(crate) liars: Vec<ValidatorIndex>,
}

/// Codes a batch, names the shards' root in its header, and cuts it for the committee, in order.
pub(crate) fn encode(
    coder: &mut Coder,
    committee: &Committee,
    mut batch: Box<Batch>,
) -> (Arc<Batch>, Vec<Arc<Dispersal>>) {
    let Some(codeword) = coder.disperse(committee.threshold, &batch.envelopes) else {
        unreachable!("the mempool fills no batch above its bound");
    };
    batch.header.shards = codeword.root();
    let manifest = Arc::new(batch.manifest());
    let dispersals = committee.indices().map(|index| {
        Arc::new(Dispersal {
            manifest: manifest.clone(),
            shards: codeword.shards(committee.share_positions(index)),
        })
    });
    let dispersals = dispersals.collect();
    (Arc::from(batch), dispersals)
}

/// Whether the shards are the validator's, all of them, and proven.
pub(crate) fn is_complete(
    committee: &Committee,
    validator: ValidatorIndex,
    dispersal: &Dispersal,
) -> bool {
    let Some(shape) = CodeShape::of(committee.threshold, &dispersal.manifest) else {
        return false;
    };
    let positions = committee.share_positions(validator).map(|at| at as u64);
    positions.eq(dispersal.shards.iter().map(Shard::position))
        && dispersal
            .shards
            .iter()
            .all(|shard| shard.is_proven(shape, &dispersal.manifest.header.shards))
}

/// Rebuilds a batch from the shards of several validators, each of its own place: a sender that
/// passes on what another one holds would leave the askers short for ever.
pub(crate) fn rebuild(
    coder: &mut Coder,
    committee: &Committee,
    manifest: &Manifest,
    mut sent: Vec<(ValidatorIndex, Vec<Shard>)>,
) -> Rebuilt {
    let threshold = committee.threshold;
    let id = manifest.header.id();
    let Some(shape) = CodeShape::of(threshold, manifest) else {
        unreachable!("a manifest above the bound was taken up");
    };
    let mut liars = Vec::new();
    sent.retain(|(sender, shards)| {
        let root = &manifest.header.shards;
        let places = committee.share_positions(*sender).map(|at| at as u64);
        let honest = places.eq(shards.iter().map(Shard::position))
            && shards.iter().all(|shard| shard.is_proven(shape, root));
        if !honest {
            liars.push(*sender);
        }
        honest
    });
    let mut shards: Vec<Shard> = sent.into_iter().flat_map(|(_, shards)| shards).collect();
    shards.truncate(shape.needed());
    let body = match coder.rebuild_batch(threshold, manifest, &shards) {
        Ok(RebuiltBatch::Whole(batch)) => Some(Body::Whole(Arc::new(batch))),
        Ok(RebuiltBatch::Inconsistent) => Some(Body::Inconsistent(Arc::new(shards))),
        Err(_) => None,
    };
    Rebuilt { id, body, liars }
}
