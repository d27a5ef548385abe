//! Gets the blocks that certificates speak of and this node never saw.
//!
//! What is wanted follows from the certificates alone, each time anew: the highest missing block on
//! the way from the highest QC, the uncovered CC and each orphaned proposal's parent to the tip.
//! Of the signers of a certificate f+1 honest ones have the block and all its ancestors.

use std::sync::Arc;

use conclave_types::{Block, BlockId, Height, Signers, ValidatorIndex};

use crate::blocks::Path;
use crate::engine::Engine;
use crate::{Action, Fault};

/// Blocks fetched one by one, each by its child's word; further ahead the host syncs by height.
const FETCH_BLOCKS_MAX: u64 = 32;

/// One block that is being asked for.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Fetch {
    signers: Signers,
    asked: Option<ValidatorIndex>,
    pub(crate) retry_at: u64,
}

/// Committed blocks that the host was asked to get by height.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Behind {
    height: Height,
    asked: Option<ValidatorIndex>,
    pub(crate) retry_at: u64,
}

impl Engine {
    /// A peer's block; taken only if it is wanted, whoever sent it.
    pub(crate) fn on_block(&mut self, from: ValidatorIndex, block: Block) {
        let id = block.id();
        if !self.fetches.contains_key(&id) {
            return;
        }
        if conclave_light::verify_body(&block).is_err() {
            return self.fault(from, Fault::Sync);
        }
        self.fetches.remove(&id);
        self.blocks.insert(Arc::new(block));
        self.advance_candidates();
        self.try_commit();
    }

    /// Asks for what is wanted, and again elsewhere for what did not come.
    pub(crate) fn poll_fetches(&mut self) {
        let wanted = self.wanted();
        let reach = Height(self.blocks.tip().height.0.saturating_add(FETCH_BLOCKS_MAX));
        self.fetches
            .retain(|id, _| wanted.iter().any(|(block, ..)| block == id));
        let far = wanted.iter().filter(|(_, height, _)| *height > reach);
        match far.max_by_key(|(_, height, _)| *height) {
            Some((_, height, signers)) => self.report_behind(*height, signers),
            None => self.behind = None,
        }
        for (block, height, signers) in wanted {
            if height > reach {
                continue;
            }
            let fetch = self.fetches.entry(block).or_insert(Fetch {
                signers,
                asked: None,
                retry_at: 0,
            });
            if fetch.retry_at > self.now {
                continue;
            }
            fetch.retry_at = self.now.saturating_add(self.pacemaker.fetch_retry());
            fetch.asked = next_signer(&fetch.signers, fetch.asked, self.config.index);
            if let Some(from) = fetch.asked {
                self.act(Action::FetchBlock { block, from });
            }
        }
    }

    fn wanted(&self) -> Vec<(BlockId, Height, Signers)> {
        let high_qc = self.high_qc();
        let uncovered = self.uncovered.as_ref();
        let orphans = self.candidates.values().filter_map(|c| c.waits_for());
        let tips = [(high_qc.block, high_qc.height, high_qc.aggregate.signers)]
            .into_iter()
            .chain(uncovered.map(|cc| (cc.block, cc.height, cc.aggregate.signers)))
            .chain(orphans.map(|qc| (qc.block, qc.height, qc.aggregate.signers)));
        let mut wanted: Vec<(BlockId, Height, Signers)> = Vec::new();
        for (block, height, signers) in tips {
            if let Path::Missing { block, height } = self.blocks.path(block, height)
                && wanted.iter().all(|(known, ..)| *known != block)
            {
                wanted.push((block, height, signers));
            }
        }
        wanted
    }

    /// Tells the host, and again while no blocks come: nothing higher may ever be certified as long
    /// as this node, whose vote may be needed for that, is behind.
    fn report_behind(&mut self, height: Height, signers: &Signers) {
        let before = self.behind.as_ref();
        if before.is_some_and(|told| height <= told.height && told.retry_at > self.now) {
            return;
        }
        let asked = before.and_then(|told| told.asked);
        let asked = next_signer(signers, asked, self.config.index);
        self.behind = Some(Behind {
            height,
            asked,
            retry_at: self.now.saturating_add(self.pacemaker.fetch_retry()),
        });
        if let Some(from) = asked {
            self.act(Action::Behind { height, from });
        }
    }
}

/// The signer after the last one asked, in a circle, leaving out this node.
fn next_signer(
    signers: &Signers,
    asked: Option<ValidatorIndex>,
    own: ValidatorIndex,
) -> Option<ValidatorIndex> {
    let others = || signers.iter().filter(|signer| *signer != own);
    others()
        .find(|signer| Some(*signer) > asked)
        .or_else(|| others().next())
}
