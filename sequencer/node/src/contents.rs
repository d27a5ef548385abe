//! The opened contents of a range, for verifying its proof.

use std::sync::{Arc, OnceLock, Weak};

use conclave_market::{ContentSource, OrderedTransaction};
use conclave_sequencer::DeliveryRecord;
use conclave_types::{Height, Range, codec};

use crate::records::RECORD_BYTES_MAX;
use crate::shell::Shell;
use crate::store::{KeyRange, Store, StoreError, Table, WriteBatch, keys};

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

    fn read(&self, range: &Range) -> Result<Vec<OrderedTransaction>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let mut found = Vec::new();
        let first = keys::rollup_height(range.rollup, range.from_height);
        let last = keys::rollup_height(range.rollup, range.to_height);
        let mut keys = KeyRange::through(&first, &last);
        loop {
            let page = snapshot.range(Table::Deliveries, &keys, 64)?;
            let Some((key, _)) = page.last() else {
                return Ok(found);
            };
            keys = KeyRange::after(key).up_to(&last);
            for (_, value) in &page {
                let Ok(record) = codec::decode::<DeliveryRecord>(value, RECORD_BYTES_MAX) else {
                    return Ok(found);
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
    }
}

impl ContentSource for StoredContents {
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>> {
        let complete = |found: &Vec<OrderedTransaction>| found.len() as u64 == range.count();
        let found = self.read(range).ok().filter(complete);
        if found.is_some() {
            return found;
        }
        // The last blocks may still be on their way to the disk.
        let shell = self.shell.get()?.upgrade()?;
        let durable = shell.writer.persist(WriteBatch::new());
        shell.runtime.block_on(durable).ok()?;
        self.read(range).ok().filter(complete)
    }
}
