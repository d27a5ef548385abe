//! Encryption of shares from one validator to another during a key generation.
//!
//! Both know the Diffie–Hellman point of their two channel keys, which serve one ceremony only.
//! A key is derived per direction from that point, the ceremony and a digest of what was said
//! before, which covers both public halves; it encrypts one message, so the nonce is fixed.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use conclave_types::{Digest, Domain, Point, ValidatorIndex};
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::curve;

/// The secret half of a channel key.
#[derive(ZeroizeOnDrop)]
pub(crate) struct ChannelKey(Scalar);

/// What two validators encrypt to each other with.
pub(crate) struct Channel {
    shared: Zeroizing<[u8; 32]>,
    context: Digest,
    commitments: Digest,
}

impl ChannelKey {
    pub(crate) fn random<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        Self(Scalar::random(rng))
    }

    /// The key of a secret that serves one ceremony only.
    pub(crate) const fn of(secret: Scalar) -> Self {
        Self(secret)
    }

    /// The secret, for a proof that one has it.
    pub(crate) const fn secret(&self) -> &Scalar {
        &self.0
    }

    pub(crate) fn public(&self) -> Point {
        curve::encode(&curve::base(&self.0))
    }

    /// nonce + challenge·secret.
    pub(crate) fn respond(&self, nonce: &Scalar, challenge: &Scalar) -> Scalar {
        nonce + challenge * self.0
    }

    /// The channel with the holder of another key; `None` when it is not a valid point.
    pub(crate) fn with(
        &self,
        theirs: &Point,
        context: &Digest,
        commitments: &Digest,
    ) -> Option<Channel> {
        let shared = Zeroizing::new(curve::point(theirs)? * self.0);
        Some(Channel {
            shared: Zeroizing::new(shared.compress().to_bytes()),
            context: *context,
            commitments: *commitments,
        })
    }
}

impl Channel {
    pub(crate) fn seal(
        &self,
        from: ValidatorIndex,
        to: ValidatorIndex,
        plaintext: &[u8],
    ) -> Option<Vec<u8>> {
        self.cipher(from, to)
            .encrypt(&Nonce::default(), plaintext)
            .ok()
    }

    pub(crate) fn open(
        &self,
        from: ValidatorIndex,
        to: ValidatorIndex,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let plaintext = self.cipher(from, to).decrypt(&Nonce::default(), sealed);
        plaintext.ok().map(Zeroizing::new)
    }

    fn cipher(&self, from: ValidatorIndex, to: ValidatorIndex) -> ChaCha20Poly1305 {
        let key = Domain::KeyGenerationChannel
            .hasher()
            .part(self.shared.as_slice())
            .part(&self.context.0)
            .part(&self.commitments.0)
            .part(&from.0.to_le_bytes())
            .part(&to.0.to_le_bytes())
            .digest();
        let key = Zeroizing::new(key.0);
        ChaCha20Poly1305::new(Key::from_slice(key.as_slice()))
    }
}
