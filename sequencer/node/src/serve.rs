//! What validators ask of each other's stores.

use bincode::{Decode, Encode};
use conclave_sequencer::OpeningRecord;
use conclave_types::{
    Batch, BatchId, Block, BlockId, CommitCertificate, Height, ShareBundle, ShareLane, codec,
};

use crate::records::{BlockRecord, RECORD_BYTES_MAX};
use crate::store::{KeyRange, Snapshot, StoreError, Table, keys};
use crate::transport::bounds;

/// Blocks in one answer; further ones are asked for again.
const BLOCKS_MAX: u64 = 128;
/// Bytes of blocks after which an answer ends, so that one more of the largest still fits.
const BLOCKS_BYTES: usize = bounds::RESPONSE_BYTES_MAX / 2;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Request {
    /// A block, final or not.
    Block(BlockId),
    /// Final blocks from this height on.
    Blocks { from: Height },
    /// A batch's body.
    Batch(BatchId),
    /// The asked validator's own shares of a lane that it has opened.
    Shares { height: Height, lane: ShareLane },
}

/// Its answer; empty when the asked one does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Response {
    Block(Option<Box<Block>>),
    /// Ascending and gap-free, and the certificate of the last one.
    Blocks {
        blocks: Vec<Block>,
        certificate: Option<CommitCertificate>,
    },
    Batch(Option<Box<Batch>>),
    Shares(Option<ShareBundle>),
}

/// Answers from the store.
pub(crate) fn answer(snapshot: &Snapshot, request: &Request) -> Result<Response, StoreError> {
    match request {
        Request::Block(id) => Ok(Response::Block(find_block(snapshot, *id)?.map(Box::new))),
        Request::Blocks { from } => blocks(snapshot, *from),
        Request::Batch(id) => {
            let batch: Option<Batch> = snapshot.get_value(Table::Batches, id.as_bytes())?;
            Ok(Response::Batch(batch.map(Box::new)))
        }
        Request::Shares { height, lane } => {
            let key = keys::height_lane(*height, *lane);
            let record: Option<OpeningRecord> = snapshot.get_value(Table::Openings, key)?;
            Ok(Response::Shares(record.and_then(|record| record.bundle)))
        }
    }
}

fn find_block(snapshot: &Snapshot, id: BlockId) -> Result<Option<Block>, StoreError> {
    let height: Option<Height> = snapshot.get_value(Table::BlockHeights, id.as_bytes())?;
    if let Some(height) = height {
        let record: Option<BlockRecord> =
            snapshot.get_value(Table::Blocks, keys::height(height))?;
        return Ok(record.map(|record| record.block));
    }
    // Few blocks are on their way at a time, and their keys start with a height we do not know.
    let pending = snapshot.range(Table::PendingBlocks, &KeyRange::all(), 256)?;
    let found = pending
        .into_iter()
        .find(|(key, _)| key.get(8..) == Some(id.as_bytes().as_slice()));
    Ok(found.and_then(|(_, value)| codec::decode(&value, RECORD_BYTES_MAX).ok()))
}

/// Blocks up to the last one in reach that has a certificate of its own.
fn blocks(snapshot: &Snapshot, from: Height) -> Result<Response, StoreError> {
    let (mut blocks, mut certificate, mut certified, mut bytes) = (Vec::new(), None, 0, 0);
    for height in from.0..from.0.saturating_add(BLOCKS_MAX) {
        let key = keys::height(Height(height));
        let Some(value) = snapshot.get(Table::Blocks, key)? else {
            break;
        };
        bytes += value.len();
        if bytes > BLOCKS_BYTES && certified > 0 {
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
    }
    blocks.truncate(certified);
    Ok(Response::Blocks {
        blocks,
        certificate,
    })
}
