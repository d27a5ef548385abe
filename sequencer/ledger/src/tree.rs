//! The state tree: one root over all entries of the ledger, cheap to keep current. What an entry's
//! leaf and bucket are, and how its proof is verified, is in `conclave-light`.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::{MerkleTree, merkle};
use conclave_light::{EntryProof, EntryTable, LEDGER_BUCKETS, entry_bucket, entry_leaf};
use conclave_types::Digest;

/// The leaves of one bucket; a clone of the tree shares them until it changes one.
type Bucket = Arc<BTreeMap<(EntryTable, Vec<u8>), Digest>>;

/// The leaves by bucket and key, and the roots of the buckets.
#[derive(Debug, Clone)]
pub(crate) struct StateTree {
    buckets: Vec<Bucket>,
    roots: Vec<Digest>,
    /// Over the roots of the buckets.
    top: MerkleTree,
    stale: Vec<bool>,
}

impl Default for StateTree {
    fn default() -> Self {
        let roots = vec![Digest::ZERO; LEDGER_BUCKETS];
        Self {
            buckets: vec![Arc::default(); LEDGER_BUCKETS],
            top: MerkleTree::new(&roots),
            roots,
            stale: vec![false; LEDGER_BUCKETS],
        }
    }
}

impl StateTree {
    /// Sets or removes an entry.
    pub(crate) fn set(&mut self, table: EntryTable, key: Vec<u8>, value: Option<&[u8]>) {
        let bucket = entry_bucket(table, &key);
        let leaf = value.map(|value| entry_leaf(table, &key, value));
        let leaves = Arc::make_mut(&mut self.buckets[bucket]);
        let before = match leaf {
            Some(leaf) => leaves.insert((table, key), leaf),
            None => leaves.remove(&(table, key)),
        };
        self.stale[bucket] |= before != leaf;
    }

    /// The root over everything set so far.
    pub(crate) fn root(&mut self) -> Digest {
        for bucket in 0..LEDGER_BUCKETS {
            if std::mem::take(&mut self.stale[bucket]) {
                self.roots[bucket] = merkle::root(&self.leaves(bucket));
                self.top.set(bucket as u64, &self.roots[bucket]);
            }
        }
        self.top.root()
    }

    /// The proof of an entry under the last [`StateTree::root`].
    pub(crate) fn prove(&self, table: EntryTable, key: Vec<u8>) -> Option<EntryProof> {
        let bucket = entry_bucket(table, &key);
        let key = (table, key);
        let index = self.buckets[bucket]
            .keys()
            .position(|other| *other == key)?;
        Some(EntryProof {
            leaf: MerkleTree::new(&self.leaves(bucket)).path(index as u64)?,
            bucket_root: self.roots[bucket],
            bucket: self.top.path(bucket as u64)?,
        })
    }

    fn leaves(&self, bucket: usize) -> Vec<Digest> {
        self.buckets[bucket].values().copied().collect()
    }
}
