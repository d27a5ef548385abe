//! Which record goes under which key of which table.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_consensus as agreement;
use conclave_sequencer::{self as sequencing, DeliveryRecord};
use conclave_types::{
    AuctionId, Block, BlockId, CommitCertificate, Digest, Domain, Envelope, Height, ProofSystem,
    RollupId, StreamLink, ValidatorIndex, codec, limits,
};

use crate::backend::StoredLink;
use crate::replica::Record;
use crate::store::{KeyRange, StoreError, Table, WriteBatch, keys};

/// How far back every ledger snapshot is kept: as far as headers may trail behind execution, so that
/// recovery finds one at or below the ledger that the last header names.
const SNAPSHOTS_KEPT_BLOCKS: u64 = 64;
/// Of those before, the last two whose heights are multiples of this stay, so that a joining node
/// has time to fetch a large one.
pub(crate) const SNAPSHOTS_SERVED_BLOCKS: u64 = 512;
/// How old the oldest snapshot that is kept can be.
pub(crate) const SNAPSHOT_AGE_BLOCKS_MAX: u64 = SNAPSHOTS_KEPT_BLOCKS + 3 * SNAPSHOTS_SERVED_BLOCKS;
/// Bytes of one piece of a snapshot: an eighth of what an answer may hold.
pub(crate) const SNAPSHOT_PIECE_BYTES: usize = 1024 * 1024;
/// Bytes of a whole snapshot that is put together: what a node can hold in memory twice.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A committed block and the certificate that made it final, maybe a descendant's.
#[derive(Debug, Clone, Encode, Decode)]
pub struct BlockRecord {
    pub(crate) block: Block,
    pub(crate) certificate: CommitCertificate,
}

/// What a snapshot is made of. All validators make the same one at the same height.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotManifest {
    pub height: Height,
    /// The root of the ledger in it.
    pub root: Digest,
    /// Bytes of all pieces.
    pub bytes: u64,
    /// The digest of each piece; all but the last are of 1 MiB.
    pub pieces: Vec<Digest>,
}

impl SnapshotManifest {
    /// What validators compare.
    pub fn digest(&self) -> Digest {
        Domain::SnapshotPiece.digest(&codec::encode(self))
    }

    /// Whether it can be of a snapshot at all.
    pub fn is_plausible(&self) -> bool {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        bytes <= SNAPSHOT_BYTES_MAX && self.pieces.len() == bytes.div_ceil(SNAPSHOT_PIECE_BYTES)
    }

    /// Whether these bytes are the piece of this number.
    pub fn fits(&self, piece: usize, bytes: &[u8]) -> bool {
        self.pieces.get(piece) == Some(&Domain::SnapshotPiece.digest(bytes))
    }
}

/// The ledger as of a height, the sealed bids it holds, and what was ordered.
#[derive(Debug, Clone, Default, Encode, Decode)]
pub struct SnapshotRecord {
    pub(crate) ledger: Vec<u8>,
    pub(crate) held: Vec<Envelope>,
    /// Sequence numbers of ordered batches, by author.
    pub(crate) ordered: Vec<(ValidatorIndex, Vec<u64>)>,
}

/// Bytes of a stored block or batch, for decoding what we wrote ourselves.
pub const RECORD_BYTES_MAX: usize = 4 * limits::BATCH_BYTES_MAX;

/// Decodes a row's value.
pub(crate) fn decoded<T: Decode<()>>(table: Table, value: &[u8]) -> Result<T, StoreError> {
    codec::decode(value, RECORD_BYTES_MAX).map_err(|error| StoreError::Undecodable {
        table: table.name(),
        reason: error.to_string(),
    })
}

/// Adds a record to a batch of writes.
pub(crate) fn put(batch: &mut WriteBatch, record: &Record) {
    match record {
        Record::Agreement(agreement::Write::Safety(state)) => {
            batch.put_value(Table::Safety, keys::SAFETY, state.as_ref());
        }
        Record::Agreement(agreement::Write::Block(block)) => {
            let key = pending_block(block.header.height, block.id());
            batch.put_value(Table::PendingBlocks, key, block.as_ref());
        }
        Record::Sequencing(write) => put_sequencing(batch, write),
        Record::EpochChange(change) => {
            batch.put_value(
                Table::Epochs,
                keys::epoch(change.setup.epoch),
                change.as_ref(),
            );
        }
    }
}

