//! The power fails at any moment: what was acknowledged is there, and nothing is half there.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::*;
use super::backend::{Disk, Op};

const COMMITS: u64 = 12;

/// Each commit overwrites one value, adds one and removes one, so that a torn commit shows.
fn commit(store: &Store, number: u64) {
    let mut batch = WriteBatch::new();
    batch.put_value(Table::Safety, keys::SAFETY, &number);
    batch.put(
        Table::Batches,
        number.to_be_bytes(),
        vec![number as u8; 5000],
    );
    batch.delete(Table::Batches, number.saturating_sub(3).to_be_bytes());
    store.commit(&batch).unwrap();
}

/// The number of the last commit that the disk holds, after checking that it holds it whole.
fn last_commit(disk: &Disk) -> u64 {
    let store = disk.store().unwrap();
    let snapshot = store.snapshot().unwrap();
    let last = snapshot.get_value(Table::Safety, keys::SAFETY).unwrap();
    let last: u64 = last.unwrap_or(0);
    let rows = snapshot.range(Table::Batches, &KeyRange::all(), 100);
    let expected: Vec<Row> = (1..=last)
        .filter(|number| number + 3 > last)
        .map(|number| (number.to_be_bytes().to_vec(), vec![number as u8; 5000]))
        .collect();
    assert_eq!(rows.unwrap(), expected, "commit {last} is half there");
    last
}

#[test]
fn a_crash_at_any_moment_loses_nothing_acknowledged() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let created = disk.log().len();
    for number in 1..=COMMITS {
        commit(&store, number);
        disk.note(Op::Acknowledged(number));
    }
    let log = disk.log();

    let mut rng = StdRng::seed_from_u64(1);
    let mut outcomes = std::collections::BTreeSet::new();
    for crash in created..=log.len() {
        let before = &log[..crash];
        let synced = before
            .iter()
            .rposition(|op| matches!(op, Op::Sync))
            .map_or(0, |place| place + 1);
        let mut data = Vec::new();
        for op in &before[..synced] {
            op.apply(&mut data);
        }
        // Of what was not synced, the disk kept some and lost some.
        for op in &before[synced..] {
            if matches!(op, Op::SetLength(_)) || rng.gen_bool(0.5) {
                op.apply(&mut data);
            }
        }
        let acknowledged = before.iter().rev().find_map(|op| match op {
            Op::Acknowledged(number) => Some(*number),
            _ => None,
        });
        let found = last_commit(&Disk::with(data));
        let acknowledged = acknowledged.unwrap_or(0);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&found),
            "crash {crash}: {acknowledged} acknowledged, {found} found"
        );
        outcomes.insert(found - acknowledged);
    }
    assert_eq!(outcomes.len(), 2, "the crashes hit commits on both sides");
}
