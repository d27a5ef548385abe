//! All rows that belong to one height.

use conclave_ledger::LedgerEvent;
use conclave_sequencer::OutcomeRecord;
use conclave_types::{BatchId, Height, RollupId};

use crate::records::{self, BlockRecord, decoded};
use crate::store::{KeyRange, Row, Snapshot, StoreError, Table, keys};

/// A row and its table.
pub(super) type TableRow = (Table, Row);

/// Openings of one height: one for each lane.
const LANES_MAX: usize = 8;

/// The rows of a height that go to the archive; `None` if its block is not here.
pub(super) fn rows(
    snapshot: &Snapshot,
    height: Height,
    rollups: &[RollupId],
) -> Result<Option<Vec<TableRow>>, StoreError> {
    let key = keys::height(height);
    let Some(block) = snapshot.get(Table::Blocks, key)? else {
        return Ok(None);
    };
    let mut rows: Vec<TableRow> = Vec::new();
    for batch in batches(&block)? {
        for table in [Table::Dispersals, Table::Batches, Table::Inconsistent] {
            take(snapshot, &mut rows, table, batch.as_bytes())?;
        }
    }
    rows.push((Table::Blocks, (key.to_vec(), block)));
    let openings = snapshot.range(Table::Openings, &KeyRange::prefix(&key), LANES_MAX)?;
    rows.extend(openings.into_iter().map(|row| (Table::Openings, row)));
    for rollup in rollups {
        let key = keys::rollup_height(*rollup, height);
        take(snapshot, &mut rows, Table::Deliveries, &key)?;
    }
    for key in proofs(snapshot, height)? {
        take(snapshot, &mut rows, Table::Proofs, &key)?;
    }
    take(snapshot, &mut rows, Table::Events, &key)?;
    Ok(Some(rows))
}

fn take(
    snapshot: &Snapshot,
    rows: &mut Vec<TableRow>,
    table: Table,
    key: &[u8],
) -> Result<(), StoreError> {
    let found = snapshot.get(table, key)?;
    rows.extend(found.map(|value| (table, (key.to_vec(), value))));
    Ok(())
}

/// The batches that a stored block orders.
pub(super) fn batches(block: &[u8]) -> Result<Vec<BatchId>, StoreError> {
    let record: BlockRecord = decoded(Table::Blocks, block)?;
    let batches = record.block.batches.iter();
    Ok(batches.map(|batch| batch.header.id()).collect())
}

/// What happened at a height.
pub(super) fn events(snapshot: &Snapshot, height: Height) -> Result<Vec<LedgerEvent>, StoreError> {
    let outcome = snapshot.get(Table::Events, keys::height(height))?;
    let outcome = outcome.map(|value| decoded::<OutcomeRecord>(Table::Events, &value));
    Ok(outcome
        .transpose()?
        .map_or_else(Vec::new, |outcome| outcome.events))
}

/// The keys of the proofs that were accepted at a height.
pub(super) fn proofs(snapshot: &Snapshot, height: Height) -> Result<Vec<[u8; 9]>, StoreError> {
    let events = events(snapshot, height)?;
    let accepted = events.into_iter().filter_map(|event| match event {
        LedgerEvent::ProofAccepted {
            auction, system, ..
        } => Some(records::proof(auction, system)),
        _ => None,
    });
    Ok(accepted.collect())
}

/// Every rollup that something was delivered to, from key to key and not row by row.
pub(super) fn rollups(snapshot: &Snapshot) -> Result<Vec<RollupId>, StoreError> {
    let mut rollups = Vec::new();
    let mut range = KeyRange::all();
    while let Some(key) = snapshot.keys(Table::Deliveries, &range, 1)?.pop() {
        let Some(rollup) = key
            .first_chunk()
            .map(|id| RollupId(u32::from_be_bytes(*id)))
        else {
            break;
        };
        rollups.push(rollup);
        let Some(next) = rollup.0.checked_add(1) else {
            break;
        };
        range = KeyRange::from(&keys::rollup(RollupId(next)));
    }
    Ok(rollups)
}
