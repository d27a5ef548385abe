//! Which record goes under which key of which table.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_consensus as agreement;
use conclave_sequencer as sequencing;
use conclave_types::{
    AuctionId, Block, BlockId, CommitCertificate, Envelope, Height, ProofSystem, ValidatorIndex,
    limits,
};

use crate::replica::Record;
use crate::store::{KeyRange, Table, WriteBatch, keys};

/// Ledger snapshots kept: the last one, and the one before in case it is the one that a crash
/// interrupted.
const SNAPSHOTS_KEPT_BLOCKS: u64 = 64;

/// A committed block and the certificate that made it final, maybe a descendant's.
#[derive(Debug, Clone, Encode, Decode)]
pub(crate) struct BlockRecord {
    pub(crate) block: Block,
    pub(crate) certificate: CommitCertificate,
}

/// The ledger as of a height, the sealed bids it holds, and what was ordered.
#[derive(Debug, Clone, Default, Encode, Decode)]
pub(crate) struct SnapshotRecord {
    pub(crate) ledger: Vec<u8>,
    pub(crate) held: Vec<Envelope>,
    /// Sequence numbers of ordered batches, by author.
    pub(crate) ordered: Vec<(ValidatorIndex, Vec<u64>)>,
}

/// Bytes of a stored block or batch, for decoding what we wrote ourselves.
pub(crate) const RECORD_BYTES_MAX: usize = 4 * limits::BATCH_BYTES_MAX;

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
    }
}

fn put_sequencing(batch: &mut WriteBatch, write: &sequencing::Write) {
    use sequencing::Write;
    match write {
        Write::Admit(id, envelope) => {
            batch.put_value(Table::Mempool, id.as_bytes(), envelope.as_ref());
        }
        Write::Discharge(id) => batch.delete(Table::Mempool, id.as_bytes()),
        Write::Batch(id, body) => {
            batch.put_value(Table::Batches, id.as_bytes(), body.as_ref());
            batch.put(Table::Unordered, unordered(id.as_bytes(), BODY), []);
        }
        Write::Certificate(id, reference) => {
            batch.put_value(
                Table::Unordered,
                unordered(id.as_bytes(), CERTIFICATE),
                reference,
            );
        }
        Write::Ordered(id) => {
            batch.delete(Table::Unordered, unordered(id.as_bytes(), BODY));
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
        } => {
            batch.put_value(
                Table::Deliveries,
                keys::rollup_height(*rollup, *height),
                record,
            );
            if !record.delivery.transactions.is_empty() {
                let key = keys::rollup_index(*rollup, record.delivery.first);
                batch.put_value(Table::TxHeights, key, height);
            }
        }
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
            batch.put_value(Table::LedgerSnapshots, keys::height(*height), &record);
            let oldest = Height(height.0.saturating_sub(SNAPSHOTS_KEPT_BLOCKS));
            let outdated = KeyRange::between(&[], &keys::height(oldest));
            batch.delete_range(Table::LedgerSnapshots, outdated);
        }
    }
}

fn put_block(batch: &mut WriteBatch, block: &Arc<Block>, certificate: &CommitCertificate) {
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

/// The mark that a batch's body is stored.
pub(crate) const BODY: u8 = 0;
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
