//! What a link does to packets.

use crate::chaos::{Condition, FaultId, Link, Weather};

const FAULT: FaultId = FaultId {
    fault: 0,
    occurrence: 0,
};
const OTHER: FaultId = FaultId {
    fault: 1,
    occurrence: 0,
};

#[test]
fn a_link_without_faults_passes_everything_once_and_at_once() {
    let mut link = Link::new(1, 0, 1);
    assert!((0..100).all(|now| link.fate(now) == [0]));
}

#[test]
fn a_cut_holds_until_its_own_fault_ends() {
    let mut link = Link::new(1, 0, 1);
    link.begin(FAULT, Condition::Cut);
    link.begin(OTHER, Condition::Cut);
    link.end(FAULT);
    assert!(link.fate(0).is_empty());
    link.end(OTHER);
    assert_eq!(link.fate(0), [0]);
}

#[test]
fn a_flapping_link_is_off_first_and_then_on() {
    let mut link = Link::new(1, 0, 1);
    let condition = Condition::Flap {
        since_ms: 100,
        period_ms: 50,
    };
    link.begin(FAULT, condition);
    let passes = [100, 149, 150, 199, 200].map(|now| !link.fate(now).is_empty());
    assert_eq!(passes, [false, false, true, true, false]);
}

#[test]
fn weather_does_what_it_says_and_the_seed_decides_to_whom() {
    let weather = Weather {
        delay_ms: (10, 20),
        drop: 0.25,
        duplicate: 0.25,
        reorder: 0.25,
    };
    let fates = |seed, from| {
        let mut link = Link::new(seed, from, 1);
        link.begin(FAULT, Condition::Weather(weather));
        (0..4_000).map(|now| link.fate(now)).collect::<Vec<_>>()
    };
    let first = fates(7, 0);
    assert_eq!(first, fates(7, 0));
    assert_ne!(first, fates(8, 0));
    assert_ne!(first, fates(7, 2));

    let share = |count: usize| count as f64 / first.len() as f64;
    let near = |found: f64, wanted: f64| (found - wanted).abs() < 0.04;
    let dropped = first.iter().filter(|copies| copies.is_empty()).count();
    let doubled = first.iter().filter(|copies| copies.len() == 2).count();
    assert!(near(share(dropped), 0.25), "{dropped}");
    assert!(near(share(doubled), 0.75 * 0.25), "{doubled}");
    // What is held back comes after everything that is merely late.
    let copies: Vec<u64> = first.iter().flatten().copied().collect();
    assert!(
        copies
            .iter()
            .all(|delay| (10..=20).contains(delay) || *delay > 30)
    );
    let held = copies.iter().filter(|delay| **delay > 30).count();
    assert!(near(held as f64 / copies.len() as f64, 0.25), "{held}");
}
