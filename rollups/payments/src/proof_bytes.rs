//! The bytes of a proof, and reading them when they are hostile.
//!
//! | field | bytes |
//! | --- | --- |
//! | old accounts root, pool, fee slot | 32 + 8 + 4 |
//! | new accounts root, pool, fee slot | 32 + 8 + 4 |
//! | the proof system's proof, which starts with its context | the rest |

use conclave_types::codec;
use winter_utils::{ByteReader, Deserializable, DeserializationError, Serializable, SliceReader};
use winterfell::crypto::ElementHasher;
use winterfell::math::StarkField;
use winterfell::math::fields::{CubeExtension, f64::BaseElement};
use winterfell::{Proof, TraceInfo};

use crate::air::{ASSERTIONS, constraint_count};
use crate::commitment::Hash;
use crate::layout::{SLOT_ROWS, column};
use crate::payment::VALUE_LIMIT;
use crate::program::options;
use crate::state::RootOpening;
use crate::trace::slots;

/// No proof, and so no length inside one, is longer.
const BYTES_MAX: usize = conclave_types::limits::PROOF_BYTES_MAX;
/// The field of the challenges, as the options name it.
pub(crate) type Challenge = CubeExtension<BaseElement>;
/// Bytes of the header.
const HEADER_BYTES: usize = 88;

/// What both state roots open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ProofHeader {
    pub(crate) old: RootOpening,
    pub(crate) new: RootOpening,
}

impl ProofHeader {
    pub(crate) fn prepend(&self, proof: &[u8]) -> Vec<u8> {
        let mut bytes = codec::encode(self);
        bytes.extend_from_slice(proof);
        bytes
    }

    /// Splits header and proof; `None` when the header is not canonical.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (header, proof) = bytes.split_at_checked(HEADER_BYTES)?;
        let header: Self = codec::decode(header, HEADER_BYTES).ok()?;
        let canonical = [header.old, header.new]
            .iter()
            .all(|root| root.accounts.is_canonical() && root.pool < VALUE_LIMIT);
        canonical.then_some((header, proof))
    }
}

/// The bytes every proof of `included` payments starts with: trace shape, field, options and
/// number of constraints are the verifier's choice, never the prover's.
pub(crate) fn expected_context(included: usize) -> Vec<u8> {
    let modulus = BaseElement::get_modulus_le_bytes();
    let mut bytes = Vec::new();
    TraceInfo::new(column::WIDTH, slots(included) * SLOT_ROWS).write_into(&mut bytes);
    bytes.push(modulus.len() as u8);
    bytes.extend_from_slice(&modulus);
    options().write_into(&mut bytes);
    (constraint_count() + ASSERTIONS).write_into(&mut bytes);
    bytes
}

/// Reads a proof of `included` payments; whatever the bytes, it takes memory in proportion to
/// their number only.
pub(crate) fn read_proof(bytes: &[u8], included: usize) -> Option<Proof> {
    if !bytes.starts_with(&expected_context(included)) {
        return None;
    }
    let mut reader = BoundedReader {
        inner: SliceReader::new(bytes),
    };
    let proof = Proof::read_from(&mut reader).ok()?;
    // The number of partitions renames the leaves of FRI's layers, and no challenge depends on it:
    // a prover that could choose it would choose after it knows the queries.
    let one_partition = proof.fri_proof.num_partitions() == 1;
    let sound = one_partition && remainder_is_committed(&proof)?;
    (sound && !reader.has_more_bytes()).then_some(proof)
}

/// Whether the polynomial that FRI ends with is the one that the transcript absorbed before the
/// queries were drawn.
///
/// The proof system's verifier (0.13.1) absorbs the commitment and never compares the polynomial
/// with it. A prover could then choose, once it knows the queries, 128 coefficients that fit all 85
/// of them, and FRI would show nothing: every statement would have a proof.
fn remainder_is_committed(proof: &Proof) -> Option<bool> {
    let fri = options().to_fri_options();
    let layers = fri.num_fri_layers(proof.lde_domain_size());
    let (.., commitments) = proof.commitments.clone().parse::<Hash>(1, layers).ok()?;
    let remainder = proof.fri_proof.parse_remainder::<Challenge>().ok()?;
    Some(commitments.last() == Some(&Hash::hash_elements(&remainder)))
}

/// A reader that refuses to read more elements than bytes are left.
///
/// The proof system reserves memory for any length prefix it reads; every element it reads takes
/// one byte at least.
struct BoundedReader<'a> {
    inner: SliceReader<'a>,
}

impl ByteReader for BoundedReader<'_> {
    fn read_u8(&mut self) -> Result<u8, DeserializationError> {
        self.inner.read_u8()
    }

    fn peek_u8(&self) -> Result<u8, DeserializationError> {
        self.inner.peek_u8()
    }

    fn read_slice(&mut self, len: usize) -> Result<&[u8], DeserializationError> {
        self.check_eor(len)?;
        self.inner.read_slice(len)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DeserializationError> {
        self.inner.read_array()
    }

    fn check_eor(&self, num_bytes: usize) -> Result<(), DeserializationError> {
        // The inner reader adds to its position without a check.
        if num_bytes > BYTES_MAX {
            return Err(DeserializationError::UnexpectedEOF);
        }
        self.inner.check_eor(num_bytes)
    }

    fn has_more_bytes(&self) -> bool {
        self.inner.has_more_bytes()
    }

    fn read_usize(&mut self) -> Result<usize, DeserializationError> {
        // A number of nine bytes is longer than any length in a bounded proof.
        if self.peek_u8()? == 0 {
            return Err(DeserializationError::InvalidValue("length".to_owned()));
        }
        let length = self.peek_u8()?.trailing_zeros() as usize + 1;
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.read_slice(length)?);
        usize::try_from(u64::from_le_bytes(bytes) >> length)
            .map_err(|_| DeserializationError::InvalidValue("length".to_owned()))
    }

    fn read_many<D: Deserializable>(
        &mut self,
        num_elements: usize,
    ) -> Result<Vec<D>, DeserializationError> {
        self.check_eor(num_elements)?;
        let mut elements = Vec::with_capacity(num_elements);
        for _ in 0..num_elements {
            elements.push(D::read_from(self)?);
        }
        Ok(elements)
    }
}
