//! From openings to the executed block.

use super::*;

impl Sequencer {
    /// Executes the next block once everything it needs can be read.
    pub(super) fn execute_next(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Some(front) = self.queue.front() else {
            return;
        };
        let header = front.block.header.clone();
        let on_commit = (header.height, ShareLane::OnCommit);
        if front.executing || front.ordered.is_none() || self.openings.opened(on_commit).is_none() {
            return;
        }
        let at_close = (header.height, ShareLane::AtClose);
        let context = ShareContext {
            block: front.id,
            height: header.height,
            lane: ShareLane::AtClose,
            group: ShareGroup::Whole,
        };
        if !self.openings.is_started(at_close) {
            let bids = self.closing_bids(&header);
            self.start_lane(context, bids, now, actions);
        }
        let (Some(opened), Some(bids)) = (
            self.openings.opened(on_commit).cloned(),
            self.openings.opened(at_close).cloned(),
        ) else {
            return;
        };
        // Everybody can check an opening; that there is none takes a certificate.
        let malformed = (header.height, ShareLane::Malformed);
        if !self.openings.is_started(malformed) {
            let context = ShareContext {
                lane: ShareLane::Malformed,
                ..context
            };
            let envelopes = opened.malformed().chain(bids.malformed()).collect();
            self.start_lane(context, envelopes, now, actions);
        }
        let Some(malformed) = self.openings.opened(malformed).cloned() else {
            return;
        };
        let block = self.queue.front().map(|front| &front.block);
        let Some(bodies) = block.and_then(|block| self.bodies.of_block(block)) else {
            return;
        };
        let held = bids.envelopes.iter().filter_map(|bid| {
            let id = bid.id();
            Some((id, self.held.get(&id)?.clone()))
        });
        let held = held.collect();
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        front.executing = true;
        front.opened_ms = now;
        let job = ExecuteJob {
            ledger: self.ledger.clone(),
            header,
            envelopes: front.ordered.clone().unwrap_or_default(),
            bodies,
            held,
            opened,
            bids,
            malformed,
        };
        actions.push(Action::Work(Work::Execute(Box::new(job))));
    }

    /// The bids of the auctions that this block closes, in the ledger's order.
    pub(super) fn closing_bids(&self, header: &BlockHeader) -> Vec<Arc<EnvelopeHeader>> {
        let closing = self
            .ledger
            .closing(header.time, header.height, header.proposer);
        let bids = closing
            .into_iter()
            .flat_map(|auction| self.ledger.held_bids(auction));
        bids.map(|bid| Arc::new(bid.clone())).collect()
    }

    pub(super) fn executed_block(&mut self, result: ExecuteResult, actions: &mut Vec<Action>) {
        let done = match result.outcome {
            Ok(done) => *done,
            // A committed block that cannot be executed here means that this node's store is not
            // what it should be; guessing on would fork the ledger.
            Err(error) => {
                let reason = format!("block {} cannot be executed: {error}", result.height);
                actions.push(Action::Stop { reason });
                return;
            }
        };
        let Some(pending) = self.queue.pop_front() else {
            return;
        };
        let height = result.height;
        self.executed = height;
        self.ledger = done.ledger;
        self.fees.queue(height, done.executed.fee_changes.clone());
        self.roots.insert(height, done.root);
        while self.roots.len() as u64 > ROOTS_KEPT {
            self.roots.pop_first();
        }
        self.openings.forget(height);
        let mut writes = done.writes;
        writes.extend(self.inconsistent(&pending.block));
        for reference in &pending.block.batches {
            self.forget_batch(reference.header.id());
        }
        self.held.extend(done.held);
        self.forget_bids();
        if height.0.is_multiple_of(SNAPSHOT_BLOCKS) {
            let ordered = self.ordered_at.remove(&height);
            writes.push(Write::Snapshot {
                height,
                ledger: self.ledger.clone(),
                held: self.held.values().cloned().collect(),
                ordered: ordered.unwrap_or_else(|| self.availability.ordered()),
            });
        }
        let published = Published {
            height,
            time: pending.block.header.time,
            ledger: self.ledger.clone(),
            executed: done.executed,
            opening_ms: pending.opened_ms.saturating_sub(pending.committed_ms),
            envelopes: done.envelopes,
            transactions: done.transactions,
        };
        let then = vec![Action::Executed(Box::new(published))];
        actions.push(Action::Durable { writes, then });
    }

    /// Forgets the bids that the ledger holds no more.
    fn forget_bids(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let auctions = self.ledger.auctions();
        let bids = auctions.flat_map(|auction| self.ledger.held_bids(auction.id));
        let kept: BTreeSet<EnvelopeId> = bids.map(EnvelopeHeader::id).collect();
        self.held.retain(|id, _| kept.contains(id));
    }
}
