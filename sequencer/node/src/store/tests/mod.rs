//! Does the store keep what it said it kept, and say so when it cannot?

mod backend;
mod crash;
mod damage;
mod faults;
mod group;
mod kill;

use std::path::PathBuf;

use conclave_types::{ChainId, Digest, Epoch, Height, LaneKind, RollupId, TxIndex, ValidatorIndex};
use tempfile::TempDir;

use super::*;

fn identity() -> Identity {
    Identity {
        chain: ChainId(Digest([7; 32])),
        validator: ValidatorIndex(2),
    }
}

/// A directory that is removed with the test, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("node.redb");
    (directory, path)
}

fn put(table: Table, key: impl AsRef<[u8]>, value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(table, key, value);
    batch
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let mut batch = put(Table::Safety, keys::SAFETY, b"view 7");
    batch.put_value(Table::Proofs, b"batch", &(7_u64, vec![1_u8, 2]));
    batch.put(Table::Mempool, b"gone", b"x");
    batch.delete(Table::Mempool, b"gone");
    store.commit(&batch).unwrap();
    drop(store);

    let snapshot = Store::open(&path, identity()).unwrap().snapshot().unwrap();
    let safety = snapshot.get(Table::Safety, keys::SAFETY).unwrap();
    assert_eq!(safety.as_deref(), Some(b"view 7".as_slice()));
    let value = snapshot.get_value::<(u64, Vec<u8>)>(Table::Proofs, b"batch");
    assert_eq!(value.unwrap(), Some((7, vec![1, 2])));
    assert!(!snapshot.contains(Table::Mempool, b"gone").unwrap());
    let other = snapshot.get_value::<u32>(Table::Proofs, b"batch");
    assert!(matches!(other, Err(StoreError::Undecodable { .. })));
}

#[test]
fn ranges_follow_the_numbers() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    let mut batch = WriteBatch::new();
    for height in [300, 2, 255, 256, 1] {
        batch.put(Table::Blocks, keys::height(Height(height)), *b"block");
    }
    store.commit(&batch).unwrap();
    let heights = |range: &KeyRange, rows_max| -> Vec<u64> {
        let snapshot = store.snapshot().unwrap();
        let rows = snapshot.range(Table::Blocks, range, rows_max).unwrap();
        rows.iter()
            .map(|(key, _)| keys::parse_height(key).unwrap().0)
            .collect()
    };
    assert_eq!(heights(&KeyRange::all(), 9), [1, 2, 255, 256, 300]);
    assert_eq!(heights(&KeyRange::all(), 2), [1, 2]);
    let key = |height| keys::height(Height(height));
    assert_eq!(heights(&KeyRange::after(&key(2)), 2), [255, 256]);
    assert_eq!(
        heights(&KeyRange::through(&key(2), &key(256)), 9),
        [2, 255, 256]
    );
    assert_eq!(heights(&KeyRange::between(&key(2), &key(256)), 9), [2, 255]);
    assert!(heights(&KeyRange::between(&key(9), &key(2)), 9).is_empty());

    let snapshot = store.snapshot().unwrap();
    let last = snapshot.last(Table::Blocks, &KeyRange::through(&[], &key(299)));
    assert_eq!(last.unwrap().unwrap().0, key(256));
    let first = snapshot.first(Table::Blocks, &KeyRange::from(&key(3)));
    assert_eq!(first.unwrap().unwrap().0, key(255));

    let mut prune = WriteBatch::new();
    prune.delete_range(Table::Blocks, KeyRange::between(&key(0), &key(256)));
    prune.delete_range(Table::Blocks, KeyRange::between(&key(9), &key(2)));
    store.commit(&prune).unwrap();
    assert_eq!(heights(&KeyRange::all(), 9), [256, 300]);
}

#[test]
fn composite_keys_keep_their_parts_in_order() {
    let (rollup, next) = (RollupId(5), RollupId(6));
    let key = keys::rollup_index(rollup, TxIndex(u64::MAX));
    assert!(key < keys::rollup_index(next, TxIndex(0)));
    assert!(key.starts_with(&keys::rollup(rollup)));
    assert_eq!(keys::parse_rollup_index(&key), Some(TxIndex(u64::MAX)));
    let key = keys::height_lane(Height(4), LaneKind::Malformed.of(Epoch(0)));
    assert!(key < keys::height_lane(Height(5), LaneKind::OnCommit.of(Epoch(0))));
    assert_eq!(keys::parse_height(&key), Some(Height(4)));
    assert!(keys::height_number(Height(4), 256) > keys::height_number(Height(4), 255));
    assert_eq!(keys::parse_height(b"short"), None);

    let prefix = KeyRange::prefix(&keys::rollup(RollupId(0x01ff)));
    assert_eq!(prefix, KeyRange::between(&[0, 0, 1, 0xff], &[0, 0, 2]));
    assert_eq!(
        KeyRange::prefix(&[0xff, 0xff]),
        KeyRange::from(&[0xff, 0xff])
    );
}

#[test]
fn a_snapshot_does_not_see_later_writes() {
    let (_directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    store.commit(&put(Table::Meta, b"n", b"old")).unwrap();
    let before = store.snapshot().unwrap();
    // Many commits, so that pages would be reused if the snapshot did not hold them.
    for n in 0..50_u8 {
        store.commit(&put(Table::Meta, b"n", &[n; 100])).unwrap();
    }
    let old = before.get(Table::Meta, b"n").unwrap();
    assert_eq!(old.as_deref(), Some(b"old".as_slice()));
    let new = store.snapshot().unwrap().get(Table::Meta, b"n").unwrap();
    assert_eq!(new, Some(vec![49; 100]));
}
