//! Deleting what is archived, a little at a time.

use std::collections::BTreeMap;

use conclave_sequencer::ProofRecord;
use conclave_types::{AccountId, Height, codec};

use super::{Free, heights};
use crate::backend::ProverRecord;
use crate::shell::count;
use crate::store::{KeyRange, Snapshot, StoreError, Table, WriteBatch, keys};

/// Rows deleted in one commit, or those of one height: some milliseconds of the writer.
const ROWS_TOGETHER: usize = 256;
/// Heights in one commit.
const HEIGHTS_TOGETHER: usize = 32;

/// The next rows to delete of the heights up to `through`; empty when none is left.
pub(super) fn next(
    snapshot: &Snapshot,
    through: Height,
    free: &Free,
) -> Result<WriteBatch, StoreError> {
    let mut batch = WriteBatch::new();
    let up_to = KeyRange::through(&keys::height(Height(0)), &keys::height(through));
    let (mut rows, mut counts) = (0, BTreeMap::new());
    for key in snapshot.keys(Table::Blocks, &up_to, HEIGHTS_TOGETHER)? {
        if rows >= ROWS_TOGETHER {
            break;
        }
        if let Some(height) = keys::parse_height(&key) {
            rows += forget(snapshot, height, &mut batch, &mut counts)?;
        }
    }
    for (account, count) in counts {
        batch.put_value(Table::ProverCounts, codec::encode(&account), &count);
    }
    for rollup in heights::rollups(snapshot)? {
        let last = free.get(&rollup).map_or(through, |last| through.min(*last));
        let first = keys::rollup_height(rollup, Height(0));
        let range = KeyRange::through(&first, &keys::rollup_height(rollup, last));
        let room = ROWS_TOGETHER.saturating_sub(rows);
        for key in snapshot.keys(Table::Deliveries, &range, room)? {
            batch.delete(Table::Deliveries, key);
            rows += 1;
        }
    }
    Ok(batch)
}

/// Deletes one height, but for its deliveries, and keeps what later questions need to find it.
fn forget(
    snapshot: &Snapshot,
    height: Height,
    batch: &mut WriteBatch,
    counts: &mut BTreeMap<AccountId, ProverRecord>,
) -> Result<usize, StoreError> {
    let key = keys::height(height);
    let mut rows = 3;
    if let Some(block) = snapshot.get(Table::Blocks, key)? {
        for id in heights::batches(&block)? {
            batch.put_value(Table::BatchHeights, id.as_bytes(), &height);
            for table in [Table::Dispersals, Table::Batches, Table::Inconsistent] {
                batch.delete(table, id.as_bytes());
            }
            rows += 4;
        }
    }
    for proof in heights::proofs(snapshot, height)? {
        let record: Option<ProofRecord> = snapshot.get_value(Table::Proofs, proof)?;
        // A later proof of the same range took its place.
        if let Some(mut record) = record.filter(|record| record.height == height) {
            record.submission.proof.clear();
            batch.put_value(Table::Proofs, proof, &record);
            rows += 1;
        }
    }
    let mut touched = BTreeMap::new();
    for event in heights::events(snapshot, height)? {
        count(&mut touched, &event);
    }
    for (account, more) in touched {
        let total = match counts.get(&account) {
            Some(total) => *total,
            None => {
                let stored = snapshot.get_value(Table::ProverCounts, codec::encode(&account))?;
                stored.unwrap_or_default()
            }
        };
        let total = ProverRecord {
            settled: total.settled + more.settled,
            missed: total.missed + more.missed,
        };
        counts.insert(account, total);
    }
    batch.delete(Table::Events, key);
    batch.delete_range(Table::Openings, KeyRange::prefix(&key));
    batch.delete(Table::Blocks, key);
    Ok(rows)
}
