//! Shares x_i·C, and the one proof per key share and part that all of a bundle's are right.
//!
//! For the part C_1 … C_m with shares S_k = x·C_k, weights w_k are hashed from both lists and their
//! context, and one Chaum–Pedersen proof shows log_G Y_i = log_A B for A = Σ w_k·C_k and
//! B = Σ w_k·S_k. A single wrong share survives with probability 2^-128 per try at the hash.

use conclave_crypto::{ShareRow, share_list, share_rows};
use conclave_types::{
    BatchedDleq, Digest, Domain, EdSignature, EnvelopeHeader, Payload, Point, ShareBundle,
    ShareContext, ShareIndex, ValidatorIndex, limits,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::key::{CommitteeKey, KeyShares};
use crate::{curve, public};

/// C of each header, decoded. One without a readable seal counts as the identity: its share is the
/// identity too, and it never opens. Admission lets no such header through.
pub(crate) struct SealedList {
    pub(crate) points: Vec<RistrettoPoint>,
    /// The points as the headers hold them.
    pub(crate) bytes: Vec<Point>,
    /// Their digests by part.
    pub(crate) lists: Vec<Digest>,
}

impl SealedList {
    pub(crate) fn new(headers: &[&EnvelopeHeader]) -> Self {
        let identity = Point(RistrettoPoint::identity().compress().to_bytes());
        let c = |header: &&EnvelopeHeader| match &header.payload {
            Payload::Sealed(key) => key.c,
            Payload::Plain => identity,
        };
        let bytes: Vec<Point> = headers.iter().map(c).collect();
        let parts = bytes.chunks(limits::SHARE_PART_ENVELOPES_MAX);
        Self {
            points: sealed_points(&bytes),
            lists: parts.map(share_list).collect(),
            bytes,
        }
    }

    /// The points of one part.
    fn part(&self, part: u32) -> &[RistrettoPoint] {
        part_of(&self.points, part)
    }
}

/// The values that belong to one part's envelopes.
pub(crate) fn part_of<T>(list: &[T], part: u32) -> &[T] {
    let mut parts = list.chunks(limits::SHARE_PART_ENVELOPES_MAX);
    parts.nth(part as usize).unwrap_or_default()
}

fn sealed_points(bytes: &[Point]) -> Vec<RistrettoPoint> {
    let decode = |bytes| curve::point(bytes).unwrap_or_else(RistrettoPoint::identity);
    bytes.iter().map(decode).collect()
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

/// Proves the own share points of a list of headers. The bundle is not signed yet.
pub(crate) fn bundle(
    key: &CommitteeKey,
    signer: ValidatorIndex,
    own: &KeyShares,
    context: ShareContext,
    headers: &[&EnvelopeHeader],
    points: Vec<Vec<Point>>,
) -> ShareBundle {
    let sealed = SealedList::new(headers);
    let unproven = BatchedDleq {
        challenge: curve::encode_scalar(&Scalar::ZERO),
        response: curve::encode_scalar(&Scalar::ZERO),
    };
    let mut bundle = ShareBundle {
        context,
        signer,
        proofs: vec![vec![unproven; sealed.lists.len()]; points.len()],
        shares: points,
        lists: sealed.lists.clone(),
        signature: EdSignature([0; 64]),
    };
    let secrets: Vec<(ShareIndex, &Scalar)> = own.indices().zip(own.secrets()).collect();
    let prove_row = |(row, _): (ShareRow<'_>, _)| {
        let (index, x) = *secrets.get(usize::from(row.key))?;
        let list = list_digest(key, &row);
        let sealed = sealed.part(row.part);
        let a = public::combine(&weights(&list, sealed.len()), sealed);
        Some(prove(&list, index, x, &a))
    };
    let proofs: Vec<BatchedDleq> = share_rows(&bundle).filter_map(prove_row).collect();
    let parts = bundle.lists.len().max(1);
    bundle.proofs = proofs.chunks(parts).map(<[_]>::to_vec).collect();
    bundle
}

/// The first row of a bundle that its proof does not support, by key share and part; `shares` are
/// the decoded points of a bundle whose numbers are right.
pub(crate) fn first_wrong(
    key: &CommitteeKey,
    bundle: &ShareBundle,
    sealed: &SealedList,
    shares: &[Vec<RistrettoPoint>],
) -> Option<(u16, u32)> {
    let mut rows = share_rows(bundle);
    let wrong = rows.find(|(row, proof)| {
        let (points, shares) = (sealed.part(row.part), &shares[usize::from(row.key)]);
        !row_holds(key, row, points, part_of(shares, row.part), proof)
    });
    wrong.map(|(row, _)| (row.key, row.part))
}

/// Whether a row's shares are what its proof says, from its bytes alone.
pub(crate) fn holds_encoded(
    key: &CommitteeKey,
    row: &ShareRow<'_>,
    sealed: &[Point],
    proof: &BatchedDleq,
) -> bool {
    let shares: Option<Vec<RistrettoPoint>> = row.shares.iter().map(curve::any_point).collect();
    shares.is_some_and(|shares| row_holds(key, row, &sealed_points(sealed), &shares, proof))
}

fn row_holds(
    key: &CommitteeKey,
    row: &ShareRow<'_>,
    sealed: &[RistrettoPoint],
    shares: &[RistrettoPoint],
    proof: &BatchedDleq,
) -> bool {
    let held = key.positions(row.signer);
    let Some(position) = held.and_then(|mut held| held.nth(usize::from(row.key))) else {
        return false;
    };
    let (y, index) = key.share(position);
    let list = list_digest(key, row);
    let weights = weights(&list, sealed.len());
    let combine = |points| public::combine(&weights, points);
    sealed.len() == shares.len()
        && holds(&list, index, y, &combine(sealed), &combine(shares), proof)
}

/// Everything the weights must depend on: the key, and the row with its context, its signer and
/// every point.
fn list_digest(key: &CommitteeKey, row: &ShareRow<'_>) -> Digest {
    Domain::ShareWeights
        .hasher()
        .part(&key.y_bytes.0)
        .part(&row.digest().0)
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
