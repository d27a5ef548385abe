//! No share leaves an honest node for a block that it does not know to be final.

use std::collections::BTreeSet;
use std::sync::Arc;

use conclave_node::PeerMessage;
use conclave_sequencer::Message;
use conclave_types::{Block, BlockId};

use super::Violation;

pub(crate) struct SecrecyChecker {
    /// The final blocks that each node knows; certificates outlive a crash.
    known: Vec<BTreeSet<BlockId>>,
}

impl SecrecyChecker {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            known: vec![BTreeSet::new(); nodes],
        }
    }

    pub(crate) fn committed(&mut self, node: usize, blocks: &[Arc<Block>]) {
        self.known[node].extend(blocks.iter().map(|block| block.id()));
    }

    pub(crate) fn sent(&self, from: usize, message: &PeerMessage) -> Result<(), Violation> {
        let PeerMessage::Sequencing(Message::Shares(bundle)) = message else {
            return Ok(());
        };
        if self.known[from].contains(&bundle.block) {
            return Ok(());
        }
        let what = format!(
            "node {from} sent shares of block {}, which is not final",
            bundle.block
        );
        Err(Violation::new("secrecy", what))
    }
}
