//! What is durable at one node: a plain-map model of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_consensus::{self as agreement, ANCESTRY_BLOCKS, SafetyState};
use conclave_crypto::Shard;
use conclave_ledger::Ledger;
use conclave_node::{Record, Resumed, StoredAgreement, resume};
use conclave_sequencer::{
    self as sequencing, DeliveryRecord, Dispersal, LedgerReference, OpeningRecord, ROOTS_KEPT,
};
use conclave_types::{
    Batch, BatchId, BatchRef, Block, BlockId, CommitCertificate, Digest, Envelope, EnvelopeId,
    Epoch, EpochChange, Genesis, Height, Manifest, RollupId, ShareLane, ValidatorIndex,
};

#[derive(Default)]
pub(crate) struct Disk {
    safety: Option<SafetyState>,
    changes: BTreeMap<Epoch, EpochChange>,
    pending_blocks: BTreeMap<(Height, BlockId), Arc<Block>>,
    blocks: BTreeMap<Height, (Arc<Block>, CommitCertificate)>,
    heights: BTreeMap<BlockId, Height>,
    mempool: BTreeMap<EnvelopeId, Envelope>,
    dispersals: BTreeMap<BatchId, Arc<Dispersal>>,
    batches: BTreeMap<BatchId, Arc<Batch>>,
    unordered: BTreeSet<BatchId>,
    certificates: BTreeMap<BatchId, BatchRef>,
    openings: BTreeMap<(Height, ShareLane), OpeningRecord>,
    pub(crate) deliveries: BTreeMap<(RollupId, Height), DeliveryRecord>,
    roots: BTreeMap<Height, Digest>,
    snapshot: Option<Snapshot>,
}

struct Snapshot {
    height: Height,
    ledger: Vec<u8>,
    held: Vec<Arc<Envelope>>,
    ordered: Vec<(ValidatorIndex, Vec<u64>)>,
}

/// What a node starts from.
pub(crate) struct Recovered {
    pub(crate) agreement: Resumed,
    pub(crate) sequencing: sequencing::Recovered,
    pub(crate) replay: Vec<(Arc<Block>, CommitCertificate)>,
    /// The hand-overs between epochs, ascending.
    pub(crate) changes: Vec<EpochChange>,
}

