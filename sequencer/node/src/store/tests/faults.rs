//! Disks that fail: nothing is called durable that is not, and nothing is believed that changed.

use std::fs;
use std::io::ErrorKind;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::*;
use super::backend::{Disk, Fails};
use super::*;

/// Commits until the disk refuses; returns the last acknowledged number and the refusal.
fn until_refused(store: &Store) -> (u64, StoreError) {
    for number in 1_u64.. {
        let mut batch = put(Table::Safety, keys::SAFETY, &number.to_be_bytes());
        batch.put(Table::Batches, number.to_be_bytes(), vec![7; 200_000]);
        if let Err(error) = store.commit(&batch) {
            return (number - 1, error);
        }
        assert!(number < 1000, "the disk never refused");
    }
    unreachable!()
}

fn safety(store: &Store) -> u64 {
    let found = store.snapshot().unwrap();
    let found = found.get(Table::Safety, keys::SAFETY).unwrap().unwrap();
    u64::from_be_bytes(found.try_into().unwrap())
}

/// Whatever a disk refuses, the store says so with its code, takes nothing more, and on a repaired
/// disk finds what it acknowledged, and at most the one more that it did not.
#[test]
fn a_disk_that_refuses_stops_the_store_and_loses_nothing() {
    for (fails, kind, code) in [
        (Fails::Growth, ErrorKind::StorageFull, "[CV-STORE-007]"),
        (Fails::Growth, ErrorKind::QuotaExceeded, "[CV-STORE-007]"),
        (
            Fails::Changes,
            ErrorKind::ReadOnlyFilesystem,
            "[CV-STORE-006]",
        ),
        // A failed sync is EIO, which has no kind of its own.
        (Fails::Syncs, ErrorKind::Other, "[CV-STORE-001]"),
        (Fails::All, ErrorKind::Other, "[CV-STORE-001]"),
    ] {
        let disk = Disk::default();
        let store = disk.store().unwrap();
        store
            .commit(&put(Table::Safety, keys::SAFETY, &0_u64.to_be_bytes()))
            .unwrap();
        disk.fail(fails, kind);
        let (acknowledged, error) = until_refused(&store);
        assert!(error.to_string().starts_with(code), "{fails:?}: {error}");
        let refused = store.commit(&put(Table::Meta, b"n", b"1"));
        assert!(
            matches!(refused, Err(StoreError::Stopped { .. })),
            "{fails:?}"
        );
        drop(store);

        let repaired = disk.repaired().store().unwrap();
        let found = safety(&repaired);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&found),
            "{fails:?}: {acknowledged} acknowledged, {found} found"
        );
        repaired.commit(&put(Table::Meta, b"n", b"1")).unwrap();
    }
}

/// A flush that fails is heard by whoever waits for it: what would have left after it does not.
#[test]
fn nothing_leaves_after_a_failed_flush() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let (writer, failure) = StoreWriter::start(store).unwrap();
    disk.fail(Fails::Syncs, ErrorKind::Other);
    let (sent, outcome) = std::sync::mpsc::channel();
    for number in 0..3_u8 {
        let sent = sent.clone();
        let batch = put(Table::Safety, keys::SAFETY, &[number]);
        // A write after the failed one is refused at once, and that is as good.
        let _ = writer.enqueue(batch, move |result| sent.send(result).unwrap());
    }
    drop(sent);
    writer.shutdown();
    assert!(outcome.iter().all(|result| result.is_err()));
    assert!(failure.blocking_recv().is_ok(), "the owner is told");
}

/// A record that changed on the disk is found when it is read, and from then on nothing is accepted:
/// the node must not go on signing over a store that it cannot trust.
#[test]
fn a_record_that_changed_on_the_disk_stops_all_writes() {
    let disk = Disk::default();
    let store = disk.store().unwrap();
    let value = *b"a value that is easy to find";
    store.commit(&put(Table::Blocks, b"key", &value)).unwrap();
    drop(store);
    let mut copies = 0;
    while let Some(place) = disk.find(&value) {
        disk.flip(place + 3, 2);
        copies += 1;
    }
    assert!(copies > 0);
    // As after an orderly stop: the file as a whole is not checked.
    let store = disk.store().unwrap();
    let error = store.snapshot().unwrap().get(Table::Blocks, b"key");
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("[CV-STORE-005]"), "{error}");
    let refused = store.commit(&put(Table::Meta, b"n", b"1"));
    assert!(matches!(refused, Err(StoreError::Stopped { .. })));
}

