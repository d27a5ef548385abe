//! The constraints' permutation, columns of it, and the native hash agree.

use winterfell::math::{FieldElement, fields::f64::BaseElement};

use crate::hash::{Felt, permute, to_base};
use crate::permutation::{CELLS, CONSTRAINTS, constrain, fill};

#[test]
fn the_round_function_is_the_crates() {
    let mut state: [Felt; 8] =
        core::array::from_fn(|i| Felt::new(0x1234_5678_9abc_def0 ^ i as u64));
    for _ in 0..1000 {
        let mut cells = vec![BaseElement::ZERO; CELLS];
        for (cell, element) in cells.iter_mut().zip(state) {
            *cell = to_base(element);
        }
        let output = fill(&mut cells);
        let mut result = vec![BaseElement::ONE; CONSTRAINTS];
        assert_eq!(constrain(&cells, &mut result), output);
        assert!(result.iter().all(|value| *value == BaseElement::ZERO));
        permute(&mut state);
        assert_eq!(output, state.map(to_base));
    }
}

#[test]
fn every_cell_of_a_permutation_is_bound() {
    let mut cells = vec![BaseElement::ONE; CELLS];
    fill(&mut cells);
    for cell in 0..CELLS {
        let mut changed = cells.clone();
        changed[cell] += BaseElement::ONE;
        let mut result = vec![BaseElement::ZERO; CONSTRAINTS];
        constrain(&changed, &mut result);
        assert!(
            result.iter().any(|value| *value != BaseElement::ZERO),
            "cell {cell}"
        );
    }
}
