//! Reports of certificates that wait for their order, and proposals that leave them out.

use super::*;

impl Sequencer {
    /// Tells everybody which certificates have waited long, and sends them to those who do not say
    /// that they hold them.
    pub(super) fn report_waiting(&mut self, now: u64, actions: &mut Vec<Action>) {
        if now < self.reported_ms + REPORT_MS {
            return;
        }
        let certificates = &mut self.availability.certificates;
        let mut waiting = certificates.waiting(now, REPORT_MS, &self.uncommitted);
        waiting.truncate(limits::REPORT_BATCHES_MAX);
        if waiting.is_empty() {
            return;
        }
        self.reported_ms = now;
        let (own, committee) = (self.config.index, self.epochs.committee());
        for id in &waiting {
            let silent = certificates.silent(*id, committee);
            // The first report goes to everybody, and few lack what it names.
            let repeated = !silent.contains(&own);
            let lacking = silent.into_iter().filter(|_| repeated);
            if let Some(reference) = certificates.get(*id) {
                actions.extend(lacking.map(|to| Action::Send {
                    to,
                    message: Message::Certified(reference.clone()),
                }));
            }
            certificates.reported(*id, own, now, committee);
        }
        actions.push(Action::Broadcast(Message::Waiting(waiting)));
    }

    /// Takes up what another validator waits for; `false` when it is longer than it may be.
    pub(super) fn reported(&mut self, now: u64, from: ValidatorIndex, waiting: &[BatchId]) -> bool {
        let certificates = &mut self.availability.certificates;
        for id in waiting.iter().take(limits::REPORT_BATCHES_MAX) {
            certificates.reported(*id, from, now, self.epochs.committee());
        }
        waiting.len() <= limits::REPORT_BATCHES_MAX
    }

    /// Whether a proposal leaves out what its leader must have known for long. Then the next leader
    /// gets it from us, whoever it is.
    pub(super) fn censors(&mut self, check: &PendingCheck, actions: &mut Vec<Action>) -> bool {
        #[cfg(feature = "broken-rules")]
        if self.lenient {
            return false;
        }
        let patience = Patience {
            view_timeout_ms: self.config.view_timeout_ms,
            view_timeout_ms_max: self.config.view_timeout_ms_max,
            one_honest: self.epochs.committee().threshold.one_honest(),
        };
        let patience_ms = self.refusals.patience_ms(&patience);
        let overdue = self
            .availability
            .certificates
            .overdue(check.at_ms, patience_ms);
        let missing = left_out(check, overdue);
        if missing.is_empty() {
            return false;
        }
        let again = missing.into_iter().take(limits::BLOCK_BATCHES_MAX);
        actions.extend(again.map(|r| Action::Broadcast(Message::Certified(r.clone()))));
        self.refusals.add();
        true
    }
}
