//! Agreement, certificates, secrecy, completeness and exactly-once delivery, judged from what
//! validators served while the faults went on and afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use conclave_sdk::Auditor;
use conclave_sdk::api::{BlockView, DeliveryView};
use conclave_types::{BlockId, EnvelopeId, Height, RollupId};

use super::history::Acknowledged;

/// The outcome of an envelope whose transactions were delivered.
const OPENED: &str = "opened";
/// Findings kept in full; one broken thing shows up everywhere.
const FINDINGS_MAX: usize = 50;

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant's name, as in `agreement`.
    pub invariant: &'static str,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// Where one envelope was delivered, as one validator tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub height: Height,
    pub outcome: String,
}

/// What one validator served of the rollup.
#[derive(Debug, Default)]
struct Stream {
    /// Up to which height, without a gap.
    to: Height,
    delivered: BTreeMap<EnvelopeId, Vec<Delivered>>,
}

/// Everything that the validators served of one rollup, verified from the genesis.
pub struct Contents {
    auditor: Arc<Auditor>,
    rollup: RollupId,
    /// What is final at each height, and its parent.
    blocks: BTreeMap<Height, (BlockId, BlockId)>,
    /// Distinct answers that were verified already, so that each costs its pairing once.
    seen_blocks: BTreeMap<Height, Vec<BlockView>>,
    seen_deliveries: BTreeMap<Height, Vec<DeliveryView>>,
    streams: BTreeMap<u16, Stream>,
    /// Who said that an envelope is open, and at which height it was ordered.
    said_open: BTreeSet<(Height, EnvelopeId, u16)>,
    opened_early: u64,
    findings: Vec<Finding>,
}

impl Contents {
    /// Nothing was served yet.
    pub fn new(auditor: Arc<Auditor>, rollup: RollupId) -> Self {
        Self {
            auditor,
            rollup,
            blocks: BTreeMap::new(),
            seen_blocks: BTreeMap::new(),
            seen_deliveries: BTreeMap::new(),
            streams: BTreeMap::new(),
            said_open: BTreeSet::new(),
            opened_early: 0,
            findings: Vec::new(),
        }
    }

    /// A validator served the next height of the rollup with its block.
    pub fn take(&mut self, validator: u16, view: &DeliveryView) {
        let height = Height(view.height);
        let expected = self.streams.entry(validator).or_default().to.next();
        if height != expected {
            let text =
                format!("validator {validator} served height {height} where {expected} is next");
            self.find("completeness", text);
            return;
        }
        let open = view.envelopes.iter().filter(|envelope| {
            envelope.opening.is_some()
                || envelope.body.is_some()
                || !envelope.transactions.is_empty()
        });
        let open = open.count() as u64;
        let Some(block) = &view.block else {
            self.opened_early += open;
            self.find(
                "certified",
                format!("validator {validator} served height {height} without its block"),
            );
            return;
        };
        if !self.block(validator, block) {
            self.opened_early += open;
            return;
        }
        let mut bare = view.clone();
        bare.block = None;
        let known = self.seen_deliveries.entry(height).or_default();
        if !known.contains(&bare) {
            known.push(bare);
            let verified = self
                .auditor
                .block(block)
                .and_then(|found| self.auditor.delivery(self.rollup, &found.block, view));
            if let Err(error) = verified {
                self.opened_early += open;
                self.find("completeness", format!("validator {validator}: {error}"));
            }
        }
        let stream = self.streams.entry(validator).or_default();
        stream.to = height;
        for envelope in &view.envelopes {
            if let Ok(id) = envelope.id.parse::<EnvelopeId>() {
                stream.delivered.entry(id).or_default().push(Delivered {
                    height,
                    outcome: envelope.outcome.clone(),
                });
            }
        }
    }

