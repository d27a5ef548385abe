//! Where a wallet's state is durable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use conclave_types::codec;

use crate::domain::WALLET_STATE;
use crate::wallet::WalletState;

/// Why a wallet's state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeafStoreError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is damaged.
    #[error("the state file is damaged; restore the wallet, it then rotates")]
    Damaged,
    /// Another process holds the wallet.
    #[error("another process has this wallet open; close it first")]
    Locked,
}

/// Keeps a wallet's state.
///
/// `store` returns only when the state survives a power loss; after an error the caller must
/// treat what is stored as unknown.
pub trait LeafStore {
    /// The stored state, or `None` when nothing was ever stored.
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError>;
    /// Makes a state durable in place of the one before.
    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError>;
}

/// One file, replaced atomically, and a lock beside it.
#[derive(Debug)]
pub struct FileLeafStore {
    path: PathBuf,
    /// Holds the lock for as long as the store lives.
    _lock: File,
}

impl FileLeafStore {
    /// Takes the wallet at this path; fails while another process has it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LeafStoreError> {
        let path = path.into();
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(LeafStoreError::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl LeafStore for FileLeafStore {
    fn load(&self) -> Result<Option<WalletState>, LeafStoreError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (body, checksum) = bytes
            .split_last_chunk::<32>()
            .ok_or(LeafStoreError::Damaged)?;
        if blake3::derive_key(WALLET_STATE, body) != *checksum {
            return Err(LeafStoreError::Damaged);
        }
        let state = codec::decode(body, 64).map_err(|_| LeafStoreError::Damaged)?;
        Ok(Some(state))
    }

    fn store(&mut self, state: &WalletState) -> Result<(), LeafStoreError> {
        let mut bytes = codec::encode(state);
        bytes.extend_from_slice(&blake3::derive_key(WALLET_STATE, &bytes));
        let temporary = self.path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}
