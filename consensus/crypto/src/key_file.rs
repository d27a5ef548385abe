//! Secret keys on disk: 64 hexadecimal digits in a file only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// 64 digits and a line end, with room to notice that there is more.
const FILE_BYTES_MAX: u64 = 80;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("[CV-CRYPTO-004] key file {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The file is readable by others.
    #[error("[CV-CRYPTO-005] key file {} has mode {mode:o}; others can read it: chmod 600 it, and replace the key if somebody might have", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    /// The contents are not 32 bytes in hexadecimal.
    #[error("[CV-CRYPTO-006] key file {} does not hold 64 hexadecimal digits; restore it from a backup", path.display())]
    Malformed { path: PathBuf },
}

/// Writes 32 secret bytes to a new file of mode 0600 and syncs it. An existing file is never
/// overwritten: that could destroy a key.
pub fn save_key(path: &Path, secret: &[u8; 32]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(hex::encode(secret) + "\n");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| io_error(path, source))
}

/// Reads 32 secret bytes; refuses a file that others can read.
pub fn load_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    let mode = file
        .metadata()
        .map_err(|source| io_error(path, source))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.into(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| io_error(path, source))?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_end(), &mut *secret)
        .map_err(|_| KeyFileError::Malformed { path: path.into() })?;
    Ok(secret)
}

fn io_error(path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io {
        path: path.into(),
        source,
    }
}
