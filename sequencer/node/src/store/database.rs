//! The file: creating, opening, committing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bincode::{Decode, Encode};
use conclave_types::{ChainId, Digest, ValidatorIndex};
use redb::{Builder, Database, Durability, ReadableDatabase, WriteTransaction};

use super::batch::Write;
use super::error::{
    from_commit, from_database, from_io, from_storage, from_table, from_transaction, guarded,
};
use super::mark::{self, Closing, Mark, sync_directory};
use super::{Snapshot, StoreError, Table, WriteBatch, keys, record};

/// The layout of the tables; a file with a higher number is refused.
pub const FORMAT_VERSION: u32 = 3;

/// Bytes that redb may keep of the file in memory: the recent blocks, batches and the mempool's
/// index fit many times over.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

const META_IDENTITY: &[u8] = b"identity";
const META_FORMAT: &[u8] = b"format";

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    pub chain: ChainId,
    pub validator: ValidatorIndex,
}

/// The open file. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    database: Database,
    /// A write failed or a value was damaged, so what the file holds is not what we think.
    stopped: AtomicBool,
    /// Dropped after the database was closed.
    closing: Option<Closing>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Some(closing) = &mut self.closing
            && let Ok(safety) = safety_of(&self.path, &self.database)
        {
            closing.arm(safety);
        }
    }
}

