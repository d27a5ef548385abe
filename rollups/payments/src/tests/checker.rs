//! Evaluates the constraints on a trace row by row, without the proof system.

use winterfell::math::{FieldElement, fields::f64::BaseElement};
use winterfell::{Air, EvaluationFrame, Trace, TraceInfo, TraceTable};

use crate::air::{PaymentsAir, constraint_count};
use crate::layout::{SLOT_ROWS, column, periodic_columns};
use crate::program::options;
use crate::statement::PublicInputs;

pub(super) struct Checker {
    air: PaymentsAir,
    periodic: Vec<Vec<BaseElement>>,
    pub(super) columns: Vec<Vec<BaseElement>>,
}

impl Checker {
    pub(super) fn new(trace: &TraceTable<BaseElement>, inputs: &PublicInputs) -> Self {
        let info = TraceInfo::new(column::WIDTH, trace.length());
        Self {
            air: PaymentsAir::new(info, inputs.clone(), options()),
            periodic: periodic_columns(),
            columns: (0..column::WIDTH)
                .map(|c| trace.main_segment().get_column(c).to_vec())
                .collect(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.columns[0].len()
    }

    fn read(&self, row: usize) -> Vec<BaseElement> {
        self.columns.iter().map(|column| column[row]).collect()
    }

    /// Whether the transition from this row to the next breaks a constraint.
    pub(super) fn breaks_at(&self, row: usize) -> bool {
        let periodic: Vec<_> = self.periodic.iter().map(|c| c[row % SLOT_ROWS]).collect();
        let frame = EvaluationFrame::from_rows(self.read(row), self.read(row + 1));
        let mut result = vec![BaseElement::ZERO; constraint_count()];
        self.air.evaluate_transition(&frame, &periodic, &mut result);
        result.iter().any(|value| *value != BaseElement::ZERO)
    }

    /// Whether an assertion fails.
    pub(super) fn breaks_assertions(&self) -> bool {
        self.air.get_assertions().iter().any(|assertion| {
            self.columns[assertion.column()][assertion.first_step()] != assertion.values()[0]
        })
    }

    /// Whether anything is wrong; the last two rows are exempt.
    pub(super) fn breaks(&self) -> bool {
        self.breaks_assertions() || (0..self.rows() - 2).any(|row| self.breaks_at(row))
    }
}
