//! Trees of one-time keys, derived from a 32-byte seed.

use zeroize::{Zeroize, Zeroizing};

use p3_field::{PackedValue, PrimeField64};

use crate::domain::{LEAF_SECRETS, SALT, TAG_CHAIN, TAG_ONE_TIME, TREE_KEY, TREE_TWEAK};
use crate::hash::{ElementStream, Felt, FieldDigest, Lanes, Node, compress, permute_lanes};
use crate::signature::{CHAINS, KEY_DEPTH, KEY_LEAVES, Pair, Signature, chain_end, codeword};

/// A wallet's seed; everything else is derived from it.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes 32 bytes of real entropy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Draws a new seed from the operating system.
    pub fn random() -> Result<Self, rand_core::Error> {
        use rand_core::RngCore;
        let mut bytes = Zeroizing::new([0; 32]);
        rand_core::OsRng.try_fill_bytes(&mut *bytes)?;
        Ok(Self(bytes))
    }
}

/// One tree of one-time keys: the secret key they derive from, and all public nodes.
///
/// It signs whatever leaf it is told to; only [`Wallet`](crate::Wallet) may hold one, because it
/// records a leaf as used before it signs.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct KeyTree {
    key: Zeroizing<[u8; 32]>,
    tweak: Pair,
    /// Level 0 holds the leaves, the last level the root.
    levels: Vec<Vec<Node>>,
}

impl KeyTree {
    /// Derives tree `index` of a seed, on all cores: about 190,000 permutations.
    pub(crate) fn derive(seed: &Seed, index: u32) -> Self {
        let mut material = Zeroizing::new([0; 36]);
        material[..32].copy_from_slice(&*seed.0);
        material[32..].copy_from_slice(&index.to_le_bytes());
        let key = Zeroizing::new(blake3::derive_key(TREE_KEY, &*material));
        let mut stream = ElementStream::new(blake3::Hasher::new_keyed(&key).update(TREE_TWEAK));
        let tweak = [stream.next_element(), stream.next_element()];
        let mut levels = vec![leaves(&key, tweak)];
        while let Some([_, _, ..]) = levels.last().map(Vec::as_slice) {
            let (pairs, _) = levels[levels.len() - 1].as_chunks::<2>();
            levels.push(pairs.iter().map(|[l, r]| compress(*l, *r)).collect());
        }
        Self { key, tweak, levels }
    }

    /// The owner root.
    pub(crate) fn root(&self) -> FieldDigest {
        FieldDigest::from_node(self.levels[KEY_DEPTH][0])
    }

    /// Signs a payment's digest with one leaf.
    pub(crate) fn sign(&self, message: Node, leaf: u16) -> Signature {
        let (salt, codeword) = self.draw_salt(message, leaf);
        let secrets = secrets(&self.key, leaf);
        let chains = core::array::from_fn(|chain| {
            if codeword.bit(chain) {
                secrets[chain]
            } else {
                chain_end(secrets[chain], self.tweak, leaf, chain).map(|e| e.as_canonical_u64())
            }
        });
        let path = core::array::from_fn(|level| {
            FieldDigest::from_node(self.levels[level][(usize::from(leaf) >> level) ^ 1])
        });
        Signature {
            salt,
            tree: self.tweak,
            leaf,
            chains,
            path,
        }
    }

    /// Salts are a keyed function of leaf and message, so nobody without the key can predict
    /// them, and signing needs no other randomness.
    fn draw_salt(&self, message: Node, leaf: u16) -> (Pair, crate::signature::Codeword) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(SALT).update(&leaf.to_le_bytes());
        hasher.update(&FieldDigest::from_node(message).to_bytes());
        let mut stream = ElementStream::new(&hasher);
        hasher.zeroize();
        loop {
            let salt = [stream.next_element(), stream.next_element()];
            if let Some(codeword) = codeword(message, salt) {
                return (salt, codeword);
            }
        }
    }
}

/// Starts of a leaf's chains.
fn secrets(key: &[u8; 32], leaf: u16) -> Zeroizing<[Pair; CHAINS]> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(LEAF_SECRETS).update(&leaf.to_le_bytes());
    let mut stream = ElementStream::new(&hasher);
    hasher.zeroize();
    let mut secrets = Zeroizing::new([[0; 2]; CHAINS]);
    for element in secrets.iter_mut().flatten() {
        *element = stream.next_element();
    }
    secrets
}

fn leaves(key: &[u8; 32], tweak: Pair) -> Vec<Node> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut leaves = vec![Node::default(); usize::from(KEY_LEAVES)];
    let share = leaves
        .len()
        .div_ceil(threads)
        .next_multiple_of(Lanes::WIDTH);
    std::thread::scope(|scope| {
        for (first, chunk) in (0u16..).step_by(share).zip(leaves.chunks_mut(share)) {
            scope.spawn(move || {
                let firsts = (first..).step_by(Lanes::WIDTH);
                for (first, nodes) in firsts.zip(chunk.chunks_mut(Lanes::WIDTH)) {
                    fill_leaves(key, tweak, first, nodes);
                }
            });
        }
    });
    leaves
}

/// The digests of neighbouring one-time keys, one in each lane; the same as `chain_end` and
/// `one_time_digest` give one by one.
fn fill_leaves(key: &[u8; 32], tweak: Pair, first: u16, nodes: &mut [Node]) {
    let secrets: Vec<_> = (first..)
        .take(Lanes::WIDTH)
        .map(|leaf| secrets(key, leaf))
        .collect();
    let same = |value: u64| Lanes::from(Felt::new(value));
    let leaf = Lanes::from_fn(|lane| Felt::new(u64::from(first) + lane as u64));
    let tree = tweak.map(same);
    let end = |chain: usize| {
        let start = [0, 1].map(|i| Lanes::from_fn(|lane| Felt::new(secrets[lane][chain][i])));
        let (index, tag) = (same(chain as u64), same(TAG_CHAIN));
        let mut state = [
            start[0],
            start[1],
            tree[0],
            tree[1],
            leaf,
            index,
            tag,
            same(0),
        ];
        permute_lanes(&mut state);
        [state[0] + start[0], state[1] + start[1]]
    };
    let mut digest = [same(TAG_ONE_TIME), tree[0], tree[1], leaf];
    for chain in (0..CHAINS).step_by(2) {
        let ([a, b], [c, d]) = (end(chain), end(chain + 1));
        let [e, f, g, h] = digest;
        let mut state = [e, f, g, h, a, b, c, d];
        permute_lanes(&mut state);
        digest = core::array::from_fn(|i| state[i] + digest[i]);
    }
    for (lane, node) in nodes.iter_mut().enumerate() {
        *node = digest.map(|element| element.as_slice()[lane]);
    }
}
