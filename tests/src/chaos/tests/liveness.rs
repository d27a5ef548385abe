//! Windows, pauses and recoveries, on histories made by hand.

use conclave_types::Height;

use crate::chaos::windows::recovery_ms;
use crate::chaos::{Committee, FaultId, FaultRecord, History, Impact, Reading, Stall, windows};

const COMMITTEE: Committee = Committee {
    validators: 4,
    quorum: 3,
    allowance_ms: 1_000,
};

/// A history with a new height at each of these times, seen by validator 0.
fn history(commits: impl IntoIterator<Item = u64>, end_ms: u64) -> History {
    let reading = |(height, at_ms)| Reading {
        at_ms,
        validator: 0,
        committed: Height(height),
    };
    History {
        readings: (1..).zip(commits).map(reading).collect(),
        end_ms,
        ..History::default()
    }
}

fn fault(history: &mut History, from_ms: u64, to_ms: u64, impact: Impact) {
    let occurrence = history.faults.len() as u32;
    let record = FaultRecord {
        what: "something".into(),
        began_ms: from_ms,
        ended_ms: Some(to_ms),
        impact,
    };
    history.faults.insert(
        FaultId {
            fault: 0,
            occurrence,
        },
        record,
    );
}

fn down(validators: &[u16]) -> Impact {
    Impact {
        down: validators.to_vec(),
        ..Impact::default()
    }
}

/// Both directions between the groups.
fn split(a: &[u16], b: &[u16]) -> Impact {
    let cut = a
        .iter()
        .flat_map(|x| b.iter().flat_map(move |y| [(*x, *y), (*y, *x)]));
    Impact {
        cut: cut.collect(),
        ..Impact::default()
    }
}

#[test]
fn a_calm_run_has_progress_in_every_window() {
    let found = windows(&history((0..100).map(|i| i * 100), 10_000), COMMITTEE);
    assert_eq!((found.expected, found.with_progress), (10, 10));
    assert_eq!((found.longest_pause_ms, found.without_quorum), (100, 0));
}

#[test]
fn a_pause_is_found_wherever_it_is() {
    let commits = (0..30).map(|i| i * 100).chain((55..100).map(|i| i * 100));
    let found = windows(&history(commits, 10_000), COMMITTEE);
    assert_eq!((found.expected, found.with_progress), (10, 8));
    assert_eq!(found.without_ms, [3_000, 4_000]);
    assert_eq!(found.longest_pause_ms, 2_600);
    // A chain that stops for good pauses up to the end.
    let found = windows(&history((0..30).map(|i| i * 100), 10_000), COMMITTEE);
    assert_eq!((found.with_progress, found.longest_pause_ms), (3, 7_100));
    assert_eq!(
        windows(&history([], 5_000), COMMITTEE).longest_pause_ms,
        5_000
    );
}

#[test]
fn nothing_is_expected_within_the_allowance_after_a_change() {
    let mut run = history(
        (0..10).map(|i| i * 100).chain((19..100).map(|i| i * 100)),
        10_000,
    );
    fault(&mut run, 1_000, 5_000, down(&[2]));
    let found = windows(&run, COMMITTEE);
    // 0 to 1 s, then 2 to 5 s, then 6 to 10 s.
    assert_eq!((found.expected, found.with_progress), (1 + 3 + 4, 8));
    assert_eq!(found.longest_pause_ms, 1_000);
}

#[test]
fn nothing_is_expected_without_a_quorum_and_nothing_may_happen_then() {
    for impact in [down(&[0, 1]), split(&[0, 1], &[2, 3])] {
        let mut run = history(
            (0..21).map(|i| i * 100).chain([4_500, 8_100, 8_900, 9_500]),
            10_000,
        );
        fault(&mut run, 2_000, 8_000, impact);
        let found = windows(&run, COMMITTEE);
        assert_eq!(found.split_ms, [(2_000, 8_000)]);
        assert_eq!((found.expected, found.with_progress), (2 + 1, 3));
        // The one at 2,000 was on its way; the one at 4,500 cannot have been.
        assert_eq!(found.without_quorum, 1);
        assert!(found.longest_pause_ms <= 1_000, "{found:?}");
    }
}

