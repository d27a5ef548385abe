//! What survives a crash: one redb database, written by the owner of the state only.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | name | identity, cursor, the two snapshots |
//! | `pending` | payment id | an acknowledged payment that was not seen delivered |
//! | `flights` | envelope id | a sealed envelope with the payments it carries |
//! | `log` | transaction index | what happened from the older snapshot on |
//! | `results` | payment id | the outcome of a payment that was delivered or gave up |
//! | `result_order` | transaction index, payment id | nothing; finds the oldest results |
//!
//! A [`Changes`] is committed whole and synced, or not at all.

use std::path::Path;

use bincode::{Decode, Encode};
use conclave_types::codec;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::{OutcomeKind, PaymentId, RollupError};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const PENDING: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("pending");
const FLIGHTS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("flights");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const RESULTS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("results");
const RESULT_ORDER: TableDefinition<(u64, &[u8; 32]), ()> = TableDefinition::new("result_order");

/// Results kept for status queries; about 100 MB.
const RESULTS_MAX: u64 = 1_000_000;
/// A record: an envelope of the largest bucket with its payment ids.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Which rollup the database is of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Identity {
    pub(crate) chain: [u8; 32],
    pub(crate) rollup: u32,
    pub(crate) genesis_root: [u8; 32],
}

/// How far the stream was executed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Cursor {
    /// The next height to follow.
    pub(crate) height: u64,
    /// The next transaction's index.
    pub(crate) index: u64,
    /// Delivered transactions by outcome, in the order of [`OutcomeKind::ALL`].
    pub(crate) counts: Vec<u64>,
}

/// The state after the transactions below `index`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Snapshot {
    pub(crate) index: u64,
    pub(crate) state: Vec<u8>,
}

/// One delivered transaction.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LogEntry {
    pub(crate) outcome: OutcomeKind,
    /// The payment's bytes, when it changed the state.
    pub(crate) effect: Option<Vec<u8>>,
}

/// An acknowledged payment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PendingRecord {
    /// Arrival order.
    pub(crate) order: u64,
    /// The sender's slot, for payments that must keep their order.
    pub(crate) lane: Option<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// A sealed envelope.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FlightRecord {
    /// The canonical encoding of the envelope.
    pub(crate) envelope: Vec<u8>,
    /// The last height that may order it.
    pub(crate) expiry: u64,
    pub(crate) payments: Vec<PaymentId>,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ResultRecord {
    pub(crate) outcome: OutcomeKind,
    pub(crate) height: u64,
    /// Its index in the stream; `false` when it was never ordered, and the index is where the
    /// stream stood when that was certain.
    pub(crate) index: u64,
    pub(crate) ordered: bool,
}

/// Everything one commit changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) pending: Vec<(PaymentId, Option<PendingRecord>)>,
    pub(crate) flights: Vec<([u8; 32], Option<FlightRecord>)>,
    pub(crate) log: Vec<(u64, LogEntry)>,
    pub(crate) results: Vec<(PaymentId, ResultRecord)>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) head: Option<Snapshot>,
    pub(crate) settled: Option<Snapshot>,
    /// Log entries below are in both snapshots.
    pub(crate) prune_log_below: Option<u64>,
}

/// What a start finds.
pub(crate) struct Recovered {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) head: Option<Snapshot>,
    pub(crate) settled: Option<Snapshot>,
    pub(crate) pending: Vec<(PaymentId, PendingRecord)>,
    pub(crate) flights: Vec<([u8; 32], FlightRecord)>,
}

/// The database. Every call blocks.
pub(crate) struct Store {
    database: Database,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.flights.is_empty()
            && self.log.is_empty()
            && self.results.is_empty()
            && self.cursor.is_none()
            && self.head.is_none()
            && self.settled.is_none()
            && self.prune_log_below.is_none()
    }
}

fn broken(error: impl Into<redb::Error>) -> RollupError {
    RollupError::Store(error.into().to_string())
}

