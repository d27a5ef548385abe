//! A member's secrets of one attempt, derived from its seed, so that it says the same after a crash.

use conclave_types::{
    Digest, Domain, LogarithmProof, Point, Scalar as ScalarBytes, ValidatorIndex, codec,
};
use curve25519_dalek::scalar::Scalar;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::Round;
use super::proof::{self, Known};
use crate::channel::{Channel, ChannelKey};
use crate::{curve, key};

/// What a derived scalar is for; part of its derivation.
#[derive(Clone, Copy)]
enum Purpose {
    Channel,
    ChannelNonce,
    Coefficient(usize),
    ConstantNonce,
}

/// The secrets of one member in one attempt.
#[derive(ZeroizeOnDrop)]
pub(super) struct Secrets {
    channel: ChannelKey,
    channel_nonce: Scalar,
    /// The constant term first.
    polynomial: Vec<Scalar>,
    constant_nonce: Scalar,
}

impl Secrets {
    /// Derives them. Attempt, epoch, chain, weights and slot enter, so no two rounds share a secret
    /// although they may share the seed.
    pub(super) fn derive(seed: &[u8; 32], round: &Round, own: ValidatorIndex) -> Self {
        let scalar = |purpose| derive(seed, round, own, purpose);
        Self {
            channel: ChannelKey::of(scalar(Purpose::Channel)),
            channel_nonce: scalar(Purpose::ChannelNonce),
            polynomial: (0..round.coefficients())
                .map(|k| scalar(Purpose::Coefficient(k)))
                .collect(),
            constant_nonce: scalar(Purpose::ConstantNonce),
        }
    }

    /// The public half of the channel key.
    pub(super) fn channel(&self) -> Point {
        self.channel.public()
    }

    pub(super) fn prove_channel(&self, round: &Round, own: ValidatorIndex) -> LogarithmProof {
        let secret = self.channel.secret();
        proof::prove(round, own, Known::ChannelKey, secret, &self.channel_nonce)
    }

    pub(super) fn prove_constant(&self, round: &Round, own: ValidatorIndex) -> LogarithmProof {
        let secret = &self.polynomial[0];
        proof::prove(
            round,
            own,
            Known::ConstantTerm,
            secret,
            &self.constant_nonce,
        )
    }

    /// The polynomial in the exponent.
    pub(super) fn commitment(&self) -> Vec<Point> {
        let terms = self.polynomial.iter();
        terms
            .map(|term| curve::encode(&curve::base(term)))
            .collect()
    }

    /// The polynomial's value at a position, which is somebody's share.
    pub(super) fn share(&self, position: usize) -> Zeroizing<Scalar> {
        let index = Scalar::from(key::index_of(position).0);
        let terms = self.polynomial.iter().rev();
        Zeroizing::new(terms.fold(Scalar::ZERO, |value, term| value * index + term))
    }

    /// The channel with a member that published `theirs`, for the shares of one dealing.
    pub(super) fn channel_with(
        &self,
        round: &Round,
        theirs: &Point,
        (dealer, receiver): (&Point, &Point),
        commitment: &Vec<Point>,
    ) -> Option<Channel> {
        let dealing: Digest = Domain::KeyGenerationDealing
            .hasher()
            .part(&dealer.0)
            .part(&receiver.0)
            .part(&codec::encode(commitment))
            .digest();
        self.channel.with(theirs, round.context(), &dealing)
    }
}

/// A share as it travels, in the clear or before it is encrypted.
pub(super) fn encode_share(share: &Scalar) -> ScalarBytes {
    curve::encode_scalar(share)
}

fn derive(seed: &[u8; 32], round: &Round, own: ValidatorIndex, purpose: Purpose) -> Scalar {
    let (tag, number) = match purpose {
        Purpose::Channel => (0, 0),
        Purpose::ChannelNonce => (1, 0),
        Purpose::Coefficient(k) => (2, k as u64),
        Purpose::ConstantNonce => (3, 0),
    };
    let wide = Domain::KeyGenerationSecret
        .hasher()
        .part(seed)
        .part(&round.context().0)
        .part(&own.0.to_le_bytes())
        .part(&[tag])
        .part(&u64::to_le_bytes(number))
        .wide();
    Scalar::from_bytes_mod_order_wide(&Zeroizing::new(wide))
}
