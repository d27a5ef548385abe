//! Agreement and certificates.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_types::{
    Block, BlockId, BlockTime, CommitCertificate, Epoch, EpochChange, Genesis, Height,
};

use super::Violation;

/// At every height one block, in order, under a certificate of a quorum of its epoch's committee; and
/// only the first block of the next epoch on top of an epoch's last one.
pub(crate) struct ChainChecker {
    weights: BTreeMap<Epoch, Vec<u16>>,
    genesis: BlockId,
    blocks: BTreeMap<Height, (BlockId, Arc<Block>)>,
    /// The last height each node reported; it may repeat itself after a restart.
    reported: Vec<Option<Height>>,
}

impl ChainChecker {
    pub(crate) fn new(genesis: &Genesis, nodes: usize) -> Self {
        Self {
            weights: BTreeMap::from([(Epoch(0), genesis.first_epoch().weights())]),
            genesis: BlockId::genesis(genesis.chain_id()),
            blocks: BTreeMap::new(),
            reported: vec![None; nodes],
        }
    }

    pub(crate) fn restarted(&mut self, node: usize) {
        self.reported[node] = None;
    }

    /// A member goes on in the epoch that a block names.
    pub(crate) fn began(&mut self, node: usize, change: &EpochChange) -> Result<(), Violation> {
        let EpochChange { last, setup, .. } = change;
        let known = self.blocks.get(&last.height);
        let named = known.and_then(|(_, block)| block.header.next_epoch);
        if named != Some(setup.digest()) || setup.epoch != last.epoch.next() {
            let what = format!(
                "node {node} begins epoch {}, which no block names",
                setup.epoch
            );
            return Err(Violation::new("certified", what));
        }
        self.weights.insert(setup.epoch, setup.weights());
        Ok(())
    }

    pub(crate) fn height(&self) -> Height {
        self.blocks
            .last_key_value()
            .map_or(Height(0), |(height, _)| *height)
    }

    pub(crate) fn committed(
        &mut self,
        node: usize,
        blocks: &[Arc<Block>],
        certificate: &CommitCertificate,
    ) -> Result<(), Violation> {
        let epoch = certificate.epoch;
        let Some(weights) = self.weights.get(&epoch) else {
            let what = format!("node {node} committed in epoch {epoch}, which has not begun");
            return Err(Violation::new("certified", what));
        };
        let signed: u16 = (0..)
            .zip(weights)
            .filter(|(index, _)| {
                certificate
                    .aggregate
                    .signers
                    .contains(conclave_types::ValidatorIndex(*index))
            })
            .map(|(_, weight)| *weight)
            .sum();
        let total: u16 = weights.iter().sum();
        if 3 * u32::from(signed) <= 2 * u32::from(total) {
            let what = format!("node {node} committed on weight {signed} of {total}");
            return Err(Violation::new("certified", what));
        }
        if blocks
            .last()
            .is_none_or(|last| last.id() != certificate.block || last.header.epoch != epoch)
        {
            let what = format!("node {node} committed under another block's certificate");
            return Err(Violation::new("certified", what));
        }
        for block in blocks {
            self.block(node, block)?;
        }
        Ok(())
    }

    fn block(&mut self, node: usize, block: &Arc<Block>) -> Result<(), Violation> {
        let height = block.header.height;
        if let Some(last) = self.reported[node]
            && height != last.next()
        {
            let what = format!("node {node} committed {height} after {last}");
            return Err(Violation::new("agreement", what));
        }
        self.reported[node] = Some(height);
        let id = block.id();
        if let Some((known, _)) = self.blocks.get(&height) {
            if *known != id {
                let what =
                    format!("two blocks at height {height}: {known} and, at node {node}, {id}");
                return Err(Violation::new("agreement", what));
            }
            return Ok(());
        }
        let (parent, time, epoch) = match self.blocks.get(&Height(height.0 - 1)) {
            Some((parent, block)) => {
                let ended = u64::from(block.header.next_epoch.is_some());
                let epoch = Epoch(block.header.epoch.0 + ended);
                (*parent, block.header.time, epoch)
            }
            None if height.0 == 1 => (self.genesis, BlockTime(0), Epoch(0)),
            None => {
                let what = format!("block {height} without its parent");
                return Err(Violation::new("agreement", what));
            }
        };
        if block.header.parent != parent || block.header.time <= time {
            let what = format!("block {height} does not follow its parent");
            return Err(Violation::new("agreement", what));
        }
        if block.header.epoch != epoch {
            let found = block.header.epoch;
            let what =
                format!("block {height} is of epoch {found}, its parent is followed by {epoch}");
            return Err(Violation::new("last block", what));
        }
        self.blocks.insert(height, (id, block.clone()));
        Ok(())
    }
}
