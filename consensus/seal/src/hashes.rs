//! The random oracles of an envelope's seal, one domain each.

use chacha20poly1305::Key;
use conclave_types::{Digest, Domain, EnvelopeCore, EnvelopeHeader, Point, codec};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

/// What a seal is bound to: the core, and the length and hash of the ciphertext body.
pub(crate) fn label(core: &EnvelopeCore, body_bytes: u32, body_digest: &Digest) -> Digest {
    Domain::SealLabel
        .hasher()
        .part(&codec::encode(core))
        .part(&body_bytes.to_le_bytes())
        .part(&body_digest.0)
        .digest()
}

/// [`label`] of a header.
pub(crate) fn label_of(header: &EnvelopeHeader) -> Digest {
    label(&header.core, header.body_bytes, &header.body_digest)
}

/// The body's key, from M and the core alone: the label covers the body, so it cannot be an input
/// of what encrypts the body.
pub(crate) fn body_key(m: &Point, core: &EnvelopeCore) -> Zeroizing<[u8; 32]> {
    let digest = Domain::SealBodyKey
        .hasher()
        .part(&m.0)
        .part(&codec::encode(core))
        .digest();
    Zeroizing::new(digest.0)
}

/// The cipher's view of a key.
pub(crate) fn cipher_key(bytes: &[u8; 32]) -> &Key {
    Key::from_slice(bytes)
}

/// r = H(Y, M, label), reduced from 512 bits so that it is uniform.
pub(crate) fn exponent(y: &Point, m: &Point, label: &Digest) -> Scalar {
    let wide = Domain::SealExponent
        .hasher()
        .part(&y.0)
        .part(&m.0)
        .part(&label.0)
        .wide();
    Scalar::from_bytes_mod_order_wide(&Zeroizing::new(wide))
}

/// Ḡ, whose logarithm nobody knows, hashed to the group from (label, C, D).
pub(crate) fn generator(label: &Digest, c: &Point, d: &Point) -> RistrettoPoint {
    let wide = Domain::SealGenerator
        .hasher()
        .part(&label.0)
        .part(&c.0)
        .part(&d.0)
        .wide();
    RistrettoPoint::from_uniform_bytes(&wide)
}

/// What a seal's challenge is over.
pub(crate) struct Statement<'a> {
    pub(crate) y: &'a Point,
    pub(crate) label: &'a Digest,
    pub(crate) c: &'a Point,
    pub(crate) d: &'a Point,
    pub(crate) c_bar: &'a Point,
    pub(crate) commitment: &'a Point,
    pub(crate) commitment_bar: &'a Point,
}

impl Statement<'_> {
    /// The challenge. The label fixes Ḡ together with C and D.
    pub(crate) fn challenge(&self) -> Scalar {
        let wide = Domain::SealChallenge
            .hasher()
            .part(&self.y.0)
            .part(&self.label.0)
            .part(&self.c.0)
            .part(&self.d.0)
            .part(&self.c_bar.0)
            .part(&self.commitment.0)
            .part(&self.commitment_bar.0)
            .wide();
        Scalar::from_bytes_mod_order_wide(&wide)
    }
}
