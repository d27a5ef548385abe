//! Swarm drawing: each seed draws which faults are on, and only then how bad they are. A run with
//! every fault on spends its time in the commonest one; runs with few of them reach the rest.

use conclave_types::limits;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;

use super::plan::{Conduct, Crash, Liar, MS, Partition, Plan, SECOND, Submission};
use crate::byzantine::Lie;

/// Of most committees. Two of four would be more than f, so one lies at most.
pub(crate) const SMALL: usize = 4;
/// Of one committee in [`LEAVING_EVERY`]: three may leave, for 3f+1 are as many as before or four.
const LEAVING: usize = 7;
const LEAVING_EVERY: u32 = 25;
/// Of one committee in [`LARGE_EVERY`]: enough for votes through collectors and for openers.
const LARGE: usize = 19;
/// A large committee costs as much time as twenty small ones.
const LARGE_EVERY: u32 = 60;
/// A fault of a seed is on as often as this.
const ON: f64 = 0.4;
/// Short epochs, of which a run sees several.
const EPOCH_BLOCKS: std::ops::Range<u64> = 20..60;
/// The most that honest clocks are apart, under the bound that proposals' times may be ahead.
const CLOCKS_APART_MS: u64 = 100;

/// How many members a seed's committee has.
pub(crate) fn size(random: &mut ChaCha20Rng) -> usize {
    if random.gen_ratio(1, LARGE_EVERY) {
        LARGE
    } else if random.gen_ratio(1, LEAVING_EVERY) {
        LEAVING
    } else {
        SMALL
    }
}

/// The plan of a seed.
pub(crate) fn draw(random: &mut ChaCha20Rng, nodes: usize) -> Plan {
    let large = nodes > limits::SHARES_TO_ALL_VALIDATORS_MAX;
    let heal_us = random.gen_range(3..if large { 5 } else { 9 }) * SECOND;
    let long_delays = random.gen_bool(ON);
    let slow_disks = random.gen_bool(ON);
    let mut plan = Plan {
        nodes,
        epoch_blocks: 0,
        drop_permille: some(random, 80),
        duplicate_permille: some(random, 60),
        delay_us: (
            200,
            random.gen_range(2 * MS..if long_delays { 250 * MS } else { 30 * MS }),
        ),
        disk_us: (
            100,
            random.gen_range(500..if slow_disks { 60 * MS } else { 8 * MS }),
        ),
        ahead_ms: vec![0; nodes],
        partitions: Vec::new(),
        crashes: Vec::new(),
        liar: None,
        leavers: Vec::new(),
        muted_us: 0,
        curious: random.gen_range(0..nodes),
        heal_us,
        end_us: heal_us + 120 * SECOND,
        submissions: submissions(random, heal_us),
        first_prover: match random.gen_range(0..10) {
            0..3 => Conduct::Lazy,
            3..5 => Conduct::Lying,
            _ => Conduct::Honest,
        },
    };
    let leaving = nodes == LEAVING;
    if leaving || random.gen_bool(ON) {
        plan.epoch_blocks = random.gen_range(EPOCH_BLOCKS);
    }
    if leaving {
        plan.leavers = (0..nodes).collect();
        plan.leavers.shuffle(random);
        plan.leavers.truncate(nodes - SMALL);
    }
    if random.gen_bool(ON) {
        let skew = |_| random.gen_range(0..=CLOCKS_APART_MS);
        plan.ahead_ms = (0..nodes).map(skew).collect();
    }
    if random.gen_bool(ON) {
        let count = random.gen_range(1..4);
        plan.partitions = (0..count)
            .map(|_| partition(random, nodes, heal_us))
            .collect();
    }
    if random.gen_bool(ON) {
        let count = random.gen_range(1..6);
        plan.crashes = (0..count).map(|_| crash(random, nodes, heal_us)).collect();
    }
    if random.gen_bool(0.1) {
        let at_us = random.gen_range(SECOND..heal_us);
        let back_us = (at_us + random.gen_range(10 * MS..SECOND)).min(heal_us);
        plan.crashes.extend((0..nodes).map(|node| Crash {
            node,
            at_us,
            back_us,
        }));
    }
    // Openers exist in large committees only, which are rare.
    if large || random.gen_bool(0.5) {
        let lies = random.gen_range(1..=3);
        let mut lies: Vec<Lie> = Lie::ALL.choose_multiple(random, lies).copied().collect();
        if large && random.gen_bool(0.5) {
            lies = vec![Lie::WrongOpenings];
        }
        let node = random.gen_range(0..nodes);
        plan.liar = Some(Liar { node, lies });
    }
    plan
}

/// Up to so many in a thousand, if the fault is on.
fn some(random: &mut ChaCha20Rng, max: u32) -> u32 {
    match random.gen_bool(ON) {
        true => random.gen_range(1..max),
        false => 0,
    }
}

fn submissions(random: &mut ChaCha20Rng, heal_us: u64) -> Vec<Submission> {
    let every_us = random.gen_range(50 * MS..700 * MS);
    let first_us = 300 * MS;
    let count = (heal_us - first_us) / every_us + 1;
    let submission = |number| Submission {
        at_us: first_us + number * every_us,
        draw: random.r#gen(),
    };
    (0..count).map(submission).collect()
}

fn partition(random: &mut ChaCha20Rng, nodes: usize, heal_us: u64) -> Partition {
    let from_us = random.gen_range(SECOND..heal_us);
    Partition {
        from_us,
        to_us: (from_us + random.gen_range(100 * MS..3 * SECOND)).min(heal_us),
        // Neither nobody nor everybody; the last bit is a twin's.
        side: random.gen_range(1..(1 << nodes) - 1) | random.gen_range(0..2) << nodes,
        one_way: random.gen_bool(0.3),
    }
}

fn crash(random: &mut ChaCha20Rng, nodes: usize, heal_us: u64) -> Crash {
    let at_us = random.gen_range(SECOND / 2..heal_us);
    // Most come back within a view, where what was forgotten does the most harm.
    let longest = if random.gen_bool(0.6) {
        SECOND / 2
    } else {
        4 * SECOND
    };
    Crash {
        node: random.gen_range(0..nodes),
        at_us,
        back_us: (at_us + random.gen_range(2 * MS..longest)).min(heal_us),
    }
}
