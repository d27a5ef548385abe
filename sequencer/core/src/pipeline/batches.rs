//! From waiting envelopes to certified batches, ours and the peers'.

use super::*;

impl Sequencer {
    /// Packs what waits into a batch of ours.
    pub(super) fn pack(&mut self, now: u64, actions: &mut Vec<Action>) {
        while self.mempool.waiting() > 0 && self.may_pack(now) {
            let envelopes = self.mempool.take();
            if envelopes.is_empty() {
                return;
            }
            // Never one that was used before a crash: the clock moves on even if the disk lost
            // what was not yet durable.
            self.batch_sequence = (self.batch_sequence + 1).max(now << 8);
            let header = BatchHeader {
                chain: self.config.chain,
                epoch: self.config.epoch,
                author: self.config.index,
                sequence: self.batch_sequence,
                contents: admission::contents_of(&envelopes),
                shards: Digest::ZERO,
            };
            let id = header.id();
            let batch = Arc::new(Batch { header, envelopes });
            self.availability.collect(id, batch.clone(), now);
            self.availability.expect(id, now);
            self.packed_ms = now;
            self.keep_batch(id, batch.clone());
            actions.push(Action::Broadcast(Message::Batch(batch.clone())));
            let from = self.config.index;
            self.checking_batches.insert(id, from);
            actions.push(Action::Work(Work::CheckBatch {
                from,
                batch,
                own: true,
            }));
        }
        if self.mempool.waiting() > 0 && self.availability.collecting() == 0 {
            self.wake_at(self.packed_ms + BATCH_PACE_MS, actions);
        }
    }

    /// Whether one more batch of ours may leave now: a small one after the pace and alone, a
    /// worthwhile one at once and next to another.
    pub(super) fn may_pack(&self, now: u64) -> bool {
        let worthwhile = self.mempool.waiting() >= BATCH_WORTHWHILE;
        match self.availability.collecting() {
            0 => worthwhile || now >= self.packed_ms + BATCH_PACE_MS,
            1..BATCHES_IN_FLIGHT_MAX => worthwhile,
            _ => false,
        }
    }

    pub(super) fn keep_batch(&mut self, id: BatchId, batch: Arc<Batch>) {
        if self.batches.insert(id, batch).is_none() {
            self.batch_arrivals.push_back(id);
        }
        // A batch that is needed again after it was dropped here is fetched from the store.
        while self.batch_arrivals.len() > BATCHES_HELD_MAX {
            if let Some(oldest) = self.batch_arrivals.pop_front()
                && !self
                    .queue
                    .iter()
                    .any(|p| p.block.batches.iter().any(|b| b.header.id() == oldest))
            {
                self.drop_batch(oldest);
            }
        }
    }

    pub(super) fn drop_batch(&mut self, id: BatchId) {
        if let Some(batch) = self.batches.remove(&id) {
            for envelope in &batch.envelopes {
                self.points.remove(&envelope.header.id());
            }
        }
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
        };
        match message {
            Message::Batch(batch) => {
                let id = batch.header.id();
                if self.availability.is_ordered(&batch.header) {
                    // Too late to certify; a block that waits for it fetches it.
                    self.fetched(batch, actions);
                    return;
                }
                let checking = self.checking_batches.contains_key(&id);
                let kept = self.batches.get(&id).filter(|_| !checking).cloned();
                if let Some(kept) = kept.filter(|_| batch.header.author == from) {
                    // Sent again because our signature was lost. What was checked is our own copy:
                    // the id says nothing of the envelopes that came with it this time.
                    actions.push(self.store_and_sign(id, kept));
                    return;
                }
                let shaped = batch.header.author == from
                    && admission::check_batch_shape(self.config.chain, self.config.epoch, &batch);
                if !shaped {
                    actions.push(misbehaviour("a batch that is not well formed"));
                } else if self.may_check(from) && !checking {
                    self.checking_batches.insert(id, from);
                    self.availability.expect(id, now);
                    actions.push(Action::Work(Work::CheckBatch {
                        from,
                        batch,
                        own: false,
                    }));
                }
            }
            Message::Stored(stored) if stored.signer == from => self.stored(now, &stored, actions),
            Message::Certified(reference) => {
                if !self.certified(now, reference, actions) {
                    actions.push(misbehaviour("a certificate that does not verify"));
                }
            }
            Message::Shares(bundle) if bundle.signer == from => self.shares(bundle, actions),
            Message::Stored(_) | Message::Shares(_) => {
                actions.push(misbehaviour("a message in another validator's name"));
            }
        }
    }

    /// Whether one more batch of this author may wait for its check; it is sent again if not.
    pub(super) fn may_check(&self, author: ValidatorIndex) -> bool {
        let authors = self.checking_batches.values();
        authors.filter(|checking| **checking == author).count() < CHECKS_PER_AUTHOR_MAX
    }

    pub(super) fn batch_checked(
        &mut self,
        from: ValidatorIndex,
        id: BatchId,
        batch: Arc<Batch>,
        valid: bool,
        points: Vec<Option<Vec<Point>>>,
        actions: &mut Vec<Action>,
    ) {
        self.checking_batches.remove(&id);
        if !valid {
            let what = "a batch with an invalid envelope";
            actions.push(Action::Misbehaviour {
                validator: from,
                what,
            });
            return;
        }
        if self.availability.is_ordered(&batch.header) {
            // Others certified it meanwhile; it must not come back as one that waits for that.
            self.keep_ordered(id, batch, actions);
            return;
        }
        for (envelope, points) in batch.envelopes.iter().zip(points) {
            if let Some(points) = points {
                self.points.insert(envelope.header.id(), points);
            }
        }
        self.keep_batch(id, batch.clone());
        self.arrived(id);
        actions.push(self.store_and_sign(id, batch));
    }

    /// "Stored" leaves, or counts, only once the batch is durable.
    pub(super) fn store_and_sign(&self, id: BatchId, batch: Arc<Batch>) -> Action {
        let message = Stored::message(self.config.chain, id);
        let signer = self.config.index;
        let stored = Stored {
            batch: id,
            signer,
            signature: (self.config.sign)(&message),
        };
        let to = batch.header.author;
        // The host gives a message to ourselves back as an input.
        let then = vec![Action::Send {
            to,
            message: Message::Stored(stored),
        }];
        Action::Durable {
            writes: vec![Write::Batch(id, batch)],
            then,
        }
    }

    pub(super) fn stored(&mut self, now: u64, stored: &Stored, actions: &mut Vec<Action>) {
        let Config {
            chain, committee, ..
        } = &self.config;
        let (certificate, liars) = self.availability.stored(*chain, committee, stored);
        for validator in liars {
            let what = "a wrong signature on a batch";
            actions.push(Action::Misbehaviour { validator, what });
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
        let valid = self.verify_reference(&reference);
        if valid {
            self.keep_certificate(now, reference, actions);
        }
        valid
    }

    pub(super) fn verify_reference(&self, reference: &BatchRef) -> bool {
        let Config {
            chain,
            epoch,
            committee,
            ..
        } = &self.config;
        let message = Stored::message(*chain, reference.header.id());
        admission::check_batch_header(*chain, *epoch, &reference.header)
            && committee.has_quorum(&reference.stored.signers)
            && committee.all_signed(&message, &reference.stored)
    }
}
