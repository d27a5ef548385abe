//! From waiting envelopes to certified batches, ours and the peers'.

use super::*;

impl Sequencer {
    /// Packs what waits into a batch of ours.
    pub(super) fn pack(&mut self, now: u64, actions: &mut Vec<Action>) {
        if self.tariffs_since != self.fees.tariffs_since() {
            self.tariffs_since = self.fees.tariffs_since();
            let fees = &self.fees;
            self.mempool.unpark(|header| fees.is_affordable(header));
        }
        // A batch is ordered after what is final now. The others may not be able to judge what is sealed
        // to an older key any more, and would take its author for a liar.
        let oldest = self
            .epochs
            .oldest_key(self.committed.max(self.recovered_to));
        while self.mempool.waiting() > 0 && self.may_pack(now) {
            let fees = &self.fees;
            let may_be_ordered =
                |header: &EnvelopeHeader| header.core.epoch >= oldest && fees.is_affordable(header);
            let envelopes = self.mempool.take(may_be_ordered);
            if envelopes.is_empty() {
                return;
            }
            // Never one that was used before a crash: the clock moves on even if the disk lost
            // what was not yet durable.
            self.batch_sequence = (self.batch_sequence + 1).max(now << 8);
            let headers: Vec<EnvelopeHeader> = envelopes.iter().map(|e| e.header.clone()).collect();
            let header = BatchHeader {
                chain: self.config.chain,
                epoch: self.epochs.current(),
                author: self.config.index,
                sequence: self.batch_sequence,
                contents: batch_contents(&headers),
                // Known once the bodies are coded.
                shards: Digest::ZERO,
            };
            self.packed_ms = now;
            self.encode(Batch { header, envelopes }, actions);
        }
        // While our quota is used up, what frees it wakes us.
        let leaving = self.in_flight();
        if self.mempool.waiting() > 0 && leaving == 0 && !self.is_exhausted(leaving) {
            self.wake_at(self.packed_ms + BATCH_PACE_MS, actions);
        }
    }

    /// Whether one more batch of ours may leave now: a small one after the pace and alone, a
    /// worthwhile one at once and next to another.
    pub(super) fn may_pack(&self, now: u64) -> bool {
        let leaving = self.in_flight();
        if self.is_exhausted(leaving) {
            return false;
        }
        let worthwhile = self.mempool.waiting() >= BATCH_WORTHWHILE;
        match leaving {
            0 => worthwhile || now >= self.packed_ms + BATCH_PACE_MS,
            1..BATCHES_IN_FLIGHT_MAX => worthwhile,
            _ => false,
        }
    }

    /// Whether others are about to refuse more batches of ours before some are ordered.
    fn is_exhausted(&self, leaving: usize) -> bool {
        let own = self.config.index;
        self.availability.quotas.is_exhausted(own, leaving)
    }

    /// Batches of ours that have no certificate yet.
    fn in_flight(&self) -> usize {
        self.encoding + self.availability.collecting()
    }

    pub(super) fn message(
        &mut self,
        now: u64,
        from: ValidatorIndex,
        message: Message,
        actions: &mut Vec<Action>,
    ) {
        let misbehaviour = |what| Action::Misbehaviour {
            validator: from,
            what,
            evidence: None,
        };
        match message {
            Message::Dispersal(dispersal) => self.dispersed(now, from, dispersal, actions),
            Message::Stored(stored) if stored.signer == from => self.stored(now, &stored, actions),
            Message::Certified(reference) => {
                if !self.certified(now, reference, actions) {
                    actions.push(misbehaviour("a certificate that does not verify"));
                }
            }
            Message::Shares(bundle) if bundle.signer == from => self.shares(now, bundle, actions),
            Message::Openings(said) => self.claimed(now, from, said, actions),
            Message::Waiting(waiting) => {
                if !self.reported(now, from, &waiting) {
                    actions.push(misbehaviour("a longer report than allowed"));
                }
            }
            Message::Stored(_) | Message::Shares(_) => {
                actions.push(misbehaviour("a message in another validator's name"));
            }
        }
    }

    /// Takes a batch's manifest and our shards from its author.
    fn dispersed(
        &mut self,
        now: u64,
        from: ValidatorIndex,
        dispersal: Arc<Dispersal>,
        actions: &mut Vec<Action>,
    ) {
        let manifest = &dispersal.manifest;
        let id = manifest.header.id();
        if self.availability.is_ordered(&manifest.header) {
            // Too late to certify; a block that waits for it fetches it.
            self.fetched(manifest.clone(), actions);
            return;
        }
        let checking = self.checking_batches.contains_key(&id);
        let own = manifest.header.author == from;
        if own && !checking && self.bodies.is_stored(id) {
            // Sent again because our signature was lost. What was checked is what we hold: the id
            // says nothing of the shards that came with it this time.
            actions.push(self.store_and_sign(id, from, Vec::new()));
            return;
        }
        let committee = self.epochs.committee();
        if manifest.header.epoch != committee.epoch {
            // Of an epoch that has ended here, or has not begun: who sends it is not yet where we are.
            return;
        }
        let shaped = own && admission::check_manifest(self.config.chain, committee, manifest);
        if !shaped {
            let what = "a batch that is not well formed";
            actions.push(Action::Misbehaviour {
                validator: from,
                what,
                evidence: None,
            });
        } else if !checking && self.may_check(manifest) {
            self.checking_batches.insert(id, from);
            self.availability.expect(id, now);
            let to = self.config.index;
            let committee = Arc::clone(committee);
            actions.push(Action::Work(Work::CheckDispersal {
                from,
                to,
                dispersal,
                committee,
            }));
        }
    }

