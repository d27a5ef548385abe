//! A batch as validators hold it: the manifest everywhere, the bodies in shards.
//!
//! The bodies of a batch are coded as one piece of data, one after the other in the order of the
//! envelopes; their lengths are in the manifest. A batch is *inconsistent* if its shard root is of
//! no codeword of that length, or if a body cut out of what it is of is not the one that its
//! envelope's header names. Both are its author's doing, who had the bodies when it signed; both
//! are found by whoever rebuilds, from whichever shards, and shown to others by those shards.

use bincode::{Decode, Encode};
use conclave_types::{
    Batch, BatchRef, Domain, Envelope, EnvelopeHeader, Manifest, RollupContents, Threshold,
};

use crate::erasure::{CodeShape, Coder, Codeword, RebuildError, Rebuilt, Shard};
use crate::merkle;

/// What a batch's shards turn out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebuiltBatch {
    /// The batch with its bodies.
    Whole(Batch),
    /// No bodies belong to it. Everybody who rebuilds it comes to this.
    Inconsistent,
}

/// What shows to everybody that a batch is inconsistent; the certificate shows whose it is, since a
/// validator signs "stored" for what it had from the author only.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InconsistentBatch {
    pub batch: BatchRef,
    pub envelopes: Vec<EnvelopeHeader>,
    /// f+1 of the batch's shards.
    pub shards: Vec<Shard>,
}

/// The commitment to envelopes, which must be grouped by rollup in ascending order.
pub fn batch_contents(envelopes: &[EnvelopeHeader]) -> Vec<RollupContents> {
    let groups = envelopes.chunk_by(|a, b| a.core.rollup == b.core.rollup);
    let contents = groups.map(|group| {
        let ids: Vec<_> = group.iter().map(|header| header.id().0).collect();
        RollupContents {
            rollup: group[0].core.rollup,
            count: group.len() as u32,
            root: merkle::root(&ids),
        }
    });
    contents.collect()
}

impl CodeShape {
    /// How a batch's bodies are coded; `None` when they are longer than a batch may be.
    pub fn of(threshold: Threshold, manifest: &Manifest) -> Option<Self> {
        let bytes = usize::try_from(manifest.body_bytes()).ok()?;
        Self::new(threshold, bytes)
    }
}

impl Coder {
    /// Codes the bodies of envelopes; `None` when they are longer than a batch may be. CPU-heavy.
    pub fn disperse(&mut self, threshold: Threshold, envelopes: &[Envelope]) -> Option<Codeword> {
        let bodies = envelopes.iter().map(|envelope| envelope.body.as_slice());
        let shape = CodeShape::new(threshold, bodies.clone().map(<[u8]>::len).sum())?;
        Some(self.encode(shape, bodies))
    }

    /// Gives a batch its bodies back from f+1 of its shards. CPU-heavy.
    ///
    /// A manifest of more bytes than a batch may have is inconsistent too; no honest validator
    /// signs "stored" for one.
    pub fn rebuild_batch(
        &mut self,
        threshold: Threshold,
        manifest: &Manifest,
        shards: &[Shard],
    ) -> Result<RebuiltBatch, RebuildError> {
        let Some(shape) = CodeShape::of(threshold, manifest) else {
            return Ok(RebuiltBatch::Inconsistent);
        };
        let rebuilt = self.rebuild(shape, &manifest.header.shards, shards)?;
        let envelopes = match rebuilt {
            Rebuilt::Data(data) => cut(manifest, &data),
            Rebuilt::Inconsistent => None,
        };
        Ok(match envelopes {
            Some(envelopes) => RebuiltBatch::Whole(Batch {
                header: manifest.header.clone(),
                envelopes,
            }),
            None => RebuiltBatch::Inconsistent,
        })
    }
}

impl InconsistentBatch {
    /// Whether it shows what it claims, under a certificate that the caller has verified: the
    /// envelopes are the batch's, and its shards lead to no bodies. CPU-heavy.
    pub fn holds(&self, threshold: Threshold, coder: &mut Coder) -> bool {
        let manifest = Manifest {
            header: self.batch.header.clone(),
            envelopes: self.envelopes.clone(),
        };
        batch_contents(&manifest.envelopes) == manifest.header.contents
            && coder.rebuild_batch(threshold, &manifest, &self.shards)
                == Ok(RebuiltBatch::Inconsistent)
    }
}

/// The envelopes with their bodies, if each body is the header's.
fn cut(manifest: &Manifest, mut data: &[u8]) -> Option<Vec<Envelope>> {
    let envelopes = manifest.envelopes.iter().map(|header| {
        let (body, rest) = data.split_at_checked(header.body_bytes as usize)?;
        data = rest;
        let named = Domain::EnvelopeBody.digest(body) == header.body_digest;
        named.then(|| Envelope {
            header: header.clone(),
            body: body.to_vec(),
        })
    });
    envelopes.collect()
}

#[cfg(test)]
mod tests;
