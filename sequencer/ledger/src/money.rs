//! Sums that cannot fail while money is conserved: the whole supply fits 64 bits.

use conclave_types::Amount;

/// The sum of two parts of the supply.
pub(crate) const fn plus(left: Amount, right: Amount) -> Amount {
    match left.checked_add(right) {
        Some(sum) => sum,
        None => unreachable!(),
    }
}

/// What is left of an amount that is known to cover `part`.
pub(crate) const fn minus(whole: Amount, part: Amount) -> Amount {
    match whole.checked_sub(part) {
        Some(rest) => rest,
        None => unreachable!(),
    }
}

/// `percent` hundredths of an amount, rounded down; `percent` is at most 100.
pub(crate) const fn share(amount: Amount, percent: u8) -> Amount {
    Amount((amount.0 as u128 * percent as u128 / 100) as u64)
}
