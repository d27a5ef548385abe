//! From openings to the executed block.

use super::*;

use crate::opening::OpenedLane;

impl Sequencer {
    /// Executes the next block once everything it needs can be read.
    pub(super) fn execute_next(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Some(front) = self.queue.front() else {
            return;
        };
        let header = front.block.header.clone();
        let at = (front.id, header.height);
        if front.executing || front.ordered.is_none() {
            return;
        }
        let Some(mut opened) = self.opened_lanes(front, LaneKind::OnCommit) else {
            return;
        };
        self.start_once(at, LaneKind::AtClose, now, actions, |sequencer| {
            sequencer.closing_bids(&header)
        });
        let Some(bids) = self.front_lanes(LaneKind::AtClose) else {
            return;
        };
        opened.extend(bids);
        // Everybody can check an opening; that there is none takes a certificate.
        self.start_once(at, LaneKind::Malformed, now, actions, |_| {
            opened.iter().flat_map(OpenedLane::malformed).collect()
        });
        let Some(malformed) = self.front_lanes(LaneKind::Malformed) else {
            return;
        };
        opened.extend(malformed);
        let block = self.queue.front().map(|front| &front.block);
        let Some(bodies) = block.and_then(|block| self.bodies.of_block(block)) else {
            return;
        };
        let bids = opened
            .iter()
            .filter(|lane| lane.lane.kind == LaneKind::AtClose);
        let held = bids.flat_map(|lane| &lane.envelopes).filter_map(|bid| {
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
            lanes: opened,
        };
        actions.push(Action::Work(Work::Execute(Box::new(job))));
    }

    /// Starts the lanes of a kind for the next block to be executed, unless they were.
    fn start_once(
        &mut self,
        at: (BlockId, Height),
        kind: LaneKind,
        now: u64,
        actions: &mut Vec<Action>,
        envelopes: impl FnOnce(&Self) -> Vec<Arc<EnvelopeHeader>>,
    ) {
        let front = self.queue.front();
        if front.is_some_and(|front| front.lanes.contains_key(&kind)) {
            return;
        }
        let envelopes = envelopes(self);
        let lanes = self.start_lanes(at, kind, envelopes, now, actions);
        if let Some(front) = self.queue.front_mut() {
            front.lanes.insert(kind, lanes);
        }
    }

    fn front_lanes(&self, kind: LaneKind) -> Option<Vec<OpenedLane>> {
        self.opened_lanes(self.queue.front()?, kind)
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
        let mut then = vec![Action::Executed(Box::new(published))];
        // Only once this block is durable: executing it again would take the shares again.
        then.extend(self.retire_keys().map(Action::Retired));
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
