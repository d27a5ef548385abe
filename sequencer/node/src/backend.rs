//! What the HTTP API asks of the node.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_ledger::Ledger;
use conclave_types::{
    AccountId, Block, BlockHeader, CommitCertificate, Digest, Envelope, EnvelopeId, Epoch,
    EpochChange, Genesis, Height, Receipt, RollupId, StreamLink,
};
use tokio::sync::watch;

pub use conclave_sequencer::Refusal;

pub use crate::archive::ArchiveError;

/// A committed block with what proves it final.
#[derive(Debug, Clone)]
pub struct CertifiedBlock {
    /// The block.
    pub block: Block,
    /// Headers after it, up to the certificate's block.
    pub tail: Vec<BlockHeader>,
    /// Covers the last of the tail, or the block itself.
    pub certificate: CommitCertificate,
}

/// A ledger whose root a final block's header names.
#[derive(Debug, Clone)]
pub struct NamedLedger {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The height of the block that names it.
    pub named_by: Height,
}

/// What one height adds to a rollup's chain of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct StoredLink {
    /// The link.
    pub link: StreamLink,
    /// The stream's digest after it.
    pub digest: Digest,
}

/// What became of a prover's jobs so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct ProverRecord {
    /// Ranges that it was paid for.
    pub settled: u64,
    /// Deadlines that it missed.
    pub missed: u64,
}

/// Heights that readers can wait for. A height is published only once everything of it can be
/// read: readers that see `executed` rely on its block, deliveries and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last final height.
    pub committed: Height,
    /// The last executed height: opened and applied to the ledger.
    pub executed: Height,
}

/// The node as its API sees it. Reads never block agreement.
///
/// What was pruned is read from the archive, so reads of history can fail with an [`ArchiveError`].
pub trait Backend: Send + Sync + 'static {
    /// Admits an envelope; resolves when it is durable here.
    fn submit(&self, envelope: Envelope) -> impl Future<Output = Result<Receipt, Refusal>> + Send;

    /// The genesis the node runs.
    fn genesis(&self) -> &Genesis;

    /// The ledger after [`Progress::executed`], immutable.
    fn ledger(&self) -> Arc<Ledger>;

    /// Where an envelope is.
    fn envelope(&self, id: EnvelopeId) -> Option<conclave_sdk::api::EnvelopeView>;

    /// A committed block.
    fn block(&self, height: Height) -> Result<Option<CertifiedBlock>, ArchiveError>;

    /// How the epoch before one handed over to it.
    fn epoch_change(&self, epoch: Epoch) -> Option<EpochChange>;

    /// What a block delivered to a rollup, without the block itself; `None` when nothing was.
    fn delivery(
        &self,
        rollup: RollupId,
        height: Height,
    ) -> Result<Option<conclave_sdk::api::DeliveryView>, ArchiveError>;

    /// The first heights in `from..=to` whose contents this node never had, because it joined later: the
    /// first and the last of them, which may be outside. A node that was there from the beginning has
    /// none.
    fn gap(&self, from: Height, to: Height) -> Option<(Height, Height)> {
        let _ = (from, to);
        None
    }

    /// The first height in `from..=to` that delivered something to a rollup. A store that keeps
    /// deliveries in order answers without walking the heights.
    fn next_delivery(&self, rollup: RollupId, from: Height, to: Height) -> Option<Height> {
        (from.0..=to.0)
            .map(Height)
            .find(|height| self.delivery(rollup, *height) != Ok(None))
    }

    /// The last height up to `to` that delivered something to a rollup; likewise.
    fn last_delivery(&self, rollup: RollupId, to: Height) -> Option<Height> {
        (1..=to.0)
            .rev()
            .map(Height)
            .find(|height| self.delivery(rollup, *height) != Ok(None))
    }

    /// The ledger that the last executed block names; `None` until there is one here.
    fn named_ledger(&self) -> Option<NamedLedger>;

    /// The first links of a rollup's stream in `from..=to`, ascending, at most `limit`.
    fn links(&self, rollup: RollupId, from: Height, to: Height, limit: usize) -> Vec<StoredLink>;

    /// The last link of a rollup's stream up to `to`.
    fn last_link(&self, rollup: RollupId, to: Height) -> Option<StoredLink>;

    /// Ledger events of one height, in order.
    fn events(&self, height: Height) -> Result<Vec<conclave_sdk::api::EventView>, ArchiveError>;

    /// The first height in `from..=to` with ledger events. A store that keeps them in order answers
    /// without walking the heights.
    fn next_events(&self, from: Height, to: Height) -> Result<Option<Height>, ArchiveError> {
        for height in (from.0..=to.0).map(Height) {
            if !self.events(height)?.is_empty() {
                return Ok(Some(height));
            }
        }
        Ok(None)
    }

    /// How often a prover was paid for a range, and how often it missed a deadline. The ledger
    /// keeps no such history; the events `Paid` and `DeadlineMissed` give it.
    fn prover_record(&self, prover: AccountId) -> ProverRecord;

    /// Settled proofs of a rollup from a transaction index on, ascending, at most `limit`, without
    /// their bytes.
    fn proofs(
        &self,
        rollup: RollupId,
        from_index: u64,
        limit: usize,
    ) -> Vec<conclave_sdk::api::ProofView>;

    /// One settled proof with its bytes, by its auction.
    fn proof(&self, auction: u64) -> Result<Option<conclave_sdk::api::ProofView>, ArchiveError>;

    /// Heights, and a way to wait for them.
    fn progress(&self) -> watch::Receiver<Progress>;

    /// The node's own status.
    fn status(&self) -> conclave_sdk::api::StatusView;

    /// Whether the node takes part: connected to a quorum and caught up.
    fn ready(&self) -> Result<(), String>;

    /// Metrics in the Prometheus text format.
    fn metrics(&self) -> String;
}
