//! The rules "shares only after the commit certificate" and "nothing overdue is left out", switched
//! off on purpose: their simulator tests show that it would be noticed. Only under the feature `broken-rules`, which no release accepts.

use super::*;

#[cfg(not(debug_assertions))]
compile_error!("the feature `broken-rules` breaks the protocol: it is for tests, not for releases");

impl Sequencer {
    /// From now on shares leave with the vote for a block.
    pub fn break_early_shares(&mut self) {
        self.early_shares = true;
    }

    /// From now on proposals may leave out what they like.
    pub fn break_inclusion(&mut self) {
        self.lenient = true;
    }

    /// Makes our shares of a block that is only proposed.
    pub(super) fn release_early(&self, block: &Block, actions: &mut Vec<Action>) {
        let placed = self.placed(block).into_iter().map(|placed| placed.header);
        let of_lane = |header: &Arc<EnvelopeHeader>| {
            header.is_sealed()
                && header.core.release == ReleaseRule::OnCommit
                && header.core.epoch == block.header.epoch
        };
        let envelopes: Vec<Arc<EnvelopeHeader>> = placed.filter(of_lane).collect();
        if self.early_shares && !envelopes.is_empty() {
            let context = ShareContext {
                block: block.id(),
                height: block.header.height,
                lane: LaneKind::OnCommit.of(block.header.epoch),
                group: ShareGroup::Whole,
            };
            let points = vec![None; envelopes.len()];
            let groups = vec![BundleJob {
                context,
                envelopes,
                points,
            }];
            actions.push(Action::Work(Work::Bundle { context, groups }));
        }
    }
}
