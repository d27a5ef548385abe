//! Schnorr proofs of knowledge of a logarithm, bound to the attempt and to the prover's slot.

use conclave_types::{Domain, LogarithmProof, Point, ValidatorIndex};
use curve25519_dalek::scalar::Scalar;

use super::Round;
use crate::curve;

/// What the logarithm is of. Part of the challenge.
#[derive(Clone, Copy)]
pub(super) enum Known {
    ChannelKey,
    ConstantTerm,
}

/// Proves knowledge of `secret`. The nonce must be used for this statement only.
pub(super) fn prove(
    round: &Round,
    prover: ValidatorIndex,
    known: Known,
    secret: &Scalar,
    nonce: &Scalar,
) -> LogarithmProof {
    let public = curve::encode(&curve::base(secret));
    let commitment = curve::encode(&curve::base(nonce));
    let challenge = challenge(round, prover, known, &public, &commitment);
    LogarithmProof {
        commitment,
        response: curve::encode_scalar(&(nonce + challenge * secret)),
    }
}

/// Whether the prover knows the logarithm of `public`; false for what is not canonical.
pub(super) fn verify(
    round: &Round,
    prover: ValidatorIndex,
    known: Known,
    public: &Point,
    proof: &LogarithmProof,
) -> bool {
    let challenge = challenge(round, prover, known, public, &proof.commitment);
    let decoded = (
        curve::point(public),
        curve::point(&proof.commitment),
        curve::scalar(&proof.response),
    );
    match decoded {
        (Some(public), Some(commitment), Some(response)) => {
            curve::base(&response) == commitment + public * challenge
        }
        _ => false,
    }
}

fn challenge(
    round: &Round,
    prover: ValidatorIndex,
    known: Known,
    public: &Point,
    commitment: &Point,
) -> Scalar {
    let wide = Domain::KeyGenerationKnowledge
        .hasher()
        .part(&round.context().0)
        .part(&prover.0.to_le_bytes())
        .part(&[known as u8])
        .part(&public.0)
        .part(&commitment.0)
        .wide();
    Scalar::from_bytes_mod_order_wide(&wide)
}
