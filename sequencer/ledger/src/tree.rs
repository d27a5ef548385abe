//! The state tree: one root over all entries of the ledger, cheap to keep current.
//!
//! ```text
//! root = Merkle(256 bucket roots)        bucket root = Merkle(its leaves, by key)
//! leaf = H_ledger-entry(table, key, value)        bucket = first byte of H_ledger-entry(table, key)
//! ```

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use conclave_crypto::{MerklePath, MerkleTree, merkle};
use conclave_types::{Digest, Domain};

/// The number of buckets: with 100,000 entries a changed one costs about 400 hashes.
const BUCKETS: usize = 256;

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
    /// `RollupId` to the stream's next index, digest and last height.
    Streams,
    /// `RollupId` to the settled root, the first unsettled index and the last settled height.
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

/// Whether the entry `(table, key)` has this value under the root. Key and value are in the
/// ledger's own encoding.
pub fn verify_entry(
    root: &Digest,
    table: EntryTable,
    key: &[u8],
    value: &[u8],
    proof: &EntryProof,
) -> bool {
    proof.bucket.count == BUCKETS as u64
        && proof.bucket.index == bucket_of(table, key) as u64
        && proof
            .leaf
            .verify(&leaf_of(table, key, value), &proof.bucket_root)
        && proof.bucket.verify(&proof.bucket_root, root)
}

/// The leaves by bucket and key, and the roots of the buckets.
#[derive(Debug, Clone)]
pub(crate) struct StateTree {
    buckets: Vec<BTreeMap<(EntryTable, Vec<u8>), Digest>>,
    roots: Vec<Digest>,
    stale: Vec<bool>,
}

impl Default for StateTree {
    fn default() -> Self {
        Self {
            buckets: vec![BTreeMap::new(); BUCKETS],
            roots: vec![Digest::ZERO; BUCKETS],
            stale: vec![false; BUCKETS],
        }
    }
}

impl StateTree {
    /// Sets or removes an entry.
    pub(crate) fn set(&mut self, table: EntryTable, key: Vec<u8>, value: Option<&[u8]>) {
        let bucket = bucket_of(table, &key);
        let leaf = value.map(|value| leaf_of(table, &key, value));
        let before = match leaf {
            Some(leaf) => self.buckets[bucket].insert((table, key), leaf),
            None => self.buckets[bucket].remove(&(table, key)),
        };
        self.stale[bucket] |= before != leaf;
    }

    /// The root over everything set so far.
    pub(crate) fn root(&mut self) -> Digest {
        for bucket in 0..BUCKETS {
            if std::mem::take(&mut self.stale[bucket]) {
                self.roots[bucket] = merkle::root(&self.leaves(bucket));
            }
        }
        merkle::root(&self.roots)
    }

    /// The proof of an entry under the last [`StateTree::root`].
    pub(crate) fn prove(&self, table: EntryTable, key: Vec<u8>) -> Option<EntryProof> {
        let bucket = bucket_of(table, &key);
        let key = (table, key);
        let index = self.buckets[bucket]
            .keys()
            .position(|other| *other == key)?;
        Some(EntryProof {
            leaf: MerkleTree::new(&self.leaves(bucket)).path(index as u64)?,
            bucket_root: self.roots[bucket],
            bucket: MerkleTree::new(&self.roots).path(bucket as u64)?,
        })
    }

    fn leaves(&self, bucket: usize) -> Vec<Digest> {
        self.buckets[bucket].values().copied().collect()
    }
}

fn bucket_of(table: EntryTable, key: &[u8]) -> usize {
    let digest = Domain::LedgerEntry
        .hasher()
        .part(&[table as u8])
        .part(key)
        .digest();
    usize::from(digest.0[0])
}

fn leaf_of(table: EntryTable, key: &[u8], value: &[u8]) -> Digest {
    Domain::LedgerEntry
        .hasher()
        .part(&[table as u8])
        .part(key)
        .part(value)
        .digest()
}
