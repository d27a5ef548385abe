//! Who leads a view, and who collects its votes.
//!
//! After a TC: plain weighted round-robin by view. After a QC: the same, passing over validators of
//! weight f at most whose views were lost. Both are functions of the proposal's justification
//! alone, so nodes with different committed prefixes agree.
//!
//! What was lost shows in the headers: a gap between `parent_view` and `view` means that the
//! leaders of the views between were replaced. The first of them followed the parent's QC, the
//! rest followed TCs. Who lost a view is passed over for [`SKIP_BLOCKS_FIRST`] blocks, and for twice
//! as many each time it loses another before it has led a block again. So a validator that was
//! away for a moment is back soon, one that stays away costs a view now and then, and nobody is
//! passed over for much longer than it was away. The walk starts with nobody blamed
//! [`ANCESTRY_BLOCKS`] blocks back, and in each epoch: a committee is judged by its own blocks.

use std::collections::VecDeque;

use conclave_crypto::Committee;
use conclave_types::{BlockHeader, BlockId, Height, ValidatorIndex, View};

/// How many headers back the election looks. A validator that stays away is passed over for 32, 64
/// and 128 blocks and from then on for 256, since older failures are out of sight when it has
/// waited longer: one lost view in 256 blocks.
pub const ANCESTRY_BLOCKS: usize = 1024;

/// For how many blocks a validator is passed over after its first lost view: a view timer is worth
/// some 30 blocks of a busy committee.
const SKIP_BLOCKS_FIRST: u64 = 32;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Elector {
    /// One slot per unit of weight, each validator's spread evenly.
    schedule: Vec<ValidatorIndex>,
    weights: Vec<u16>,
    faults: u16,
}

/// A block and the view that it is voted on in, which for an epoch's last block may be later than its
/// own.
pub(crate) type Voted = (View, Height, BlockId);

/// The leader of the view after a certified block, and who helps it to collect votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elected {
    pub(crate) leader: ValidatorIndex,
    /// The next in the schedule that is not passed over; the leader itself if there is no other.
    pub(crate) backup: ValidatorIndex,
}

/// A validator that lost views since it last led a block.
struct Failure {
    validator: ValidatorIndex,
    count: u32,
    /// It leads after blocks of this height again.
    until: u64,
}

/// The failures, the latest last.
struct Blamed<'a> {
    elector: &'a Elector,
    failures: VecDeque<Failure>,
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

    /// The leader of a view that a timeout certificate entered: round-robin, f slots ahead. The
    /// leader that was elected for the view before is within f slots of that view's own, since
    /// validators of weight f at most are passed over, so it does not lead this one as well.
    pub(crate) fn after_timeout(&self, view: View) -> ValidatorIndex {
        let turn = self.schedule.len() as u64;
        self.slot(view.0 % turn + u64::from(self.faults))
    }

    /// The leader of a view that the quorum certificate of the last header entered, and its
    /// backup. The headers are that block and its ancestors, ascending, [`ANCESTRY_BLOCKS`] of them
    /// unless the chain is shorter.
    pub(crate) fn after_quorum<'a>(
        &self,
        view: View,
        ancestry: impl IntoIterator<Item = &'a BlockHeader>,
    ) -> Elected {
        let mut blamed = Blamed {
            elector: self,
            failures: VecDeque::new(),
        };
        let mut height = Height(0);
        for header in ancestry {
            blamed.read(header);
            height = header.height;
        }
        blamed.elect(view, height)
    }

    /// Whether a validator leads that view for some ancestry: at most f in weight are passed over.
    pub(crate) fn may_lead_after_quorum(&self, view: View, validator: ValidatorIndex) -> bool {
        let mut before: Vec<ValidatorIndex> = Vec::new();
        for slot in self.turn(view) {
            if slot == validator {
                return true;
            }
            if !before.contains(&slot) {
                before.push(slot);
            }
            if before.iter().map(|index| self.weight(*index)).sum::<u16>() > self.faults {
                return false;
            }
        }
        false
    }

    fn weight(&self, validator: ValidatorIndex) -> u16 {
        self.weights[usize::from(validator.0)]
    }

    /// One turn of the schedule from a view's slot on.
    fn turn(&self, view: View) -> impl Iterator<Item = ValidatorIndex> + '_ {
        let turn = self.schedule.len() as u64;
        let start = view.0 % turn;
        (start..start + turn).map(|position| self.slot(position))
    }

    fn slot(&self, position: u64) -> ValidatorIndex {
        self.schedule[(position % self.schedule.len() as u64) as usize]
    }
}

impl Blamed<'_> {
    fn read(&mut self, header: &BlockHeader) {
        let first_lost = header.parent_view.0.saturating_add(1);
        if first_lost < header.view.0 {
            let parent = Height(header.height.0.saturating_sub(1));
            let elected = self.elect(View(first_lost), parent);
            self.blame(elected.leader, header.height);
            // One turn of the schedule names everybody, so older losses do not matter.
            let turn = self.elector.schedule.len() as u64;
            let from = (first_lost + 1).max(header.view.0.saturating_sub(turn));
            for view in from..header.view.0 {
                self.blame(self.elector.after_timeout(View(view)), header.height);
            }
        }
        self.forget(header.proposer);
    }

    fn blame(&mut self, validator: ValidatorIndex, height: Height) {
        let count = self.forget(validator);
        let wait = SKIP_BLOCKS_FIRST << count.min(ANCESTRY_BLOCKS.ilog2());
        self.failures.push_back(Failure {
            validator,
            count: count + 1,
            until: height.0.saturating_add(wait),
        });
    }

    /// How often it had failed.
    fn forget(&mut self, validator: ValidatorIndex) -> u32 {
        let known = |failure: &Failure| failure.validator == validator;
        let position = self.failures.iter().position(known);
        position
            .and_then(|position| self.failures.remove(position))
            .map_or(0, |failure| failure.count)
    }

    /// Those to pass over after a block of this height: the latest to fail, f in weight at most,
    /// so that there is always an honest one to elect.
    fn passed_over(&self, height: Height) -> Vec<ValidatorIndex> {
        let mut weight = 0;
        let waiting = self.failures.iter().rev().filter(|f| height.0 < f.until);
        waiting
            .map(|failure| failure.validator)
            .take_while(|validator| {
                weight += self.elector.weight(*validator);
                weight <= self.elector.faults
            })
            .collect()
    }

    fn elect(&self, view: View, height: Height) -> Elected {
        let passed_over = self.passed_over(height);
        let mut able = self
            .elector
            .turn(view)
            .filter(|validator| !passed_over.contains(validator));
        let leader = able.next().unwrap_or_else(|| self.elector.slot(view.0));
        let backup = able.find(|other| *other != leader).unwrap_or(leader);
        Elected { leader, backup }
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
