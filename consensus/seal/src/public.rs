//! Variable-time arithmetic, for public data only; a test shows that no other file names it.
//!
//! Share points count as public here: they are combined only after they were released.

use conclave_types::ShareIndex;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity, VartimeMultiscalarMul};
use rand_core::RngCore;

/// Terms of one multi-scalar multiplication over public data.
#[derive(Default)]
pub(crate) struct Sum {
    scalars: Vec<Scalar>,
    points: Vec<RistrettoPoint>,
}

impl Sum {
    /// Room for `terms` terms.
    pub(crate) fn with_capacity(terms: usize) -> Self {
        Self {
            scalars: Vec::with_capacity(terms),
            points: Vec::with_capacity(terms),
        }
    }

    /// Adds one term.
    pub(crate) fn add(&mut self, scalar: Scalar, point: RistrettoPoint) {
        self.scalars.push(scalar);
        self.points.push(point);
    }

    /// The sum of all terms.
    pub(crate) fn total(&self) -> RistrettoPoint {
        RistrettoPoint::vartime_multiscalar_mul(&self.scalars, &self.points)
    }

    /// Whether the terms cancel.
    pub(crate) fn is_zero(&self) -> bool {
        self.total().is_identity()
    }
}

/// Σ scalars·points.
pub(crate) fn combine(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(scalars, points)
}

/// Σ factors·points for small factors.
pub(crate) fn combine_small(factors: &[i32], points: &[RistrettoPoint]) -> RistrettoPoint {
    let widest = factors.iter().map(|factor| factor.unsigned_abs()).max();
    let bits = u32::BITS - widest.unwrap_or(0).leading_zeros();
    let mut sum = RistrettoPoint::identity();
    for bit in (0..bits).rev() {
        sum += sum;
        for (factor, point) in factors.iter().zip(points) {
            if factor.unsigned_abs() >> bit & 1 == 1 {
                sum = if *factor < 0 {
                    sum - point
                } else {
                    sum + point
                };
            }
        }
    }
    sum
}

/// Σ coefficients[k]·index^k, by Horner's rule: a multiplication by an index takes a few additions.
pub(crate) fn evaluate(coefficients: &[RistrettoPoint], index: ShareIndex) -> RistrettoPoint {
    let index = [i32::from(index.0)];
    let value = RistrettoPoint::identity();
    coefficients
        .iter()
        .rev()
        .fold(value, |value, term| combine_small(&index, &[value]) + term)
}

/// `a`·G + `b`·`point`.
pub(crate) fn base_and(a: &Scalar, b: &Scalar, point: &RistrettoPoint) -> RistrettoPoint {
    RistrettoPoint::vartime_double_scalar_mul_basepoint(b, point, a)
}

/// A 128-bit weight for batching: a false statement survives with probability 2^-128.
pub(crate) fn weight(rng: &mut impl RngCore) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes))
}