impl Disk {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Agreement(agreement::Write::Safety(state)) => {
                self.safety = Some(state.as_ref().clone());
            }
            Record::Agreement(agreement::Write::Block(block)) => {
                let key = (block.header.height, block.id());
                self.pending_blocks.insert(key, block.clone());
            }
            Record::Sequencing(write) => self.apply_sequencing(write),
            Record::EpochChange(change) => {
                self.changes
                    .insert(change.setup.epoch, change.as_ref().clone());
            }
        }
    }

    fn apply_sequencing(&mut self, write: &sequencing::Write) {
        use sequencing::Write;
        match write {
            Write::Admit(id, envelope) => {
                self.mempool.insert(*id, envelope.as_ref().clone());
            }
            Write::Discharge(id) => {
                self.mempool.remove(id);
            }
            Write::Dispersal(id, dispersal) => {
                self.dispersals.insert(*id, dispersal.clone());
                self.unordered.insert(*id);
            }
            Write::Batch(id, batch) => {
                self.batches.insert(*id, batch.clone());
            }
            Write::Certificate(id, reference) => {
                self.certificates.insert(*id, reference.clone());
            }
            Write::Ordered(id) => {
                self.unordered.remove(id);
                self.certificates.remove(id);
            }
            Write::Block(block, certificate) => {
                let height = block.header.height;
                self.pending_blocks.retain(|(at, _), _| *at != height);
                self.heights.insert(block.id(), height);
                self.blocks
                    .insert(height, (block.clone(), certificate.clone()));
            }
            Write::Openings {
                height,
                lane,
                record,
            } => {
                self.openings.insert((*height, *lane), record.clone());
            }
            Write::Delivery {
                rollup,
                height,
                record,
            } => {
                self.deliveries.insert((*rollup, *height), record.clone());
            }
            Write::Outcome { height, record } => {
                self.roots.insert(*height, record.root);
            }
            Write::Snapshot {
                height,
                ledger,
                held,
                ordered,
            } => {
                self.snapshot = Some(Snapshot {
                    height: *height,
                    ledger: ledger.snapshot(),
                    held: held.clone(),
                    ordered: ordered.clone(),
                });
            }
            Write::Fate(..) | Write::Proof(_) | Write::Inconsistent(..) => {}
        }
    }

    pub(crate) fn recover(&self, genesis: &Genesis) -> Recovered {
        let committed = self
            .blocks
            .last_key_value()
            .map_or(Height(0), |(height, _)| *height);
        let (height, ledger, held, ordered) = match &self.snapshot {
            Some(of) => {
                let ledger = Ledger::restore(&of.ledger).expect("our own snapshot");
                (of.height, ledger, of.held.clone(), of.ordered.clone())
            }
            None => (Height(0), Ledger::genesis(genesis), vec![], vec![]),
        };
        let tip = match self.blocks.get(&height) {
            Some((block, _)) => LedgerReference::of(&block.header),
            None => LedgerReference {
                height: Height(0),
                root: ledger.root(),
            },
        };
        let oldest = Height(height.0.saturating_sub(ROOTS_KEPT));
        let roots = self.roots.range(oldest..=height);
        let batches = self.unordered.iter().filter_map(|id| {
            let dispersal = self.dispersals.get(id)?.clone();
            Some((dispersal, self.batch(id)))
        });
        let sequencing = sequencing::Recovered {
            ledger: Arc::new(ledger),
            height,
            held,
            ordered,
            mempool: self.mempool.values().cloned().collect(),
            batches: batches.collect(),
            certificates: self.certificates.values().cloned().collect(),
            roots: roots.map(|(height, root)| (*height, *root)).collect(),
            tip,
            committed,
        };
        let newest = self.blocks.values().rev().take(ANCESTRY_BLOCKS);
        let mut headers: Vec<_> = newest.map(|(block, _)| block.header.clone()).collect();
        headers.reverse();
        let certified = self.blocks.get(&committed);
        let stored = StoredAgreement {
            changes: self.changes.values().cloned().collect(),
            safety: self
                .safety
                .clone()
                .unwrap_or_else(|| SafetyState::origin(&genesis.origin())),
            committed: headers,
            certificate: certified.map(|(_, certificate)| certificate.clone()),
            blocks: self
                .pending_blocks
                .values()
                .map(|block| block.as_ref().clone())
                .collect(),
        };
        let first = (genesis.first_epoch(), genesis.origin());
        let agreement = resume(first, stored).expect("our own store");
        let replay = self
            .blocks
            .range(height.next()..)
            .map(|(_, record)| record.clone())
            .collect();
        Recovered {
            agreement,
            sequencing,
            replay,
            changes: self.changes.values().cloned().collect(),
        }
    }

    pub(crate) fn safety(&self) -> Option<&SafetyState> {
        self.safety.as_ref()
    }

    pub(crate) fn batch(&self, id: &BatchId) -> Option<Arc<Batch>> {
        self.batches.get(id).cloned()
    }

    pub(crate) fn manifest(&self, id: &BatchId) -> Option<Arc<Manifest>> {
        let dispersal = self.dispersals.get(id);
        let stored = dispersal.map(|dispersal| dispersal.manifest.clone());
        stored.or_else(|| Some(Arc::new(self.batches.get(id)?.manifest())))
    }

    /// The node's own shards of a batch.
    pub(crate) fn shards(&self, id: &BatchId) -> Option<Vec<Shard>> {
        Some(self.dispersals.get(id)?.shards.clone())
    }

    pub(crate) fn opening(&self, height: Height, lane: ShareLane) -> Option<&OpeningRecord> {
        self.openings.get(&(height, lane))
    }

    pub(crate) fn block(&self, id: &BlockId) -> Option<Arc<Block>> {
        if let Some(height) = self.heights.get(id) {
            return self.blocks.get(height).map(|(block, _)| block.clone());
        }
        self.pending_blocks
            .iter()
            .find(|((_, at), _)| at == id)
            .map(|(_, block)| block.clone())
    }

    /// Blocks from a height up to the last one with a certificate of its own.
    pub(crate) fn blocks_from(&self, from: Height) -> Option<(Vec<Block>, CommitCertificate)> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut last = None;
        for (block, certificate) in self.blocks.range(from..).map(|(_, record)| record).take(64) {
            blocks.push(block.as_ref().clone());
            if certificate.block == block.id() {
                last = Some((blocks.len(), certificate.clone()));
            }
            // One committee vouches for all of an answer.
            if block.header.next_epoch.is_some() {
                break;
            }
        }
        let (count, certificate) = last?;
        blocks.truncate(count);
        Some((blocks, certificate))
    }
}
