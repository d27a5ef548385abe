//! What an honest member acknowledges while nothing is wrong is ordered by the height that its
//! receipt names.

use std::collections::{BTreeMap, BTreeSet};

use conclave_sequencer::Published;
use conclave_types::{Envelope, EnvelopeId, Height, Receipt};

use super::Violation;

#[derive(Default)]
pub(crate) struct DeadlineChecker {
    promises: BTreeMap<EnvelopeId, Height>,
    ordered: BTreeSet<EnvelopeId>,
    /// The highest height whose contents are known.
    executed: Height,
}

impl DeadlineChecker {
    /// One that expires before its deadline may be reported expired instead.
    pub(crate) fn promised(&mut self, envelope: &Envelope, receipt: &Receipt) {
        let id = envelope.header.id();
        // A member that is behind may acknowledge what is ordered already.
        if envelope.header.core.expiry > receipt.deadline && !self.ordered.contains(&id) {
            self.promises.insert(id, receipt.deadline);
        }
    }

    pub(crate) fn executed(&mut self, published: &Published) -> Result<(), Violation> {
        if published.height <= self.executed {
            return Ok(());
        }
        self.executed = published.height;
        for delivery in &published.executed.deliveries {
            for entry in &delivery.entries {
                self.promises.remove(&entry.envelope);
                self.ordered.insert(entry.envelope);
            }
        }
        let late = self
            .promises
            .iter()
            .find(|(_, deadline)| **deadline <= published.height);
        match late {
            None => Ok(()),
            Some((id, deadline)) => {
                let what = format!("envelope {id} was to be ordered by height {deadline}");
                Err(Violation::new("deadline", what))
            }
        }
    }
}
