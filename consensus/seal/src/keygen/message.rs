//! The two messages of a key generation.

use bincode::{Decode, Encode};
use conclave_types::{
    Digest, Domain, Point, Scalar as ScalarBytes, Threshold, ValidatorIndex, codec,
};
use curve25519_dalek::scalar::Scalar;
use frost_ristretto255::Signature;
use frost_ristretto255::keys::VerifiableSecretSharingCommitment;
use frost_ristretto255::keys::dkg::round1;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::Ceremony;
use crate::channel::ChannelKey;
use crate::curve;

#[derive(Encode, Decode)]
pub(super) enum Message {
    Commitments(Commitments),
    Shares(Shares),
}

/// One participant's polynomial in the exponent, and the proof that it knows its constant term.
#[derive(Debug, Clone, Encode, Decode)]
pub(super) struct Dealing {
    /// 2f+1 points, the constant term first.
    commitment: Vec<Point>,
    /// R ‖ z of the proof of knowledge.
    knowledge: (Point, ScalarBytes),
}

/// First message: what a validator's participants commit to, and its channel key.
#[derive(Debug, Clone, Encode, Decode)]
pub(super) struct Commitments {
    /// One per unit of weight.
    pub(super) dealings: Vec<Dealing>,
    /// The public half of the sender's channel key, made for this ceremony.
    pub(super) channel: Point,
    /// Schnorr proof that the sender has the secret half: commitment and response. Its challenge
    /// covers the ceremony, the sender and the dealings, so that no part can be used elsewhere.
    possession: (Point, ScalarBytes),
}

/// Second message: shares, encrypted to each validator in committee order; nothing for oneself.
#[derive(Debug, Clone, Encode, Decode)]
pub(super) struct Shares {
    /// The digest of all first messages that the sender has.
    pub(super) commitments: Digest,
    pub(super) sealed: Vec<Vec<u8>>,
}

impl Dealing {
    fn new(package: &round1::Package) -> Option<Self> {
        let coefficients = package.commitment().serialize().ok()?;
        let proof = package.proof_of_knowledge().serialize().ok()?;
        let (r, z) = proof.split_at_checked(32)?;
        Some(Self {
            commitment: coefficients
                .iter()
                .map(|bytes| super::point(bytes))
                .collect::<Option<_>>()?,
            knowledge: (super::point(r)?, ScalarBytes(z.try_into().ok()?)),
        })
    }

    /// The package as the key generation wants it; `None` for points that are the identity or not
    /// canonical.
    pub(super) fn package(&self) -> Option<round1::Package> {
        let coefficients = self.commitment.iter().map(|point| point.0);
        let commitment = VerifiableSecretSharingCommitment::deserialize(coefficients).ok()?;
        let (r, z) = &self.knowledge;
        let proof = Signature::deserialize(&[r.0, z.0].concat()).ok()?;
        Some(round1::Package::new(commitment, proof))
    }
}

impl Commitments {
    /// The first message of a validator and the secret half of its channel key.
    pub(super) fn new<R: RngCore + CryptoRng>(
        ceremony: &Ceremony,
        own: ValidatorIndex,
        packages: &[round1::Package],
        rng: &mut R,
    ) -> Option<(ChannelKey, Self)> {
        let dealings: Vec<Dealing> = packages.iter().map(Dealing::new).collect::<Option<_>>()?;
        let secret = ChannelKey::random(rng);
        let channel = secret.public();
        let nonce = Zeroizing::new(Scalar::random(rng));
        let commitment = curve::encode(&curve::base(&nonce));
        let challenge = challenge(ceremony, own, &dealings, &channel, &commitment);
        let response = curve::encode_scalar(&secret.respond(&nonce, &challenge));
        let message = Self {
            dealings,
            channel,
            possession: (commitment, response),
        };
        Some((secret, message))
    }

    /// Everything that can be checked before all others' commitments are known, apart from the
    /// proofs of knowledge. The error says what is wrong.
    pub(super) fn check(
        &self,
        ceremony: &Ceremony,
        threshold: &Threshold,
        from: ValidatorIndex,
    ) -> Result<(), &'static str> {
        let weight = ceremony.weights.get(usize::from(from.0));
        if weight.map(|weight| usize::from(*weight)) != Some(self.dealings.len()) {
            return Err("committed to another number of shares than its weight");
        }
        let quorum = usize::from(threshold.quorum());
        let fits =
            |dealing: &Dealing| dealing.commitment.len() == quorum && dealing.package().is_some();
        if !self.dealings.iter().all(fits) {
            return Err("sent a commitment of another threshold or with invalid points");
        }
        let (commitment, response) = &self.possession;
        let challenge = challenge(ceremony, from, &self.dealings, &self.channel, commitment);
        let proof = (
            curve::point(&self.channel),
            curve::point(commitment),
            curve::scalar(response),
        );
        match proof {
            (Some(channel), Some(commitment), Some(response))
                if curve::base(&response) == commitment + channel * challenge =>
            {
                Ok(())
            }
            _ => Err("did not prove possession of its channel key"),
        }
    }
}

fn challenge(
    ceremony: &Ceremony,
    from: ValidatorIndex,
    dealings: &Vec<Dealing>,
    channel: &Point,
    commitment: &Point,
) -> Scalar {
    let wide = Domain::KeyGenerationPossession
        .hasher()
        .part(&ceremony.context.0)
        .part(&codec::encode(&ceremony.weights))
        .part(&codec::encode(&from))
        .part(&codec::encode(dealings))
        .part(&channel.0)
        .part(&commitment.0)
        .wide();
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// What a dishonest validator can do to its own first message.
#[cfg(test)]
impl Commitments {
    /// Subtracts another validator's first constant term from one's own.
    pub(super) fn cancel(&mut self, other: &[u8]) {
        let Ok(Message::Commitments(other)) = codec::decode(other, 1 << 20) else {
            panic!("a first message was expected");
        };
        let target = curve::point(&other.dealings[0].commitment[0]).expect("valid");
        let own = &mut self.dealings[0].commitment[0];
        *own = curve::encode(&(curve::point(own).expect("valid") - target));
    }

    /// Proves possession of a fresh channel key over the dealings as they are.
    pub(super) fn sign_again<R: RngCore + CryptoRng>(
        self,
        ceremony: &Ceremony,
        own: ValidatorIndex,
        rng: &mut R,
    ) -> Self {
        let (_, mut signed) = Self::new(ceremony, own, &[], rng).expect("encodes");
        let secret = ChannelKey::random(rng);
        let nonce = Scalar::random(rng);
        signed.dealings = self.dealings;
        signed.channel = secret.public();
        let commitment = curve::encode(&curve::base(&nonce));
        let challenge = challenge(
            ceremony,
            own,
            &signed.dealings,
            &signed.channel,
            &commitment,
        );
        let response = curve::encode_scalar(&secret.respond(&nonce, &challenge));
        signed.possession = (commitment, response);
        signed
    }
}
