//! Every domain-separation string of the protocol, in one format, in this one file.

use crate::{Digest, Hasher};

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a hash or a signature is for; two domains never share a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Domain { $($(#[$doc])* $name,)* }

        impl Domain {
            /// Every domain, for the test that no two share a string.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The string that separates this domain.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("conclave/v1/", $text),)* }
            }
        }
    };
}

domains! {
    /// The chain id: the digest of the genesis.
    Genesis = "genesis";
    /// An envelope's id: its header without the payer's signature.
    Envelope = "envelope";
    /// The ciphertext (or plain) body inside an envelope's header.
    EnvelopeBody = "envelope-body";
    /// What the payer's ed25519 key signs.
    EnvelopeSignature = "envelope-signature";
    /// A batch's id: its header.
    Batch = "batch";
    /// What a validator's transport key signs when a batch is durable.
    Stored = "stored";
    /// One shard of a batch's bodies, a leaf under the batch's shard root.
    Shard = "shard";
    /// A block's id: its header.
    Block = "block";
    /// The list of batch references inside a block's header.
    BlockPayload = "block-payload";
    /// What an epoch's last block says of the next one: its committee and sealing key.
    EpochSetup = "epoch-setup";
    /// Prepare votes, first phase.
    PrepareVote = "prepare-vote";
    /// Commit votes, second phase.
    CommitVote = "commit-vote";
    /// Timeouts.
    Timeout = "timeout";
    /// The tag under which every BLS message is hashed to the curve (ciphersuite as in RFC 9380).
    BlsHashToCurve = "bls12381g1-xmd:sha-256-sswu-ro";
    /// Proof of possession of a BLS key.
    BlsPossession = "bls-possession";
    /// Weights of one batch of ed25519 signatures.
    EdBatchWeights = "ed-batch-weights";
    /// A leaf of a Merkle tree.
    MerkleLeaf = "merkle-leaf";
    /// An inner node of a Merkle tree, and the root with its number of leaves.
    MerkleNode = "merkle-node";
    /// r = H(Y, M, label), the sender's exponent.
    SealExponent = "seal-exponent";
    /// The second generator of an envelope's proof, hashed to the group.
    SealGenerator = "seal-generator";
    /// The challenge of an envelope's proof of equal logarithms.
    SealChallenge = "seal-challenge";
    /// The body key derived from M.
    SealBodyKey = "seal-body-key";
    /// The label of an envelope: core, body length, body hash.
    SealLabel = "seal-label";
    /// The points C of one part of a bundle of shares.
    ShareList = "share-list";
    /// One key share's shares of one part: what a proof is about.
    ShareRow = "share-row";
    /// The same with its proof, a leaf under the root that the bundle's sender signs.
    ShareLeaf = "share-leaf";
    /// What a validator's transport key signs on a bundle of shares.
    ShareBundle = "share-bundle";
    /// Weights of the batched proof over one sender's shares.
    ShareWeights = "share-weights";
    /// Which validator combines which of a block's envelopes.
    Opener = "opener";
    /// The challenge of the batched proof over one sender's shares.
    ShareChallenge = "share-challenge";
    /// The deterministic nonce of that proof, derived from the key share and all that is proven.
    ShareNonce = "share-nonce";
    /// The multipliers of the check that a sealing key's shares lie on one polynomial.
    SealingKeyCheck = "sealing-key-check";
    /// The transcript of a key generation.
    KeyGeneration = "key-generation";
    /// Proof of possession of a channel key, over everything its sender dealt.
    KeyGenerationPossession = "key-generation-possession";
    /// What encrypts one dealer's share to its receiver during key generation.
    KeyGenerationChannel = "key-generation-channel";
    /// One attempt at the key of a later epoch: chain, epoch, attempt and weights.
    KeyGenerationRound = "key-generation-round";
    /// A member's secrets of one attempt, derived from its seed.
    KeyGenerationSecret = "key-generation-secret";
    /// Proof of knowledge of a channel key or of a dealing's constant term.
    KeyGenerationKnowledge = "key-generation-knowledge";
    /// A dealing's polynomial and the two channel keys under which a share of it is encrypted.
    KeyGenerationDealing = "key-generation-dealing";
    /// What a validator's transport key signs on a submission's receipt.
    Receipt = "receipt";
    /// The key of QUIC's stateless resets, derived from a validator's transport key so that it
    /// survives a restart.
    TransportReset = "transport-reset";
    /// One leaf of the ledger's state tree.
    LedgerEntry = "ledger-entry";
    /// The chain of what was delivered to one rollup.
    RollupStream = "rollup-stream";
    /// What one block adds to that chain.
    StreamEntries = "stream-entries";
    /// The ordered contents an intent commits to.
    IntentContents = "intent-contents";
    /// Tie-breaking between equal bids.
    AuctionTie = "auction-tie";
    /// A proven statement's digest.
    Statement = "statement";
    /// A user's account key derived from a seed.
    AccountKey = "account-key";
    /// The checksum of a stored record, and of the mark of a clean stop.
    StoreRecord = "store-record";
    /// One object of a node's archive.
    ArchiveSegment = "archive-segment";
    /// One piece of a ledger snapshot on its way to a joining node.
    SnapshotPiece = "snapshot-piece";
    /// A reproducible digest of a simulation.
    Simulation = "simulation";
}

impl Domain {
    /// A hasher that starts in this domain.
    pub fn hasher(self) -> Hasher {
        Hasher::new(self)
    }

    /// The digest of one byte string in this domain.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        self.hasher().part(bytes).digest()
    }
}
