//! The simulator runs, is deterministic, and finds what it must.

use conclave_tests::{Options, run};

#[test]
fn a_hundred_seeds_hold_every_invariant() {
    for seed in 1..=100 {
        let outcome = run(Options { seed, log: false });
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}; replay: conclave simulate --seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 50] {
        let first = run(Options { seed, log: false });
        let second = run(Options { seed, log: true });
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert!(!second.log.is_empty());
    }
}
