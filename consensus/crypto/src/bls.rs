//! BLS12-381 with 48-byte signatures in G1 and 96-byte public keys in G2.
//!
//! Every message is a [`Digest`], already separated by its own domain, and hashed to the curve
//! under the one tag [`Domain::BlsHashToCurve`].

use blst::BLST_ERROR;
use blst::min_sig::{PublicKey, SecretKey, Signature};
use conclave_types::{BlsPublicKey, BlsSignature, Digest, Domain};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

pub(crate) const TAG: &[u8] = Domain::BlsHashToCurve.as_str().as_bytes();

/// A validator's secret BLS key; zeroized on drop, each copy for itself.
#[derive(Clone)]
pub struct BlsSecret(SecretKey);

/// A public key that was decoded, is in the subgroup and is not the identity.
#[derive(Clone, Copy)]
pub struct BlsKey(PublicKey);

impl BlsSecret {
    /// A new key.
    pub fn generate(random: &mut impl CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The key derived from 32 secret bytes by the standard's HKDF.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        match SecretKey::key_gen(seed, &[]) {
            Ok(key) => Self(key),
            Err(_) => unreachable!("key_gen refuses only seeds shorter than 32 bytes"),
        }
    }

    /// The secret scalar, big-endian, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key of a key file; `None` when the bytes are no scalar below the group order, or zero.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_bytes(bytes).ok().map(Self)
    }

    /// The public key.
    pub fn public(&self) -> BlsPublicKey {
        BlsPublicKey(self.0.sk_to_pk().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &Digest) -> BlsSignature {
        BlsSignature(self.0.sign(&message.0, TAG, &[]).to_bytes())
    }

    /// Proof that this key's owner knows it, without which a key chosen against the others could
    /// forge their aggregates.
    pub fn prove_possession(&self) -> BlsSignature {
        self.sign(&possession_message(&self.public()))
    }
}

impl BlsKey {
    /// Decodes and checks a key; `None` when it is malformed, the identity, or outside the
    /// subgroup.
    pub fn decode(key: &BlsPublicKey) -> Option<Self> {
        PublicKey::key_validate(&key.0).ok().map(Self)
    }

    /// Decodes a key and checks its proof of possession.
    pub fn decode_with_possession(key: &BlsPublicKey, possession: &BlsSignature) -> Option<Self> {
        let decoded = Self::decode(key)?;
        decoded
            .verify(&possession_message(key), possession)
            .then_some(decoded)
    }

    /// Whether this key signed the message.
    pub fn verify(&self, message: &Digest, signature: &BlsSignature) -> bool {
        let Some(signature) = decode_signature(signature) else {
            return false;
        };
        // The signature was checked on decoding, the key on construction.
        signature.verify(false, &message.0, TAG, &[], &self.0, false) == BLST_ERROR::BLST_SUCCESS
    }

    pub(crate) fn point(&self) -> &PublicKey {
        &self.0
    }
}

/// A signature in the subgroup and not the identity.
pub(crate) fn decode_signature(signature: &BlsSignature) -> Option<Signature> {
    Signature::sig_validate(&signature.0, true).ok()
}

fn possession_message(key: &BlsPublicKey) -> Digest {
    Domain::BlsPossession.digest(&key.0)
}