impl Store {
    /// Creates the file of a validator that has never run. [`StoreError::Exists`] if it is there.
    ///
    /// The file appears under its name only once it is complete, so an interrupted creation can
    /// be repeated, and an empty file is always a damaged one.
    pub fn create(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(StoreError::Exists {
                path: path.to_owned(),
            });
        }
        let directory = directory_of(path);
        if !directory.is_dir() {
            return Err(StoreError::Io {
                path: directory.to_owned(),
                reason: "there is no such directory".to_owned(),
            });
        }
        // The mark of a file that is gone says nothing of the new one.
        mark::take(path)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let result = write_new(&draft, identity).and_then(|()| publish(&draft, path));
        if result.is_err() {
            // The first error is the one to report; a draft left behind is replaced next time.
            let _ = fs::remove_file(&draft);
        }
        result?;
        Self::open(path, identity)
    }

    /// Opens the file of a validator that has run before. All of it is checked unless an orderly
    /// stop left its mark; then the checksum of each record is, whenever it is read.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        let length = fs::metadata(path)
            .map_err(|error| from_io(path, &error))?
            .len();
        if length == 0 {
            return Err(StoreError::Corrupted {
                path: path.to_owned(),
                reason: "it is empty".to_owned(),
            });
        }
        let mark = mark::take(path)?;
        let quick = mark.is_some_and(|mark| mark.length == length);
        let opened = match Self::open_file(path, !quick, mark) {
            // Only the whole check can tell what a file with a damaged record is still good for.
            Err(StoreError::Corrupted { .. }) if quick => Self::open_file(path, true, mark),
            opened => opened,
        };
        if opened.is_err()
            && let Some(mark) = &mark
        {
            // Or the next start would take an exchanged file for one after a crash.
            mark::write(path, mark).map_err(|error| from_io(path, &error))?;
        }
        let store = opened?;
        if store.check(identity)? < FORMAT_VERSION {
            // Later formats only add tables.
            store.initialise(identity)?;
        }
        Ok(store)
    }

    fn open_file(path: &Path, check_all: bool, mark: Option<Mark>) -> Result<Self, StoreError> {
        if check_all {
            tracing::info!(path = %path.display(), "checking the whole store");
        }
        let database = guarded(path, || {
            Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check_all)
                .open(path)
                .map_err(|error| from_database(path, &error))
        })?;
        let safety = safety_of(path, &database)?;
        if mark.is_some_and(|mark| mark.safety != safety) {
            return Err(StoreError::Exchanged {
                path: path.to_owned(),
            });
        }
        Ok(Self::over(path, database, Some(Closing::of(path))))
    }

    /// Opens the file, or creates it if there is none. A validator whose file was lost must not
    /// come back this way: it would have forgotten its votes.
    pub fn open_or_create(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        match path.exists() {
            true => Self::open(path, identity),
            false => Self::create(path, identity),
        }
    }

    /// Applies the batch in one durable transaction; blocks until the disk has it.
    ///
    /// After an error every further commit is refused with [`StoreError::Stopped`].
    pub fn commit(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.commit_all(core::slice::from_ref(&batch))
    }

    /// The store as of its last commit.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let path = &self.inner.path;
        guarded(path, || match self.inner.database.begin_read() {
            Ok(transaction) => Ok(Snapshot::new(self, transaction)),
            Err(error) => Err(from_transaction(path, &error)),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Applies several batches, in order, in one durable transaction.
    pub(super) fn commit_all(&self, batches: &[&WriteBatch]) -> Result<(), StoreError> {
        if self.inner.stopped.load(Ordering::SeqCst) {
            return Err(StoreError::Stopped {
                reason: "an earlier write failed, or a record was found damaged".to_owned(),
            });
        }
        let result = guarded(&self.inner.path, || self.write(batches));
        if result.is_err() {
            self.inner.stopped.store(true, Ordering::SeqCst);
        }
        result
    }

    /// Refuses all further writes: a record was found damaged.
    pub(super) fn distrust(&self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
    }

    pub(super) fn over(path: &Path, database: Database, closing: Option<Closing>) -> Self {
        let inner = Inner {
            path: path.to_owned(),
            database,
            stopped: AtomicBool::new(false),
            closing,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn initialise(&self, identity: Identity) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        batch.put_value(Table::Meta, META_FORMAT, &FORMAT_VERSION);
        batch.put_value(Table::Meta, META_IDENTITY, &identity);
        guarded(&self.inner.path, || {
            let transaction = self.begin()?;
            for table in Table::ALL {
                transaction
                    .open_table(table.definition())
                    .map_err(|error| from_table(&self.inner.path, &error))?;
            }
            self.apply(&transaction, Table::Meta, &[&batch])?;
            self.end(transaction)
        })
    }

    fn write(&self, batches: &[&WriteBatch]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for table in Table::ALL {
            let touched = |batch: &&WriteBatch| batch.writes_to(*table).next().is_some();
            if batches.iter().any(touched) {
                self.apply(&transaction, *table, batches)?;
            }
        }
        self.end(transaction)
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let path = &self.inner.path;
        let mut transaction = self
            .inner
            .database
            .begin_write()
            .map_err(|error| from_transaction(path, &error))?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(|error| StoreError::Io {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        Ok(transaction)
    }

    fn end(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        transaction
            .commit()
            .map_err(|error| from_commit(&self.inner.path, &error))
    }

    /// Applies what the batches write to one table.
    fn apply(
        &self,
        transaction: &WriteTransaction,
        table: Table,
        batches: &[&WriteBatch],
    ) -> Result<(), StoreError> {
        let path = &self.inner.path;
        let mut open = transaction
            .open_table(table.definition())
            .map_err(|error| from_table(path, &error))?;
        for write in batches.iter().flat_map(|batch| batch.writes_to(table)) {
            let done = match write {
                Write::Put { key, value } => open
                    .insert(key.as_slice(), record::seal(table, key, value).as_slice())
                    .map(|_previous| ()),
                Write::Delete { key } => open.remove(key.as_slice()).map(|_previous| ()),
                Write::DeleteRange(range) if range.is_empty() => Ok(()),
                Write::DeleteRange(range) => {
                    open.retain_in::<&[u8], _>(range.bounds(), |_, _| false)
                }
            };
            done.map_err(|error| from_storage(path, &error))?;
        }
        Ok(())
    }

    /// Whose file it is, and of which format.
    fn check(&self, identity: Identity) -> Result<u32, StoreError> {
        let path = || self.inner.path.clone();
        let snapshot = self.snapshot()?;
        let format = snapshot.get_value::<u32>(Table::Meta, META_FORMAT)?;
        // Only the format is certain to be readable in a file of a newer program.
        if let Some(found) = format.filter(|found| *found > FORMAT_VERSION) {
            return Err(StoreError::NewerFormat {
                path: path(),
                found,
                known: FORMAT_VERSION,
            });
        }
        let found = snapshot.get_value::<Identity>(Table::Meta, META_IDENTITY)?;
        let (Some(format), Some(found)) = (format, found) else {
            return Err(StoreError::Corrupted {
                path: path(),
                reason: "it does not say whose it is".to_owned(),
            });
        };
        if found.chain != identity.chain {
            return Err(StoreError::WrongChain {
                path: path(),
                found: found.chain,
                expected: identity.chain,
            });
        }
        if found.validator != identity.validator {
            return Err(StoreError::WrongValidator {
                path: path(),
                found: found.validator,
                expected: identity.validator,
            });
        }
        Ok(format)
    }
}

/// Writes a complete, empty store under a name that nobody opens.
fn write_new(draft: &Path, identity: Identity) -> Result<(), StoreError> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(from_io(draft, &error));
        }
        _ => {}
    }
    let database = guarded(draft, || {
        Builder::new()
            .create(draft)
            .map_err(|error| from_database(draft, &error))
    })?;
    Store::over(draft, database, None).initialise(identity)
}

/// The digest of the stored safety state.
fn safety_of(path: &Path, database: &Database) -> Result<Digest, StoreError> {
    guarded(path, || {
        let transaction = database
            .begin_read()
            .map_err(|error| from_transaction(path, &error))?;
        let table = transaction
            .open_table(Table::Safety.definition())
            .map_err(|error| from_table(path, &error))?;
        let stored = table
            .get(keys::SAFETY)
            .map_err(|error| from_storage(path, &error))?;
        let Some(stored) = stored else {
            return Ok(mark::digest_of(None));
        };
        match record::open(Table::Safety, keys::SAFETY, stored.value()) {
            Some(safety) => Ok(mark::digest_of(Some(safety))),
            None => Err(damaged_record(path, Table::Safety)),
        }
    })
}

/// A record does not fit its checksum.
pub(super) fn damaged_record(path: &Path, table: Table) -> StoreError {
    StoreError::Corrupted {
        path: path.to_owned(),
        reason: format!("a record of {} does not fit its checksum", table.name()),
    }
}

/// Gives the draft its name, durably.
fn publish(draft: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = |error| from_io(path, &error);
    fs::rename(draft, path).map_err(failed)?;
    sync_directory(path).map_err(failed)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
