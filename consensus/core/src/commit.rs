//! From a commit certificate to final blocks, handed out in order.

use std::sync::Arc;

use conclave_types::{Block, BlockHeader, CommitCertificate, ValidatorIndex};

use crate::blocks::Path;
use crate::engine::Engine;
use crate::{Action, Fault};

impl Engine {
    pub(crate) fn on_commit_certificate(&mut self, from: ValidatorIndex, cc: CommitCertificate) {
        let newest = self.uncovered.as_ref().or(self.committed.as_ref());
        let news = newest.is_none_or(|known| known.view < cc.view);
        if news && self.check_commit(from, &cc) {
            self.learn_commit(cc);
        }
    }

    /// Rule 5 on a verified certificate.
    pub(crate) fn learn_commit(&mut self, cc: CommitCertificate) {
        let known = [&self.uncovered, &self.committed];
        if known
            .into_iter()
            .flatten()
            .any(|known| known.view >= cc.view)
        {
            return;
        }
        self.uncovered = Some(cc);
        self.try_commit();
    }

    /// Commits up to the newest certificate, if all blocks on the way are here.
    pub(crate) fn try_commit(&mut self) {
        let Some(cc) = self.uncovered.take() else {
            return;
        };
        let tip = self.blocks.tip();
        match self.blocks.path(cc.block, cc.height) {
            Path::Complete(path) => self.commit(&path, cc),
            Path::Missing { .. } => self.uncovered = Some(cc),
            Path::Aside if cc.height > tip.height => self.fork(tip.id, cc),
            Path::Aside => match self.blocks.committed_at(cc.height) {
                Some(committed) if committed != cc.block => self.fork(committed, cc),
                _ => {}
            },
        }
    }

    /// Blocks that the host fetched by height: verified as a chain to their certificate and on
    /// top of the tip.
    pub(crate) fn on_synced(
        &mut self,
        from: ValidatorIndex,
        blocks: Vec<Block>,
        cc: CommitCertificate,
    ) {
        let tip = self.blocks.tip();
        let foreign = |block: &Block| block.header.epoch != self.epoch();
        // The host may have asked for them before it moved on from the epoch before.
        if cc.height <= tip.height || blocks.iter().any(foreign) {
            return;
        }
        let headers: Vec<BlockHeader> = blocks.iter().map(|block| block.header.clone()).collect();
        let chained = conclave_light::verify_ancestry(&headers, &cc).is_ok()
            && blocks
                .iter()
                .all(|block| conclave_light::verify_body(block).is_ok());
        if !chained {
            return self.fault(from, Fault::Sync);
        }
        if !self.check_commit(from, &cc) {
            return;
        }
        let path: Vec<Arc<Block>> = blocks
            .into_iter()
            .filter(|block| block.header.height > tip.height)
            .map(Arc::new)
            .collect();
        match path.first().map(|block| &block.header) {
            Some(first) if first.parent == tip.id => {
                self.commit(&path, cc);
                // There may be more than one answer holds; they are asked for at once.
                self.behind = None;
            }
            Some(first) if first.height == tip.height.next() => self.fork(tip.id, cc),
            _ => {}
        }
    }

    fn commit(&mut self, path: &[Arc<Block>], cc: CommitCertificate) {
        self.blocks.commit(path);
        let covered = |vote: &Option<conclave_types::CommitVote>| {
            vote.as_ref().is_none_or(|vote| vote.view <= cc.view)
        };
        match covered(&self.safety.state().commit_vote) {
            true => self.pacemaker.commit.stop(),
            false => self.await_commit(),
        }
        if self
            .committed
            .as_ref()
            .is_none_or(|known| known.view < cc.view)
        {
            self.committed = Some(cc.clone());
        }
        self.prune_votes();
        if !path.is_empty() {
            self.act(Action::Committed {
                blocks: path.to_vec(),
                certificate: cc,
            });
        }
    }
}