fn read<T: Decode<()>>(bytes: &[u8]) -> Result<T, RollupError> {
    // Snapshots are as long as the state is; everything else is bounded on writing.
    codec::decode(bytes, bytes.len().max(RECORD_BYTES_MAX)).map_err(|error| {
        RollupError::WrongData {
            reason: format!("an unreadable record: {error}"),
        }
    })
}

impl Store {
    /// Opens or creates the database of this rollup.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<Self, RollupError> {
        let store = Self {
            database: Database::create(path).map_err(broken)?,
        };
        let transaction = store.database.begin_write().map_err(broken)?;
        {
            let mut meta = transaction.open_table(META).map_err(broken)?;
            let found = match meta.get("identity").map_err(broken)? {
                Some(bytes) => Some(read::<Identity>(bytes.value())?),
                None => None,
            };
            match found {
                Some(found) if found != *identity => {
                    return Err(RollupError::WrongData {
                        reason: "it belongs to another chain, rollup or genesis".into(),
                    });
                }
                Some(_) => {}
                None => {
                    let bytes = codec::encode(identity);
                    meta.insert("identity", bytes.as_slice()).map_err(broken)?;
                }
            }
            transaction.open_table(PENDING).map_err(broken)?;
            transaction.open_table(FLIGHTS).map_err(broken)?;
            transaction.open_table(LOG).map_err(broken)?;
            transaction.open_table(RESULTS).map_err(broken)?;
            transaction.open_table(RESULT_ORDER).map_err(broken)?;
        }
        transaction.commit().map_err(broken)?;
        Ok(store)
    }

    /// Everything but log and results.
    pub(crate) fn recover(&self) -> Result<Recovered, RollupError> {
        let transaction = self.database.begin_read().map_err(broken)?;
        let meta = transaction.open_table(META).map_err(broken)?;
        let mut pending = Vec::new();
        let table = transaction.open_table(PENDING).map_err(broken)?;
        for row in table.iter().map_err(broken)? {
            let (key, value) = row.map_err(broken)?;
            let id = PaymentId(conclave_types::Digest(*key.value()));
            pending.push((id, read::<PendingRecord>(value.value())?));
        }
        pending.sort_by_key(|(_, record)| record.order);
        let mut flights = Vec::new();
        let table = transaction.open_table(FLIGHTS).map_err(broken)?;
        for row in table.iter().map_err(broken)? {
            let (key, value) = row.map_err(broken)?;
            flights.push((*key.value(), read(value.value())?));
        }
        Ok(Recovered {
            cursor: meta_value(&meta, "cursor")?,
            head: meta_value(&meta, "head")?,
            settled: meta_value(&meta, "settled")?,
            pending,
            flights,
        })
    }

    /// Log entries `from..to`; fails when one is missing.
    pub(crate) fn log(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, RollupError> {
        let transaction = self.database.begin_read().map_err(broken)?;
        let table = transaction.open_table(LOG).map_err(broken)?;
        let mut entries = Vec::new();
        for (expected, row) in (from..to).zip(table.range(from..to).map_err(broken)?) {
            let (key, value) = row.map_err(broken)?;
            if key.value() != expected {
                break;
            }
            entries.push(read(value.value())?);
        }
        match entries.len() as u64 == to.saturating_sub(from) {
            true => Ok(entries),
            false => Err(RollupError::WrongData {
                reason: format!("the log of transactions {from} to {to} has holes"),
            }),
        }
    }

    /// The result of a delivered payment, if it is not forgotten.
    pub(crate) fn result(&self, id: PaymentId) -> Result<Option<ResultRecord>, RollupError> {
        let transaction = self.database.begin_read().map_err(broken)?;
        let table = transaction.open_table(RESULTS).map_err(broken)?;
        match table.get(id.as_bytes()).map_err(broken)? {
            Some(bytes) => read(bytes.value()).map(Some),
            None => Ok(None),
        }
    }

    /// Commits and syncs.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<(), RollupError> {
        let transaction = self.database.begin_write().map_err(broken)?;
        write_queue(&transaction, changes)?;
        write_stream(&transaction, changes)?;
        write_results(&transaction, changes)?;
        transaction.commit().map_err(broken)
    }
}

