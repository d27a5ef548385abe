//! The tree of uncommitted blocks on top of the committed tip, and the committed headers that
//! elections look back at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use conclave_types::{Block, BlockHeader, BlockId, BlockTime, Height, Origin, View};

use crate::ANCESTRY_BLOCKS;

/// Blocks kept besides those on the way to the highest QC; abandoned ones come back by fetching
/// if they turn out to be certified.
const SIDE_BLOCKS_MAX: usize = 64;

/// Whether it is its epoch's last block.
pub(crate) fn is_last(block: &Block) -> bool {
    block.header.next_epoch.is_some()
}

/// Whether anybody waits for it to be final: it orders something, or ends the epoch.
pub(crate) fn is_awaited(block: &Block) -> bool {
    !block.batches.is_empty() || is_last(block)
}

/// The committed tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) id: BlockId,
    pub(crate) height: Height,
    pub(crate) time: BlockTime,
    /// It is the epoch's last block.
    pub(crate) ends_epoch: bool,
}

/// The way from the committed tip to a block.
#[derive(Debug, PartialEq)]
pub(crate) enum Path {
    /// Ascending, the block itself last; empty for the tip.
    Complete(Vec<Arc<Block>>),
    /// The highest block on the way that is not here.
    Missing { block: BlockId, height: Height },
    /// The way does not lead through the tip.
    Aside,
}

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Blocks {
    tip: Tip,
    /// Committed in this epoch, ascending, the tip last; empty at its origin.
    recent: VecDeque<(BlockId, BlockHeader)>,
    tree: BTreeMap<BlockId, Arc<Block>>,
}

impl Blocks {
    /// On top of the epoch's committed headers, or of its origin if there are none.
    pub(crate) fn new(
        origin: &Origin,
        committed: impl IntoIterator<Item = BlockHeader>,
        uncommitted: impl IntoIterator<Item = Block>,
    ) -> Self {
        let mut blocks = Self {
            tip: Tip {
                id: origin.block,
                height: origin.height,
                time: origin.time,
                ends_epoch: false,
            },
            recent: VecDeque::new(),
            tree: BTreeMap::new(),
        };
        let own = |header: &BlockHeader| header.epoch == origin.epoch;
        committed
            .into_iter()
            .filter(own)
            .for_each(|header| blocks.advance(header));
        let own = |block: &Block| block.header.epoch == origin.epoch;
        for block in uncommitted.into_iter().filter(own) {
            blocks.insert(Arc::new(block));
        }
        blocks
    }

    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// The header of the last committed block; none at the epoch's origin.
    pub(crate) fn tip_header(&self) -> Option<&BlockHeader> {
        self.recent.back().map(|(_, header)| header)
    }

    pub(crate) fn get(&self, id: &BlockId) -> Option<&Arc<Block>> {
        self.tree.get(id)
    }

    /// Adds a block above the tip. Its id and body are known to match.
    pub(crate) fn insert(&mut self, block: Arc<Block>) {
        if block.header.height > self.tip.height {
            self.tree.insert(block.id(), block);
        }
    }

    /// The time of the tip or of a block in the tree.
    pub(crate) fn time(&self, id: &BlockId) -> Option<BlockTime> {
        match *id == self.tip.id {
            true => Some(self.tip.time),
            false => self.tree.get(id).map(|block| block.header.time),
        }
    }

    /// Whether the tip or a block in the tree is the epoch's last.
    pub(crate) fn ends_epoch(&self, id: &BlockId) -> bool {
        match *id == self.tip.id {
            true => self.tip.ends_epoch,
            false => self.tree.get(id).is_some_and(|block| is_last(block)),
        }
    }

    /// Whether anybody waits for a block of this view.
    pub(crate) fn has_payload_at(&self, view: View) -> bool {
        self.tree
            .values()
            .any(|block| block.header.view == view && is_awaited(block))
    }

    pub(crate) fn path(&self, id: BlockId, height: Height) -> Path {
        match self.walk(id, height) {
            Ok(path) => Path::Complete(path.into_iter().cloned().collect()),
            Err(obstacle) => obstacle,
        }
    }

    /// The blocks of [`Path::Complete`], or one of the others.
    fn walk(&self, id: BlockId, height: Height) -> Result<Vec<&Arc<Block>>, Path> {
        let (mut next, mut height) = (id, height);
        let mut path = Vec::new();
        loop {
            if next == self.tip.id {
                path.reverse();
                return Ok(path);
            }
            if height <= self.tip.height {
                return Err(Path::Aside);
            }
            let Some(block) = self.tree.get(&next) else {
                return Err(Path::Missing {
                    block: next,
                    height,
                });
            };
            path.push(block);
            next = block.header.parent;
            height = Height(block.header.height.0.saturating_sub(1));
        }
    }

    /// The headers of a block and its ancestors as far as elections look, ascending; `None` while
    /// one is missing.
    pub(crate) fn ancestry(&self, id: BlockId, height: Height) -> Option<Vec<&BlockHeader>> {
        let path = self.walk(id, height).ok()?;
        let committed = self.recent.iter().map(|(_, header)| header);
        let skip = (self.recent.len() + path.len()).saturating_sub(ANCESTRY_BLOCKS);
        let headers = committed.chain(path.into_iter().map(|block| &block.header));
        Some(headers.skip(skip).collect())
    }

    /// The committed block of a height, as far back as headers are kept.
    pub(crate) fn committed_at(&self, height: Height) -> Option<BlockId> {
        let back = self.tip.height.0.checked_sub(height.0)?;
        let position = self
            .recent
            .len()
            .checked_sub(1 + usize::try_from(back).ok()?)?;
        self.recent.get(position).map(|(id, _)| *id)
    }

    /// Moves the tip along a path and forgets what can no longer be committed.
    pub(crate) fn commit(&mut self, path: &[Arc<Block>]) {
        for block in path {
            self.advance(block.header.clone());
        }
        let tip = self.tip;
        let mut dead = BTreeSet::new();
        let mut by_height: Vec<_> = self
            .tree
            .iter()
            .map(|(id, block)| (block.header.height, *id, block.header.parent))
            .collect();
        by_height.sort_unstable();
        for (height, id, parent) in by_height {
            // What builds on the tip lives on, though the tip itself leaves the tree.
            let aside = height == tip.height.next() || dead.contains(&parent);
            if height <= tip.height || parent != tip.id && aside {
                dead.insert(id);
            }
        }
        self.tree.retain(|id, _| !dead.contains(id));
    }

    /// Keeps the number of blocks bounded while nothing commits: forgets those that are neither on
    /// the way to the highest QC nor of a view since then.
    pub(crate) fn shed(&mut self, high: BlockId, height: Height, view: View) {
        if self.tree.len() <= SIDE_BLOCKS_MAX {
            return;
        }
        let mut keep = BTreeSet::new();
        let (mut next, mut at) = (high, height);
        while at > self.tip.height {
            let Some(block) = self.tree.get(&next) else {
                break;
            };
            keep.insert(next);
            next = block.header.parent;
            at = Height(block.header.height.0.saturating_sub(1));
        }
        self.tree
            .retain(|id, block| keep.contains(id) || block.header.view >= view);
    }

    fn advance(&mut self, header: BlockHeader) {
        let id = header.id();
        self.tip = Tip {
            id,
            height: header.height,
            time: header.time,
            ends_epoch: header.next_epoch.is_some(),
        };
        self.recent.push_back((id, header));
        if self.recent.len() > ANCESTRY_BLOCKS {
            self.recent.pop_front();
        }
    }
}