    /// Whether one more batch of this author may wait for its check, and be kept; it is sent again
    /// if not.
    fn may_check(&self, manifest: &Manifest) -> bool {
        let author = manifest.header.author;
        let authors = self.checking_batches.values();
        let checking = authors.filter(|checking| **checking == author).count();
        checking < CHECKS_PER_AUTHOR_MAX && self.availability.quotas.admits(manifest, checking)
    }

    pub(super) fn dispersal_checked(
        &mut self,
        from: ValidatorIndex,
        dispersal: Arc<Dispersal>,
        valid: bool,
        points: Vec<Option<Vec<Point>>>,
        actions: &mut Vec<Action>,
    ) {
        let manifest = dispersal.manifest.clone();
        let id = manifest.header.id();
        self.checking_batches.remove(&id);
        if manifest.header.epoch != self.epochs.current() {
            return;
        }
        if !valid {
            let what = "a batch with an invalid envelope or shard";
            actions.push(Action::Misbehaviour {
                validator: from,
                what,
                evidence: None,
            });
            return;
        }
        if self.availability.is_ordered(&manifest.header) {
            // Others certified it meanwhile; it must not come back as one that waits for that.
            self.fetched(manifest, actions);
            actions.push(Action::Durable {
                writes: vec![Write::Dispersal(id, dispersal), Write::Ordered(id)],
                then: Vec::new(),
            });
            return;
        }
        for (envelope, points) in manifest.envelopes.iter().zip(points) {
            let key = envelope.core.epoch;
            // A key may have been retired during the check.
            if let Some(points) = points.filter(|_| self.epochs.of(key).is_some()) {
                self.points.insert((key, envelope.id()), points);
            }
        }
        self.availability.quotas.keep(id, &manifest);
        self.hold(id, manifest);
        self.bodies.store(id);
        self.arrived(id);
        actions.push(self.store_and_sign(id, from, vec![Write::Dispersal(id, dispersal)]));
        if let Some(reference) = self.availability.certificate(id).cloned() {
            self.want_body(&reference, actions);
        }
    }

    /// "Stored" leaves, or counts, only once what we hold of the batch is durable.
    fn store_and_sign(&self, id: BatchId, author: ValidatorIndex, writes: Vec<Write>) -> Action {
        let message = Stored::message(self.config.chain, id);
        let signer = self.config.index;
        let stored = Stored {
            batch: id,
            signer,
            signature: (self.config.sign)(&message),
        };
        // The host gives a message to ourselves back as an input.
        let then = vec![Action::Send {
            to: author,
            message: Message::Stored(stored),
        }];
        Action::Durable { writes, then }
    }

    pub(super) fn stored(&mut self, now: u64, stored: &Stored, actions: &mut Vec<Action>) {
        let committee = Arc::clone(self.epochs.committee());
        let chain = self.config.chain;
        let (certificate, liars) = self.availability.stored(chain, &committee, stored);
        for validator in liars {
            let what = "a wrong signature on a batch";
            actions.push(Action::Misbehaviour {
                validator,
                what,
                evidence: None,
            });
        }
        if let Some(reference) = certificate {
            actions.push(Action::Broadcast(Message::Certified(reference.clone())));
            self.keep_certificate(now, reference, actions);
        }
    }

    pub(super) fn keep_certificate(
        &mut self,
        now: u64,
        reference: BatchRef,
        actions: &mut Vec<Action>,
    ) {
        let id = reference.header.id();
        if self.availability.certify(id, reference.clone(), now) {
            // While agreement orders it, the bodies are rebuilt.
            self.want_body(&reference, actions);
            let writes = vec![Write::Certificate(id, reference)];
            actions.push(Action::Durable {
                writes,
                then: Vec::new(),
            });
        }
    }

    pub(super) fn certified(
        &mut self,
        now: u64,
        reference: BatchRef,
        actions: &mut Vec<Action>,
    ) -> bool {
        let id = reference.header.id();
        if self.availability.knows(id, &reference)
            || self.availability.is_ordered(&reference.header)
        {
            return true;
        }
        if reference.header.epoch != self.epochs.current() {
            return true;
        }
        let valid = self.verify_reference(&reference);
        if valid {
            self.keep_certificate(now, reference, actions);
        }
        valid
    }

    pub(super) fn verify_reference(&self, reference: &BatchRef) -> bool {
        let (chain, committee) = (self.config.chain, self.epochs.committee());
        let message = Stored::message(chain, reference.header.id());
        admission::check_batch_header(chain, committee.epoch, &reference.header)
            && committee.has_quorum(&reference.stored.signers)
            && committee.all_signed(&message, &reference.stored)
    }
}
