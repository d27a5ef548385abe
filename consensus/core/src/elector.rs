//! Who leads a view.
//!
//! After a TC: plain weighted round-robin by view. After a QC: the same, skipping validators of
//! weight f at most whose last view was lost. Both are functions of the proposal's justification
//! alone, so nodes with different committed prefixes agree.
//!
//! What was lost shows in the headers: a gap between `parent_view` and `view` means that the
//! leaders of the views between were replaced. The first of them followed the parent's QC, the
//! rest followed TCs. The walk starts with nobody blamed [`ANCESTRY_BLOCKS`] blocks back, so a
//! validator that is blamed gets its next chance at the latest that many blocks later, and earlier
//! if it leads well after a TC.

use std::collections::VecDeque;

use conclave_crypto::Committee;
use conclave_types::{BlockHeader, ValidatorIndex, View};

/// How many headers back the election looks: with one of four validators dead, one lost view in
/// 256 blocks.
pub const ANCESTRY_BLOCKS: usize = 256;

pub(crate) struct Elector {
    /// One slot per unit of weight, each validator's spread evenly.
    schedule: Vec<ValidatorIndex>,
    weights: Vec<u16>,
    faults: u16,
}

/// The validators whose last view was lost, the latest last; f in weight at most, so that there
/// is always an honest one to elect.
struct Blamed<'a> {
    elector: &'a Elector,
    order: VecDeque<ValidatorIndex>,
}

impl Elector {
    pub(crate) fn new(committee: &Committee) -> Self {
        let weights: Vec<u16> = committee.members().iter().map(|m| m.weight).collect();
        Self {
            schedule: smooth_schedule(&weights),
            weights,
            faults: committee.threshold.faults(),
        }
    }

    /// The leader of a view that a timeout certificate entered.
    pub(crate) fn after_timeout(&self, view: View) -> ValidatorIndex {
        self.slot(view.0)
    }

    /// The leader of a view that the quorum certificate of the last header entered. The headers
    /// are that block and its ancestors, ascending, [`ANCESTRY_BLOCKS`] of them unless the chain
    /// is shorter.
    pub(crate) fn after_quorum<'a>(
        &self,
        view: View,
        ancestry: impl IntoIterator<Item = &'a BlockHeader>,
    ) -> ValidatorIndex {
        let mut blamed = Blamed {
            elector: self,
            order: VecDeque::new(),
        };
        for header in ancestry {
            blamed.read(header);
        }
        blamed.leader(view)
    }

    fn slot(&self, position: u64) -> ValidatorIndex {
        self.schedule[(position % self.schedule.len() as u64) as usize]
    }
}

impl Blamed<'_> {
    fn read(&mut self, header: &BlockHeader) {
        let first_lost = header.parent_view.0.saturating_add(1);
        if first_lost < header.view.0 {
            self.blame(self.leader(View(first_lost)));
            // One turn of the schedule names everybody, so older losses do not matter.
            let turn = self.elector.schedule.len() as u64;
            let from = (first_lost + 1).max(header.view.0.saturating_sub(turn));
            for view in from..header.view.0 {
                self.blame(self.elector.slot(view));
            }
        }
        self.order.retain(|other| *other != header.proposer);
    }

    fn blame(&mut self, validator: ValidatorIndex) {
        self.order.retain(|other| *other != validator);
        self.order.push_back(validator);
        while self.weight() > self.elector.faults {
            self.order.pop_front();
        }
    }

    fn weight(&self) -> u16 {
        let weight = |index: &ValidatorIndex| self.elector.weights[usize::from(index.0)];
        self.order.iter().map(weight).sum()
    }

    fn leader(&self, view: View) -> ValidatorIndex {
        let turn = self.elector.schedule.len() as u64;
        let start = view.0 % turn;
        (start..start + turn)
            .map(|position| self.elector.slot(position))
            .find(|validator| !self.order.contains(validator))
            .unwrap_or_else(|| self.elector.slot(start))
    }
}

/// Smooth weighted round-robin: each turn everyone earns its weight, the richest is chosen (the
/// first of equals) and pays the total.
fn smooth_schedule(weights: &[u16]) -> Vec<ValidatorIndex> {
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut schedule = Vec::new();
    for _ in 0..total {
        let mut best = 0;
        for (index, weight) in weights.iter().enumerate() {
            credit[index] += i64::from(*weight);
            if credit[index] > credit[best] {
                best = index;
            }
        }
        credit[best] -= total;
        schedule.push(ValidatorIndex(best as u16));
    }
    schedule
}
