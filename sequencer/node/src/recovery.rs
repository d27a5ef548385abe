//! From what is on disk to running cores.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_consensus::{ANCESTRY_BLOCKS, SafetyState};
use conclave_ledger::Ledger;
use conclave_sequencer::{
    self as sequencing, Dispersal, LedgerReference, OutcomeRecord, ROOTS_KEPT, SNAPSHOT_BLOCKS,
};
use conclave_types::{
    Batch, BatchRef, Block, CommitCertificate, Digest, Envelope, Epoch, EpochChange, Genesis,
    Height, codec,
};

use crate::epochs::{self, IN_DOUBT, Resumed};
use crate::records::{
    BlockRecord, RECORD_BYTES_MAX, SNAPSHOT_BYTES_MAX, STORED, SnapshotManifest, SnapshotRecord,
};
use crate::store::{KeyRange, Row, Snapshot, StoreError, Table, keys};

/// Rows read at a time.
const PAGE_ROWS: usize = 1024;

/// A store that does not hold what it must.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is missing or wrong.
    #[error(
        "[CV-NODE-020] the store is damaged: {what}; replace the disk if it fails, move node.redb away and leave the rest of the data directory, and start again: the node then joins anew from its peers, and votes only where it cannot have voted before"
    )]
    Damaged { what: String },
}

/// Everything that the cores start from.
pub(crate) struct Recovered {
    /// `None` without a safety state to go on from: the node never ran, or lost everything, or cannot
    /// know what it signed.
    pub(crate) agreement: Option<Resumed>,
    /// The newest epoch that the store knows to have begun.
    pub(crate) newest: Epoch,
    /// All hand-overs that the store has, ascending.
    pub(crate) changes: Vec<EpochChange>,
    pub(crate) sequencing: sequencing::Recovered,
    /// Final blocks after the ledger's height, to be executed again.
    pub(crate) replay: Vec<(Arc<Block>, CommitCertificate)>,
}

/// Reads the store.
pub(crate) fn recover(snapshot: &Snapshot, genesis: &Genesis) -> Result<Recovered, RecoveryError> {
    let committed = last_height(snapshot, Table::Blocks)?;
    let (height, ledger, base) = ledger(snapshot, genesis, committed)?;
    if height > committed {
        return Err(damaged(format!(
            "the ledger is at {height}, the blocks end at {committed}"
        )));
    }
    let tip = match height.0 {
        0 => LedgerReference {
            height: Height(0),
            root: ledger.root(),
        },
        _ => LedgerReference::of(&block(snapshot, height)?.block.header),
    };
    let replay = (height.0 + 1..=committed.0).map(|height| {
        let record = block(snapshot, Height(height))?;
        Ok((Arc::new(record.block), record.certificate))
    });
    let replay = replay.collect::<Result<Vec<_>, RecoveryError>>()?;
    let (batches, certificates) = unordered(snapshot)?;
    let mempool = values::<Envelope>(snapshot, Table::Mempool)?;
    let sequencing = sequencing::Recovered {
        ledger: Arc::new(ledger),
        height,
        held: base.held.into_iter().map(Arc::new).collect(),
        ordered: base.ordered,
        mempool,
        batches,
        certificates,
        roots: roots(snapshot, height)?,
        tip,
        committed,
    };
    let changes: Vec<EpochChange> = values(snapshot, Table::Epochs)?;
    Ok(Recovered {
        newest: changes.last().map_or(Epoch(0), |change| change.setup.epoch),
        agreement: agreement(snapshot, genesis, changes.clone(), committed)?,
        changes,
        sequencing,
        replay,
    })
}

fn agreement(
    snapshot: &Snapshot,
    genesis: &Genesis,
    changes: Vec<EpochChange>,
    committed: Height,
) -> Result<Option<Resumed>, RecoveryError> {
    let safety: Option<SafetyState> = snapshot.get_value(Table::Safety, keys::SAFETY)?;
    let Some(safety) = safety else {
        // It is written before, or with, the first block.
        return match committed.0 {
            0 => Ok(None),
            _ => Err(damaged("the safety state is missing".into())),
        };
    };
    if safety.abstain_through == IN_DOUBT {
        return Ok(None);
    }
    let first = committed.0.saturating_sub(ANCESTRY_BLOCKS as u64) + 1;
    let mut certificate = None;
    let mut headers = Vec::new();
    for height in first..=committed.0 {
        let record = block(snapshot, Height(height))?;
        headers.push(record.block.header);
        certificate = Some(record.certificate);
    }
    let stored = epochs::StoredAgreement {
        changes,
        safety,
        committed: headers,
        certificate,
        blocks: values(snapshot, Table::PendingBlocks)?,
    };
    let first = (genesis.first_epoch(), genesis.origin());
    epochs::resume(first, stored).map(Some).map_err(damaged)
}

