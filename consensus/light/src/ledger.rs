//! Entries of the ledger under the root that a block's header names.
//!
//! ```text
//! root = Merkle(256 bucket roots)        bucket root = Merkle(its leaves, by key)
//! leaf = H_ledger-entry(table, key, value)        bucket = first byte of H_ledger-entry(table, key)
//! ```
//!
//! A validator votes for a block only if its own ledger has the root that the header names, so the
//! root of a final header is that of the one ledger there is.

use bincode::{Decode, Encode};
use conclave_crypto::MerklePath;
use conclave_types::{BlockHeader, Digest, Domain, Height, RollupId, Settled, Stream, codec};

/// The number of buckets: with 100,000 entries a changed one costs about 400 hashes.
pub const LEDGER_BUCKETS: usize = 256;

/// Which table of the ledger an entry is in. The number is part of the entry's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum EntryTable {
    /// `()` to the chain's constants.
    Parameters,
    /// `()` to height, time, counters, the insurance pool and the money supply.
    Meta,
    /// `AccountId` to `Amount`: free balances.
    Accounts,
    /// `()` to the fee parameters and the last height whose fee changes are queued.
    Fees,
    /// `AccountId` to fee balance and used sequence numbers.
    FeeAccounts,
    /// `Height` to the fee changes which that height made and no header covers yet.
    FeeQueue,
    /// `RollupId` to the registration.
    Rollups,
    /// `RollupId` to [`Stream`].
    Streams,
    /// `RollupId` to [`Settled`].
    Settled,
    /// `(RollupId, TxIndex)` to unproven transactions without an intent.
    Backlog,
    /// `AuctionId` to the auction.
    Auctions,
    /// `(AuctionId, u32)` to the header of a held bid.
    Bids,
    /// `AccountId` to the prover.
    Provers,
    /// `ValidatorIndex` to the last height it proposed.
    Proposers,
    /// `ProgramVersion` to the height that froze it.
    Frozen,
    /// `ValidatorIndex` to the slot of the registry.
    Validators,
    /// `Epoch` to where it stands, with the digest of its committee and key.
    Epochs,
    /// `Epoch` to its committee and key, while somebody answers for it.
    Setups,
    /// `()` to the phase of the key generation.
    KeyGeneration,
    /// `ValidatorIndex` to a member of the committee to be, and what it said in the key generation.
    Candidates,
    /// A rollup, or a payer of rollup 0, to its tariff and what it ordered in the present window.
    Tariffs,
}

/// Shows that an entry is in the state under a root.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EntryProof {
    /// From the entry's leaf to its bucket's root.
    pub leaf: MerklePath,
    pub bucket_root: Digest,
    /// From the bucket's root to the state root.
    pub bucket: MerklePath,
}

/// A claim about the ledger that the header's root does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerProofError {
    /// The entry is another one, has another value, or is under another root.
    #[error(
        "[CV-LIGHT-014] the {what} of rollup {rollup} is not in the ledger of height {ledger_height} that block {height} names; ask another node"
    )]
    Entry {
        what: &'static str,
        rollup: RollupId,
        height: Height,
        ledger_height: Height,
    },
}

/// The bucket that holds an entry.
pub fn entry_bucket(table: EntryTable, key: &[u8]) -> usize {
    let digest = Domain::LedgerEntry
        .hasher()
        .part(&[table as u8])
        .part(key)
        .digest();
    usize::from(digest.0[0])
}

/// The leaf of an entry in its bucket.
pub fn entry_leaf(table: EntryTable, key: &[u8], value: &[u8]) -> Digest {
    Domain::LedgerEntry
        .hasher()
        .part(&[table as u8])
        .part(key)
        .part(value)
        .digest()
}

/// Whether the entry `(table, key)` has this value under the root. Key and value are in the
/// ledger's own encoding.
pub fn verify_entry(
    root: &Digest,
    table: EntryTable,
    key: &[u8],
    value: &[u8],
    proof: &EntryProof,
) -> bool {
    proof.bucket.count == LEDGER_BUCKETS as u64
        && proof.bucket.index == entry_bucket(table, key) as u64
        && proof
            .leaf
            .verify(&entry_leaf(table, key, value), &proof.bucket_root)
        && proof.bucket.verify(&proof.bucket_root, root)
}

/// Whether a rollup's stream stands so in the ledger that the header names. The header itself must
/// be known to be final.
pub fn verify_stream(
    header: &BlockHeader,
    rollup: RollupId,
    stream: &Stream,
    proof: &EntryProof,
) -> Result<(), LedgerProofError> {
    verify(
        header,
        rollup,
        ("stream", EntryTable::Streams),
        stream,
        proof,
    )
}

/// Whether a rollup's settled root stands so in the ledger that the header names. The header
/// itself must be known to be final.
pub fn verify_settled(
    header: &BlockHeader,
    rollup: RollupId,
    settled: &Settled,
    proof: &EntryProof,
) -> Result<(), LedgerProofError> {
    verify(
        header,
        rollup,
        ("settled root", EntryTable::Settled),
        settled,
        proof,
    )
}

fn verify<V: Encode>(
    header: &BlockHeader,
    rollup: RollupId,
    (what, table): (&'static str, EntryTable),
    value: &V,
    proof: &EntryProof,
) -> Result<(), LedgerProofError> {
    let (key, value) = (codec::encode(&rollup), codec::encode(value));
    match verify_entry(&header.ledger_root, table, &key, &value, proof) {
        true => Ok(()),
        false => Err(LedgerProofError::Entry {
            what,
            rollup,
            height: header.height,
            ledger_height: header.ledger_height,
        }),
    }
}
