//! Interpolation at zero.

use conclave_types::ShareIndex;
use curve25519_dalek::scalar::Scalar;

/// The factors λ_i = Π_{j≠i} j / (j − i) with f(0) = Σ λ_i·f(i), for distinct indices from 1.
pub(crate) fn at_zero(indices: &[ShareIndex]) -> Vec<Scalar> {
    let points: Vec<Scalar> = indices.iter().map(|index| Scalar::from(index.0)).collect();
    let others = |i: usize| {
        let points = points.iter().enumerate();
        points.filter_map(move |(j, point)| (j != i).then_some(*point))
    };
    let mut inverses: Vec<Scalar> = (0..points.len())
        .map(|i| others(i).map(|other| other - points[i]).product())
        .collect();
    Scalar::batch_invert(&mut inverses);
    (0..points.len())
        .map(|i| inverses[i] * others(i).product::<Scalar>())
        .collect()
}
