//! Ed25519 signatures of accounts and transport keys.
//!
//! Nodes check the same signature sometimes alone and sometimes in a batch, and must reach the
//! same verdict. The strict equation of RFC 8032 cannot be batched: components of small order
//! cancel in some batches and not in others. So both ways use the equation multiplied by the
//! cofactor, `8·(s·B − h·A − R) = 0`, and the same rules for encodings: A, R and s canonical, A not
//! of small order. A batch accepts a signature that fails alone with probability below 2^-120.
//! This departs from `verify_strict` only for keys and commitments with a small-order part, which
//! honest signers never make.

use std::fmt;

use conclave_types::{AccountId, Digest, Domain, EdSignature, TransportKey};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

/// A secret account or transport key; zeroized on drop.
pub struct EdSecret(SigningKey);

/// One signature to check.
#[derive(Clone, Copy)]
pub struct EdItem<'a> {
    /// The public key: an account id or a transport key.
    pub key: &'a [u8; 32],
    pub message: &'a Digest,
    pub signature: &'a EdSignature,
}

impl fmt::Debug for EdItem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdItem({:?})", self.message)
    }
}

impl EdSecret {
    /// A new key.
    pub fn generate(random: &mut impl CryptoRngCore) -> Self {
        Self(SigningKey::generate(random))
    }

    /// The key of a seed, which is also its secret encoding.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for the key file.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key in PKCS #8 form, for a TLS certificate; `None` if the encoder fails.
    pub fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(self.0.to_pkcs8_der().ok()?.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public key as an account.
    pub fn account(&self) -> AccountId {
        AccountId(Digest(self.public()))
    }

    /// The public key as a transport key.
    pub fn transport_key(&self) -> TransportKey {
        TransportKey(self.public())
    }

    /// Signs a message.
    pub fn sign(&self, message: &Digest) -> EdSignature {
        EdSignature(self.0.sign(&message.0).to_bytes())
    }
}

/// Whether the owner of `key` signed the message.
pub fn verify(key: &[u8; 32], message: &Digest, signature: &EdSignature) -> bool {
    let item = EdItem {
        key,
        message,
        signature,
    };
    Parsed::new(&item).is_some_and(|parsed| parsed.holds())
}

/// Whether these bytes can be somebody's key: a canonical point, not of small order.
pub fn is_key(key: &[u8; 32]) -> bool {
    canonical(key).is_some_and(|key| !key.is_small_order())
}

/// The positions of the signatures that do not verify, ascending; empty when all do.
///
/// About twice as quick as one by one when all are good. Every bad one costs a bisection, at most
/// two checks of each half it is in.
pub fn verify_batch(items: &[EdItem<'_>]) -> Vec<usize> {
    let mut failed = Vec::new();
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        match Parsed::new(item) {
            Some(item) => parsed.push((position, item)),
            None => failed.push(position),
        }
    }
    bisect(&parsed, &weights(items), &mut failed);
    failed.sort_unstable();
    failed
}

/// A signature whose encodings are all in order.
struct Parsed {
    key: EdwardsPoint,
    commitment: EdwardsPoint,
    response: Scalar,
    challenge: Scalar,
}

impl Parsed {
    fn new(item: &EdItem<'_>) -> Option<Self> {
        let (commitment_bytes, response_bytes) = item.signature.0.split_at(32);
        let key = canonical(item.key)?;
        let commitment = canonical(commitment_bytes.try_into().ok()?)?;
        let response: Option<Scalar> =
            Scalar::from_canonical_bytes(response_bytes.try_into().ok()?).into();
        if key.is_small_order() {
            return None;
        }
        let hash = Sha512::new()
            .chain_update(commitment_bytes)
            .chain_update(item.key)
            .chain_update(item.message.0);
        Some(Self {
            key,
            commitment,
            response: response?,
            challenge: Scalar::from_hash(hash),
        })
    }

    /// 8·(s·B − h·A − R) = 0. Everything here is public, so variable time is fine.
    fn holds(&self) -> bool {
        let sum = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &-self.challenge,
            &self.key,
            &self.response,
        );
        (sum - self.commitment).mul_by_cofactor().is_identity()
    }
}

/// A point whose encoding is the canonical one.
fn canonical(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    is_canonical(bytes).then(|| CompressedEdwardsY(*bytes).decompress())?
}

/// Whether y is reduced, and x is not called negative where it is zero, which is at y = 1 and
/// y = -1. Those are the only ways to write a point twice; encoding it again would show the same
/// and cost an inversion.
pub(crate) fn is_canonical(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    let negative = y[31] >> 7 == 1;
    y[31] &= 0x7f;
    // p = 2^255 - 19, little-endian.
    let high_is_full = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff);
    let one = y[0] == 1 && y[1..].iter().all(|byte| *byte == 0);
    let minus_one = y[0] == 0xec && high_is_full;
    let reduced = y[0] < 0xed || !high_is_full;
    reduced && !(negative && (one || minus_one))
}

/// One 128-bit weight per item, drawn from a hash of all of them: whoever chooses the signatures
/// cannot choose the weights.
fn weights(items: &[EdItem<'_>]) -> Vec<Scalar> {
    let mut hasher = Domain::EdBatchWeights.hasher();
    for item in items {
        hasher = hasher
            .part(item.key)
            .part(&item.message.0)
            .part(&item.signature.0);
    }
    let seed = hasher.digest();
    let weight = |position: usize| {
        let digest = Domain::EdBatchWeights
            .hasher()
            .part(&seed.0)
            .part(&(position as u64).to_le_bytes())
            .digest();
        let mut low = [0; 16];
        low.copy_from_slice(&digest.0[..16]);
        Scalar::from(u128::from_le_bytes(low))
    };
    (0..items.len()).map(weight).collect()
}

fn bisect(items: &[(usize, Parsed)], weights: &[Scalar], failed: &mut Vec<usize>) {
    match items {
        [] => {}
        [(position, item)] => {
            if !item.holds() {
                failed.push(*position);
            }
        }
        _ if hold_together(items, weights) => {}
        _ => {
            let (left, right) = items.split_at(items.len() / 2);
            bisect(left, weights, failed);
            bisect(right, weights, failed);
        }
    }
}

/// 8·(Σ z·s·B − Σ z·h·A − Σ z·R) = 0.
fn hold_together(items: &[(usize, Parsed)], weights: &[Scalar]) -> bool {
    let mut base = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(2 * items.len() + 1);
    let mut points = Vec::with_capacity(2 * items.len() + 1);
    for (position, item) in items {
        let weight = weights[*position];
        base += weight * item.response;
        scalars.extend([-(weight * item.challenge), -weight]);
        points.extend([item.key, item.commitment]);
    }
    scalars.push(base);
    points.push(curve25519_dalek::constants::ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points)
        .mul_by_cofactor()
        .is_identity()
}
