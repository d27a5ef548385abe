//! From one epoch to the next: another committee, another key.

use super::*;

impl Sequencer {
    /// Takes up the epoch whose blocks follow on what is committed.
    ///
    /// Certificates of the epoch before are worth nothing to its committee's successors, so what our
    /// batches hold and no block orders is packed again. Envelopes stay sealed to the key that they
    /// name; those of the key before are ordered for a while longer.
    ///
    /// After a restart the epoch may have begun before: what the store held of it already, certificates
    /// and batches that we signed "stored" for, stays.
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
        let certified = self.availability.abandon_before(setup.epoch);
        let queue = &self.queue;
        let needed = |id| {
            let mut batches = queue.iter().flat_map(|pending| &pending.block.batches);
            batches.any(|batch| batch.header.id() == id)
        };
        let abandoned = self.bodies.abandon_before(setup.epoch, needed);
        for (_, manifest) in &abandoned {
            self.forget_points(manifest);
        }
        let abandoned = abandoned.into_iter().map(|(id, _)| id);
        let abandoned: BTreeSet<BatchId> = abandoned.chain(certified).collect();
        let writes: Vec<Write> = abandoned.into_iter().map(Write::Ordered).collect();
        self.mempool.repack();
        self.take_up_recovered(setup.epoch, actions);
        if !writes.is_empty() {
            let then = Vec::new();
            actions.push(Action::Durable { writes, then });
        }
    }

    /// Goes on with what the store held of an epoch that began before a restart.
    fn take_up_recovered(&mut self, epoch: Epoch, actions: &mut Vec<Action>) {
        let own = self.bodies.by(self.config.index, epoch);
        let own = own.filter(|(_, manifest)| !self.availability.is_ordered(&manifest.header));
        let own: Vec<_> = own.map(|(id, manifest)| (id, manifest.clone())).collect();
        for (id, manifest) in own {
            self.resume(id, &manifest, actions);
        }
        let certified = self.availability.certificates.iter();
        let certified: Vec<BatchRef> = certified.cloned().collect();
        for reference in certified {
            self.want_body(&reference, actions);
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
