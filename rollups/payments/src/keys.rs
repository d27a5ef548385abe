//! Trees of one-time keys, derived from a 32-byte seed.

use zeroize::{Zeroize, Zeroizing};

use crate::domain::{LEAF_SECRETS, SALT, TREE_KEY, TREE_TWEAK};
use crate::hash::{ElementStream, FieldDigest, Node, compress};
use crate::signature::{
    CHAINS, KEY_DEPTH, KEY_LEAVES, Pair, Signature, chain_end, codeword, one_time_digest,
};

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
                use p3_field::PrimeField64;
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
    let share = leaves.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for (first, chunk) in (0u16..).step_by(share).zip(leaves.chunks_mut(share)) {
            scope.spawn(move || {
                for (leaf, node) in (first..).zip(chunk) {
                    let secrets = secrets(key, leaf);
                    let ends = core::array::from_fn(|i| chain_end(secrets[i], tweak, leaf, i));
                    *node = one_time_digest(tweak, leaf, &ends);
                }
            });
        }
    });
    leaves
}
