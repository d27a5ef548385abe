//! Constant-weight one-time signatures under a tree of one-time keys.
//!
//! ```text
//! payment digest ‖ salt ──▶ 124 bits of weight 62 ──▶ bit 1: the chain's start is revealed
//!                                                     bit 0: the chain's end is given
//! 124 chain ends ──▶ one-time public key = leaf ──▶ path of 10 ──▶ owner root
//! ```
//!
//! Lowering one bit of a codeword of fixed weight raises another, so a signature under one leaf
//! authorises one message only.

use bincode::{Decode, Encode};

use crate::domain::{TAG_CHAIN, TAG_ONE_TIME, TAG_SIGNATURE};
use crate::hash::{Felt, FieldDigest, MODULUS, Node, block, compress, permute};

/// Chains of a one-time key.
pub(crate) const CHAINS: usize = 124;
/// Chains a signature reveals; C(124, 62) is about 2^120.2.
pub(crate) const WEIGHT: u32 = 62;
/// Pairs of chains; each pair is absorbed by one compression.
pub(crate) const PAIRS: usize = CHAINS / 2;
/// Depth of a key tree.
pub(crate) const KEY_DEPTH: usize = 10;
/// One-time keys in a tree.
pub const KEY_LEAVES: u16 = 1 << KEY_DEPTH;

const _: () = assert!(WEIGHT as usize * 2 == CHAINS && PAIRS < 63);

/// Two field elements: a chain value, a salt or a tree's tweak.
pub(crate) type Pair = [u64; 2];

/// A signature with its one-time key's place in the owner's tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Signature {
    /// Drawn secretly until the digest has the right weight.
    pub(crate) salt: Pair,
    /// The key tree's public tweak.
    pub(crate) tree: Pair,
    /// Which one-time key of the tree.
    pub(crate) leaf: u16,
    /// Start of each revealed chain, end of each other.
    pub(crate) chains: [Pair; CHAINS],
    /// Siblings from the leaf to the owner root.
    pub(crate) path: [FieldDigest; KEY_DEPTH],
}

impl Signature {
    /// Whether every element is canonical and the leaf is inside the tree.
    pub(crate) fn is_canonical(&self) -> bool {
        let pairs = [self.salt, self.tree];
        self.leaf < KEY_LEAVES
            && pairs
                .iter()
                .chain(&self.chains)
                .flatten()
                .all(|e| *e < MODULUS)
            && self.path.iter().all(FieldDigest::is_canonical)
    }
}

/// A codeword: the bits of the even chains and of the odd chains.
#[derive(Clone, Copy)]
pub(crate) struct Codeword(pub(crate) u64, pub(crate) u64);

impl Codeword {
    pub(crate) fn bit(self, chain: usize) -> bool {
        let word = if chain.is_multiple_of(2) {
            self.0
        } else {
            self.1
        };
        (word >> (chain / 2)) & 1 == 1
    }
}

/// The codeword of a message under a salt, or `None` when this salt gives none.
///
/// Two elements of the salted digest must be below 2^62 and hold 62 ones between them: about one
/// salt in 224. Elements below 2^62 have one binary form only, which is what the proof relies on.
pub(crate) fn codeword(message: Node, salt: Pair) -> Option<Codeword> {
    use p3_field::PrimeField64;
    let digest = compress(message, block([salt[0], salt[1], 0, TAG_SIGNATURE]));
    let (even, odd) = (digest[0].as_canonical_u64(), digest[1].as_canonical_u64());
    let fits = (even | odd) >> PAIRS == 0;
    (fits && even.count_ones() + odd.count_ones() == WEIGHT).then_some(Codeword(even, odd))
}

/// One chain step: the end of a chain from its start.
pub(crate) fn chain_end(start: Pair, tree: Pair, leaf: u16, chain: usize) -> [Felt; 2] {
    let start = start.map(Felt::new);
    let mut state = [
        start[0],
        start[1],
        Felt::new(tree[0]),
        Felt::new(tree[1]),
        Felt::new(u64::from(leaf)),
        Felt::new(chain as u64),
        Felt::new(TAG_CHAIN),
        Felt::new(0),
    ];
    permute(&mut state);
    [state[0] + start[0], state[1] + start[1]]
}

/// The digest of a one-time public key: a leaf of the key tree.
pub(crate) fn one_time_digest(tree: Pair, leaf: u16, ends: &[[Felt; 2]; CHAINS]) -> Node {
    let first = block([TAG_ONE_TIME, tree[0], tree[1], u64::from(leaf)]);
    let (pairs, _) = ends.as_chunks::<2>();
    pairs.iter().fold(first, |state, [a, b]| {
        compress(state, [a[0], a[1], b[0], b[1]])
    })
}

/// The owner root a signature leads to for a message, or `None` when its salt gives no codeword.
pub(crate) fn recover_owner(message: Node, signature: &Signature) -> Option<FieldDigest> {
    let codeword = codeword(message, signature.salt)?;
    let ends = core::array::from_fn(|chain| {
        let value = signature.chains[chain];
        if codeword.bit(chain) {
            chain_end(value, signature.tree, signature.leaf, chain)
        } else {
            value.map(Felt::new)
        }
    });
    let node = one_time_digest(signature.tree, signature.leaf, &ends);
    Some(path_root(node, signature.leaf, &signature.path))
}

/// The root of a key tree from one of its leaves.
pub(crate) fn path_root(node: Node, leaf: u16, path: &[FieldDigest; KEY_DEPTH]) -> FieldDigest {
    let root = path
        .iter()
        .enumerate()
        .fold(node, |node, (level, sibling)| {
            if (leaf >> level) & 1 == 0 {
                compress(node, sibling.node())
            } else {
                compress(sibling.node(), node)
            }
        });
    FieldDigest::from_node(root)
}
