//! The permutation as the constraints see it: one row holds every S-box of one permutation.
//!
//! An S-box `y = x^7` takes two cells, `c = x^3` and `y = c * c * x`, so each of the 172
//! constraints has degree three. Everything between S-boxes is linear and takes no cell.
//!
//! ```text
//! cells   0.. 8   input
//!         8..72   four full rounds, each 8 cubes then 8 outputs
//!        72..116  22 partial rounds, each cube and output of lane 0
//!       116..180  four full rounds
//! ```

use std::sync::OnceLock;

use p3_field::PrimeField64;
use p3_goldilocks::{
    GOLDILOCKS_POSEIDON2_RC_8_EXTERNAL_FINAL, GOLDILOCKS_POSEIDON2_RC_8_EXTERNAL_INITIAL,
    GOLDILOCKS_POSEIDON2_RC_8_INTERNAL,
};
use winterfell::math::{FieldElement, fields::f64::BaseElement};

/// Lanes of the permutation.
pub(crate) const LANES: usize = 8;
const FULL_ROUNDS_HALF: usize = 4;
const PARTIAL_ROUNDS: usize = 22;
/// S-boxes of one permutation.
const SBOXES: usize = 2 * FULL_ROUNDS_HALF * LANES + PARTIAL_ROUNDS;
/// Cells one permutation takes in a row.
pub(crate) const CELLS: usize = LANES + 2 * SBOXES;
/// Constraints on these cells.
pub(crate) const CONSTRAINTS: usize = 2 * SBOXES;

const _: () = assert!(CELLS == 180);

struct RoundConstants {
    initial: [[BaseElement; LANES]; FULL_ROUNDS_HALF],
    partial: [BaseElement; PARTIAL_ROUNDS],
    last: [[BaseElement; LANES]; FULL_ROUNDS_HALF],
}

fn constants() -> &'static RoundConstants {
    static CONSTANTS: OnceLock<RoundConstants> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let base =
            |element: p3_goldilocks::Goldilocks| BaseElement::new(element.as_canonical_u64());
        RoundConstants {
            initial: GOLDILOCKS_POSEIDON2_RC_8_EXTERNAL_INITIAL.map(|round| round.map(base)),
            partial: GOLDILOCKS_POSEIDON2_RC_8_INTERNAL.map(base),
            last: GOLDILOCKS_POSEIDON2_RC_8_EXTERNAL_FINAL.map(|round| round.map(base)),
        }
    })
}

/// All round constants, in the order they are added.
pub(crate) fn round_constants() -> impl Iterator<Item = BaseElement> {
    let constants = constants();
    let first = constants.initial.iter().flatten();
    let last = constants.last.iter().flatten();
    first.chain(&constants.partial).chain(last).copied()
}

/// What happens at an S-box: the trace fills two cells, the constraints check them.
trait SBoxes<E> {
    /// Takes the S-box's input and gives its output.
    fn apply(&mut self, input: E) -> E;
}

/// Evaluates the constraints of one row; gives the permutation's output, which is linear in the
/// last round's cells.
pub(crate) fn constrain<E: FieldElement<BaseField = BaseElement>>(
    cells: &[E],
    result: &mut [E],
) -> [E; LANES] {
    struct Check<'a, E> {
        cells: core::slice::Iter<'a, E>,
        result: core::slice::IterMut<'a, E>,
    }
    impl<E: FieldElement> SBoxes<E> for Check<'_, E> {
        #[inline(always)]
        fn apply(&mut self, input: E) -> E {
            let (Some(&cube), Some(&output)) = (self.cells.next(), self.cells.next()) else {
                return E::ZERO;
            };
            for constraint in [cube - input * input * input, output - cube * cube * input] {
                if let Some(slot) = self.result.next() {
                    *slot = constraint;
                }
            }
            output
        }
    }
    let mut sboxes = Check {
        cells: cells[LANES..CELLS].iter(),
        result: result[..CONSTRAINTS].iter_mut(),
    };
    rounds(core::array::from_fn(|i| cells[i]), &mut sboxes)
}

/// Fills one row's cells from its input, which is already there; gives the output.
pub(crate) fn fill(cells: &mut [BaseElement]) -> [BaseElement; LANES] {
    struct Fill<'a>(core::slice::IterMut<'a, BaseElement>);
    impl SBoxes<BaseElement> for Fill<'_> {
        #[inline(always)]
        fn apply(&mut self, input: BaseElement) -> BaseElement {
            let cube = input * input * input;
            let output = cube * cube * input;
            for value in [cube, output] {
                if let Some(cell) = self.0.next() {
                    *cell = value;
                }
            }
            output
        }
    }
    let input = core::array::from_fn(|i| cells[i]);
    rounds(input, &mut Fill(cells[LANES..CELLS].iter_mut()))
}

/// The permutation's rounds around whatever happens at the S-boxes.
#[inline(always)]
fn rounds<E, S>(mut state: [E; LANES], sboxes: &mut S) -> [E; LANES]
where
    E: FieldElement<BaseField = BaseElement>,
    S: SBoxes<E>,
{
    let constants = constants();
    external_layer(&mut state);
    for round in &constants.initial {
        full_round(&mut state, round, sboxes);
    }
    for constant in &constants.partial {
        state[0] = sboxes.apply(state[0] + E::from(*constant));
        internal_layer(&mut state);
    }
    for round in &constants.last {
        full_round(&mut state, round, sboxes);
    }
    state
}

#[inline(always)]
fn full_round<E, S>(state: &mut [E; LANES], constants: &[BaseElement; LANES], sboxes: &mut S)
where
    E: FieldElement<BaseField = BaseElement>,
    S: SBoxes<E>,
{
    for (lane, constant) in state.iter_mut().zip(constants) {
        *lane = sboxes.apply(*lane + E::from(*constant));
    }
    external_layer(state);
}

/// Both halves by `[2 3 1 1; 1 2 3 1; 1 1 2 3; 3 1 1 2]`, then each lane plus its sum over halves.
#[inline(always)]
fn external_layer<E: FieldElement>(state: &mut [E; LANES]) {
    let (halves, _) = state.as_chunks_mut::<4>();
    for x in halves.iter_mut() {
        let (a, b) = (x[0] + x[1], x[2] + x[3]);
        let sum = a + b;
        let (left, right) = (sum + x[1], sum + x[3]);
        *x = [
            left + a,
            left + x[2].double(),
            right + b,
            right + x[0].double(),
        ];
    }
    let sums: [E; 4] = core::array::from_fn(|i| state[i] + state[i + 4]);
    for (i, lane) in state.iter_mut().enumerate() {
        *lane += sums[i % 4];
    }
}

/// The sum of all lanes, plus each lane times -2, 1, 2, 1/2, 3, -1/2, -3, -4.
#[inline(always)]
fn internal_layer<E: FieldElement<BaseField = BaseElement>>(state: &mut [E; LANES]) {
    /// (p + 1) / 2.
    const HALF: BaseElement = BaseElement::new(0x7fff_ffff_8000_0001);
    let s = *state;
    let sum = s.iter().fold(E::ZERO, |sum, lane| sum + *lane);
    let half = E::from(HALF);
    *state = [
        sum - s[0].double(),
        sum + s[1],
        sum + s[2].double(),
        sum + s[3] * half,
        sum + s[4] + s[4].double(),
        sum - s[5] * half,
        sum - s[6] - s[6].double(),
        sum - s[7].double().double(),
    ];
}
