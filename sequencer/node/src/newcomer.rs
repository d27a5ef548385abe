//! The mark that a validator has never run.
//!
//! Whoever makes a validator's share of the sealing key puts it into the data directory; the first
//! start takes it away, durably, before anything is signed. It goes with the directory when that is
//! lost: without it the node takes it that its keys have signed before. It names the key generation, so
//! that one left from an earlier attempt says nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use conclave_types::Digest;

use crate::store::sync_directory;
use crate::vault::remove;

const NAME: &str = "node.new";
/// The store, which a validator that has never run does not have.
pub(crate) const STORE: &str = "node.redb";

/// Marks that the validator with this data directory has never run; `transcript` is that of the sealing
/// key. Makes the directory. Fails with [`io::ErrorKind::AlreadyExists`] where a validator has run.
pub fn mark_new(data_dir: &Path, transcript: &Digest) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    if data_dir.join(STORE).exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path(data_dir))?;
    file.write_all(transcript.to_string().as_bytes())?;
    file.sync_all()?;
    sync_directory(&path(data_dir))
}

/// Whether the mark is there, for this sealing key.
pub(crate) fn is_new(data_dir: &Path, transcript: &Digest) -> io::Result<bool> {
    match fs::read(path(data_dir)) {
        Ok(text) => Ok(text == transcript.to_string().as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the mark away: from now on the validator has run.
pub(crate) fn begin(data_dir: &Path) -> io::Result<()> {
    remove(&path(data_dir))
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_mark_is_used_once_and_for_one_key() {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("a/b");
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        assert!(
            !is_new(&data, &one).unwrap(),
            "an unknown directory is no first start"
        );
        mark_new(&data, &one).unwrap();
        assert!(is_new(&data, &one).unwrap());
        assert!(!is_new(&data, &other).unwrap(), "it is of another ceremony");
        mark_new(&data, &other).unwrap();
        assert!(!is_new(&data, &one).unwrap() && is_new(&data, &other).unwrap());
        begin(&data).unwrap();
        begin(&data).unwrap();
        assert!(!is_new(&data, &other).unwrap());
    }

    #[test]
    fn where_a_validator_has_run_there_is_no_first_start() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join(STORE), b"a store").unwrap();
        let refused = mark_new(directory.path(), &Digest([1; 32])).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }
}