#[test]
fn a_quorum_must_be_connected_to_itself_both_ways() {
    let quorum = |impact: Impact| {
        let mut run = history([], 10);
        fault(&mut run, 0, 10, impact);
        run.changes()[0].has_quorum(4, 3)
    };
    assert!(quorum(Impact::default()));
    assert!(quorum(down(&[3])));
    assert!(quorum(split(&[3], &[0, 1, 2])));
    assert!(!quorum(down(&[3, 1])));
    // A ring of one-way cuts leaves no three that all hear each other.
    let ring = Impact {
        cut: vec![(0, 1), (2, 3)],
        ..Impact::default()
    };
    assert!(!quorum(ring));
    let one_way = Impact {
        cut: vec![(0, 3), (1, 3)],
        ..Impact::default()
    };
    assert!(quorum(one_way));
}

#[test]
fn overlapping_faults_end_each_by_itself() {
    let mut run = history([], 10_000);
    fault(&mut run, 1_000, 5_000, down(&[1]));
    fault(&mut run, 2_000, 3_000, down(&[1, 2]));
    let found: Vec<_> = run
        .changes()
        .into_iter()
        .map(|change| (change.at_ms, change.down))
        .collect();
    let wanted: [(u64, Vec<u16>); 5] = [
        (0, vec![]),
        (1_000, vec![1]),
        (2_000, vec![1, 2]),
        (3_000, vec![1]),
        (5_000, vec![]),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_fault_costs_the_pause_that_follows_not_the_block_that_was_on_its_way() {
    let commits = [900, 950, 1_020, 1_700, 1_750, 1_800, 5_000];
    assert_eq!(recovery_ms(&commits, 1_000, 500), Some(680));
    // A pause that was going on is counted from the change on.
    assert_eq!(recovery_ms(&commits, 2_000, 500), Some(3_000));
    assert_eq!(recovery_ms(&commits, 6_000, 500), None);
}

#[test]
fn only_what_nobody_saw_before_is_new() {
    let mut run = history([100, 200, 300], 1_000);
    run.readings.push(Reading {
        at_ms: 250,
        validator: 1,
        committed: Height(2),
    });
    run.readings.push(Reading {
        at_ms: 260,
        validator: 2,
        committed: Height(3),
    });
    let times: Vec<u64> = run.commits().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [100, 200, 260]);
}

/// With one of four lying, a quorum needs all others: without them nothing is expected, and what
/// becomes final with the liar's vote is no surprise. Only where even that vote is not enough is a
/// final block one too many.
#[test]
fn nothing_is_expected_of_who_lies_and_nothing_is_held_against_its_vote() {
    let mut history = history((0..100).map(|i| i * 100), 10_000);
    history.liars = vec![3];
    let found = windows(&history, COMMITTEE);
    assert_eq!((found.expected, found.with_progress), (10, 10));
    fault(&mut history, 2_000, 4_000, down(&[0]));
    let found = windows(&history, COMMITTEE);
    assert_eq!((found.expected, found.without_quorum), (7, 0));
    assert_eq!(found.split_ms, [(2_000, 4_000)]);
    fault(&mut history, 2_000, 4_000, down(&[1]));
    assert!(windows(&history, COMMITTEE).without_quorum > 0);
}

/// A machine that stands still is not held against validators; a stall that is too short to cost a
/// view, or somewhere else, excuses nothing.
#[test]
fn only_the_machine_itself_excuses_a_window() {
    let commits = (0..30).map(|i| i * 100).chain((55..100).map(|i| i * 100));
    let mut run = history(commits, 10_000);
    let stall = |from_ms, to_ms| Stall { from_ms, to_ms };
    run.stalls = vec![stall(3_100, 3_300), stall(7_000, 7_040)];
    let found = windows(&run, COMMITTEE);
    assert_eq!((found.expected, found.starved), (10, 0));
    assert_eq!(found.without_ms, [3_000, 4_000]);
    run.stalls = vec![
        stall(3_100, 3_300),
        stall(3_400, 3_450),
        stall(3_900, 4_150),
    ];
    let found = windows(&run, COMMITTEE);
    assert_eq!((found.expected, found.starved), (8, 2));
    assert_eq!(found.without_ms, [0; 0]);
}
