//! Admission: is a header's seal well formed, is its body its own, did its payer sign?
//!
//! Many seals are checked by one multi-scalar multiplication. The exact check of a single seal is
//! the definition; the batch finds the same verdicts but with probability 2^-128.

use conclave_crypto::ed;
use conclave_types::{Domain, Envelope, EnvelopeHeader, Payload, Point};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_core::RngCore;

use crate::bisect::bisect;
use crate::public::{Sum, weight};
use crate::{TAG_BYTES, curve, hashes, plaintext};

/// Whether the payer signed the complete header.
///
/// By the one rule that validators apply at admission, alone or in a batch: [`ed`] says which.
pub fn verify_payer_signature(header: &EnvelopeHeader) -> bool {
    let payer = header.core.payer.as_bytes();
    ed::verify(payer, &header.signing_digest(), &header.signature)
}

/// Whether the body has the length and the digest that the header names.
pub fn body_matches(envelope: &Envelope) -> bool {
    u32::try_from(envelope.body.len()) == Ok(envelope.header.body_bytes)
        && Domain::EnvelopeBody.digest(&envelope.body) == envelope.header.body_digest
}

/// A seal whose encodings are good; its proof is still to be checked.
struct Seal {
    c: RistrettoPoint,
    c_bar: RistrettoPoint,
    g_bar: RistrettoPoint,
    commitment: RistrettoPoint,
    commitment_bar: RistrettoPoint,
    challenge: Scalar,
    response: Scalar,
}

/// The verdict on every header's seal under the committee key `y`.
pub(crate) fn check(y: &Point, headers: &[&EnvelopeHeader], rng: &mut impl RngCore) -> Vec<bool> {
    let seals: Vec<Option<Seal>> = headers.iter().map(|header| Seal::read(y, header)).collect();
    let readable: Vec<&Seal> = seals.iter().flatten().collect();
    let mut verdicts = bisect(readable.len(), |range| match &readable[range] {
        [seal] => seal.holds(),
        seals => all_hold(seals, rng),
    })
    .into_iter();
    seals
        .iter()
        .map(|seal| seal.is_some() && verdicts.next() == Some(true))
        .collect()
}

/// Σ a·(W + e·C − z·G) + b·(W̄ + e·C̄ − z·Ḡ) = 0 with independent 128-bit a and b per seal.
fn all_hold(seals: &[&Seal], rng: &mut impl RngCore) -> bool {
    let mut sum = Sum::with_capacity(5 * seals.len() + 1);
    let mut base = Scalar::ZERO;
    for seal in seals {
        let (a, b) = (weight(rng), weight(rng));
        base += a * seal.response;
        sum.add(a, seal.commitment);
        sum.add(a * seal.challenge, seal.c);
        sum.add(b, seal.commitment_bar);
        sum.add(b * seal.challenge, seal.c_bar);
        sum.add(-(b * seal.response), seal.g_bar);
    }
    sum.add(-base, RISTRETTO_BASEPOINT_POINT);
    sum.is_zero()
}

impl Seal {
    /// Refuses plain headers, sizes other than the bucket's, the identity, and encodings that are
    /// not canonical.
    fn read(y: &Point, header: &EnvelopeHeader) -> Option<Self> {
        let Payload::Sealed(key) = &header.payload else {
            return None;
        };
        let bytes = plaintext::padded_bytes(header.core.bucket)? + TAG_BYTES;
        if usize::try_from(header.body_bytes) != Ok(bytes) {
            return None;
        }
        curve::point(&key.d)?;
        let label = hashes::label_of(header);
        let challenge = hashes::Statement {
            y,
            label: &label,
            c: &key.c,
            d: &key.d,
            c_bar: &key.c_bar,
            commitment: &key.commitment,
            commitment_bar: &key.commitment_bar,
        }
        .challenge();
        Some(Self {
            c: curve::point(&key.c)?,
            c_bar: curve::point(&key.c_bar)?,
            commitment: curve::point(&key.commitment)?,
            commitment_bar: curve::point(&key.commitment_bar)?,
            response: curve::scalar(&key.response)?,
            g_bar: hashes::generator(&label, &key.c, &key.d),
            challenge,
        })
    }

    /// The definition: z·G = W + e·C and z·Ḡ = W̄ + e·C̄.
    fn holds(&self) -> bool {
        let equation = |generator, commitment, claim| {
            let mut sum = Sum::with_capacity(3);
            sum.add(Scalar::ONE, commitment);
            sum.add(self.challenge, claim);
            sum.add(-self.response, generator);
            sum.is_zero()
        };
        equation(RISTRETTO_BASEPOINT_POINT, self.commitment, self.c)
            && equation(self.g_bar, self.commitment_bar, self.c_bar)
    }
}