    /// A validator said that an envelope is open, ordered at this height; asked at once, it served
    /// that block, or did not.
    pub fn said_open(
        &mut self,
        validator: u16,
        envelope: EnvelopeId,
        height: Height,
        block: Option<&BlockView>,
    ) {
        let certified = block
            .filter(|block| block.height == height.0)
            .is_some_and(|block| self.block(validator, block));
        if certified {
            self.said_open.insert((height, envelope, validator));
        } else {
            self.opened_early += 1;
            self.find(
                "secrecy",
                format!("validator {validator} opened {envelope} and had no final block {height}"),
            );
        }
    }

    /// Verifies that a block is final, and the only one at its height.
    fn block(&mut self, validator: u16, view: &BlockView) -> bool {
        let height = Height(view.height);
        let seen = self.seen_blocks.entry(height).or_default();
        if seen.contains(view) {
            return true;
        }
        let found = match self.auditor.block(view) {
            Ok(found) => found,
            Err(error) => {
                self.find("certified", format!("validator {validator}: {error}"));
                return false;
            }
        };
        seen.push(view.clone());
        let parent = found.block.header.parent;
        let first = *self.blocks.entry(height).or_insert((found.id, parent));
        if first.0 != found.id {
            let text = format!(
                "height {height} is {:?} and, at validator {validator}, {:?}",
                first.0, found.id
            );
            self.find("agreement", text);
        }
        true
    }

    /// How far a validator's answers reach.
    pub fn reached(&self, validator: u16) -> Height {
        self.streams
            .get(&validator)
            .map_or(Height(0), |stream| stream.to)
    }

    /// Openings served before anybody could know the envelope's order to be final.
    pub fn opened_early(&self) -> u64 {
        self.opened_early
    }

    /// Blocks verified.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Judges the whole; returns how many acknowledged envelopes were lost.
    pub fn finish(&mut self, acknowledged: &[Acknowledged]) -> (u64, Vec<Finding>) {
        self.check_chain();
        self.check_open();
        let mut lost = 0;
        for promise in acknowledged {
            let mut missing = Vec::new();
            let mut trouble = Vec::new();
            for (validator, stream) in &self.streams {
                let times = stream.delivered.get(&promise.envelope);
                match times.map(Vec::as_slice) {
                    None | Some([]) => missing.push(*validator),
                    Some(times) => {
                        // A copy of what was ordered already is a duplicate without effect.
                        let opened = times.iter().filter(|one| one.outcome == OPENED).count();
                        if opened != 1 {
                            trouble.push(format!(
                                "validator {validator} opened {} {opened} times: {times:?}",
                                promise.envelope
                            ));
                        }
                    }
                }
            }
            if !missing.is_empty() {
                lost += 1;
                let text = format!(
                    "{}, acknowledged by validator {} at {} ms, is missing at validators {missing:?}",
                    promise.envelope, promise.by, promise.at_ms
                );
                self.find("no loss", text);
            }
            for text in trouble {
                self.find("no loss", text);
            }
        }
        (lost, std::mem::take(&mut self.findings))
    }

    /// Each final block stands on the one before.
    fn check_chain(&mut self) {
        let broken: Vec<Height> = self
            .blocks
            .iter()
            .zip(self.blocks.iter().skip(1))
            .filter(|((height, (id, _)), (next, (_, parent)))| {
                height.next() == **next && id != parent
            })
            .map(|(_, (next, _))| *next)
            .collect();
        for height in broken {
            self.find(
                "agreement",
                format!("the block at {height} does not stand on the one before"),
            );
        }
    }

    /// What was said to be open is in the block that was named.
    fn check_open(&mut self) {
        for (height, envelope, validator) in std::mem::take(&mut self.said_open) {
            let mut told = self.streams.values().filter(|stream| stream.to >= height);
            let there = told.any(|stream| {
                let times = stream.delivered.get(&envelope);
                times.is_some_and(|times| times.iter().any(|one| one.height == height))
            });
            if !there {
                self.opened_early += 1;
                self.find(
                    "secrecy",
                    format!("validator {validator} opened {envelope}, which block {height} does not order"),
                );
            }
        }
    }

    fn find(&mut self, invariant: &'static str, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { invariant, text });
        }
    }
}
