//! The proof system's hash, coin and Merkle tree, with openings that hostile bytes cannot blow up.

use winter_utils::{ByteReader, ByteWriter, Deserializable, DeserializationError, Serializable};
use winterfell::crypto::hashers::Blake3_256;
use winterfell::crypto::{
    BatchMerkleProof, DefaultRandomCoin, Hasher, MerkleTree, MerkleTreeError, VectorCommitment,
};
use winterfell::math::fields::f64::BaseElement;

/// The hash of commitments and of the transcript.
pub(crate) type Hash = Blake3_256<BaseElement>;
/// The transcript.
pub(crate) type Coin = DefaultRandomCoin<Hash>;
type Digest = <Hash as Hasher>::Digest;

/// No proof, and so no list inside one, is longer.
const BYTES_MAX: usize = conclave_types::limits::PROOF_BYTES_MAX;
/// A digest's bytes.
const DIGEST_BYTES: usize = 32;
/// Depth of a tree over the largest domain: 1,024 payments of 256 rows at blowup 4.
const DEPTH_MAX: u8 = 20;

/// A Merkle tree whose openings are read with bounds.
pub(crate) struct BoundedTree(MerkleTree<Hash>);

/// An opening of several leaves.
///
/// The proof system reads openings out of byte buffers with its own reader, which reserves
/// memory for any length it is told; this type checks each length against the bytes that are left.
pub(crate) struct BoundedOpening(BatchMerkleProof<Hash>);

impl Serializable for BoundedOpening {
    fn write_into<W: ByteWriter>(&self, target: &mut W) {
        self.0.write_into(target);
    }
}

impl Deserializable for BoundedOpening {
    fn read_from<R: ByteReader>(source: &mut R) -> Result<Self, DeserializationError> {
        let depth = source.read_u8()?;
        if depth > DEPTH_MAX {
            return Err(invalid("a tree deeper than any domain"));
        }
        let count = source.read_usize()?;
        // Each list takes its length's byte at least.
        bounded(source, count, 1)?;
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            let length = source.read_usize()?;
            bounded(source, length, DIGEST_BYTES)?;
            let mut digests = Vec::with_capacity(length);
            for _ in 0..length {
                digests.push(Digest::read_from(source)?);
            }
            nodes.push(digests);
        }
        Ok(Self(BatchMerkleProof { nodes, depth }))
    }
}

/// Refuses a list that cannot fit in the bytes that are left; the bound also keeps the readers'
/// own arithmetic from overflowing.
fn bounded<R: ByteReader>(
    source: &R,
    length: usize,
    bytes_each: usize,
) -> Result<(), DeserializationError> {
    if length > BYTES_MAX {
        return Err(invalid("a list longer than any proof"));
    }
    source.check_eor(length * bytes_each)
}

fn invalid(reason: &str) -> DeserializationError {
    DeserializationError::InvalidValue(reason.to_owned())
}

impl VectorCommitment<Hash> for BoundedTree {
    type Options = ();
    type Proof = <MerkleTree<Hash> as VectorCommitment<Hash>>::Proof;
    type MultiProof = BoundedOpening;
    type Error = MerkleTreeError;

    fn with_options(items: Vec<Digest>, (): ()) -> Result<Self, Self::Error> {
        MerkleTree::new(items).map(Self)
    }

    fn commitment(&self) -> Digest {
        *self.0.root()
    }

    fn domain_len(&self) -> usize {
        VectorCommitment::<Hash>::domain_len(&self.0)
    }

    fn get_proof_domain_len(proof: &Self::Proof) -> usize {
        <MerkleTree<Hash> as VectorCommitment<Hash>>::get_proof_domain_len(proof)
    }

    fn get_multiproof_domain_len(proof: &Self::MultiProof) -> usize {
        <MerkleTree<Hash> as VectorCommitment<Hash>>::get_multiproof_domain_len(&proof.0)
    }

    fn open(&self, index: usize) -> Result<(Digest, Self::Proof), Self::Error> {
        VectorCommitment::<Hash>::open(&self.0, index)
    }

    fn open_many(&self, indexes: &[usize]) -> Result<(Vec<Digest>, BoundedOpening), Self::Error> {
        let (leaves, proof) = VectorCommitment::<Hash>::open_many(&self.0, indexes)?;
        Ok((leaves, BoundedOpening(proof)))
    }

    fn verify(
        commitment: Digest,
        index: usize,
        item: Digest,
        proof: &Self::Proof,
    ) -> Result<(), Self::Error> {
        <MerkleTree<Hash> as VectorCommitment<Hash>>::verify(commitment, index, item, proof)
    }

    fn verify_many(
        commitment: Digest,
        indexes: &[usize],
        items: &[Digest],
        proof: &BoundedOpening,
    ) -> Result<(), Self::Error> {
        <MerkleTree<Hash> as VectorCommitment<Hash>>::verify_many(
            commitment, indexes, items, &proof.0,
        )
    }
}