fn meta_value<T: Decode<()>>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<T>, RollupError> {
    match meta.get(name).map_err(broken)? {
        Some(bytes) => read(bytes.value()).map(Some),
        None => Ok(None),
    }
}

fn write_queue(transaction: &WriteTransaction, changes: &Changes) -> Result<(), RollupError> {
    let mut pending = transaction.open_table(PENDING).map_err(broken)?;
    for (id, record) in &changes.pending {
        match record {
            Some(record) => {
                let bytes = codec::encode(record);
                pending
                    .insert(id.as_bytes(), bytes.as_slice())
                    .map_err(broken)?;
            }
            None => {
                pending.remove(id.as_bytes()).map_err(broken)?;
            }
        }
    }
    let mut flights = transaction.open_table(FLIGHTS).map_err(broken)?;
    for (id, record) in &changes.flights {
        match record {
            Some(record) => {
                let bytes = codec::encode(record);
                flights.insert(id, bytes.as_slice()).map_err(broken)?;
            }
            None => {
                flights.remove(id).map_err(broken)?;
            }
        }
    }
    Ok(())
}

fn write_stream(transaction: &WriteTransaction, changes: &Changes) -> Result<(), RollupError> {
    let mut log = transaction.open_table(LOG).map_err(broken)?;
    for (index, entry) in &changes.log {
        let bytes = codec::encode(entry);
        log.insert(index, bytes.as_slice()).map_err(broken)?;
    }
    if let Some(below) = changes.prune_log_below {
        log.retain_in(..below, |_, _| false).map_err(broken)?;
    }
    let mut meta = transaction.open_table(META).map_err(broken)?;
    let values = [
        ("cursor", changes.cursor.as_ref().map(codec::encode)),
        ("head", changes.head.as_ref().map(codec::encode)),
        ("settled", changes.settled.as_ref().map(codec::encode)),
    ];
    for (name, bytes) in values {
        if let Some(bytes) = bytes {
            meta.insert(name, bytes.as_slice()).map_err(broken)?;
        }
    }
    Ok(())
}

/// Bytes that were ordered twice keep the result that had an effect: the first that advanced the
/// sender, or else the very first.
fn write_results(transaction: &WriteTransaction, changes: &Changes) -> Result<(), RollupError> {
    let mut results = transaction.open_table(RESULTS).map_err(broken)?;
    let mut order = transaction.open_table(RESULT_ORDER).map_err(broken)?;
    for (id, record) in &changes.results {
        let before = match results.get(id.as_bytes()).map_err(broken)? {
            Some(bytes) => Some(read::<ResultRecord>(bytes.value())?),
            None => None,
        };
        if let Some(before) = before {
            let keeps = before.outcome.advances() || !record.outcome.advances();
            if before.ordered && keeps {
                continue;
            }
            order
                .remove((before.index, id.as_bytes()))
                .map_err(broken)?;
        }
        let bytes = codec::encode(record);
        results
            .insert(id.as_bytes(), bytes.as_slice())
            .map_err(broken)?;
        order
            .insert((record.index, id.as_bytes()), ())
            .map_err(broken)?;
    }
    let Some(keep_from) = changes
        .cursor
        .as_ref()
        .and_then(|cursor| cursor.index.checked_sub(RESULTS_MAX))
    else {
        return Ok(());
    };
    for row in order
        .extract_from_if(..(keep_from, &[0; 32]), |_, ()| true)
        .map_err(broken)?
    {
        let (key, _) = row.map_err(broken)?;
        results.remove(key.value().1).map_err(broken)?;
    }
    Ok(())
}
