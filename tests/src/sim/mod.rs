//! The simulation of one seed.

mod clients;
mod disk;
mod node;
mod plan;
mod provers;
mod world;

use std::fmt::Write;

use conclave_types::{Digest, Domain};

use crate::checkers::{Coverage, Violation};
use world::World;

pub(crate) use clients::PROVEN;

/// One seed in this many runs on real signatures, real sealing and the real payments program.
pub const REAL_EVERY: u64 = 50;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    /// Keep a line for every event.
    pub log: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    /// Of everything that happened; equal for equal seeds.
    pub digest: Digest,
    /// The first broken invariant, if any.
    pub violation: Option<Violation>,
    /// One line an event, if asked for.
    pub log: Vec<String>,
    pub blocks: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub settled_ranges: u64,
    /// Faults and what came of them.
    pub coverage: Coverage,
}

/// Everything that happened, in order.
#[derive(Default)]
pub(crate) struct Trace {
    keep: bool,
    lines: Vec<String>,
    text: String,
    digest: Option<Digest>,
}

impl Trace {
    fn new(keep: bool) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Notes an event.
    pub(crate) fn note(&mut self, at_us: u64, what: std::fmt::Arguments<'_>) {
        self.text.clear();
        // Writing to a string does not fail.
        let _ = write!(self.text, "{at_us:>10} {what}");
        let before = self.digest.unwrap_or_default();
        let hasher = Domain::Simulation.hasher().part(&before.0);
        self.digest = Some(hasher.part(self.text.as_bytes()).digest());
        if self.keep {
            self.lines.push(self.text.clone());
        }
    }
}

/// Runs one seed.
pub fn run(options: Options) -> Outcome {
    let mut world = World::new(options);
    let violation = world.run().err();
    world.outcome(violation)
}
