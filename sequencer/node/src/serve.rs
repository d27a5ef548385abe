//! What validators ask of each other's stores.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_consensus::{SafetyState, Standing};
use conclave_crypto::Shard;
use conclave_market::OrderedTransaction;
use conclave_sequencer::{Dispersal, OpeningRecord};
use conclave_types::{
    Batch, BatchId, Block, BlockId, CommitCertificate, Epoch, EpochChange, Height, Manifest, Range,
    ShareBundle, ShareLane, codec, limits,
};

use crate::archive::{History, HistoryError};
use crate::contents;
use crate::records::{BlockRecord, RECORD_BYTES_MAX, SnapshotManifest};
use crate::store::{KeyRange, StoreError, Table, keys};
use crate::transport::bounds;

/// Blocks in one answer, unless none of them has a certificate of its own; further ones are asked for
/// again.
pub(crate) const BLOCKS_MAX: u64 = 128;
/// Bytes of blocks after which an answer ends, so that one more of the largest still fits.
const BLOCKS_BYTES: usize = bounds::RESPONSE_BYTES_MAX / 2;
/// What an answer holds besides its blocks: the tag, their number, the certificate.
const ANSWER_SLACK_BYTES: usize = 4096;

/// Ledger snapshots named in one answer; fewer are kept.
const SNAPSHOTS_MAX: usize = 16;
/// Blocks that are not final read at a time.
const PENDING_PAGE: usize = 64;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// A block, final or not.
    Block(BlockId),
    /// Final blocks from this height on.
    Blocks { from: Height },
    /// A batch's manifest.
    Manifest(BatchId),
    /// The asked validator's own shards of a batch.
    Shards(BatchId),
    /// The asked validator's own shares of a lane that it has opened.
    Shares { height: Height, lane: ShareLane },
    /// Where the asked validator stands in agreement.
    Standing,
    /// The ledger snapshots that it holds.
    Snapshots,
    /// A piece of one of them.
    Piece { height: Height, piece: u32 },
    /// The opened transactions of a range.
    Contents(Range),
    /// How an epoch was handed over to.
    EpochChange(Epoch),
}

/// Its answer; empty when the asked one does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Response {
    Block(Option<Box<Block>>),
    /// Ascending and gap-free, and the certificate of the last one.
    Blocks {
        blocks: Vec<Block>,
        certificate: Option<CommitCertificate>,
    },
    Manifest(Option<Arc<Manifest>>),
    /// As many as the asked one weighs, or none.
    Shards(Vec<Shard>),
    /// By group; none if the asked one has not executed the block.
    Shares(Vec<ShareBundle>),
    /// `None` for a validator that has no safety state.
    Standing(Option<Box<Standing>>),
    /// Ascending by height.
    Snapshots(Vec<SnapshotManifest>),
    Piece(Option<Vec<u8>>),
    /// In order, each with its height; nothing if some are missing.
    Contents(Option<Vec<(Height, Vec<u8>)>>),
    EpochChange(Option<Box<EpochChange>>),
}

/// Answers from the store, and from the archive what the store no longer holds. Whoever asks what the
/// archive cannot give at the moment gets the answer of one that does not have it, and asks others.
pub(crate) fn answer(history: &History<'_>, request: &Request) -> Result<Response, StoreError> {
    let snapshot = history.snapshot;
    match request {
        Request::Block(id) => {
            let found = lacking(find_block(history, *id))?;
            Ok(Response::Block(found.map(Box::new)))
        }
        Request::Blocks { from } => blocks(history, *from),
        Request::Manifest(id) => Ok(Response::Manifest(lacking(manifest(history, *id))?)),
        Request::Shards(id) => {
            let held = history.of_batch::<Dispersal>(Table::Dispersals, *id);
            let shards = lacking(held)?.map(|held| held.shards);
            Ok(Response::Shards(shards.unwrap_or_default()))
        }
        Request::Shares { height, lane } => {
            let key = keys::height_lane(*height, *lane);
            let record = history.value::<OpeningRecord>(Table::Openings, &key, *height);
            let bundles = lacking(record)?.map_or_else(Vec::new, |record| record.bundles);
            Ok(Response::Shares(bundles))
        }
        Request::Standing => {
            let state: Option<SafetyState> = snapshot.get_value(Table::Safety, keys::SAFETY)?;
            let standing = state.map(|state| Box::new(Standing::of(&state)));
            Ok(Response::Standing(standing))
        }
        Request::Snapshots => {
            let rows = snapshot.range(Table::LedgerSnapshots, &KeyRange::all(), SNAPSHOTS_MAX)?;
            let manifests = rows
                .iter()
                .filter_map(|(_, value)| codec::decode(value, RECORD_BYTES_MAX).ok());
            Ok(Response::Snapshots(manifests.collect()))
        }
        Request::Piece { height, piece } => {
            let key = keys::height_number(*height, *piece);
            Ok(Response::Piece(snapshot.get(Table::SnapshotPieces, key)?))
        }
        Request::Contents(range) => {
            // One that no ledger has would only make us read.
            let plausible =
                range.to.0.saturating_sub(range.from.0) <= limits::RANGE_TRANSACTIONS_MAX;
            let found = match plausible {
                true => contents::read(snapshot, range)?,
                false => None,
            };
            let pair = |transaction: OrderedTransaction| (transaction.height, transaction.bytes);
            let found = found.map(|found| found.into_iter().map(pair).collect());
            Ok(Response::Contents(found))
        }
        Request::EpochChange(epoch) => {
            let found = snapshot.get_value(Table::Epochs, keys::epoch(*epoch))?;
            Ok(Response::EpochChange(found))
        }
    }
}

