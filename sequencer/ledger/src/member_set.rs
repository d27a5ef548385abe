//! Who is in the next committee: a pure function of the present weights and of the wishes.

use conclave_types::{Threshold, ValidatorIndex, limits};

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
/// One wish must not make all that follow wait. One that would not leave room for what the present
/// members and the earlier wishes have is passed over; and so is one for more weight than f, since
/// whoever has that can stop the chain alone. How many others it takes for that weight to be within
/// f is for them to say: a heavy wish is taken as soon as enough join with it.
///
/// A wish that changes no weight is no wish here: new keys and addresses wait for nobody.
pub(crate) fn next_weights(present: &[u16], mut wishes: Vec<Wish>) -> Vec<u16> {
    wishes.sort();
    loop {
        let plan = Plan::of(present, &wishes);
        let Some(request) = plan.overweight() else {
            return plan.taken.weights;
        };
        wishes.retain(|wish| wish.request != request);
    }
}

/// The committee after some wishes.
#[derive(Clone)]
struct Set {
    weights: Vec<u16>,
    /// The wishes for more weight among them.
    raised: Vec<Wish>,
}

impl Set {
    fn total(&self) -> u64 {
        self.weights.iter().map(|weight| u64::from(*weight)).sum()
    }

    fn adds_up(&self) -> bool {
        Threshold::for_total(self.total()).is_ok_and(|threshold| threshold.faults() > 0)
    }

    /// The heaviest of the wishes for more than f of a total, of equals the last.
    fn overweight(&self, total: u64) -> Option<u64> {
        let faults = total.saturating_sub(1) / 3;
        let heavy = self.raised.iter();
        let heavy = heavy.filter(|wish| u64::from(wish.weight) > faults);
        let heaviest = heavy.max_by_key(|wish| (wish.weight, wish.request));
        heaviest.map(|wish| wish.request)
    }
}

/// What comes of the wishes that fit into the largest committee.
struct Plan {
    /// After the longest prefix of them that adds up.
    taken: Set,
    /// After all of them.
    all: Set,
    /// The highest total on the way.
    total_max: u64,
}

impl Plan {
    fn of(present: &[u16], wishes: &[Wish]) -> Self {
        let mut all = Set {
            weights: present.to_vec(),
            raised: Vec::new(),
        };
        let mut taken = all.clone();
        let mut total_max = all.total();
        for wish in wishes {
            let slot = usize::from(wish.slot.0);
            let Some(now) = present.get(slot).copied() else {
                continue;
            };
            let raises = wish.weight > now;
            let total = all.total() + u64::from(wish.weight) - u64::from(now);
            if raises && total > limits::VALIDATORS_MAX as u64 {
                continue;
            }
            all.weights[slot] = wish.weight;
            all.raised.extend(raises.then_some(*wish));
            total_max = total_max.max(total);
            if all.adds_up() {
                taken.clone_from(&all);
            }
        }
        Self {
            taken,
            all,
            total_max,
        }
    }

    /// The wish to pass over, if there is one. Not even with everybody else would what some want be
    /// within f; what others want is not with those that are taken.
    fn overweight(&self) -> Option<u64> {
        let overweight = self.all.overweight(self.total_max);
        overweight.or_else(|| self.taken.overweight(self.taken.total()))
    }
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

    /// One account that asked for a third or more of all weight kept everybody else from joining and
    /// leaving for ever: its wish came first, and no set with it added up. Where one did, that
    /// account could have stopped the chain alone.
    #[test]
    fn who_asks_for_too_much_keeps_nobody_else_waiting() {
        let present = [1, 1, 1, 1, 0, 0, 0, 0];
        let join = |request, slot| wish(request, slot, 1);
        let three = [join(2, 5), join(3, 6), join(4, 7)];
        for greedy in [4, 57, 80, 81, 82, 200, 255, 256] {
            let wishes = [&[wish(1, 4, greedy)], &three[..]].concat();
            assert_eq!(next(&present, &wishes), [1, 1, 1, 1, 0, 1, 1, 1]);
        }
        // Several of them no more than one, and members no more than those that would be.
        let wishes = [
            &[wish(0, 4, 85), wish(1, 0, 85), wish(5, 1, 84)],
            &three[..],
        ];
        assert_eq!(next(&present, &wishes.concat()), [1, 1, 1, 1, 0, 1, 1, 1]);
        let swap = [wish(1, 4, 200), wish(2, 0, 0), join(3, 5)];
        assert_eq!(next(&present, &swap), [0, 1, 1, 1, 0, 1, 0, 0]);
        // 31 and steps of 3: with the greedy one nothing ever adds up, which must not matter.
        let present = [8, 8, 8, 7, 0, 0];
        let wishes = [wish(1, 4, 80), wish(2, 5, 3)];
        assert_eq!(next(&present, &wishes), [8, 8, 8, 7, 0, 3]);
    }

    #[test]
    fn a_heavy_wish_is_taken_once_enough_others_join_with_it() {
        let present = [1, 1, 1, 1, 0, 0];
        let first = wish(1, 0, 2);
        assert_eq!(next(&present, &[first, wish(2, 4, 1)]), present);
        assert_eq!(next(&present, &[first, wish(2, 4, 2)]), [2, 1, 1, 1, 2, 0]);
        let all = [
            wish(1, 0, 10),
            wish(2, 1, 10),
            wish(3, 2, 10),
            wish(4, 3, 10),
        ];
        assert_eq!(next(&present, &all), [10, 10, 10, 10, 0, 0]);
        assert_eq!(next(&present, &all[..3]), [10, 10, 10, 1, 0, 0]);
        assert_eq!(next(&present, &all[..2]), present);
    }

    /// A genesis may have given somebody more than f: it may go on, and go down.
    #[test]
    fn who_has_too_much_already_may_get_less() {
        let present = [5, 1, 1, 0, 0, 0];
        assert_eq!(next(&present, &[wish(1, 3, 1)]), present);
        assert_eq!(next(&present, &[wish(1, 0, 2)]), [2, 1, 1, 0, 0, 0]);
        let join = [wish(1, 3, 1), wish(2, 4, 1), wish(3, 5, 1)];
        assert_eq!(next(&present, &join), [5, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_wish_without_room_keeps_nobody_else_waiting() {
        let present = [64, 64, 64, 61, 0, 0];
        let wishes = [wish(1, 4, 6), wish(2, 5, 3)];
        assert_eq!(next(&present, &wishes), [64, 64, 64, 61, 0, 3]);
    }
}
