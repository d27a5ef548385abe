//! The fixed set of tables.

use redb::TableDefinition;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A table of the store. Keys are made by [`keys`](super::keys).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $($(#[$doc])* $name,)* }

        impl Table {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

tables! {
    /// Format, chain and validator of the file; written by the store itself.
    Meta = "meta";
    /// What consensus may never forget, under [`keys::SAFETY`](super::keys::SAFETY).
    Safety = "safety";
    /// Committed block and its commit certificate, by height.
    Blocks = "blocks";
    /// Height of a committed block, by block id.
    BlockHeights = "block-heights";
    /// How an epoch was handed over to: last header and certificate of the one before, and its setup,
    /// by epoch.
    Epochs = "epochs";
    /// Blocks not committed yet, by height and block id.
    PendingBlocks = "pending-blocks";
    /// Manifest and own shards of a batch, by batch id.
    Dispersals = "dispersals";
    /// Batches with their bodies, by batch id.
    Batches = "batches";
    /// What shows that a batch has no bodies, by batch id.
    Inconsistent = "inconsistent";
    /// Batches that are not ordered yet: their certificate, or nothing, by batch id.
    Unordered = "unordered";
    /// What became of an envelope, by envelope id.
    EnvelopeStatus = "envelope-status";
    /// Acknowledged envelopes that are not ordered yet, by envelope id.
    Mempool = "mempool";
    /// Openings of one lane of one block, by height and lane.
    Openings = "openings";
    /// What a block delivered to a rollup, by rollup and height.
    Deliveries = "deliveries";
    /// What a height adds to a rollup's chain of digests, by rollup and height.
    StreamLinks = "stream-links";
    /// Height at which a transaction was delivered, by rollup and the first index of that height.
    TxHeights = "tx-heights";
    /// What the ledger as of a height is made of: its pieces' digests, by height.
    LedgerSnapshots = "ledger-snapshots";
    /// The pieces, by height and number.
    SnapshotPieces = "snapshot-pieces";
    /// Opened transactions of unproven ranges, taken over when this node joined by a snapshot, by
    /// rollup and index of the first.
    JoinedContents = "joined-contents";
    /// The ledger's events, by height and number.
    Events = "events";
    /// Accepted proofs, by auction and proof system.
    Proofs = "proofs";
    /// The key of a proof, by rollup and the first index of its range.
    ProofIndex = "proof-index";
    /// Heights without contents, because this node joined by a snapshot of a later one: the last of
    /// them, by the first.
    Gaps = "gaps";
    /// Segments of the archive, by their first height.
    Archive = "archive";
    /// Height that ordered a batch which only the archive has, by batch id.
    BatchHeights = "batch-heights";
    /// What was counted of a prover at heights whose events only the archive has, by account.
    ProverCounts = "prover-counts";
}

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

impl Table {
    pub(super) const fn definition(self) -> Definition {
        TableDefinition::new(self.name())
    }
}