fn put_sequencing(batch: &mut WriteBatch, write: &sequencing::Write) {
    use sequencing::Write;
    match write {
        Write::Admit(id, envelope) => {
            batch.put_value(Table::Mempool, id.as_bytes(), envelope.as_ref());
        }
        Write::Discharge(id) => batch.delete(Table::Mempool, id.as_bytes()),
        Write::Dispersal(id, dispersal) => {
            batch.put_value(Table::Dispersals, id.as_bytes(), dispersal.as_ref());
            batch.put(Table::Unordered, unordered(id.as_bytes(), STORED), []);
        }
        Write::Batch(id, whole) => {
            batch.put_value(Table::Batches, id.as_bytes(), whole.as_ref());
        }
        Write::Inconsistent(id, evidence) => {
            batch.put_value(Table::Inconsistent, id.as_bytes(), evidence.as_ref());
        }
        Write::Certificate(id, reference) => {
            batch.put_value(
                Table::Unordered,
                unordered(id.as_bytes(), CERTIFICATE),
                reference,
            );
        }
        Write::Ordered(id) => {
            batch.delete(Table::Unordered, unordered(id.as_bytes(), STORED));
            batch.delete(Table::Unordered, unordered(id.as_bytes(), CERTIFICATE));
        }
        Write::Block(block, certificate) => put_block(batch, block, certificate),
        Write::Openings {
            height,
            lane,
            record,
        } => {
            batch.put_value(Table::Openings, keys::height_lane(*height, *lane), record);
        }
        Write::Delivery {
            rollup,
            height,
            record,
        } => put_delivery(batch, *rollup, *height, record),
        Write::Fate(id, record) => batch.put_value(Table::EnvelopeStatus, id.as_bytes(), record),
        Write::Outcome { height, record } => {
            batch.put_value(Table::Events, keys::height(*height), record);
        }
        Write::Proof(record) => {
            let key = proof(record.submission.auction, record.submission.system);
            let index = keys::rollup_index(record.range.rollup, record.range.from);
            batch.put(Table::ProofIndex, index, key);
            batch.put_value(Table::Proofs, key, record.as_ref());
        }
        Write::Snapshot {
            height,
            ledger,
            held,
            ordered,
        } => {
            let held = held
                .iter()
                .map(|envelope| envelope.as_ref().clone())
                .collect();
            let record = SnapshotRecord {
                ledger: ledger.snapshot(),
                held,
                ordered: ordered.clone(),
            };
            put_snapshot(batch, *height, ledger.root(), &record);
            drop_snapshots(batch, *height);
        }
    }
}

/// A snapshot, in pieces.
pub(crate) fn put_snapshot(
    batch: &mut WriteBatch,
    height: Height,
    root: Digest,
    record: &SnapshotRecord,
) {
    let bytes = codec::encode(record);
    let mut pieces = Vec::new();
    for (number, piece) in (0..).zip(bytes.chunks(SNAPSHOT_PIECE_BYTES)) {
        pieces.push(Domain::SnapshotPiece.digest(piece));
        let key = keys::height_number(height, number);
        batch.put(Table::SnapshotPieces, key, piece);
    }
    let manifest = SnapshotManifest {
        height,
        root,
        bytes: bytes.len() as u64,
        pieces,
    };
    batch.put_value(Table::LedgerSnapshots, keys::height(height), &manifest);
}

/// Removes the snapshots that the one of `newest` makes superfluous.
fn drop_snapshots(batch: &mut WriteBatch, newest: Height) {
    let recent = newest.0.saturating_sub(SNAPSHOTS_KEPT_BLOCKS);
    let served = recent.saturating_sub(1) / SNAPSHOTS_SERVED_BLOCKS * SNAPSHOTS_SERVED_BLOCKS;
    let before = served.saturating_sub(SNAPSHOTS_SERVED_BLOCKS);
    for (after, end) in [(0, before), (before + 1, served), (served + 1, recent)] {
        let range = KeyRange::between(&keys::height(Height(after)), &keys::height(Height(end)));
        batch.delete_range(Table::LedgerSnapshots, range.clone());
        batch.delete_range(Table::SnapshotPieces, range);
    }
}

/// A delivery, with what finds it by transaction and what it adds to its stream's digest.
pub(crate) fn put_delivery(
    batch: &mut WriteBatch,
    rollup: RollupId,
    height: Height,
    record: &DeliveryRecord,
) {
    let key = keys::rollup_height(rollup, height);
    batch.put_value(Table::Deliveries, key, record);
    let delivery = &record.delivery;
    let stored = StoredLink {
        link: StreamLink::new(height, &delivery.entries),
        digest: delivery.digest,
    };
    batch.put_value(Table::StreamLinks, key, &stored);
    if !delivery.transactions.is_empty() {
        let key = keys::rollup_index(rollup, delivery.first);
        batch.put_value(Table::TxHeights, key, &height);
    }
}

pub(crate) fn put_block(
    batch: &mut WriteBatch,
    block: &Arc<Block>,
    certificate: &CommitCertificate,
) {
    let height = block.header.height;
    let record = BlockRecord {
        block: block.as_ref().clone(),
        certificate: certificate.clone(),
    };
    batch.put_value(Table::Blocks, keys::height(height), &record);
    batch.put_value(Table::BlockHeights, block.id().as_bytes(), &height);
    batch.delete_range(
        Table::PendingBlocks,
        KeyRange::prefix(&keys::height(height)),
    );
}

/// The mark that a batch's manifest and our shards are stored.
pub(crate) const STORED: u8 = 0;
/// Its certificate.
pub(crate) const CERTIFICATE: u8 = 1;

/// The key of what is known of an unordered batch: its id and one of the marks above.
pub(crate) fn unordered(id: &[u8; 32], mark: u8) -> [u8; 33] {
    let mut key = [mark; 33];
    key[..32].copy_from_slice(id);
    key
}

/// The key of a block that is not final.
pub(crate) fn pending_block(height: Height, id: BlockId) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&keys::height(height));
    key[8..].copy_from_slice(id.as_bytes());
    key
}

/// The key of a proof.
pub(crate) fn proof(auction: AuctionId, system: ProofSystem) -> [u8; 9] {
    let mut key = [0; 9];
    key[..8].copy_from_slice(&auction.0.to_be_bytes());
    key[8] = match system {
        ProofSystem::Winterfell => 0,
    };
    key
}