/// The ledger to go on from: the newest at or below the one that the last final header names, so
/// that it is passed again and clients can be shown proofs from it. When there is none (headers trail
/// by more than snapshots are kept, or this node joined with a newer one), the newest there is;
/// proofs resume once headers catch up.
fn ledger(
    snapshot: &Snapshot,
    genesis: &Genesis,
    committed: Height,
) -> Result<(Height, Ledger, SnapshotRecord), RecoveryError> {
    let named = match committed.0 {
        0 => Height(0),
        _ => block(snapshot, committed)?.block.header.ledger_height,
    };
    let up_to_named = KeyRange::through(&keys::height(Height(0)), &keys::height(named));
    let from_start =
        named.0 < SNAPSHOT_BLOCKS && snapshot.contains(Table::Blocks, keys::height(Height(1)))?;
    let found = match snapshot.last(Table::LedgerSnapshots, &up_to_named)? {
        None if !from_start => snapshot.last(Table::LedgerSnapshots, &KeyRange::all())?,
        found => found,
    };
    let Some((key, value)) = found else {
        let nothing = SnapshotRecord::default();
        return Ok((Height(0), Ledger::genesis(genesis), nothing));
    };
    let height =
        keys::parse_height(&key).ok_or_else(|| damaged("the key of a ledger snapshot".into()))?;
    let manifest: SnapshotManifest = codec::decode(&value, RECORD_BYTES_MAX)
        .map_err(|error| damaged(format!("a ledger snapshot: {error}")))?;
    let mut bytes = Vec::new();
    for piece in 0..manifest.pieces.len() {
        let key = keys::height_number(height, piece as u32);
        let part = snapshot.get(Table::SnapshotPieces, key)?;
        bytes.extend(part.ok_or_else(|| damaged(format!("piece {piece} of a ledger snapshot")))?);
    }
    let (record, ledger) = assemble(&manifest, &bytes)?;
    Ok((height, ledger, record))
}

/// The ledger in a snapshot's bytes, and what comes with it.
pub(crate) fn assemble(
    manifest: &SnapshotManifest,
    bytes: &[u8],
) -> Result<(SnapshotRecord, Ledger), RecoveryError> {
    let record: SnapshotRecord = codec::decode(bytes, SNAPSHOT_BYTES_MAX)
        .map_err(|error| damaged(format!("a ledger snapshot: {error}")))?;
    let ledger = Ledger::restore(&record.ledger)
        .map_err(|error| damaged(format!("a ledger snapshot: {error}")))?;
    if ledger.root() != manifest.root || ledger.height() != manifest.height {
        return Err(damaged(
            "a ledger snapshot is not of its own height and root".into(),
        ));
    }
    Ok((record, ledger))
}

fn roots(snapshot: &Snapshot, height: Height) -> Result<Vec<(Height, Digest)>, RecoveryError> {
    let first = Height(height.0.saturating_sub(ROOTS_KEPT));
    let range = KeyRange::through(&keys::height(first), &keys::height(height));
    let mut roots = BTreeMap::new();
    for (key, value) in snapshot.range(Table::Events, &range, ROOTS_KEPT as usize + 1)? {
        let record: OutcomeRecord = codec::decode(&value, RECORD_BYTES_MAX)
            .map_err(|error| damaged(format!("an outcome: {error}")))?;
        if let Some(height) = keys::parse_height(&key) {
            roots.insert(height, record.root);
        }
    }
    Ok(roots.into_iter().collect())
}

/// What is stored of one batch.
type Stored = (Arc<Dispersal>, Option<Arc<Batch>>);

fn unordered(snapshot: &Snapshot) -> Result<(Vec<Stored>, Vec<BatchRef>), RecoveryError> {
    let (mut batches, mut certificates) = (Vec::new(), Vec::new());
    for (key, value) in rows(snapshot, Table::Unordered)? {
        let Some((id, [mark])) = key.split_first_chunk::<32>() else {
            return Err(damaged("the key of an unordered batch".into()));
        };
        if *mark == STORED {
            let dispersal: Option<Dispersal> = snapshot.get_value(Table::Dispersals, id)?;
            let dispersal =
                dispersal.ok_or_else(|| damaged("a batch's shards are missing".into()))?;
            let whole: Option<Batch> = snapshot.get_value(Table::Batches, id)?;
            batches.push((Arc::new(dispersal), whole.map(Arc::new)));
        } else {
            let reference = codec::decode(&value, RECORD_BYTES_MAX)
                .map_err(|error| damaged(format!("a certificate: {error}")))?;
            certificates.push(reference);
        }
    }
    Ok((batches, certificates))
}

/// A committed block that must be there.
pub(crate) fn block(snapshot: &Snapshot, height: Height) -> Result<BlockRecord, RecoveryError> {
    let record = snapshot.get_value(Table::Blocks, keys::height(height))?;
    record.ok_or_else(|| damaged(format!("block {height} is missing")))
}

fn last_height(snapshot: &Snapshot, table: Table) -> Result<Height, RecoveryError> {
    match snapshot.last(table, &KeyRange::all())? {
        None => Ok(Height(0)),
        Some((key, _)) => {
            keys::parse_height(&key).ok_or_else(|| damaged("the key of a block".into()))
        }
    }
}

fn values<T: bincode::Decode<()>>(
    snapshot: &Snapshot,
    table: Table,
) -> Result<Vec<T>, RecoveryError> {
    let rows = rows(snapshot, table)?.into_iter();
    let decode = |(_, value): Row| {
        codec::decode(&value, RECORD_BYTES_MAX)
            .map_err(|error| damaged(format!("a record of {}: {error}", table.name())))
    };
    rows.map(decode).collect()
}

fn rows(snapshot: &Snapshot, table: Table) -> Result<Vec<Row>, RecoveryError> {
    let mut rows: Vec<Row> = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let page = snapshot.range(table, &range, PAGE_ROWS)?;
        let done = page.len() < PAGE_ROWS;
        rows.extend(page);
        match rows.last() {
            Some((last, _)) if !done => range = KeyRange::after(last),
            _ => return Ok(rows),
        }
    }
}

fn damaged(what: String) -> RecoveryError {
    RecoveryError::Damaged { what }
}
