//! Finding the false statements of a batch with few batch checks.

use core::ops::Range;

/// Tells for each of `count` statements whether it holds.
///
/// `all_hold` checks a range at once; it never refuses a range of true statements, and for a range
/// of one it must be exact, since that is the verdict all nodes agree on. With b false statements
/// among n it is called at most 1 + 2·b·⌈log₂ n⌉ times, so once when all hold.
pub(crate) fn bisect(count: usize, mut all_hold: impl FnMut(Range<usize>) -> bool) -> Vec<bool> {
    let mut verdicts = vec![true; count];
    if count > 0 {
        search(0..count, false, &mut all_hold, &mut verdicts);
    }
    verdicts
}

/// Whether the whole range holds. `known_false` says that a batch check would refuse it.
fn search(
    range: Range<usize>,
    known_false: bool,
    all_hold: &mut impl FnMut(Range<usize>) -> bool,
    verdicts: &mut [bool],
) -> bool {
    if range.len() == 1 {
        let holds = all_hold(range.clone());
        verdicts[range.start] = holds;
        return holds;
    }
    if !known_false && all_hold(range.clone()) {
        return true;
    }
    let middle = range.start + range.len() / 2;
    let left = search(range.start..middle, false, all_hold, verdicts);
    // When the left half holds, the right one cannot: its own batch check is saved.
    let right = search(middle..range.end, left, all_hold, verdicts);
    left && right
}
