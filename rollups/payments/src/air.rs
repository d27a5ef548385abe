//! The constraints. `docs/programs/payments.md` argues why they are sound.
//!
//! A *slot* is the 256 rows of one payment. Groups of constraints that can never meet in one row
//! share one place in the result, each under its own selector: at every row at most one selector
//! of a place is 1, so each of them holds on its own rows.

mod rows;
mod signature;

use winterfell::math::{FieldElement, fields::f64::BaseElement};
use winterfell::{
    Air, AirContext, Assertion, EvaluationFrame, ProofOptions, TraceInfo,
    TransitionConstraintDegree,
};

use crate::layout::{SLOT_ROWS, Selectors, column as col, periodic_columns};
use crate::permutation;
use crate::statement::PublicInputs;

use rows::{Places, Rows};

/// The program's algebraic intermediate representation for one range.
pub(crate) struct PaymentsAir {
    context: AirContext<BaseElement>,
    inputs: PublicInputs,
    payment_start: [BaseElement; 4],
    fee_slot: BaseElement,
}

/// Constraints of each group: how many, their degree in the trace, and whether selectors join in.
const GROUPS: [(usize, usize, bool); 31] = [
    (permutation::CONSTRAINTS, 3, false),
    (12, 2, false),                       // bits and flags
    (col::HELD_END - col::HELD, 1, true), // held columns
    (4, 2, true),                         // delay
    (4, 1, true),                         // root moves
    (4, 1, true),                         // digest is a root
    (4, 2, true),                         // commitment
    (1, 3, true),                         // pool
    (4, 2, true),                         // left input
    (4, 2, true),                         // right input
    (1, 3, true),                         // new leaf: balance
    (3, 2, true),                         // new leaf: the rest
    (4, 2, true),                         // links of paths
    (4, 2, true),                         // shared siblings
    (1, 1, true),                         // side
    (1, 1, true),                         // position
    (1, 2, true),                         // absorb
    (1, 1, true),                         // end of the one-time key
    (1, 2, true),                         // first bit
    (1, 3, true),                         // second bit
    (1, 3, true),                         // first shift
    (1, 2, true),                         // second shift
    (1, 1, true),                         // pair counter
    (4, 2, true),                         // chain ends stay
    (2, 3, true),                         // chain ends computed
    (2, 1, true),                         // tweak
    (2, 2, true),                         // code bits
    (2, 4, true),                         // fingerprint
    (2, 2, true),                         // square of the point
    (5, 2, true),                         // equalities
    (1, 3, true),                         // inequalities
];

/// Root, commitment and pool at both ends.
pub(crate) const ASSERTIONS: usize = 2 * (4 + 4 + 1);

/// All transition constraints.
pub(crate) fn constraint_count() -> usize {
    GROUPS.iter().map(|(count, ..)| count).sum()
}

/// Numbers that describe the constraints: width, rows of a payment, and each group.
pub(crate) fn shape() -> impl Iterator<Item = usize> {
    let groups = GROUPS
        .into_iter()
        .flat_map(|(count, degree, periodic)| [count, degree, usize::from(periodic)]);
    [col::WIDTH, SLOT_ROWS].into_iter().chain(groups)
}

fn degrees() -> Vec<TransitionConstraintDegree> {
    let degree = |(count, base, periodic): (usize, usize, bool)| {
        let degree = if periodic {
            TransitionConstraintDegree::with_cycles(base, vec![SLOT_ROWS])
        } else {
            TransitionConstraintDegree::new(base)
        };
        core::iter::repeat_n(degree, count)
    };
    GROUPS.into_iter().flat_map(degree).collect()
}

impl Air for PaymentsAir {
    type BaseField = BaseElement;
    type PublicInputs = PublicInputs;

    fn new(trace_info: TraceInfo, inputs: PublicInputs, options: ProofOptions) -> Self {
        // The last row takes part in no constraint: it holds filler, so that every column has
        // full degree whatever the payments are.
        let context = AirContext::new(trace_info, degrees(), ASSERTIONS, options)
            .set_num_transition_exemptions(2);
        Self {
            context,
            payment_start: inputs.range.payment_context().first_state().elements(),
            fee_slot: BaseElement::from(inputs.old.fee_slot),
            inputs,
        }
    }

    fn context(&self) -> &AirContext<BaseElement> {
        &self.context
    }

    fn get_periodic_column_values(&self) -> Vec<Vec<BaseElement>> {
        periodic_columns()
    }

    fn get_assertions(&self) -> Vec<Assertion<BaseElement>> {
        let last = self.trace_length() - 2;
        let inputs = &self.inputs;
        let ends = [
            (0, &inputs.old, inputs.first_commitment),
            (last, &inputs.new, inputs.last_commitment),
        ];
        let mut assertions = Vec::new();
        for (step, opening, commitment) in ends {
            for (i, root) in opening.accounts.elements().into_iter().enumerate() {
                assertions.push(Assertion::single(col::ROOT + i, step, root));
            }
            for (i, value) in commitment.elements().into_iter().enumerate() {
                assertions.push(Assertion::single(col::COMMITMENT + i, step, value));
            }
            let pool = BaseElement::new(opening.pool);
            assertions.push(Assertion::single(col::POOL, step, pool));
        }
        assertions
    }

    fn evaluate_transition<E: FieldElement<BaseField = BaseElement>>(
        &self,
        frame: &EvaluationFrame<E>,
        periodic_values: &[E],
        result: &mut [E],
    ) {
        let (now, next) = (frame.current(), frame.next());
        let (permutation, rest) = result.split_at_mut(permutation::CONSTRAINTS);
        let output = permutation::constrain(now, permutation);
        let rows = Rows {
            now,
            next,
            select: Selectors::read(periodic_values),
            digest: core::array::from_fn(|i| output[i] + now[i]),
            fee_slot: self.fee_slot.into(),
        };
        let mut out = Places(rest.iter_mut());
        rows.flags(&mut out);
        rows.held(&mut out);
        rows.carried(&mut out);
        rows.inputs(&mut out, self.payment_start.map(E::from));
        rows.paths(&mut out);
        rows.one_time_key(&mut out);
        rows.fingerprint(&mut out);
        rows.judgement(&mut out);
        debug_assert!(out.0.next().is_none());
    }
}
