//! Shares x_i·C, and the one proof per key share that all of a bundle's are right.
//!
//! For the list C_1 … C_m with shares S_k = x·C_k, weights w_k are hashed from the whole list and
//! its context, and one Chaum–Pedersen proof shows log_G Y_i = log_A B for A = Σ w_k·C_k and
//! B = Σ w_k·S_k. A single wrong share survives with probability 2^-128 per try at the hash.

use bincode::{Decode, Encode};
use conclave_types::{
    BatchedDleq, BlockId, Digest, Domain, EnvelopeHeader, Height, Payload, Point, ShareBundle,
    ShareIndex, ShareLane, ValidatorIndex, codec,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::key::{CommitteeKey, KeyShares};
use crate::{curve, public};

/// Which envelopes of which committed block shares are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct ShareContext {
    /// The committed block.
    pub block: BlockId,
    /// Its height.
    pub height: Height,
    /// Which of its envelopes.
    pub lane: ShareLane,
}

impl ShareContext {
    /// The context that a bundle claims.
    pub fn of(bundle: &ShareBundle) -> Self {
        Self {
            block: bundle.block,
            height: bundle.height,
            lane: bundle.lane,
        }
    }
}

/// C of each header, decoded. One without a readable seal counts as the identity: its share is the
/// identity too, and it never opens. Admission lets no such header through.
pub(crate) struct SealedList {
    pub(crate) points: Vec<RistrettoPoint>,
    /// Of the points as the headers hold them.
    digest: Digest,
}

impl SealedList {
    pub(crate) fn new(headers: &[&EnvelopeHeader]) -> Self {
        let identity = Point(RistrettoPoint::identity().compress().to_bytes());
        let c = |header: &&EnvelopeHeader| match &header.payload {
            Payload::Sealed(key) => key.c,
            Payload::Plain => identity,
        };
        let bytes: Vec<Point> = headers.iter().map(c).collect();
        let decode = |bytes| curve::point(bytes).unwrap_or_else(RistrettoPoint::identity);
        Self {
            points: bytes.iter().map(decode).collect(),
            digest: Domain::ShareWeights.digest(&codec::encode(&bytes)),
        }
    }
}

/// x_i·C of each own key share and each header, in constant time.
pub(crate) fn share_points(own: &KeyShares, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
    let sealed = SealedList::new(headers).points;
    let half = Scalar::from(2_u8).invert();
    // Many points are encoded together by doubling each: one inversion instead of a root a point.
    let of = |secret: &Scalar| {
        let secret = Zeroizing::new(secret * half);
        let halves: Vec<RistrettoPoint> = sealed.iter().map(|c| c * *secret).collect();
        let encoded = RistrettoPoint::double_and_compress_batch(&halves);
        encoded.iter().map(|c| Point(c.to_bytes())).collect()
    };
    own.secrets().iter().map(of).collect()
}

/// Proves the own share points of a list of headers.
pub(crate) fn bundle(
    key: &CommitteeKey,
    signer: ValidatorIndex,
    own: &KeyShares,
    context: ShareContext,
    headers: &[&EnvelopeHeader],
    points: Vec<Vec<Point>>,
) -> ShareBundle {
    let mut bundle = ShareBundle {
        block: context.block,
        height: context.height,
        lane: context.lane,
        signer,
        shares: points,
        proofs: Vec::new(),
    };
    let sealed = SealedList::new(headers);
    let list = list_digest(key, &bundle, &sealed);
    let weights = weights(&list, sealed.points.len());
    let a = public::combine(&weights, &sealed.points);
    bundle.proofs = own
        .indices()
        .zip(own.secrets())
        .map(|(index, x)| prove(&list, index, x, &a))
        .collect();
    bundle
}

/// Whether every share of a structurally right bundle is its signer's; `shares` are its decoded
/// points.
pub(crate) fn verify(
    key: &CommitteeKey,
    bundle: &ShareBundle,
    sealed: &SealedList,
    shares: &[Vec<RistrettoPoint>],
) -> bool {
    let Some(positions) = key.positions(bundle.signer) else {
        return false;
    };
    let list = list_digest(key, bundle, sealed);
    let weights = weights(&list, sealed.points.len());
    let a = public::combine(&weights, &sealed.points);
    positions.len() == shares.len()
        && positions.len() == bundle.proofs.len()
        && positions
            .zip(shares)
            .zip(&bundle.proofs)
            .all(|((position, shares), proof)| {
                let (y, index) = key.share(position);
                shares.len() == weights.len()
                    && holds(
                        &list,
                        index,
                        y,
                        &a,
                        &public::combine(&weights, shares),
                        proof,
                    )
            })
}

/// Everything the weights must depend on: the key, the context, the signer, and every point.
fn list_digest(key: &CommitteeKey, bundle: &ShareBundle, sealed: &SealedList) -> Digest {
    Domain::ShareWeights
        .hasher()
        .part(&key.y_bytes.0)
        .part(&codec::encode(&ShareContext::of(bundle)))
        .part(&codec::encode(&bundle.signer))
        .part(&sealed.digest.0)
        .part(&codec::encode(&bundle.shares))
        .digest()
}

fn weights(list: &Digest, count: usize) -> Vec<Scalar> {
    let mut rng = ChaCha20Rng::from_seed(list.0);
    (0..count).map(|_| public::weight(&mut rng)).collect()
}

/// The nonce is derived from the secret and everything that is proven, so that no bad random
/// number can ever give x away; it repeats only together with the whole proof.
fn prove(list: &Digest, index: ShareIndex, x: &Scalar, a: &RistrettoPoint) -> BatchedDleq {
    let b = a * x;
    let secret = Zeroizing::new(x.to_bytes());
    let wide = Domain::ShareNonce
        .hasher()
        .part(secret.as_slice())
        .part(&list.0)
        .part(&index.0.to_le_bytes())
        .wide();
    let wide = Zeroizing::new(wide);
    let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
    let y = curve::base(x);
    let commitments = [curve::base(&nonce), a * *nonce];
    let challenge = challenge(list, index, &[y, *a, b, commitments[0], commitments[1]]);
    BatchedDleq {
        challenge: curve::encode_scalar(&challenge),
        response: curve::encode_scalar(&(*nonce + challenge * x)),
    }
}

fn holds(
    list: &Digest,
    index: ShareIndex,
    y: &RistrettoPoint,
    a: &RistrettoPoint,
    b: &RistrettoPoint,
    proof: &BatchedDleq,
) -> bool {
    let (Some(e), Some(z)) = (
        curve::scalar(&proof.challenge),
        curve::scalar(&proof.response),
    ) else {
        return false;
    };
    let on_base = public::base_and(&z, &-e, y);
    let on_a = public::combine(&[z, -e], &[*a, *b]);
    challenge(list, index, &[*y, *a, *b, on_base, on_a]) == e
}

/// Over (Y_i, A, B, and the two commitments).
fn challenge(list: &Digest, index: ShareIndex, points: &[RistrettoPoint; 5]) -> Scalar {
    let mut hasher = Domain::ShareChallenge
        .hasher()
        .part(&list.0)
        .part(&index.0.to_le_bytes());
    for point in points {
        hasher = hasher.part(&curve::encode(point).0);
    }
    Scalar::from_bytes_mod_order_wide(&hasher.wide())
}
