//! Small files, bounded on reading and atomic on writing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use conclave_sdk::replace_file;

use crate::RollupError;

/// Reads a text file of at most `bytes_max` bytes.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, RollupError> {
    let read = || {
        let mut text = String::new();
        File::open(path)?
            .take(bytes_max + 1)
            .read_to_string(&mut text)?;
        match text.len() as u64 <= bytes_max {
            true => Ok(text),
            false => Err(io::Error::other(format!("longer than {bytes_max} bytes"))),
        }
    };
    read().map_err(RollupError::file(path))
}

/// Replaces a file so that a crash leaves the old or the new one; makes its folder if need be.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RollupError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        replace_file(path, bytes)
    };
    write().map_err(RollupError::file(path))
}
