//! A binary Merkle tree over digests.
//!
//! Leaves and nodes hash in different domains. A level's odd last node is promoted unchanged, so
//! no leaf is ever counted twice (duplicating it would give two lists one root). The root also
//! binds the number of leaves, which fixes the shape and the length of every path:
//!
//! ```text
//! root = H_node(count, top)        top = H_node(left, right)        bottom = H_leaf(leaf)
//! ```
//!
//! The root of no leaves is [`Digest::ZERO`].

use bincode::{Decode, Encode};
use conclave_types::{Digest, Domain};

/// All levels of a tree, for making paths.
#[derive(Debug, Clone)]
pub struct MerkleTree {
    /// From the hashed leaves to the top; empty for no leaves.
    levels: Vec<Vec<Digest>>,
}

/// What leads from one leaf to the root.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MerklePath {
    pub index: u64,
    /// The number of leaves, which the root binds.
    pub count: u64,
    /// From the bottom up; levels where the node is promoted have none.
    pub siblings: Vec<Digest>,
}

/// The root over the leaves, in order.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut level: Vec<Digest> = leaves.iter().map(hash_leaf).collect();
    while level.len() > 1 {
        level = parents(&level);
    }
    match level.first() {
        Some(top) => bind(leaves.len() as u64, top),
        None => Digest::ZERO,
    }
}

impl MerkleTree {
    /// Builds the tree over the leaves, in order.
    pub fn new(leaves: &[Digest]) -> Self {
        let mut levels = Vec::new();
        let mut level: Vec<Digest> = leaves.iter().map(hash_leaf).collect();
        while level.len() > 1 {
            let above = parents(&level);
            levels.push(std::mem::replace(&mut level, above));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        Self { levels }
    }

    /// How many leaves there are.
    pub fn count(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Replaces a leaf and hashes its way to the top anew; nothing past the end.
    pub fn set(&mut self, index: u64, leaf: &Digest) {
        let Some(mut at) = usize::try_from(index).ok().filter(|_| index < self.count()) else {
            return;
        };
        let mut node = hash_leaf(leaf);
        for level in &mut self.levels {
            level[at] = node;
            let first = at & !1;
            node = match level.get(first + 1) {
                Some(right) => hash_node(&level[first], right),
                None => node,
            };
            at /= 2;
        }
    }

    /// The root, equal to [`root`] of the leaves.
    pub fn root(&self) -> Digest {
        match self.levels.last().and_then(|level| level.first()) {
            Some(top) => bind(self.count(), top),
            None => Digest::ZERO,
        }
    }

    /// The path of a leaf; `None` past the end.
    pub fn path(&self, index: u64) -> Option<MerklePath> {
        if index >= self.count() {
            return None;
        }
        let mut at = usize::try_from(index).ok()?;
        let mut siblings = Vec::new();
        for level in &self.levels {
            siblings.extend(level.get(at ^ 1).copied());
            at /= 2;
        }
        Some(MerklePath {
            index,
            count: self.count(),
            siblings,
        })
    }
}

impl MerklePath {
    /// Whether the leaf stands at this path's index under the root. Exactly one path verifies for
    /// each index.
    pub fn verify(&self, leaf: &Digest, root: &Digest) -> bool {
        self.root_of(leaf).is_some_and(|found| found == *root)
    }

    /// The root that the path leads to from this leaf; `None` if it is no path of a tree with this
    /// many leaves.
    pub fn root_of(&self, leaf: &Digest) -> Option<Digest> {
        if self.index >= self.count {
            return None;
        }
        let mut siblings = self.siblings.iter();
        let (mut at, mut width, mut node) = (self.index, self.count, hash_leaf(leaf));
        while width > 1 {
            let promoted = at ^ 1 >= width;
            if !promoted {
                let sibling = siblings.next()?;
                node = match at % 2 {
                    0 => hash_node(&node, sibling),
                    _ => hash_node(sibling, &node),
                };
            }
            at /= 2;
            width = width.div_ceil(2);
        }
        siblings.next().is_none().then(|| bind(self.count, &node))
    }
}

fn parents(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => hash_node(left, right),
            _ => pair[0],
        })
        .collect()
}

fn hash_leaf(leaf: &Digest) -> Digest {
    Domain::MerkleLeaf.digest(&leaf.0)
}

fn hash_node(left: &Digest, right: &Digest) -> Digest {
    Domain::MerkleNode
        .hasher()
        .part(&left.0)
        .part(&right.0)
        .digest()
}

/// Parts carry their length, so the 8-byte count never reads as a 32-byte node.
fn bind(count: u64, top: &Digest) -> Digest {
    Domain::MerkleNode
        .hasher()
        .part(&count.to_le_bytes())
        .part(&top.0)
        .digest()
}
