//! Ristretto255 elements and scalars from and to the bytes that travel.

use conclave_types::{Point, Scalar as ScalarBytes};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;

/// Decodes a group element; `None` for anything but a canonical encoding. The identity decodes.
pub(crate) fn any_point(bytes: &Point) -> Option<RistrettoPoint> {
    CompressedRistretto(bytes.0).decompress()
}

/// Decodes a group element; `None` for non-canonical encodings and for the identity.
pub(crate) fn point(bytes: &Point) -> Option<RistrettoPoint> {
    any_point(bytes).filter(|point| !point.is_identity())
}

/// The canonical encoding.
pub(crate) fn encode(point: &RistrettoPoint) -> Point {
    Point(point.compress().to_bytes())
}

/// Decodes a scalar; `None` for values that are not reduced.
pub(crate) fn scalar(bytes: &ScalarBytes) -> Option<Scalar> {
    Scalar::from_canonical_bytes(bytes.0).into()
}

/// The canonical encoding.
pub(crate) fn encode_scalar(scalar: &Scalar) -> ScalarBytes {
    ScalarBytes(scalar.to_bytes())
}

/// `scalar`·G in constant time, from the precomputed table.
pub(crate) fn base(scalar: &Scalar) -> RistrettoPoint {
    scalar * RISTRETTO_BASEPOINT_TABLE
}
