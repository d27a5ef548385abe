//! The opened contents of a range, for verifying its proof.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use conclave_market::{ContentSource, OrderedTransaction};
use conclave_sequencer::DeliveryRecord;
use conclave_types::{Height, Range, codec};

use crate::archive::{Archive, History, HistoryError};
use crate::records::RECORD_BYTES_MAX;
use crate::shell::Shell;
use crate::store::{KeyRange, Snapshot, Store, StoreError, Table, WriteBatch, keys};

/// A transaction of a range by its index, so that one that is here twice counts once.
type Found = BTreeMap<u64, OrderedTransaction>;

/// Reads ranges from the store, and from the archive what was pruned.
pub(crate) struct StoredContents {
    store: Store,
    archive: Arc<Archive>,
    /// Set once, right after both exist.
    shell: OnceLock<Weak<Shell>>,
}

impl StoredContents {
    pub(crate) fn new(store: Store, archive: Arc<Archive>) -> Self {
        Self {
            store,
            archive,
            shell: OnceLock::new(),
        }
    }

    /// Lets a read that is ahead of the disk wait for it.
    pub(crate) fn attach(&self, shell: &Arc<Shell>) {
        // There is one shell, and it is attached once.
        let _ = self.shell.set(Arc::downgrade(shell));
    }

    fn read(&self, range: &Range) -> Result<Option<Vec<OrderedTransaction>>, HistoryError> {
        let snapshot = self.store.snapshot()?;
        match read(&snapshot, range)? {
            // Ranges that somebody may still prove are never pruned; executing a block again after a
            // restart may ask for one that has been settled since.
            None => archived(&History::new(&snapshot, &self.archive), range),
            found => Ok(found),
        }
    }
}

/// All transactions of a range, in order; `None` while some are not in the store.
pub(crate) fn read(
    snapshot: &Snapshot,
    range: &Range,
) -> Result<Option<Vec<OrderedTransaction>>, StoreError> {
    let mut found = Found::new();
    joined(snapshot, range, &mut found)?;
    let last = last_key(range);
    let mut keys = heights(range);
    loop {
        let page = snapshot.range(Table::Deliveries, &keys, 64)?;
        let Some((key, _)) = page.last() else {
            break;
        };
        keys = KeyRange::after(key).up_to(&last);
        for (_, value) in &page {
            if !add(&mut found, range, value) {
                return Ok(None);
            }
        }
    }
    Ok(complete(found, range))
}

/// The same, with what only the archive has.
fn archived(
    history: &History<'_>,
    range: &Range,
) -> Result<Option<Vec<OrderedTransaction>>, HistoryError> {
    let mut found = Found::new();
    joined(history.snapshot, range, &mut found)?;
    // Whatever was delivered has a link, which stays.
    let mut keys = heights(range);
    loop {
        let page = history.snapshot.keys(Table::StreamLinks, &keys, 64)?;
        let Some(last) = page.last() else {
            break;
        };
        keys = KeyRange::after(last).up_to(&last_key(range));
        for key in &page {
            let height = keys::parse_rollup_height(key).unwrap_or_default();
            let value = history.get(Table::Deliveries, key, height)?;
            if !value.is_none_or(|value| add(&mut found, range, &value)) {
                return Ok(None);
            }
        }
    }
    Ok(complete(found, range))
}

/// The keys of a range's heights.
fn heights(range: &Range) -> KeyRange {
    let first = keys::rollup_height(range.rollup, range.from_height);
    KeyRange::through(&first, &last_key(range))
}

fn last_key(range: &Range) -> [u8; 12] {
    keys::rollup_height(range.rollup, range.to_height)
}

/// Takes over what a stored delivery holds of a range; `false` if it does not decode.
fn add(found: &mut Found, range: &Range, value: &[u8]) -> bool {
    let Ok(record) = codec::decode::<DeliveryRecord>(value, RECORD_BYTES_MAX) else {
        return false;
    };
    let height: Height = record.delivery.height;
    let first = record.delivery.first.0;
    for (index, bytes) in (first..).zip(record.delivery.transactions) {
        if (range.from.0..range.to.0).contains(&index) {
            found.insert(index, OrderedTransaction { height, bytes });
        }
    }
    true
}

fn complete(found: Found, range: &Range) -> Option<Vec<OrderedTransaction>> {
    let complete = found.len() as u64 == range.count();
    complete.then(|| found.into_values().collect())
}

/// Those of a range that were taken over with a snapshot.
fn joined(snapshot: &Snapshot, range: &Range, found: &mut Found) -> Result<(), StoreError> {
    let from = keys::rollup_index(range.rollup, range.from);
    let rows = KeyRange::between(&from, &keys::rollup_index(range.rollup, range.to));
    // A range is made of whole ones of those taken over, and maybe of what came after.
    for (key, value) in snapshot.range(Table::JoinedContents, &rows, usize::MAX)? {
        let Some(first) = keys::parse_rollup_index(&key) else {
            continue;
        };
        let Ok(kept) = codec::decode::<Vec<(Height, Vec<u8>)>>(&value, RECORD_BYTES_MAX) else {
            continue;
        };
        for (index, (height, bytes)) in (first.0..).zip(kept) {
            if index < range.to.0 {
                found.insert(index, OrderedTransaction { height, bytes });
            }
        }
    }
    Ok(())
}

impl ContentSource for StoredContents {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        if let Some(found) = self.read(range).ok().flatten() {
            return Some(found);
        }
        // The last blocks may still be on their way to the disk.
        let shell = self.shell.get()?.upgrade()?;
        let durable = shell.writer.persist(WriteBatch::new());
        shell.runtime.block_on(durable).ok()?;
        self.read(range).ok().flatten()
    }
}
