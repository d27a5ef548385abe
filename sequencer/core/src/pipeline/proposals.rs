//! What agreement asks: payloads to propose, and proposals to check.

use super::*;

impl Sequencer {
    pub(super) fn payload(
        &mut self,
        now: u64,
        view: View,
        parent_time: BlockTime,
        ancestors: &[Arc<Block>],
        due: bool,
    ) -> Action {
        let parent = ancestors
            .last()
            .map_or(self.tip, |block| LedgerReference::of(&block.header));
        let height = ancestors
            .last()
            .map_or(self.committed, |block| block.header.height)
            .next();
        let ledger = proposer::ledger_reference(&self.roots, parent);
        let max = if proposer::lags(height, ledger.height) {
            0
        } else {
            limits::BLOCK_BATCHES_MAX
        };
        self.held_back = (max == 0).then_some(self.executed);
        self.uncommitted = proposer::slots_of(ancestors);
        let batches = self.availability.orderable(&self.uncommitted, max);
        if batches.is_empty() && !due && !self.timers_due(now) {
            self.payload_pending = false;
            return Action::PayloadPending(false);
        }
        self.uncommitted
            .extend(batches.iter().map(|batch| slot(&batch.header)));
        let time = BlockTime(now.max(parent_time.0 + 1));
        Action::Payload {
            view,
            batches,
            time,
            ledger_height: ledger.height,
            ledger_root: ledger.root,
            next_epoch: self.epoch_end(ledger.height, height),
        }
    }

    /// What the ledger of an executed height says of a block of the current epoch: whether it is the
    /// epoch's last one, and what comes after it.
    fn epoch_end(&self, named: Height, height: Height) -> Option<Digest> {
        self.ledger.epoch_end(named, self.epochs.current(), height)
    }

    /// Whether the ledger waits for a block, with or without anything to order.
    pub(super) fn timers_due(&self, now: u64) -> bool {
        self.fees.has_queued() || self.ledger.next_due().is_some_and(|due| due.0 <= now)
    }

    /// Answers proposals whose ledger root is known here by now.
    pub(super) fn answer_checks(&mut self, actions: &mut Vec<Action>) {
        let checks = std::mem::take(&mut self.checks);
        for check in checks {
            if check.block.header.height <= self.committed {
                continue;
            }
            if check.block.header.ledger_height > self.executed {
                self.checks.push(check);
                continue;
            }
            let valid = self.payload_is_valid(&check) && !self.censors(&check, actions);
            actions.push(Action::Checked {
                block: check.block.id(),
                valid,
            });
        }
        // Views move on; only the newest proposals can still get votes.
        let surplus = self.checks.len().saturating_sub(proposer::CHECKS_MAX);
        self.checks.drain(..surplus);
    }

    pub(super) fn payload_is_valid(&mut self, check: &PendingCheck) -> bool {
        let header = &check.block.header;
        let parent = check
            .ancestors
            .last()
            .map_or(self.tip, |block| LedgerReference::of(&block.header));
        let known = self.roots.get(&header.ledger_height);
        if !check.is_well_formed(parent)
            || known != Some(&header.ledger_root)
            || header.next_epoch != self.epoch_end(header.ledger_height, header.height)
        {
            return false;
        }
        check.block.batches.iter().all(|reference| {
            let id = reference.header.id();
            let known = self.availability.knows(id, reference);
            !self.availability.is_ordered(&reference.header)
                && (known || self.verify_reference(reference))
        })
    }

    /// Whether there is something to order, and nothing on its way that is worth waiting for.
    fn is_gathered(&mut self, now: u64, actions: &mut Vec<Action>) -> bool {
        let Some(since) = self.availability.orderable_since(&self.uncommitted) else {
            return false;
        };
        let due = since + BLOCK_GATHER_MS;
        let gathered = now >= due || !self.availability.expects_more(now);
        if !gathered {
            self.wake_at(due, actions);
        }
        gathered
    }

    /// Tells agreement when there begins or ceases to be something to propose.
    pub(super) fn announce(&mut self, now: u64, actions: &mut Vec<Action>) {
        let ledger = proposer::ledger_reference(&self.roots, self.tip);
        let lagging = proposer::lags(self.committed.next(), ledger.height)
            || self.held_back == Some(self.executed);
        let orderable = !lagging && self.is_gathered(now, actions);
        let pending = orderable || self.timers_due(now);
        if pending != self.payload_pending {
            self.payload_pending = pending;
            actions.push(Action::PayloadPending(pending));
        }
    }
}
