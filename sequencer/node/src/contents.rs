//! The opened contents of a range, for verifying its proof.

use std::sync::{Arc, OnceLock, Weak};

use conclave_market::{ContentSource, OrderedTransaction};
use conclave_sequencer::DeliveryRecord;
use conclave_types::{Height, Range, codec};

use crate::records::RECORD_BYTES_MAX;
use crate::shell::Shell;
use crate::store::{KeyRange, Snapshot, Store, StoreError, Table, WriteBatch, keys};

/// Reads ranges from the store.
pub(crate) struct StoredContents {
    store: Store,
    /// Set once, right after both exist.
    shell: OnceLock<Weak<Shell>>,
}

impl StoredContents {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            shell: OnceLock::new(),
        }
    }

    /// Lets a read that is ahead of the disk wait for it.
    pub(crate) fn attach(&self, shell: &Arc<Shell>) {
        // There is one shell, and it is attached once.
        let _ = self.shell.set(Arc::downgrade(shell));
    }

    fn read(&self, range: &Range) -> Result<Option<Vec<OrderedTransaction>>, StoreError> {
        read(&self.store.snapshot()?, range)
    }
}

/// All transactions of a range, in order; `None` while some are not in the store.
pub(crate) fn read(
    snapshot: &Snapshot,
    range: &Range,
) -> Result<Option<Vec<OrderedTransaction>>, StoreError> {
    let mut found = joined(snapshot, range)?;
    let first = keys::rollup_height(range.rollup, range.from_height);
    let last = keys::rollup_height(range.rollup, range.to_height);
    let mut keys = KeyRange::through(&first, &last);
    loop {
        let page = snapshot.range(Table::Deliveries, &keys, 64)?;
        let Some((key, _)) = page.last() else {
            break;
        };
        keys = KeyRange::after(key).up_to(&last);
        for (_, value) in &page {
            let Ok(record) = codec::decode::<DeliveryRecord>(value, RECORD_BYTES_MAX) else {
                return Ok(None);
            };
            let height: Height = record.delivery.height;
            let first = record.delivery.first.0;
            for (index, bytes) in (first..).zip(record.delivery.transactions) {
                if (range.from.0..range.to.0).contains(&index) {
                    found.push(OrderedTransaction { height, bytes });
                }
            }
        }
    }
    let complete = found.len() as u64 == range.count();
    Ok(complete.then_some(found))
}

/// Those of a range that were taken over with a snapshot: they come before all that was delivered
/// here.
fn joined(snapshot: &Snapshot, range: &Range) -> Result<Vec<OrderedTransaction>, StoreError> {
    let mut found = Vec::new();
    let from = keys::rollup_index(range.rollup, range.from);
    let rows = KeyRange::between(&from, &keys::rollup_index(range.rollup, range.to));
    // A range is made of whole ones of those taken over, and maybe of what came after.
    for (key, value) in snapshot.range(Table::JoinedContents, &rows, usize::MAX)? {
        let Some(first) = keys::parse_rollup_index(&key) else {
            continue;
        };
        let Ok(kept) = codec::decode::<Vec<(Height, Vec<u8>)>>(&value, RECORD_BYTES_MAX) else {
            return Ok(Vec::new());
        };
        for (index, (height, bytes)) in (first.0..).zip(kept) {
            if index < range.to.0 {
                found.push(OrderedTransaction { height, bytes });
            }
        }
    }
    Ok(found)
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