/// A store of some size, closed in order, and its mark.
fn closed() -> (TempDir, PathBuf, Vec<u8>, Vec<u8>) {
    let (directory, path) = place();
    let store = Store::create(&path, identity()).unwrap();
    for height in 0..60 {
        let mut batch = put(Table::Safety, keys::SAFETY, &[height as u8; 300]);
        let key = keys::height(Height(height));
        batch.put(Table::Blocks, key, vec![height as u8; 400]);
        store.commit(&batch).unwrap();
    }
    drop(store);
    let bytes = fs::read(&path).unwrap();
    let mark = fs::read(path.with_extension("clean")).unwrap();
    (directory, path, bytes, mark)
}

/// The quick start after an orderly stop reads less, and believes no more: whatever bit changed
/// meanwhile, the safety state is the one that was closed or the file is refused, and no value that
/// is read differs from what was written.
#[test]
fn a_bit_that_changed_after_an_orderly_stop_is_never_believed() {
    let (_directory, path, whole, mark) = closed();
    let mut rng = StdRng::seed_from_u64(4);
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        let place = rng.gen_range(0..bytes.len());
        bytes[place] ^= 1 << rng.gen_range(0..8);
        fs::write(&path, &bytes).unwrap();
        fs::write(path.with_extension("clean"), &mark).unwrap();
        let rows = Store::open(&path, identity()).and_then(|store| {
            let snapshot = store.snapshot()?;
            let safety = snapshot.get(Table::Safety, keys::SAFETY)?;
            assert_eq!(safety, Some(vec![59; 300]), "the bit at {place}");
            snapshot.range(Table::Blocks, &KeyRange::all(), 1000)
        });
        let Ok(rows) = rows else {
            refused += 1;
            continue;
        };
        for (key, value) in rows {
            let height = keys::parse_height(&key).unwrap().0;
            assert_eq!(value, vec![height as u8; 400], "the bit at {place}");
        }
    }
    assert!(refused > 0);
}

#[test]
fn the_mark_is_used_once_and_only_for_its_own_file() {
    let (_directory, path, whole, mark) = closed();
    let mark_path = path.with_extension("clean");
    let store = Store::open(&path, identity()).unwrap();
    assert!(!mark_path.exists(), "a crash from here on leaves no mark");
    store
        .commit(&put(Table::Safety, keys::SAFETY, b"a newer one"))
        .unwrap();
    drop(store);
    let newer = fs::read(&mark_path).unwrap();
    assert_ne!(newer, mark);

    // An older copy beside the newest mark: as whole as it may be, it has forgotten votes.
    // However often it is started: the refusal itself must not use the mark up.
    fs::write(&path, &whole).unwrap();
    for _ in 0..3 {
        let error = Store::open(&path, identity()).err().unwrap();
        assert!(matches!(error, StoreError::Exchanged { .. }), "{error}");
        assert!(error.to_string().starts_with("[CV-STORE-014]"));
    }
    assert_eq!(fs::read(&mark_path).unwrap(), newer);

    // A damaged mark says nothing, so everything is checked.
    for damaged in [b"".to_vec(), b"nonsense".to_vec(), {
        let mut flipped = mark;
        flipped[3] ^= 1;
        flipped
    }] {
        fs::write(&path, &whole).unwrap();
        fs::write(&mark_path, damaged).unwrap();
        let store = Store::open(&path, identity()).unwrap();
        let found = store.snapshot().unwrap();
        let found = found.get(Table::Safety, keys::SAFETY).unwrap();
        assert_eq!(found, Some(vec![59; 300]));
    }
}

/// A file that was cut while nobody looked is refused, with or without a mark.
#[test]
fn a_truncated_file_is_refused() {
    let (_directory, path, whole, mark) = closed();
    for part in 1..8 {
        for marked in [false, true] {
            fs::write(&path, &whole[..whole.len() * part / 8]).unwrap();
            if marked {
                fs::write(path.with_extension("clean"), &mark).unwrap();
            }
            let error = Store::open(&path, identity()).err().unwrap();
            let text = error.to_string();
            assert!(text.starts_with("[CV-STORE-005]"), "{part}: {text}");
        }
    }
}
