//! The simulation of one seed.

mod clients;
mod committee;
mod disk;
mod load;
mod minimise;
mod network;
mod node;
mod plan;
mod provers;
mod storage;
mod swarm;
mod trace;
#[cfg(test)]
mod traps;
mod world;

use conclave_types::Digest;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::byzantine::Lie;
use crate::checkers::Violation;
use crate::coverage::Coverage;
use world::World;

pub(crate) use clients::PROVEN;
pub use minimise::{Minimised, minimise};
use plan::Liar;
pub(crate) use plan::Plan;

/// One seed in this many runs on real signatures, real sealing and the real payments program.
pub const REAL_EVERY: u64 = 200;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    /// How many validators, 3f+1; drawn from the seed if absent.
    pub validators: Option<usize>,
    /// Keep a line for every event.
    pub log: bool,
    /// Which rule is off.
    #[cfg(feature = "broken-rules")]
    pub(crate) broken: Option<Broken>,
}

/// A rule that is switched off on purpose.
#[cfg(feature = "broken-rules")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// One of agreement.
    Agreement(conclave_consensus::Broken),
    /// One of the ledger.
    Ledger(conclave_ledger::Broken),
    /// Shares leave before the commit certificate is there.
    EarlyShares,
    /// A proposal may leave out what a quorum has reported for long.
    Inclusion,
}

impl Options {
    /// One seed without its log.
    pub const fn of(seed: u64) -> Self {
        Self {
            seed,
            validators: None,
            log: false,
            #[cfg(feature = "broken-rules")]
            broken: None,
        }
    }

    /// With its log.
    #[must_use]
    pub const fn logged(self) -> Self {
        Self { log: true, ..self }
    }

    /// With so many validators.
    #[must_use]
    pub const fn among(self, validators: Option<usize>) -> Self {
        Self { validators, ..self }
    }

    /// With a rule switched off at every node.
    #[cfg(feature = "broken-rules")]
    #[must_use]
    pub const fn breaking(self, rule: Broken) -> Self {
        Self {
            broken: Some(rule),
            ..self
        }
    }
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

/// Runs one seed.
pub fn run(options: Options) -> Outcome {
    run_plan(options, plan_of(&options))
}

/// Runs a history in which one leader leaves an author out and nobody else's proposals arrive.
pub fn run_censored(options: Options) -> Outcome {
    run_plan(options, Plan::censored())
}

/// Runs one seed with a member that lies in this way and no other.
pub fn run_lying(options: Options, lie: Lie) -> Outcome {
    let mut plan = plan_of(&options);
    plan.liar = Some(Liar {
        node: plan.coalition(),
        lies: vec![lie],
    });
    run_plan(options, plan)
}

/// What a seed draws.
fn plan_of(options: &Options) -> Plan {
    let seed = options.seed;
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let nodes = options.validators.unwrap_or_else(|| drawn_size(seed));
    let mut plan = swarm::draw(&mut random, nodes);
    if seed.is_multiple_of(REAL_EVERY) {
        plan.for_real_proofs();
    }
    plan
}

/// From a stream of its own, so that all else is drawn as in a committee of another size. Real keys
/// of many would take minutes.
fn drawn_size(seed: u64) -> usize {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    random.set_stream(7);
    match seed.is_multiple_of(REAL_EVERY) {
        true => swarm::SMALL,
        false => swarm::size(&mut random),
    }
}

fn run_plan(options: Options, plan: Plan) -> Outcome {
    let mut world = World::new(options, plan);
    let violation = world.run().err();
    world.outcome(violation)
}
