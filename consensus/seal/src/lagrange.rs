//! Interpolation at zero.

use conclave_types::ShareIndex;
use curve25519_dalek::scalar::Scalar;

/// The same factors as integers, when they all are small ones: so it is with the neighbours that
/// small committees mostly combine, and then a sum costs a few additions of points.
pub(crate) fn small_at_zero(indices: &[ShareIndex]) -> Option<Vec<i32>> {
    let factor = |i: &ShareIndex| {
        let (mut above, mut below) = (1_i64, 1_i64);
        for j in indices.iter().filter(|j| *j != i) {
            above = above.checked_mul(i64::from(j.0))?;
            below = below.checked_mul(i64::from(j.0) - i64::from(i.0))?;
        }
        let whole = above.checked_rem(below)? == 0;
        let factor = i16::try_from(above / below).ok()?;
        whole.then_some(i32::from(factor))
    };
    indices.iter().map(factor).collect()
}

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
