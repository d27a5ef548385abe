//! What a seed draws: how bad the network is, who crashes when, how much there is to do.

use rand::Rng;
use rand_chacha::ChaCha20Rng;

/// Microseconds in a millisecond and in a second.
pub(crate) const MS: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// A time without messages between the two sides of a cut.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
    /// One bit per node: on which side it is.
    pub(crate) side: u32,
}

/// A node that loses everything that is not durable, and comes back.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    pub(crate) node: usize,
    pub(crate) at_us: u64,
    pub(crate) back_us: u64,
}

/// The faults and the load of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// In a thousand messages.
    pub(crate) drop_permille: u32,
    pub(crate) duplicate_permille: u32,
    pub(crate) delay_us: (u64, u64),
    pub(crate) disk_us: (u64, u64),
    pub(crate) partitions: Vec<Partition>,
    pub(crate) crashes: Vec<Crash>,
    /// Faults end here; from then on everything must go on.
    pub(crate) heal_us: u64,
    /// By then everything must be done.
    pub(crate) end_us: u64,
    pub(crate) submit_every_us: u64,
    /// What the first prover does with what it wins; the others are honest.
    pub(crate) first_prover: Conduct,
}

/// How a prover treats the jobs it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Never delivers, so that standbys are needed.
    Lazy,
    /// Delivers proofs that show something else, or nothing.
    Lying,
}

impl Plan {
    pub(crate) fn draw(random: &mut ChaCha20Rng) -> Self {
        let nodes = 4;
        let heal_us = random.gen_range(4..12) * SECOND;
        let rough = random.gen_bool(0.7);
        let fault_time = |random: &mut ChaCha20Rng| random.gen_range(SECOND..heal_us);
        let mut partitions = Vec::new();
        let mut crashes = Vec::new();
        if rough {
            for _ in 0..random.gen_range(0..3) {
                let from_us = fault_time(random);
                let to_us = (from_us + random.gen_range(100 * MS..3 * SECOND)).min(heal_us);
                partitions.push(Partition {
                    from_us,
                    to_us,
                    side: random.gen_range(1..15),
                });
            }
            for _ in 0..random.gen_range(0..5) {
                let at_us = fault_time(random);
                let back_us = (at_us + random.gen_range(10 * MS..4 * SECOND)).min(heal_us);
                crashes.push(Crash {
                    node: random.gen_range(0..nodes),
                    at_us,
                    back_us,
                });
            }
            if random.gen_bool(0.15) {
                let at_us = fault_time(random);
                let back_us = (at_us + random.gen_range(10 * MS..SECOND)).min(heal_us);
                crashes.extend((0..nodes).map(|node| Crash {
                    node,
                    at_us,
                    back_us,
                }));
            }
        }
        Self {
            nodes,
            drop_permille: if rough { random.gen_range(0..80) } else { 0 },
            duplicate_permille: random.gen_range(0..30),
            delay_us: (200, random.gen_range(2 * MS..60 * MS)),
            disk_us: (100, random.gen_range(500..20 * MS)),
            partitions,
            crashes,
            heal_us,
            end_us: heal_us + 120 * SECOND,
            submit_every_us: random.gen_range(50 * MS..600 * MS),
            first_prover: match random.gen_range(0..10) {
                0..3 => Conduct::Lazy,
                3..5 => Conduct::Lying,
                _ => Conduct::Honest,
            },
        }
    }

    /// For a program whose proofs take a while: less to do, and always a prover that fails, so
    /// that real verification refuses something.
    pub(crate) fn for_real_proofs(&mut self) {
        self.submit_every_us = self.submit_every_us.max(400 * MS);
        if self.first_prover == Conduct::Honest {
            self.first_prover = Conduct::Lying;
        }
    }

    /// Whether a message from one to the other passes at this time.
    pub(crate) fn connected(&self, at_us: u64, from: usize, to: usize) -> bool {
        let cut = self
            .partitions
            .iter()
            .filter(|p| (p.from_us..p.to_us).contains(&at_us));
        let mut cut = cut.map(|partition| partition.side);
        !cut.any(|side| side >> from & 1 != side >> to & 1)
    }
}
