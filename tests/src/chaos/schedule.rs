//! When what begins and ends.

use super::history::FaultId;
use super::scenario::{Fault, Scenario};

/// One moment of one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub at_ms: u64,
    pub fault: FaultId,
    pub moment: Moment,
}

/// The two moments of a fault. One that lasts 0 has only a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    End,
    Begin,
}

/// All moments in order of time; what ends comes before what begins.
pub fn schedule(scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, fault) in scenario.faults.iter().enumerate() {
        occurrences(index, fault, &mut steps);
    }
    steps.sort_by_key(|step| (step.at_ms, step.moment, step.fault));
    steps
}

fn occurrences(index: usize, fault: &Fault, steps: &mut Vec<Step>) {
    for occurrence in 0..fault.times {
        let at_ms = fault.at_ms + u64::from(occurrence) * fault.every_ms;
        let fault_id = FaultId {
            fault: index,
            occurrence,
        };
        let step = |at_ms, moment| Step {
            at_ms,
            fault: fault_id,
            moment,
        };
        steps.push(step(at_ms, Moment::Begin));
        if fault.lasts_ms > 0 {
            steps.push(step(at_ms + fault.lasts_ms, Moment::End));
        }
    }
}
