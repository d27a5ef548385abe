//! From one epoch to the next: another committee, another key.

use super::*;

impl Sequencer {
    /// Takes up the epoch whose blocks follow on what is committed.
    ///
    /// Certificates of the epoch before are worth nothing to its committee's successors, so what our
    /// batches hold and no block orders is packed again. Envelopes stay sealed to the key that they
    /// name; those of the key before are ordered for a while longer.
    pub(super) fn begin_epoch(&mut self, setup: &EpochSetup, actions: &mut Vec<Action>) {
        if setup.epoch != self.epochs.current().next() {
            // Said again after a restart.
            return;
        }
        let committee = match Committee::of_epoch(setup) {
            Ok(committee) => Arc::new(committee),
            Err(error) => {
                let reason = format!(
                    "the ledger made epoch {} of no committee: {error}",
                    setup.epoch
                );
                actions.push(Action::Stop { reason });
                return;
            }
        };
        self.epochs.begin(committee, self.committed.next());
        self.checks.clear();
        self.uncommitted.clear();
        self.held_back = None;
        self.encoding = 0;
        self.checking_batches.clear();
        self.availability.abandon();
        let queue = &self.queue;
        let needed = |id| {
            let mut batches = queue.iter().flat_map(|pending| &pending.block.batches);
            batches.any(|batch| batch.header.id() == id)
        };
        let abandoned = self.bodies.abandon(needed);
        let writes: Vec<Write> = abandoned
            .iter()
            .map(|(id, _)| Write::Ordered(*id))
            .collect();
        for (_, manifest) in &abandoned {
            self.forget_points(manifest);
        }
        self.mempool.repack();
        if !writes.is_empty() {
            let then = Vec::new();
            actions.push(Action::Durable { writes, then });
        }
    }

    /// The newest key, if it is one more, to which nothing is sealed that may have to be opened. Share
    /// points under it go with its shares: they are what would open the envelopes that came too late.
    pub(super) fn retire_keys(&mut self) -> Option<Epoch> {
        let held = self.held.values().map(|bid| bid.header.core.epoch).min();
        let retired = self.epochs.retire(self.executed, held)?;
        self.points.retain(|(key, _), _| *key > retired);
        Some(retired)
    }
}
