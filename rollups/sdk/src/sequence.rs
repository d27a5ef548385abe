//! A payer's sequence numbers: never one twice, across crashes and processes.
//!
//! The file holds the first number that was never reserved. Numbers are reserved in blocks before
//! any of them is used, so a crash loses at most a block; the ledger allows gaps, and a block is
//! far smaller than its window.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use conclave_types::{Sequence, limits};

use crate::durable::{read_file, replace_file};

/// Numbers reserved by one durable write.
const BLOCK: u64 = 64;
const _: () = assert!(BLOCK * 4 <= limits::SEQUENCE_WINDOW);

/// A counter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// Reading or writing failed; after a failed write the counter refuses further use.
    #[error("[CV-SDK-010] sequence file {}: {source}; repair the disk and open it again", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Another process uses the same payer.
    #[error("[CV-SDK-011] sequence file {} is in use by another process; stop it, or use another account", path.display())]
    InUse { path: PathBuf },
    /// The file does not hold a number.
    #[error("[CV-SDK-012] sequence file {} is damaged; delete it, the chain knows the numbers used", path.display())]
    Damaged { path: PathBuf },
    /// An earlier write failed.
    #[error("[CV-SDK-013] an earlier write of sequence file {} failed; open it again", path.display())]
    Poisoned { path: PathBuf },
    /// No numbers are left.
    #[error("[CV-SDK-014] the payer's sequence numbers are used up; use another account")]
    Exhausted,
}

/// The durable counter of one payer on one chain.
#[derive(Debug)]
pub struct SequenceFile {
    path: PathBuf,
    next: u64,
    /// The first number that is not reserved on disk.
    reserved: u64,
    poisoned: bool,
    /// Held while this process uses the counter.
    _lock: File,
}

impl SequenceFile {
    /// Opens or creates the counter, and locks it against other processes.
    pub fn open(path: &Path) -> Result<Self, SequenceError> {
        let io = |source| SequenceError::Io {
            path: path.into(),
            source,
        };
        let lock = lock(path)?;
        let next = match read_file(path).map_err(io)? {
            None => 1,
            Some(bytes) => str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.trim_end().parse().ok())
                .ok_or(SequenceError::Damaged { path: path.into() })?,
        };
        Ok(Self {
            path: path.into(),
            next,
            reserved: next,
            poisoned: false,
            _lock: lock,
        })
    }

    /// Skips every number up to one that the chain has seen.
    pub fn skip_to_after(&mut self, used: Sequence) {
        self.next = self.next.max(used.0.saturating_add(1));
    }

    /// A number that no one gets again.
    pub fn take(&mut self) -> Result<Sequence, SequenceError> {
        if self.poisoned {
            return Err(SequenceError::Poisoned {
                path: self.path.clone(),
            });
        }
        let number = self.next;
        let after = number.checked_add(1).ok_or(SequenceError::Exhausted)?;
        if after > self.reserved {
            self.reserve(number.checked_add(BLOCK).ok_or(SequenceError::Exhausted)?)?;
        }
        self.next = after;
        Ok(Sequence(number))
    }

    fn reserve(&mut self, up_to: u64) -> Result<(), SequenceError> {
        self.poisoned = true;
        replace_file(&self.path, format!("{up_to}\n").as_bytes()).map_err(|source| {
            SequenceError::Io {
                path: self.path.clone(),
                source,
            }
        })?;
        self.poisoned = false;
        self.reserved = up_to;
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File, SequenceError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let io = |source| SequenceError::Io {
        path: path.into(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SequenceError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}
