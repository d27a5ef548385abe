//! Reading: a consistent view that no later write changes.

use std::path::Path;

use bincode::Decode;
use conclave_types::codec;
use redb::{ReadOnlyTable, ReadTransaction};

use super::database::damaged_record;
use super::error::{from_storage, from_table, guarded};
use super::{KeyRange, Store, StoreError, Table, record};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Bytes of one stored value that is decoded; a ledger snapshot is the largest.
const VALUE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The store as of one moment. Pages it sees are not reused while it lives, so drop it soon. It
/// keeps the file open.
pub struct Snapshot {
    transaction: ReadTransaction,
    store: Store,
}

impl Snapshot {
    pub(super) fn new(store: &Store, transaction: ReadTransaction) -> Self {
        Self {
            transaction,
            store: store.clone(),
        }
    }

    /// The value of a key.
    pub fn get(&self, table: Table, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, StoreError> {
        self.guard(|| {
            let found = self.table(table)?.get(key.as_ref());
            let found = found.map_err(|error| from_storage(self.path(), &error))?;
            let value = found.map(|stored| self.value(table, key.as_ref(), stored.value()));
            value.transpose()
        })
    }

    /// The decoded value of a key; [`StoreError::Undecodable`] if the bytes are no `T`.
    pub fn get_value<T: Decode<()>>(
        &self,
        table: Table,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(table, key)? else {
            return Ok(None);
        };
        match codec::decode(&bytes, VALUE_BYTES_MAX) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(StoreError::Undecodable {
                table: table.name(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether a key is there.
    pub fn contains(&self, table: Table, key: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        self.guard(|| {
            let found = self.table(table)?.get(key.as_ref());
            let found = found.map_err(|error| from_storage(self.path(), &error))?;
            Ok(found.is_some())
        })
    }

    /// The first `rows_max` rows of a range, ascending by key. Go on with [`KeyRange::after`].
    pub fn range(
        &self,
        table: Table,
        range: &KeyRange,
        rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.collect(table, range, |rows| {
            rows.take(rows_max).collect::<Result<_, _>>()
        })
    }

    /// The first `keys_max` keys of a range, ascending, without a look at their values.
    pub fn keys(
        &self,
        table: Table,
        range: &KeyRange,
        keys_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.guard(|| {
            let table = self.table(table)?;
            let failed = |error| from_storage(self.path(), &error);
            let rows = table.range::<&[u8]>(range.bounds()).map_err(failed)?;
            let keys = rows.take(keys_max);
            keys.map(|row| row.map(|(key, _)| key.value().to_vec()).map_err(failed))
                .collect()
        })
    }

    /// The first row of a range.
    pub fn first(&self, table: Table, range: &KeyRange) -> Result<Option<Row>, StoreError> {
        self.collect(table, range, |rows| rows.next().transpose())
    }

    /// The last row of a range.
    pub fn last(&self, table: Table, range: &KeyRange) -> Result<Option<Row>, StoreError> {
        self.collect(table, range, |rows| rows.next_back().transpose())
    }

    fn collect<T: Default>(
        &self,
        table: Table,
        range: &KeyRange,
        take: impl FnOnce(
            &mut dyn DoubleEndedIterator<Item = Result<Row, StoreError>>,
        ) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if range.is_empty() {
            return Ok(T::default());
        }
        let name = table;
        self.guard(|| {
            let table = self.table(name)?;
            let rows = table
                .range::<&[u8]>(range.bounds())
                .map_err(|error| from_storage(self.path(), &error))?;
            let mut rows = rows.map(|row| match row {
                Ok((key, stored)) => {
                    let value = self.value(name, key.value(), stored.value())?;
                    Ok((key.value().to_vec(), value))
                }
                Err(error) => Err(from_storage(self.path(), &error)),
            });
            take(&mut rows)
        })
    }

    /// Runs a read. After one that found the file damaged nothing of it is relied on any more.
    fn guard<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = guarded(self.path(), read);
        if matches!(result, Err(StoreError::Corrupted { .. })) {
            self.store.distrust();
        }
        result
    }

    fn value(&self, table: Table, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        let value = record::open(table, key, stored);
        value
            .map(<[u8]>::to_vec)
            .ok_or_else(|| damaged_record(self.path(), table))
    }

    fn path(&self) -> &Path {
        self.store.path()
    }

    fn table(
        &self,
        table: Table,
    ) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        self.transaction
            .open_table(table.definition())
            .map_err(|error| from_table(self.path(), &error))
    }
}
