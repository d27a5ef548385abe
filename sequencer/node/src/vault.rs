//! Secrets that must be forgotten one day: shares of an epoch's sealing key, and what they are made
//! from.
//!
//! Each secret is a pair of files beside the store, never in it: the store copies pages when it
//! writes, so nothing in it is ever surely gone.
//!
//! ```text
//! NAME.sealed   the secret, encrypted under a key of its own
//! NAME.key      that key, 32 bytes; destroying it destroys the secret, wherever copies of
//!               NAME.sealed may be
//! ```
//!
//! To forget, the key is overwritten where it is, synced, and both files are removed. On media that
//! write elsewhere than they are told (flash, copy-on-write file systems, snapshots) the old block
//! may survive; the directory belongs on a disk whose encryption or firmware the operator trusts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use conclave_types::Epoch;
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::store::sync_directory;

/// The file that says which keys are retired.
const RETIRED: &str = "retired";

/// A secret that cannot be kept, read or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Reading or writing failed.
    #[error("[CV-NODE-040] the secret file {}: {source}; check the disk and the owner of the directory", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The file is not what was written under its key.
    #[error("[CV-NODE-041] the secret file {} is damaged; remove it and its key, and this validator takes part again from the next epoch on", path.display())]
    Damaged { path: PathBuf },
}

/// The directory of secrets.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    directory: PathBuf,
}

impl Vault {
    /// The vault in a data directory; made if it is not there.
    pub(crate) fn open(data: &Path) -> Result<Self, VaultError> {
        let directory = data.join("secrets");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        let vault = Self { directory };
        vault.at(&vault.directory, made)?;
        Ok(vault)
    }

    /// Keeps a secret under a name, durably; one that is there already stays as it is.
    pub(crate) fn keep(&self, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        if self.holds(name) {
            return Ok(());
        }
        let (sealed, key) = self.paths(name);
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *bytes);
        let cipher = ChaCha20Poly1305::new(Key::from_slice(&*bytes));
        // Each key encrypts one secret, so the nonce is fixed.
        let encrypted = cipher.encrypt(&Nonce::default(), secret);
        let encrypted = encrypted.map_err(|_| VaultError::Damaged {
            path: sealed.clone(),
        })?;
        self.at(&key, write(&key, &*bytes))?;
        self.at(&sealed, write(&sealed, &encrypted))
    }

    /// Whether a secret was kept and not forgotten.
    pub(crate) fn holds(&self, name: &str) -> bool {
        let (sealed, key) = self.paths(name);
        sealed.exists() && key.exists()
    }

    /// A secret, if it was kept and not forgotten.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let (sealed, key) = self.paths(name);
        let (Some(encrypted), Some(bytes)) = (self.file(&sealed)?, self.file(&key)?) else {
            return Ok(None);
        };
        let damaged = || VaultError::Damaged {
            path: sealed.clone(),
        };
        let bytes: Zeroizing<[u8; 32]> =
            Zeroizing::new(bytes.as_slice().try_into().map_err(|_| damaged())?);
        let cipher = ChaCha20Poly1305::new(Key::from_slice(&*bytes));
        let secret = cipher.decrypt(&Nonce::default(), encrypted.as_slice());
        Ok(Some(Zeroizing::new(secret.map_err(|_| damaged())?)))
    }

    /// Destroys a secret. Doing it again changes nothing.
    pub(crate) fn forget(&self, name: &str) -> Result<(), VaultError> {
        let (sealed, key) = self.paths(name);
        self.at(&key, destroy(&key))?;
        self.at(&sealed, remove(&sealed))
    }

    /// Notes that the keys of an epoch and of all before are of no use any more. What was noted stays:
    /// a node that executes old blocks again after a start hears of old retirements again.
    pub(crate) fn retire(&self, through: Epoch) -> Result<(), VaultError> {
        if self.retired()? >= Some(through) {
            return Ok(());
        }
        let path = self.directory.join(RETIRED);
        self.at(&path, write(&path, through.to_string().as_bytes()))
    }

    /// Up to which epoch keys are of no use any more.
    pub(crate) fn retired(&self) -> Result<Option<Epoch>, VaultError> {
        let path = self.directory.join(RETIRED);
        let Some(bytes) = self.file(&path)? else {
            return Ok(None);
        };
        let epoch = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse().ok());
        epoch.map(Some).ok_or(VaultError::Damaged { path })
    }

    /// The names of all secrets.
    pub(crate) fn names(&self) -> Result<Vec<String>, VaultError> {
        let entries = self.at(&self.directory, fs::read_dir(&self.directory))?;
        let mut names = Vec::new();
        for entry in entries {
            let path = self.at(&self.directory, entry)?.path();
            let sealed = path.extension().is_some_and(|end| end == "sealed");
            if let Some(name) = path.file_stem().and_then(|name| name.to_str())
                && sealed
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn paths(&self, name: &str) -> (PathBuf, PathBuf) {
        let path = |end| self.directory.join(format!("{name}.{end}"));
        (path("sealed"), path("key"))
    }

    fn file(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => self.at(path, Err(error)),
        }
    }

    fn at<T>(&self, path: &Path, result: io::Result<T>) -> Result<T, VaultError> {
        result.map_err(|source| VaultError::Io {
            path: path.to_owned(),
            source,
        })
    }
}

