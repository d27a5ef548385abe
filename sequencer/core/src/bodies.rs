//! The batches at hand: their manifests, and what is known of their bodies.
//!
//! ```text
//! Absent ──shards asked for──▶ Absent ──f+1 came──▶ Rebuilding ─┬─▶ Whole
//!    ▲                                                ├─▶ Inconsistent
//!    └────────────── a shard was a lie ───────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use conclave_crypto::Shard;
use conclave_types::{Batch, BatchId, Block, Epoch, Manifest, Signers, ValidatorIndex};

/// Batches kept in memory that no committed block refers to yet.
const BATCHES_HELD_MAX: usize = 512;

/// What a batch's bodies are, once they were rebuilt.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// They are here.
    Whole(Arc<Batch>),
    /// There are none, as these shards show: the author coded something else.
    Inconsistent(Arc<Vec<Shard>>),
}

#[derive(Debug, Clone)]
enum State {
    Absent,
    Rebuilding,
    Rebuilt(Body),
}

#[derive(Debug)]
struct Held {
    manifest: Arc<Manifest>,
    state: State,
    /// We hold our own shards, durable before anything that leaves from now on.
    stored: bool,
}

/// Batches that are not executed yet.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    held: BTreeMap<BatchId, Held>,
    arrivals: VecDeque<BatchId>,
    /// Who sent a shard that its proof does not support. They are not asked again.
    liars: BTreeSet<ValidatorIndex>,
}

impl Bodies {
    /// Takes up a batch; what is known of it already stays.
    pub(crate) fn hold(&mut self, id: BatchId, manifest: Arc<Manifest>) {
        if self.held.contains_key(&id) {
            return;
        }
        let (state, stored) = (State::Absent, false);
        let held = Held {
            manifest,
            state,
            stored,
        };
        self.held.insert(id, held);
        self.arrivals.push_back(id);
    }

    /// Forgets the oldest batches above the bound, but for those that `needed` names; the envelopes
    /// forgotten. What is needed again is fetched from the store.
    pub(crate) fn evict(&mut self, needed: impl Fn(BatchId) -> bool) -> Vec<Arc<Manifest>> {
        let mut evicted = Vec::new();
        while self.arrivals.len() > BATCHES_HELD_MAX {
            if let Some(oldest) = self.arrivals.pop_front()
                && !needed(oldest)
            {
                evicted.extend(self.forget(oldest));
            }
        }
        evicted
    }

    /// Forgets all batches of earlier epochs than this but those that `needed` names.
    pub(crate) fn abandon_before(
        &mut self,
        epoch: Epoch,
        needed: impl Fn(BatchId) -> bool,
    ) -> Vec<(BatchId, Arc<Manifest>)> {
        let (kept, abandoned): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(id, held)| held.manifest.header.epoch >= epoch || needed(*id));
        self.held = kept;
        self.arrivals.retain(|id| self.held.contains_key(id));
        let abandoned = abandoned.into_iter();
        abandoned.map(|(id, held)| (id, held.manifest)).collect()
    }

    /// An author's batches of this epoch and later ones.
    pub(crate) fn by(
        &self,
        author: ValidatorIndex,
        epoch: Epoch,
    ) -> impl Iterator<Item = (BatchId, &Arc<Manifest>)> {
        let held = self.held.iter().filter(move |(_, held)| {
            let header = &held.manifest.header;
            header.author == author && header.epoch >= epoch
        });
        held.map(|(id, held)| (*id, &held.manifest))
    }

    /// Forgets a batch.
    pub(crate) fn forget(&mut self, id: BatchId) -> Option<Arc<Manifest>> {
        self.held.remove(&id).map(|held| held.manifest)
    }

    pub(crate) fn manifest(&self, id: BatchId) -> Option<&Arc<Manifest>> {
        self.held.get(&id).map(|held| &held.manifest)
    }

    /// Notes that our shards of the batch are durable, or will be before anything that leaves from
    /// now on.
    pub(crate) fn store(&mut self, id: BatchId) {
        if let Some(held) = self.held.get_mut(&id) {
            held.stored = true;
        }
    }

    /// Whether we hold our shards of it.
    pub(crate) fn is_stored(&self, id: BatchId) -> bool {
        self.held.get(&id).is_some_and(|held| held.stored)
    }

    /// Whether the bodies are to be fetched.
    pub(crate) fn is_absent(&self, id: BatchId) -> bool {
        let held = self.held.get(&id);
        held.is_some_and(|held| matches!(held.state, State::Absent))
    }

    /// Begins to rebuild; `None` if that is not called for.
    pub(crate) fn rebuild(&mut self, id: BatchId) -> Option<Arc<Manifest>> {
        let held = self.held.get_mut(&id)?;
        if !matches!(held.state, State::Absent) {
            return None;
        }
        held.state = State::Rebuilding;
        Some(held.manifest.clone())
    }

    /// Notes what came of it; `None` if the shards did not suffice.
    pub(crate) fn rebuilt(&mut self, id: BatchId, body: Option<Body>) {
        if let Some(held) = self.held.get_mut(&id) {
            held.state = body.map_or(State::Absent, State::Rebuilt);
        }
    }

    pub(crate) fn body(&self, id: BatchId) -> Option<&Body> {
        match &self.held.get(&id)?.state {
            State::Rebuilt(body) => Some(body),
            State::Absent | State::Rebuilding => None,
        }
    }

    /// The bodies of all batches of a block, once all of them are rebuilt.
    pub(crate) fn of_block(&self, block: &Block) -> Option<BTreeMap<BatchId, Body>> {
        let batches = block.batches.iter().map(|batch| batch.header.id());
        batches
            .map(|id| Some((id, self.body(id)?.clone())))
            .collect()
    }

    /// Notes who lied, and who of the holders may be asked for shards.
    pub(crate) fn accuse(&mut self, liars: &[ValidatorIndex]) {
        self.liars.extend(liars);
    }

    /// The holders that may be asked for shards.
    pub(crate) fn trusted(&self, holders: &Signers) -> Signers {
        let mut trusted = Signers::default();
        for holder in holders.iter().filter(|holder| !self.liars.contains(holder)) {
            trusted.insert(holder);
        }
        trusted
    }
}
