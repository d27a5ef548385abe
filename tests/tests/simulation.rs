//! The simulator runs, is deterministic, and meets what it is there to meet.

use conclave_tests::{Coverage, Options, REAL_EVERY, run};

/// Without these a run of many seeds says little.
const EXPECTED: [&str; 14] = [
    "auctions without bids",
    "bonds slashed",
    "crashes",
    "deadlines missed",
    "envelopes expired",
    "envelopes malformed",
    "envelopes ordered twice",
    "partitions",
    "payments applied",
    "proofs rejected",
    "restarts",
    "standbys called",
    "transactions applied",
    "transactions excluded",
];

#[test]
fn a_hundred_seeds_hold_every_invariant_and_meet_every_fault() {
    let mut coverage = Coverage::default();
    for seed in 1..=100 {
        let outcome = run(Options { seed, log: false });
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}; replay: conclave simulate --seed {seed}");
        }
        coverage.add(&outcome.coverage);
    }
    for what in EXPECTED {
        assert!(coverage.times(what) > 0, "no {what} in a hundred seeds");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, REAL_EVERY] {
        let first = run(Options { seed, log: false });
        let second = run(Options { seed, log: true });
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert!(!second.log.is_empty());
    }
}

#[test]
fn real_seeds_settle_real_payments() {
    let outcome = run(Options {
        seed: REAL_EVERY,
        log: false,
    });
    assert!(outcome.settled_ranges > 0);
    assert!(outcome.coverage.times("payments applied") > 0);
}
