//! A sequence number is never given twice, whatever happens between two of them.

use std::collections::BTreeSet;

use conclave_types::Sequence;

use crate::{SequenceError, SequenceFile};

#[test]
fn numbers_never_repeat_across_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sequence");
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let mut file = SequenceFile::open(&path).expect("opens");
        for _ in 0..70 {
            assert!(seen.insert(file.take().expect("a number")));
        }
    }
}

#[test]
fn a_number_is_reserved_on_disk_before_it_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sequence");
    let mut file = SequenceFile::open(&path).expect("opens");
    for _ in 0..200 {
        let number = file.take().expect("a number");
        let text = std::fs::read_to_string(&path).expect("the file is there");
        let reserved: u64 = text.trim_end().parse().expect("a number");
        assert!(
            number.0 < reserved,
            "{number} was given with {reserved} on disk"
        );
    }
}

#[test]
fn a_crash_while_writing_leaves_the_old_reservation() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sequence");
    let first = SequenceFile::open(&path)
        .expect("opens")
        .take()
        .expect("a number");
    // The crash: the new file is half written and was never renamed.
    std::fs::write(dir.path().join("sequence.new"), b"9").expect("writes");
    let second = SequenceFile::open(&path)
        .expect("opens")
        .take()
        .expect("a number");
    assert!(second > first);
}

#[test]
fn a_failed_write_stops_the_counter() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sequence");
    let mut file = SequenceFile::open(&path).expect("opens");
    // A directory in the temporary file's place cannot be written.
    std::fs::create_dir(dir.path().join("sequence.new")).expect("creates");
    assert!(matches!(file.take(), Err(SequenceError::Io { .. })));
    std::fs::remove_dir(dir.path().join("sequence.new")).expect("removes");
    assert!(matches!(file.take(), Err(SequenceError::Poisoned { .. })));
}

#[test]
fn two_processes_cannot_share_a_payer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sequence");
    let _first = SequenceFile::open(&path).expect("opens");
    assert!(matches!(
        SequenceFile::open(&path),
        Err(SequenceError::InUse { .. })
    ));
}

#[test]
fn a_lost_file_goes_on_after_the_chain() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = SequenceFile::open(&dir.path().join("sequence")).expect("opens");
    file.skip_to_after(Sequence(1_000));
    assert_eq!(file.take().expect("a number"), Sequence(1_001));
}
