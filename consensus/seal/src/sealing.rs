//! The sender's side: sealing a plaintext to the committee, and opening a body under a known M.

use chacha20poly1305::aead::{Aead, AeadInPlace, KeyInit, Payload as AeadPayload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use conclave_types::{
    Bucket, Digest, Domain, EdSignature, Envelope, EnvelopeCore, EnvelopeHeader, Payload, Point,
    SealedKey, codec, limits,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::{curve, hashes, plaintext};

/// What the authenticated cipher adds to a body.
pub(crate) const TAG_BYTES: usize = 16;

/// The bytes of a sealed body of this bucket.
pub const fn sealed_bytes(bucket: Bucket) -> usize {
    bucket.plaintext_bytes() + TAG_BYTES
}

/// A plaintext that cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The plaintext does not fit the core's size bucket.
    #[error(
        "[CV-SEAL-002] {bytes} bytes do not fit size bucket {bucket}; choose the bucket with `bucket_for`, or split the transactions"
    )]
    TooLong { bytes: usize, bucket: u8 },
    /// The committee key is not a group element, or the identity.
    #[error(
        "[CV-SEAL-003] the committee's sealing key is not a valid group element; take it from the chain's genesis"
    )]
    Key,
    /// A plain body is longer than allowed.
    #[error("[CV-SEAL-004] a plain body of {bytes} bytes, at most {bytes_max} are allowed")]
    PlainTooLong { bytes: usize, bytes_max: usize },
}

/// Seals a plaintext to the committee key `y` and has the payer sign the complete header.
///
/// `sign` gets [`EnvelopeHeader::signing_digest`] and returns the ed25519 signature of
/// `core.payer` over its 32 bytes. The bucket in the core is the caller's choice; see
/// [`bucket_for`](crate::bucket_for).
pub fn seal<R: RngCore + CryptoRng>(
    y: &Point,
    core: EnvelopeCore,
    plaintext: &[u8],
    rng: &mut R,
    sign: impl FnOnce(&Digest) -> EdSignature,
) -> Result<Envelope, SealError> {
    // 1. A random group element, and the body under the key derived from it.
    let committee = curve::point(y).ok_or(SealError::Key)?;
    let m = Zeroizing::new(RistrettoPoint::random(rng));
    let m_bytes = curve::encode(&m);
    let body = encrypt(&m_bytes, &core, plaintext)?;

    // 2. The exponent is fixed by M and everything the envelope says: C = r·G, D = M + r·Y.
    let (body_bytes, body_digest) = describe(&body);
    let label = hashes::label(&core, body_bytes, &body_digest);
    let r = Zeroizing::new(hashes::exponent(y, &m_bytes, &label));
    let c = curve::encode(&curve::base(&r));
    let d = curve::encode(&(*m + committee * *r));

    // 3. The proof that log_G C = log_Ḡ C̄, which shows that the sender knows r.
    let payload = Payload::Sealed(prove(y, &label, c, d, &r, rng));
    Ok(signed(core, body, payload, sign))
}

/// Puts a readable body into an envelope: proofs and public operations, for rollup 0 only.
pub fn plain(
    core: EnvelopeCore,
    body: Vec<u8>,
    sign: impl FnOnce(&Digest) -> EdSignature,
) -> Result<Envelope, SealError> {
    let (bytes, bytes_max) = (body.len(), limits::PLAIN_BODY_BYTES_MAX);
    match bytes <= bytes_max {
        true => Ok(signed(core, body, Payload::Plain, sign)),
        false => Err(SealError::PlainTooLong { bytes, bytes_max }),
    }
}

/// Reads a body under the M that opens its envelope; `None` when the sender encrypted anything
/// but a padded plaintext. The caller has checked that the body is the header's.
pub(crate) fn decrypt(envelope: &Envelope, m: &Point) -> Option<Vec<u8>> {
    let core = &envelope.header.core;
    if envelope.body.len() != plaintext::padded_bytes(core.bucket)? + TAG_BYTES {
        return None;
    }
    let key = hashes::body_key(m, core);
    let sealed = AeadPayload {
        msg: &envelope.body,
        aad: &codec::encode(core),
    };
    let padded = ChaCha20Poly1305::new(hashes::cipher_key(&key))
        .decrypt(&Nonce::default(), sealed)
        .ok()?;
    plaintext::unpad(&padded)
}

/// The nonce is fixed because the key serves one body only: M is fresh for each.
pub(crate) fn encrypt(
    m: &Point,
    core: &EnvelopeCore,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let refuse = || SealError::TooLong {
        bytes: plaintext.len(),
        bucket: core.bucket.0,
    };
    let mut body = plaintext::pad(plaintext, core.bucket).ok_or_else(refuse)?;
    let key = hashes::body_key(m, core);
    ChaCha20Poly1305::new(hashes::cipher_key(&key))
        .encrypt_in_place(&Nonce::default(), &codec::encode(core), &mut body)
        .map_err(|_| refuse())?;
    Ok(body)
}

/// The sealed key with its proof, for C = r·G.
pub(crate) fn prove<R: RngCore + CryptoRng>(
    y: &Point,
    label: &Digest,
    c: Point,
    d: Point,
    r: &Scalar,
    rng: &mut R,
) -> SealedKey {
    let g_bar = hashes::generator(label, &c, &d);
    let s = Zeroizing::new(Scalar::random(rng));
    let c_bar = curve::encode(&(g_bar * r));
    let commitment = curve::encode(&curve::base(&s));
    let commitment_bar = curve::encode(&(g_bar * *s));
    let challenge = hashes::Statement {
        y,
        label,
        c: &c,
        d: &d,
        c_bar: &c_bar,
        commitment: &commitment,
        commitment_bar: &commitment_bar,
    }
    .challenge();
    SealedKey {
        c,
        d,
        c_bar,
        commitment,
        commitment_bar,
        response: curve::encode_scalar(&(*s + challenge * r)),
    }
}

fn describe(body: &[u8]) -> (u32, Digest) {
    // Bodies are bounded far below 4 GiB; a longer one would be refused by its digest's length.
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    (bytes, Domain::EnvelopeBody.digest(body))
}

fn signed(
    core: EnvelopeCore,
    body: Vec<u8>,
    payload: Payload,
    sign: impl FnOnce(&Digest) -> EdSignature,
) -> Envelope {
    let (body_bytes, body_digest) = describe(&body);
    let mut header = EnvelopeHeader {
        core,
        body_bytes,
        body_digest,
        payload,
        signature: EdSignature([0; 64]),
    };
    header.signature = sign(&header.signing_digest());
    Envelope { header, body }
}
