//! The mark that an orderly stop leaves beside the file, so that the next start need not read all
//! of it.
//!
//! The mark says how long the file is and what its safety state is. It is removed, durably, before
//! the file is opened for writing: so it is there only if nothing happened to the file since, and a
//! file that does not fit it was exchanged or cut. Without a mark, or with a damaged one, the whole
//! file is checked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};
use conclave_types::{Digest, Domain, codec};

use super::StoreError;
use super::error::from_io;

/// Bytes of a mark with its checksum, with room.
const MARK_BYTES_MAX: usize = 256;

/// What an orderly stop left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Mark {
    /// Bytes of the file.
    pub(super) length: u64,
    /// Of the stored safety state; of nothing if there was none.
    pub(super) safety: Digest,
}

/// The digest that a mark has of a safety state.
pub(super) fn digest_of(safety: Option<&[u8]>) -> Digest {
    Domain::StoreRecord.digest(safety.unwrap_or_default())
}

/// Takes the mark away and returns it, if it is there and whole.
pub(super) fn take(store: &Path) -> Result<Option<Mark>, StoreError> {
    let path = path_of(store);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io(&path, &error)),
    };
    fs::remove_file(&path)
        .and_then(|()| sync_directory(&path))
        .map_err(|error| from_io(&path, &error))?;
    let marked: Option<(Mark, Digest)> = codec::decode(&bytes, MARK_BYTES_MAX).ok();
    Ok(marked
        .filter(|(mark, sum)| *sum == sum_of(mark))
        .map(|(mark, _)| mark))
}

/// Writes a mark, durably. Also puts one back that was taken for a file that then was not opened: what
/// it says of the file stays true, and the next start must know it too.
pub(super) fn write(store: &Path, mark: &Mark) -> io::Result<()> {
    let path = path_of(store);
    let mut file = File::create(&path)?;
    file.write_all(&codec::encode(&(*mark, sum_of(mark))))?;
    file.sync_all()?;
    sync_directory(&path)
}

/// Writes the mark when it is dropped, if it was armed: after the file was closed.
#[derive(Debug)]
pub(super) struct Closing {
    store: PathBuf,
    safety: Option<Digest>,
}

impl Closing {
    pub(super) fn of(store: &Path) -> Self {
        Self {
            store: store.to_owned(),
            safety: None,
        }
    }

    /// The file is whole, with this safety state.
    pub(super) fn arm(&mut self, safety: Digest) {
        self.safety = Some(safety);
    }

    fn write(&self, safety: Digest) -> io::Result<()> {
        let length = fs::metadata(&self.store)?.len();
        write(&self.store, &Mark { length, safety })
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(safety) = self.safety
            && let Err(error) = self.write(safety)
        {
            tracing::warn!(%error, "no mark of a clean stop; the next start checks the whole store");
        }
    }
}

fn sum_of(mark: &Mark) -> Digest {
    Domain::StoreRecord.digest(&codec::encode(mark))
}

fn path_of(store: &Path) -> PathBuf {
    store.with_extension("clean")
}

/// Makes a file's being there, or not, durable.
pub(crate) fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