/// Overwrites a file of secret bytes where it lies, and removes it.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    file.write_all(&vec![0; length as usize])?;
    file.sync_all()?;
    drop(file);
    remove(path)
}

/// Removes a file, durably, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(path),
    }
}

/// A new file that only its owner reads, whole or absent after a crash.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_there_until_it_is_forgotten() {
        let data = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(data.path()).expect("a vault");
        vault.keep("shares-3", b"x").expect("kept");
        vault
            .keep("shares-3", b"another")
            .expect("the first one stays");
        let again = Vault::open(data.path()).expect("the vault");
        let read = again.read("shares-3").expect("readable");
        assert_eq!(read.as_deref().map(Vec::as_slice), Some(b"x".as_slice()));
        assert_eq!(again.names().expect("names"), ["shares-3"]);

        again.forget("shares-3").expect("forgotten");
        again.forget("shares-3").expect("forgotten twice");
        assert!(again.read("shares-3").expect("readable").is_none());
        assert!(again.names().expect("names").is_empty());
    }

    /// A copy of the encrypted file, in a backup say, is worth nothing once the key is destroyed.
    #[test]
    fn without_its_key_a_kept_copy_opens_nothing() {
        let data = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(data.path()).expect("a vault");
        vault.keep("shares-1", b"secret").expect("kept");
        let sealed = data.path().join("secrets/shares-1.sealed");
        let copy = fs::read(&sealed).expect("a backup");
        assert!(!copy.windows(6).any(|window| window == b"secret"));
        vault.forget("shares-1").expect("forgotten");
        fs::write(&sealed, copy).expect("put back");
        assert!(vault.read("shares-1").expect("readable").is_none());
    }

    /// A node that executes old blocks again hears of old retirements again; the note must not fall back
    /// to them, or what was destroyed since would be missed.
    #[test]
    fn a_retirement_is_never_taken_back() {
        let data = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(data.path()).expect("a vault");
        assert_eq!(vault.retired().expect("readable"), None);
        for (said, noted) in [(3, 3), (1, 3), (4, 4)] {
            vault.retire(Epoch(said)).expect("noted");
            assert_eq!(vault.retired().expect("readable"), Some(Epoch(noted)));
        }
    }

    #[test]
    fn a_damaged_secret_is_said_to_be_one() {
        let data = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(data.path()).expect("a vault");
        vault.keep("shares-1", b"secret").expect("kept");
        let sealed = data.path().join("secrets/shares-1.sealed");
        let mut bytes = fs::read(&sealed).expect("there");
        bytes[0] ^= 1;
        fs::write(&sealed, bytes).expect("damaged");
        let error = vault.read("shares-1").expect_err("damaged");
        assert!(error.to_string().contains("CV-NODE-041"), "{error}");
    }
}
