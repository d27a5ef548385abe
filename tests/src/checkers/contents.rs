//! No loss, and the same contents everywhere: what was acknowledged is delivered once, in order, or
//! expires; all nodes publish the same.

use std::collections::BTreeMap;

use conclave_sequencer::Published;
use conclave_types::{Digest, Envelope, EnvelopeId, Height, RollupId, StreamOutcome};

use super::Violation;
use crate::coverage::{Branch, Coverage};

/// An envelope that some node promised to get ordered.
struct Promise {
    expiry: Height,
    delivered: Option<Height>,
}

pub(crate) struct ContentsChecker {
    promises: BTreeMap<EnvelopeId, Promise>,
    /// What each height came to, by whoever executed it first.
    heights: BTreeMap<Height, Digest>,
    /// The next transaction of every rollup.
    streams: BTreeMap<RollupId, u64>,
    executed: Vec<Option<Height>>,
    delivered: u64,
}

impl ContentsChecker {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            promises: BTreeMap::new(),
            heights: BTreeMap::new(),
            streams: BTreeMap::new(),
            executed: vec![None; nodes],
            delivered: 0,
        }
    }

    pub(crate) fn acknowledged(&mut self, envelope: &Envelope) {
        let expiry = envelope.header.core.expiry;
        let id = envelope.header.id();
        self.promises.entry(id).or_insert(Promise {
            expiry,
            delivered: None,
        });
    }

    pub(crate) fn restarted(&mut self, node: usize) {
        self.executed[node] = None;
    }

    pub(crate) fn executed(
        &mut self,
        node: usize,
        published: &Published,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        let height = published.height;
        let no_loss = |what| Err(Violation::new("no loss", what));
        if let Some(last) = self.executed[node]
            && height != last.next()
        {
            return no_loss(format!("node {node} executed {height} after {last}"));
        }
        self.executed[node] = Some(height);
        let root = published.executed.state_root;
        if let Some(known) = self.heights.get(&height) {
            return match *known == root {
                true => Ok(()),
                false => {
                    let what = format!("node {node} has another ledger root at height {height}");
                    Err(Violation::new("agreement", what))
                }
            };
        }
        self.heights.insert(height, root);
        for delivery in &published.executed.deliveries {
            let next = self.streams.entry(delivery.rollup).or_default();
            if delivery.first.0 != *next {
                let what = format!("rollup {} skips to {}", delivery.rollup, delivery.first);
                return no_loss(what);
            }
            *next += delivery.transactions.len() as u64;
            for entry in &delivery.entries {
                match entry.outcome {
                    StreamOutcome::Duplicate => coverage.saw(Branch::EnvelopeTwice),
                    StreamOutcome::Expired => coverage.saw(Branch::EnvelopeExpired),
                    StreamOutcome::Malformed => coverage.saw(Branch::EnvelopeMalformed),
                    _ => {}
                }
                let refused = matches!(
                    entry.outcome,
                    StreamOutcome::Duplicate
                        | StreamOutcome::Expired
                        | StreamOutcome::Unpaid
                        | StreamOutcome::FeeTooLow
                        | StreamOutcome::SequenceTooOld
                        | StreamOutcome::ExpiryTooFar
                        | StreamOutcome::WrongEpoch
                );
                if refused {
                    continue;
                }
                self.delivered += 1;
                let promise = self.promises.entry(entry.envelope);
                // It may be ordered before its acknowledgement reaches the client.
                let promise = promise.or_insert(Promise {
                    expiry: Height(u64::MAX),
                    delivered: None,
                });
                if promise.delivered.replace(height).is_some() {
                    let (envelope, outcome) = (entry.envelope, &entry.outcome);
                    let what =
                        format!("envelope {envelope} is delivered twice, now as {outcome:?}");
                    return no_loss(what);
                }
            }
        }
        Ok(())
    }

    fn open(&self, height: Height) -> impl Iterator<Item = &EnvelopeId> {
        let open = self.promises.iter();
        open.filter(move |(_, promise)| promise.delivered.is_none() && promise.expiry >= height)
            .map(|(id, _)| id)
    }

    pub(crate) fn is_done(&self, height: Height) -> bool {
        self.open(height).next().is_none()
    }

    pub(crate) fn pending(&self, height: Height) -> String {
        let open: Vec<String> = self.open(height).take(3).map(ToString::to_string).collect();
        format!(
            "{} envelopes not delivered, such as {open:?}",
            self.open(height).count()
        )
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.promises.len() as u64, self.delivered)
    }
}
