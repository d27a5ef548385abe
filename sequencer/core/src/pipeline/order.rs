//! From a committed block to the decision which of its envelopes count.

use super::*;

impl Sequencer {
    pub(super) fn commit(
        &mut self,
        now: u64,
        blocks: Vec<Arc<Block>>,
        certificate: &CommitCertificate,
        actions: &mut Vec<Action>,
    ) {
        let mut writes = Vec::new();
        for block in blocks {
            // After a restart agreement repeats what we may have executed already.
            if block.header.height != self.committed.next() {
                continue;
            }
            self.committed = block.header.height;
            self.tip = LedgerReference::of(&block.header);
            for reference in &block.batches {
                let id = reference.header.id();
                let ended = self.availability.order(reference);
                writes.push(Write::Ordered(id));
                let others = ended.into_iter().filter(|other| *other != id);
                writes.extend(others.map(Write::Ordered));
            }
            if self.committed.0.is_multiple_of(SNAPSHOT_BLOCKS) {
                self.ordered_at
                    .insert(self.committed, self.availability.ordered());
            }
            if self.committed > self.recovered_to {
                writes.push(Write::Block(block.clone(), certificate.clone()));
            }
            let missing = self.missing(&block, actions);
            for reference in &block.batches {
                self.want_body(reference, actions);
            }
            self.queue.push_back(Pending {
                id: block.id(),
                block,
                committed_ms: now,
                opened_ms: 0,
                missing,
                ordered: None,
                executing: false,
            });
        }
        if !writes.is_empty() {
            actions.push(Action::Durable {
                writes,
                then: Vec::new(),
            });
        }
    }

    pub(super) fn missing(&self, block: &Block, actions: &mut Vec<Action>) -> BTreeSet<BatchId> {
        let mut missing = BTreeSet::new();
        for reference in &block.batches {
            let id = reference.header.id();
            if self.bodies.manifest(id).is_none() {
                missing.insert(id);
                let holders: Signers = reference.stored.signers;
                actions.push(Action::Fetch(Fetch::Manifest { id, holders }));
            }
        }
        missing
    }

    /// A fetched manifest is what its id says, and the certificate vouches for its envelopes, but
    /// for the payers' signatures, which no id binds: whoever serves it could have exchanged them.
    pub(super) fn fetched(&mut self, manifest: Arc<Manifest>, actions: &mut Vec<Action>) {
        let Config {
            chain,
            epoch,
            committee,
            ..
        } = &self.config;
        let id = manifest.header.id();
        let Some(reference) = self.missing_reference(id).cloned() else {
            return;
        };
        let fits = admission::check_manifest(*chain, *epoch, committee.threshold, &manifest);
        let headers: Vec<_> = manifest.envelopes.iter().collect();
        if fits && !admission::check_payers(&headers).contains(&false) {
            self.hold(id, manifest);
            self.arrived(id);
            self.want_body(&reference, actions);
        }
    }

    /// What the block that waits for this batch says of it.
    fn missing_reference(&self, id: BatchId) -> Option<&BatchRef> {
        let mut waiting = self.queue.iter().filter(|p| p.missing.contains(&id));
        let batches = &waiting.next()?.block.batches;
        batches.iter().find(|batch| batch.header.id() == id)
    }

    pub(super) fn arrived(&mut self, id: BatchId) {
        for pending in &mut self.queue {
            pending.missing.remove(&id);
        }
    }

    pub(super) fn advance(&mut self, now: u64, actions: &mut Vec<Action>) {
        while self.order_next(now, actions) {}
        self.execute_next(now, actions);
    }

    /// Decides, from headers alone, which envelopes of the next block count; then opens them.
    pub(super) fn order_next(&mut self, now: u64, actions: &mut Vec<Action>) -> bool {
        let executed = self.executed;
        let Some(at) = self
            .queue
            .iter()
            .position(|pending| pending.ordered.is_none())
        else {
            return false;
        };
        let pending = &self.queue[at];
        if !pending.missing.is_empty() || pending.block.header.ledger_height > executed {
            return false;
        }
        if let Some(reason) = self.contradiction(&pending.block) {
            actions.push(Action::Stop { reason });
            return false;
        }
        let absent = self.missing(&pending.block, actions);
        if !absent.is_empty() {
            self.queue[at].missing = absent;
            return false;
        }
        let placed = self.placed(&self.queue[at].block);
        let header = &self.queue[at].block.header;
        let block = OrderedBlock {
            height: header.height,
            epoch: header.epoch,
            time: header.time,
            proposer: header.proposer,
            ledger_height: header.ledger_height,
        };
        let envelopes: Vec<OrderedEnvelope<'_>> = placed
            .iter()
            .map(|p| OrderedEnvelope {
                header: &p.header,
                author: p.author,
            })
            .collect();
        let dispositions = match self.fees.order(&block, &envelopes) {
            Ok(dispositions) => dispositions,
            Err(error) => {
                actions.push(Action::Stop {
                    reason: error.to_string(),
                });
                return false;
            }
        };
        let context = ShareContext {
            block: self.queue[at].id,
            height: header.height,
            lane: ShareLane::OnCommit,
            group: ShareGroup::Whole,
        };
        let mut finalised = Vec::new();
        let mut writes = Vec::new();
        for placed in &placed {
            let id = placed.header.id();
            if let Some(admitted) = self.mempool.remove(id) {
                finalised.push((id, now.saturating_sub(admitted)));
                writes.push(Write::Discharge(id));
            }
        }
        if !writes.is_empty() {
            let then = vec![Action::Finalised {
                height: context.height,
                envelopes: finalised,
            }];
            actions.push(Action::Durable { writes, then });
        }
        let opening = placed
            .iter()
            .zip(&dispositions)
            .filter(|(placed, disposition)| {
                disposition.is_accepted()
                    && placed.header.is_sealed()
                    && placed.header.core.release == ReleaseRule::OnCommit
            });
        let opening: Vec<Arc<EnvelopeHeader>> = opening.map(|(p, _)| p.header.clone()).collect();
        self.queue[at].ordered = Some(placed.into_iter().zip(dispositions).collect());
        self.start_lane(context, opening, now, actions);
        true
    }

    /// A final header that names another root than our ledger had at that height: a quorum has
    /// executed something else. Then our ledger, wherever it came from, must not be built upon.
    fn contradiction(&self, block: &Block) -> Option<String> {
        let header = &block.header;
        let own = self.roots.get(&header.ledger_height)?;
        (*own != header.ledger_root).then(|| {
            format!(
                "[CV-SEQ-030] the final block {} names the ledger root {} at height {}, ours is {own}; \
                 keep the log, move the data directory away, and start again to join anew",
                header.height, header.ledger_root, header.ledger_height
            )
        })
    }

    /// The block's envelopes in order, each with its place.
    pub(super) fn placed(&self, block: &Block) -> Vec<PlacedEnvelope> {
        let mut placed = Vec::new();
        for reference in &block.batches {
            let id = reference.header.id();
            let Some(manifest) = self.bodies.manifest(id) else {
                continue;
            };
            for (position, header) in manifest.envelopes.iter().enumerate() {
                placed.push(PlacedEnvelope {
                    header: Arc::new(header.clone()),
                    author: reference.header.author,
                    batch: id,
                    position: position as u32,
                });
            }
        }
        placed
    }
}
