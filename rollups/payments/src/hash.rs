//! Poseidon2 over Goldilocks, width 8, with the parameters of `p3-goldilocks`, and the types that
//! carry its values.
//!
//! Compression is feed-forward, `(P(l ‖ r) + (l ‖ r))[..4]`: a bare truncated permutation can be
//! inverted when its output is not fixed by a tree above it.
//! Longer messages chain it from a tagged first state, and every message has a fixed length.

use core::fmt;
use core::str::FromStr;
use std::sync::OnceLock;

use bincode::{Decode, Encode};
use p3_field::{Field, PrimeField64};
use p3_goldilocks::{Goldilocks, Poseidon2Goldilocks, default_goldilocks_poseidon2_8};
use p3_symmetric::Permutation;
use winterfell::math::fields::f64::BaseElement;

/// A Goldilocks element on the native side.
pub(crate) type Felt = Goldilocks;
/// Four field elements on the native side.
pub(crate) type Node = [Felt; 4];

/// The field's modulus, `2^64 - 2^32 + 1`.
pub(crate) const MODULUS: u64 = 0xffff_ffff_0000_0001;

/// Four canonical field elements: an account key, an owner root, or any other field digest.
///
/// Its bytes are the elements in order, each little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct FieldDigest(pub(crate) [u64; 4]);

/// Bytes that are not four canonical field elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[CV-PAY-001] not four canonical field elements in 32 bytes; check for a mistyped value")]
pub struct NotCanonical;

impl FieldDigest {
    /// All zero: the key of an empty slot.
    pub const ZERO: Self = Self([0; 4]);

    /// The elements' bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = limb.to_le_bytes();
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; refuses elements at or above the modulus.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotCanonical> {
        let chunks = bytes.as_chunks::<8>().0;
        let digest = Self(core::array::from_fn(|i| u64::from_le_bytes(chunks[i])));
        if digest.is_canonical() {
            Ok(digest)
        } else {
            Err(NotCanonical)
        }
    }

    /// Whether this is the key of an empty slot.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    pub(crate) fn is_canonical(&self) -> bool {
        self.0.iter().all(|limb| *limb < MODULUS)
    }

    pub(crate) fn node(self) -> Node {
        self.0.map(Felt::new)
    }

    pub(crate) fn from_node(node: Node) -> Self {
        Self(node.map(|element| element.as_canonical_u64()))
    }

    pub(crate) fn elements(self) -> [BaseElement; 4] {
        self.0.map(BaseElement::new)
    }
}

impl fmt::Display for FieldDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for FieldDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.to_bytes()[..6]))
    }
}

impl FromStr for FieldDigest {
    type Err = NotCanonical;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotCanonical)?;
        Self::from_bytes(&bytes)
    }
}

/// As many elements as one vector of the build's target holds; one where it has no vectors.
pub(crate) type Lanes = <Felt as Field>::Packing;

fn permutation() -> &'static Poseidon2Goldilocks<8> {
    static PERMUTATION: OnceLock<Poseidon2Goldilocks<8>> = OnceLock::new();
    PERMUTATION.get_or_init(default_goldilocks_poseidon2_8)
}

/// The permutation.
pub(crate) fn permute(state: &mut [Felt; 8]) {
    permutation().permute_mut(state);
}

/// Several permutations at once.
pub(crate) fn permute_lanes(state: &mut [Lanes; 8]) {
    permutation().permute_mut(state);
}

/// Compresses eight elements to four.
pub(crate) fn compress(left: Node, right: Node) -> Node {
    let mut state = [
        left[0], left[1], left[2], left[3], right[0], right[1], right[2], right[3],
    ];
    permute(&mut state);
    core::array::from_fn(|i| state[i] + left[i])
}

/// Chains the compression over blocks.
pub(crate) fn absorb(first: Node, blocks: &[Node]) -> Node {
    blocks
        .iter()
        .fold(first, |state, block| compress(state, *block))
}

/// A block of small numbers, each below the modulus.
pub(crate) fn block(numbers: [u64; 4]) -> Node {
    numbers.map(Felt::new)
}

/// Uniform canonical elements from BLAKE3 output, by rejection.
pub(crate) struct ElementStream(blake3::OutputReader);

impl ElementStream {
    pub(crate) fn new(hasher: &blake3::Hasher) -> Self {
        Self(hasher.finalize_xof())
    }

    pub(crate) fn next_element(&mut self) -> u64 {
        loop {
            let mut bytes = zeroize::Zeroizing::new([0; 8]);
            self.0.fill(&mut *bytes);
            let element = u64::from_le_bytes(*bytes);
            if element < MODULUS {
                return element;
            }
        }
    }

    pub(crate) fn next_digest(&mut self) -> FieldDigest {
        FieldDigest(core::array::from_fn(|_| self.next_element()))
    }
}

/// A native element as the proof system's.
pub(crate) fn to_base(element: Felt) -> BaseElement {
    BaseElement::new(element.as_canonical_u64())
}
