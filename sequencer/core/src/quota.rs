//! What each author may have us keep: batches that we signed "stored" for and that no final block
//! holds.
//!
//! A certificate takes signatures of honest weight f+1 at least, so an author whose honest signers
//! each keep M batches has less than 2M certificates, whoever else signs what it likes. Nobody
//! therefore has to drop a certificate, and every leader can hold all that there are.

use std::collections::BTreeMap;

use conclave_types::{BatchId, Epoch, Manifest, ValidatorIndex, limits};

/// What of its quota an author uses itself: others learn a little later what was ordered.
const OWN_PART: usize = 2;

/// One author's unordered batches.
#[derive(Debug, Default)]
struct Kept {
    batches: BTreeMap<BatchId, Share>,
    bytes: u64,
}

/// What one batch takes of its author's quota.
#[derive(Debug, Clone, Copy)]
struct Share {
    epoch: Epoch,
    sequence: u64,
    /// Of its bodies.
    bytes: u64,
}

impl Kept {
    fn retain(&mut self, keeps: impl Fn(&Share) -> bool) {
        self.batches.retain(|_, share| keeps(share));
        self.bytes = self.batches.values().map(|share| share.bytes).sum();
    }
}

/// All authors' unordered batches.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    authors: BTreeMap<ValidatorIndex, Kept>,
}

impl Quotas {
    /// Whether we keep one more batch of its author, while `checking` others may be added soon.
    pub(crate) fn admits(&self, manifest: &Manifest, checking: usize) -> bool {
        let (batches, bytes) = self.used(manifest.header.author);
        batches + checking < limits::AUTHOR_BATCHES_MAX
            && bytes + manifest.body_bytes() <= limits::AUTHOR_BYTES_MAX
    }

    /// Whether an author has reached the part of its quota that it uses itself, with `leaving`
    /// batches on their way.
    pub(crate) fn is_exhausted(&self, own: ValidatorIndex, leaving: usize) -> bool {
        let (batches, bytes) = self.used(own);
        batches + leaving >= limits::AUTHOR_BATCHES_MAX / OWN_PART
            || bytes >= limits::AUTHOR_BYTES_MAX / OWN_PART as u64
    }

    /// We hold our shards of it, durable before anything that leaves from now on.
    pub(crate) fn keep(&mut self, id: BatchId, manifest: &Manifest) {
        let kept = self.authors.entry(manifest.header.author).or_default();
        let bytes = manifest.body_bytes();
        let share = Share {
            epoch: manifest.header.epoch,
            sequence: manifest.header.sequence,
            bytes,
        };
        if kept.batches.insert(id, share).is_none() {
            kept.bytes += bytes;
        }
    }

    /// Forgets those of an author's batches whose sequence numbers can be ordered no more.
    pub(crate) fn forget(&mut self, author: ValidatorIndex, over: impl Fn(u64) -> bool) {
        let Some(kept) = self.authors.get_mut(&author) else {
            return;
        };
        kept.retain(|share| !over(share.sequence));
        if kept.batches.is_empty() {
            self.authors.remove(&author);
        }
    }

    /// Forgets those of earlier epochs than this.
    pub(crate) fn abandon_before(&mut self, epoch: Epoch) {
        self.authors.retain(|_, kept| {
            kept.retain(|share| share.epoch >= epoch);
            !kept.batches.is_empty()
        });
    }

    fn used(&self, author: ValidatorIndex) -> (usize, u64) {
        let kept = self.authors.get(&author);
        kept.map_or((0, 0), |kept| (kept.batches.len(), kept.bytes))
    }
}
