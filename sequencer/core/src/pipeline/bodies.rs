//! Dispersing our batches, and rebuilding everybody's.

use super::*;

impl Sequencer {
    /// Has a batch of ours coded.
    pub(super) fn encode(&mut self, batch: Batch, actions: &mut Vec<Action>) {
        self.encoding += 1;
        let committee = Arc::clone(self.epochs.committee());
        let batch = Box::new(batch);
        actions.push(Action::Work(Work::Encode { batch, committee }));
    }

    /// Sends everybody the manifest and its shards, and starts to collect signatures.
    pub(super) fn disperse(
        &mut self,
        now: u64,
        batch: Arc<Batch>,
        dispersals: Vec<Arc<Dispersal>>,
        actions: &mut Vec<Action>,
    ) {
        if batch.header.epoch != self.epochs.current() {
            return;
        }
        self.encoding -= 1;
        let own = usize::from(self.config.index.0);
        let id = batch.header.id();
        let known = self.availability.is_ordered(&batch.header)
            || self.availability.certificate(id).is_some();
        let Some(dispersal) = dispersals.get(own).cloned().filter(|_| !known) else {
            return;
        };
        self.availability.collect(id, dispersals, now);
        self.availability.expect(id, now);
        self.hold(id, dispersal.manifest.clone());
        self.bodies.rebuilt(id, Some(Body::Whole(batch.clone())));
        actions.push(Action::Batched(dispersal.manifest.clone()));
        for to in self.epochs.committee().indices() {
            self.send_dispersal(id, to, actions);
        }
        let from = self.config.index;
        self.checking_batches.insert(id, from);
        // Without it we could not disperse the batch again after a restart.
        let writes = vec![Write::Batch(id, batch)];
        let work = Work::CheckDispersal {
            from,
            to: from,
            dispersal,
            committee: Arc::clone(self.epochs.committee()),
        };
        actions.push(Action::Durable {
            writes,
            then: Vec::new(),
        });
        actions.push(Action::Work(work));
    }

    /// Sends one validator its part of a batch that collects signatures.
    pub(super) fn send_dispersal(
        &self,
        id: BatchId,
        to: ValidatorIndex,
        actions: &mut Vec<Action>,
    ) {
        if to == self.config.index {
            return;
        }
        if let Some(dispersal) = self.availability.dispersal(id, to) {
            let message = Message::Dispersal(dispersal);
            actions.push(Action::Send { to, message });
        }
    }

    /// Asks for the bodies of a certified batch, unless they are here or on their way.
    pub(super) fn want_body(&self, reference: &BatchRef, actions: &mut Vec<Action>) {
        let id = reference.header.id();
        if let Some(committee) = self.epochs.of(reference.header.epoch)
            && self.bodies.is_absent(id)
        {
            let holders = self.bodies.trusted(&reference.stored.signers);
            let needed = committee.threshold.one_honest();
            actions.push(Action::Fetch(Fetch::Body {
                id,
                epoch: committee.epoch,
                holders,
                needed,
            }));
        }
    }

    /// Shards have come, as many as were asked for.
    pub(super) fn collected(
        &mut self,
        id: BatchId,
        shards: Vec<(ValidatorIndex, Vec<Shard>)>,
        actions: &mut Vec<Action>,
    ) {
        let manifest = self.bodies.manifest(id);
        let committee = manifest.and_then(|manifest| self.epochs.of(manifest.header.epoch));
        let Some(committee) = committee.cloned() else {
            return;
        };
        if let Some(manifest) = self.bodies.rebuild(id) {
            actions.push(Action::Work(Work::Rebuild {
                manifest,
                shards,
                committee,
            }));
        }
    }

    /// The own store holds the whole batch.
    pub(super) fn reread(&mut self, batch: Arc<Batch>) {
        let id = batch.header.id();
        if self.bodies.is_absent(id) {
            self.bodies.rebuilt(id, Some(Body::Whole(batch)));
        }
    }

    /// Bodies were rebuilt, or not; from now on readers get them from us.
    pub(super) fn rebuilt(&mut self, rebuilt: Rebuilt, actions: &mut Vec<Action>) {
        let Rebuilt { id, body, liars } = rebuilt;
        self.bodies.accuse(&liars);
        for validator in liars {
            let what = "a shard that its proof does not support";
            actions.push(Action::Misbehaviour {
                validator,
                what,
                evidence: None,
            });
        }
        if let Some(Body::Whole(batch)) = &body {
            actions.push(Action::Durable {
                writes: vec![Write::Batch(id, batch.clone())],
                then: Vec::new(),
            });
        }
        self.bodies.rebuilt(id, body);
    }

    /// What shows that batches of a block are inconsistent, to be kept for readers.
    pub(super) fn inconsistent(&self, block: &Block) -> Vec<Write> {
        let batches = block.batches.iter().filter_map(|reference| {
            let id = reference.header.id();
            let Some(Body::Inconsistent(shards)) = self.bodies.body(id) else {
                return None;
            };
            let evidence = InconsistentBatch {
                batch: reference.clone(),
                envelopes: self.bodies.manifest(id)?.envelopes.clone(),
                shards: shards.as_ref().clone(),
            };
            Some(Write::Inconsistent(id, Arc::new(evidence)))
        });
        batches.collect()
    }

    pub(super) fn hold(&mut self, id: BatchId, manifest: Arc<Manifest>) {
        self.bodies.hold(id, manifest);
        let queue = &self.queue;
        let needed = |id| {
            let mut batches = queue.iter().flat_map(|pending| &pending.block.batches);
            batches.any(|batch| batch.header.id() == id)
        };
        for manifest in self.bodies.evict(needed) {
            self.forget_points(&manifest);
        }
    }

    pub(super) fn forget_batch(&mut self, id: BatchId) {
        if let Some(manifest) = self.bodies.forget(id) {
            self.forget_points(&manifest);
        }
    }

    pub(super) fn forget_points(&mut self, manifest: &Manifest) {
        for envelope in &manifest.envelopes {
            self.points.remove(&(envelope.core.epoch, envelope.id()));
        }
    }
}
