//! The fingerprint of a signature: a polynomial with the signature's values as coefficients, at a
//! point of the quadratic extension `F[X] / (X^2 - 7)` that is a hash of the ordered bytes.
//!
//! Two different signatures agree at a random point with probability below 2^-119, and the point
//! is fixed by the bytes, so equality ties the proof's witness to what was ordered, for two field
//! operations a value instead of a second hash over 250 elements.

use p3_field::{PrimeCharacteristicRing, PrimeField64};

use crate::hash::Felt;
use crate::signature::{CHAINS, Codeword, Pair, Signature};

/// X^2 in the extension: 7 generates the field's units, so it is no square.
pub(crate) const NON_RESIDUE: u64 = 7;

/// An element of the extension.
type Point = [Felt; 2];

/// The fingerprint of a signature with this codeword.
pub(crate) fn fingerprint(signature: &Signature, codeword: Codeword, point: Pair) -> Pair {
    let z = point.map(Felt::new);
    let zz = multiply(z, z);
    let step = |e: Point, value: Point| add(multiply(e, z), value);
    let double = |e: Point, a: Point, b: Point| add(add(multiply(e, zz), multiply(a, z)), b);

    let leaf = [Felt::new(u64::from(signature.leaf)), Felt::ZERO];
    let mut e = double(
        signature.salt.map(Felt::new),
        signature.tree.map(Felt::new),
        leaf,
    );
    for first in (0..CHAINS).step_by(2) {
        let pair = [first, first + 1].map(|chain| {
            let value = signature.chains[chain].map(Felt::new);
            (codeword.bit(chain), value)
        });
        for (_, value) in pair.iter().filter(|(revealed, _)| *revealed) {
            e = step(e, *value);
        }
        let [a, b] = pair.map(|(revealed, value)| if revealed { [Felt::ZERO; 2] } else { value });
        e = double(e, a, b);
    }
    for sibling in &signature.path {
        let [a, b, c, d] = sibling.node();
        e = double(e, [a, b], [c, d]);
    }
    e.map(|element| element.as_canonical_u64())
}

fn add(a: Point, b: Point) -> Point {
    [a[0] + b[0], a[1] + b[1]]
}

fn multiply(a: Point, b: Point) -> Point {
    [
        a[0] * b[0] + Felt::new(NON_RESIDUE) * a[1] * b[1],
        a[0] * b[1] + a[1] * b[0],
    ]
}
