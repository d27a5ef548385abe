//! Who is in the next committee: a pure function of the present weights and of the wishes.

use conclave_types::{Threshold, ValidatorIndex};

/// A validator's wish for another weight than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wish {
    /// Who lost its bond goes first.
    pub(crate) unbonded: std::cmp::Reverse<bool>,
    /// Then the order in which they were accepted.
    pub(crate) request: u64,
    pub(crate) slot: ValidatorIndex,
    pub(crate) weight: u16,
}

/// The weights of the next committee, by slot: the longest prefix of the wishes, in their order,
/// after which the weights add up to 3f+1 with f of at least 1. The others wait.
///
/// A wish that changes no weight is no wish here: new keys and addresses wait for nobody.
pub(crate) fn next_weights(present: &[u16], mut wishes: Vec<Wish>) -> Vec<u16> {
    wishes.sort();
    let mut weights = present.to_vec();
    let mut taken = present.to_vec();
    for wish in wishes {
        let slot = usize::from(wish.slot.0);
        if let Some(weight) = weights.get_mut(slot) {
            *weight = wish.weight;
        }
        let total = weights.iter().map(|weight| u64::from(*weight)).sum();
        if Threshold::for_total(total).is_ok_and(|threshold| threshold.faults() > 0) {
            taken.clone_from(&weights);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(request: u64, slot: u16, weight: u16) -> Wish {
        Wish {
            unbonded: std::cmp::Reverse(false),
            request,
            slot: ValidatorIndex(slot),
            weight,
        }
    }

    fn next(present: &[u16], wishes: &[Wish]) -> Vec<u16> {
        next_weights(present, wishes.to_vec())
    }

    #[test]
    fn the_longest_prefix_that_adds_up_is_taken_and_the_rest_waits() {
        let present = [1, 1, 1, 1, 0, 0, 0, 0];
        let join = |request, slot| wish(request, slot, 1);
        assert_eq!(next(&present, &[]), present);
        // One or two newcomers wait for the third; a fourth waits again.
        assert_eq!(next(&present, &[join(1, 4)]), present);
        assert_eq!(next(&present, &[join(1, 4), join(2, 5)]), present);
        let four = [join(1, 4), join(2, 5), join(3, 6), join(4, 7)];
        assert_eq!(next(&present, &four), [1, 1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn the_order_of_acceptance_decides_not_that_of_slots() {
        let present = [1, 1, 1, 1, 0, 0];
        let swap = [wish(8, 0, 0), wish(7, 5, 1), wish(9, 4, 1)];
        assert_eq!(next(&present, &swap), [0, 1, 1, 1, 0, 1]);
    }

    #[test]
    fn nobody_leaves_a_committee_that_would_be_too_small() {
        let present = [1, 1, 1, 1];
        let leave = [wish(1, 0, 0), wish(2, 1, 0), wish(3, 2, 0)];
        assert_eq!(next(&present, &leave), present);
    }

    #[test]
    fn who_lost_its_bond_goes_before_all_others() {
        let present = [1, 1, 1, 1, 0];
        let mut slashed = wish(9, 3, 0);
        slashed.unbonded = std::cmp::Reverse(true);
        let wishes = [wish(1, 0, 0), wish(2, 4, 1), slashed];
        assert_eq!(next(&present, &wishes), present);
        let wishes = [wish(2, 4, 1), wish(5, 0, 0), slashed];
        assert_eq!(next(&present, &wishes), [1, 1, 1, 0, 1]);
    }

    #[test]
    fn no_committee_outgrows_the_bitmap() {
        let present = [64, 64, 64, 64, 0];
        assert_eq!(next(&present, &[wish(1, 4, 3)]), present);
        assert_eq!(next(&present, &[wish(1, 3, 61)]), [64, 64, 64, 61, 0]);
    }
}
