//! What a proposal may say, for the one who makes it and those who check it.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_types::{BatchHeader, Block, BlockHeader, Digest, Height, ValidatorIndex, limits};

/// Proposals that may wait for the ledger at once.
pub(crate) const CHECKS_MAX: usize = 16;
/// How many blocks behind its own ledger a proposer's reference stays, so that voters a moment
/// behind it need not wait.
const REFERENCE_MARGIN: u64 = 1;

/// A proposal whose payload is to be checked.
pub(crate) struct PendingCheck {
    pub(crate) block: Arc<Block>,
    pub(crate) ancestors: Vec<Arc<Block>>,
    /// When it came.
    pub(crate) at_ms: u64,
}

/// What a header says of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerReference {
    pub height: Height,
    pub root: Digest,
}

impl LedgerReference {
    /// What this header says.
    pub fn of(header: &BlockHeader) -> Self {
        Self {
            height: header.ledger_height,
            root: header.ledger_root,
        }
    }
}

/// What is ordered once at most: an author's sequence number, whatever batches it gave it to. An
/// author that certifies two under one number gets one of them ordered.
pub(crate) type Slot = (ValidatorIndex, u64);

/// The slot of a batch.
pub(crate) const fn slot(header: &BatchHeader) -> Slot {
    (header.author, header.sequence)
}

/// The slots of all batches in a chain of blocks.
pub(crate) fn slots_of(blocks: &[Arc<Block>]) -> Vec<Slot> {
    blocks
        .iter()
        .flat_map(|block| &block.batches)
        .map(|batch| slot(&batch.header))
        .collect()
}

impl PendingCheck {
    /// The rules that need no state: bounds, no batch twice, references that move forward, and no
    /// payload while opening is too far behind.
    ///
    /// `parent` is what the parent's header says of the ledger.
    pub(crate) fn is_well_formed(&self, parent: LedgerReference) -> bool {
        let header = &self.block.header;
        let ancestors = slots_of(&self.ancestors);
        let batches = &self.block.batches;
        let slots: Vec<Slot> = batches.iter().map(|batch| slot(&batch.header)).collect();
        let repeated = slots
            .iter()
            .enumerate()
            .any(|(at, slot)| slots[..at].contains(slot) || ancestors.contains(slot));
        batches.len() <= limits::BLOCK_BATCHES_MAX
            && header.payload == Block::payload_digest(batches)
            && !repeated
            && header.ledger_height >= parent.height
            && header.ledger_height < header.height
            && (batches.is_empty() || !lags(header.height, header.ledger_height))
    }
}

/// Whether opening is too far behind for this block to order more.
pub(crate) fn lags(height: Height, ledger_height: Height) -> bool {
    height.0 > ledger_height.0 + limits::LEDGER_LAG_BLOCKS_MAX
}

/// What a proposal on top of `parent` says of the ledger.
pub(crate) fn ledger_reference(
    roots: &BTreeMap<Height, Digest>,
    parent: LedgerReference,
) -> LedgerReference {
    let newest = roots.last_key_value().map_or(0, |(height, _)| height.0);
    let wanted = Height(newest.saturating_sub(REFERENCE_MARGIN)).max(parent.height);
    match roots.range(..=wanted).next_back() {
        Some((height, root)) if *height >= parent.height => LedgerReference {
            height: *height,
            root: *root,
        },
        // Behind our own parent's reference: repeat it.
        _ => parent,
    }
}