/// What the archive fails to give counts as not there.
fn lacking<T>(found: Result<Option<T>, HistoryError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(found),
        Err(HistoryError::Store(error)) => Err(error),
        Err(HistoryError::Archive(error)) => {
            tracing::warn!(%error, "a peer's question cannot be answered");
            Ok(None)
        }
    }
}

/// A batch's manifest, from its dispersal or from the rebuilt batch.
pub(crate) fn manifest(
    history: &History<'_>,
    id: BatchId,
) -> Result<Option<Arc<Manifest>>, HistoryError> {
    let dispersal: Option<Dispersal> = history.of_batch(Table::Dispersals, id)?;
    if let Some(dispersal) = dispersal {
        return Ok(Some(dispersal.manifest));
    }
    let batch: Option<Batch> = history.of_batch(Table::Batches, id)?;
    Ok(batch.map(|batch| Arc::new(batch.manifest())))
}

fn find_block(history: &History<'_>, id: BlockId) -> Result<Option<Block>, HistoryError> {
    let snapshot = history.snapshot;
    let height: Option<Height> = snapshot.get_value(Table::BlockHeights, id.as_bytes())?;
    if let Some(height) = height {
        let record: Option<BlockRecord> =
            history.value(Table::Blocks, &keys::height(height), height)?;
        return Ok(record.map(|record| record.block));
    }
    // Their keys start with a height that we do not know. However many there are, the one that is
    // asked for may be the last.
    let mut range = KeyRange::all();
    loop {
        let page = snapshot.range(Table::PendingBlocks, &range, PENDING_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        range = KeyRange::after(last);
        let found = page
            .into_iter()
            .find(|(key, _)| key.get(8..) == Some(id.as_bytes().as_slice()));
        if let Some((_, value)) = found {
            return Ok(codec::decode(&value, RECORD_BYTES_MAX).ok());
        }
    }
}

/// Blocks up to the last one in reach that has a certificate of its own. A run of blocks without one
/// is as long as the views in a row that lost their commit votes; it is never cut, or whoever is
/// behind it could not pass. An answer ends with an epoch's last block at the latest, so one committee
/// vouches for all of it.
fn blocks(history: &History<'_>, from: Height) -> Result<Response, StoreError> {
    let (mut blocks, mut certificate, mut certified, mut bytes) = (Vec::new(), None, 0, 0);
    for height in from.0..u64::MAX {
        let full = blocks.len() as u64 >= BLOCKS_MAX || bytes > BLOCKS_BYTES;
        if full && certified > 0 {
            break;
        }
        let height = Height(height);
        let found = history.get(Table::Blocks, &keys::height(height), height);
        let Some(value) = lacking(found)? else {
            break;
        };
        bytes += value.len();
        if bytes > bounds::RESPONSE_BYTES_MAX - ANSWER_SLACK_BYTES {
            break;
        }
        let Ok(record) = codec::decode::<BlockRecord>(&value, RECORD_BYTES_MAX) else {
            break;
        };
        let own = record.certificate.block == record.block.id();
        blocks.push(record.block);
        if own {
            certified = blocks.len();
            certificate = Some(record.certificate);
        }
        if blocks
            .last()
            .is_some_and(|block| block.header.next_epoch.is_some())
        {
            break;
        }
    }
    blocks.truncate(certified);
    Ok(Response::Blocks {
        blocks,
        certificate,
    })
}
