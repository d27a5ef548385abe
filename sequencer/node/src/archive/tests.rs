//! Does the archive give back what it took, or say why not?

mod bucket;

use std::fs;
use std::path::PathBuf;

use conclave_types::{ChainId, Digest, Height, ValidatorIndex};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;
use crate::store::{Identity, Table, keys};

pub(super) fn owner(validator: u16) -> Identity {
    Identity {
        chain: ChainId(Digest([7; 32])),
        validator: ValidatorIndex(validator),
    }
}

pub(super) fn segment(owner: Identity, first: u64, last: u64) -> Segment {
    let rows = (first..=last).rev().map(|height| {
        let key = keys::height(Height(height)).to_vec();
        (Table::Blocks, (key, vec![height as u8; 100]))
    });
    Segment::new(owner, (Height(first), Height(last)), rows)
}

fn open(directory: &TempDir, validator: u16) -> Archive {
    let place = ArchivePlace::Folder(directory.path().to_owned());
    Archive::open(&place, owner(validator), Handle::current()).expect("opens")
}

fn files(directory: &TempDir) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![directory.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_written_is_read() {
    let directory = TempDir::new().unwrap();
    let archive = open(&directory, 1);
    let (first, second) = (segment(owner(1), 1, 256), segment(owner(1), 257, 300));
    // In any order, and as often as one likes.
    let later = archive.write(&second).await.unwrap();
    let earlier = archive.write(&first).await.unwrap();
    assert_eq!(archive.write(&first).await.unwrap(), earlier);
    assert_eq!(files(&directory).len(), 2);
    let fresh = open(&directory, 1);
    let read = fresh.read(Height(257), &later).unwrap();
    assert_eq!(*read, second);
    let key = keys::height(Height(300));
    assert_eq!(read.get(Table::Blocks, &key), Some([44; 100].as_slice()));
    assert_eq!(read.get(Table::Events, &key), None);
    assert_eq!(read.get(Table::Blocks, &keys::height(Height(301))), None);
}

/// Validators may share one place: each has names of its own and sees only them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_validators_share_a_place() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (open(&directory, 1), open(&directory, 2));
    let (of_one, of_two) = (segment(owner(1), 1, 9), segment(owner(2), 1, 9));
    let (first, second) = tokio::join!(one.write(&of_one), two.write(&of_two));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(*one.read(Height(1), &first).unwrap(), of_one);
    assert_eq!(*two.read(Height(1), &second).unwrap(), of_two);
    let foreign = one.read(Height(1), &second);
    assert!(matches!(foreign, Err(ArchiveError::Missing { .. })));
}

/// Whatever happens to an object, whoever reads it is told, and never gets what was not written.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_object_is_an_error() {
    let directory = TempDir::new().unwrap();
    let written = segment(owner(1), 1, 20);
    let reference = open(&directory, 1).write(&written).await.unwrap();
    let path = files(&directory).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    // Without its cache.
    let read = || open(&directory, 1).read(Height(1), &reference);
    for at in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(matches!(read(), Err(ArchiveError::Damaged { .. })), "{at}");
    }
    for length in [0, 1, 31, 32, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(read(), Err(ArchiveError::Damaged { .. })));
    }
    let longer = [whole.as_slice(), b"more"].concat();
    fs::write(&path, longer).unwrap();
    assert!(matches!(read(), Err(ArchiveError::Damaged { .. })));
    // Another segment of the same length, whole in itself, under this one's name.
    let (other, _) = segment(owner(1), 21, 40).seal();
    assert_eq!(other.len(), whole.len());
    fs::write(&path, other).unwrap();
    assert!(matches!(read(), Err(ArchiveError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    let error = read().unwrap_err();
    assert!(matches!(error, ArchiveError::Missing { .. }));
    assert!(
        error
            .to_string()
            .starts_with("[CV-ARC-003] heights 1 to 20 are missing")
    );
    // What was read once is good, whatever becomes of the object.
    fs::write(&path, &whole).unwrap();
    let archive = open(&directory, 1);
    archive.read(Height(1), &reference).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(*archive.read(Height(1), &reference).unwrap(), written);
    // Writing again heals it.
    archive.write(&written).await.unwrap();
    assert_eq!(*read().unwrap(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_place_that_takes_nothing_says_so() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    let place = ArchivePlace::Folder(file);
    let refused = Archive::open(&place, owner(1), Handle::current());
    assert!(matches!(refused, Err(ArchiveError::Place { .. })));
    let archive = open(&directory, 1);
    let chain = directory.path().join(owner(1).chain.to_string());
    fs::write(chain, b"in the way").unwrap();
    let refused = archive.write(&segment(owner(1), 1, 2)).await;
    assert!(matches!(refused, Err(ArchiveError::Unreachable { .. })));
}

#[test]
fn places_are_folders_or_buckets() {
    let none = || std::iter::empty();
    let folder = |path: &str| Ok(ArchivePlace::Folder(path.into()));
    assert_eq!(
        ArchivePlace::parse("/var/archive", none()),
        folder("/var/archive")
    );
    assert_eq!(ArchivePlace::parse("archive", none()), folder("archive"));
    assert_eq!(
        ArchivePlace::parse("file:///var/a", none()),
        folder("/var/a")
    );
    let bucket = ArchivePlace::parse(
        "s3://bucket/prefix",
        [("AWS_SECRET_ACCESS_KEY".into(), "secret".into())].into_iter(),
    );
    let shown = format!("{:?}", bucket.expect("a bucket"));
    assert!(
        shown.contains("s3://bucket/prefix") && !shown.contains("\"secret\""),
        "{shown}"
    );
    for wrong in ["s3://", "s3:///prefix", "ftp://host/x", "file://relative"] {
        let error = ArchivePlace::parse(wrong, none()).unwrap_err();
        assert!(error.to_string().starts_with("[CV-ARC-001]"), "{error}");
    }
}
