//! Makes a failing seed's plan shorter, as long as the same invariant still breaks.

use super::plan::{Conduct, MS, Plan};
use super::{Options, Outcome, plan_of, run_plan};
use crate::checkers::Violation;

/// Runs that a minimisation may take.
const RUNS_MAX: u32 = 400;

/// What is left of a failing seed.
#[derive(Debug, Clone)]
pub struct Minimised {
    /// How the invariant breaks under the shortened plan.
    pub violation: Violation,
    /// What the shortened plan leaves on all the time.
    pub conditions: String,
    /// Its faults and submissions, in the order of their times.
    pub events: Vec<String>,
    /// How many events the seed's own plan had.
    pub events_before: usize,
    /// How many runs it took.
    pub runs: u32,
    /// Of the last failing run.
    pub log: Vec<String>,
}

struct Search {
    options: Options,
    plan: Plan,
    violation: Violation,
    runs: u32,
}

/// Shortens a seed that breaks an invariant; `None` if it breaks none.
pub fn minimise(options: Options) -> Option<Minimised> {
    let plan = plan_of(&options);
    let events_before = plan.events().len();
    let violation = run_plan(options, plan.clone()).violation?;
    let mut search = Search {
        options,
        plan,
        violation,
        runs: 1,
    };
    while search.round() {}
    let Outcome { log, .. } = run_plan(options.logged(), search.plan.clone());
    Some(Minimised {
        violation: search.violation,
        conditions: search.plan.to_string(),
        events: search.plan.events(),
        events_before,
        runs: search.runs,
        log,
    })
}

impl Search {
    /// Takes the changed plan if it still breaks the same invariant.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        let mut plan = self.plan.clone();
        change(&mut plan);
        self.runs += 1;
        let violation = run_plan(self.options, plan.clone()).violation;
        match violation.filter(|found| found.invariant == self.violation.invariant) {
            Some(violation) => {
                self.plan = plan;
                self.violation = violation;
                true
            }
            None => false,
        }
    }

    /// Everything once; whether anything became shorter.
    fn round(&mut self) -> bool {
        let mut shorter = self.conditions();
        shorter |= self.shorten(|plan| &mut plan.partitions);
        shorter |= self.shorten(|plan| &mut plan.crashes);
        shorter |= self.shorten(|plan| &mut plan.submissions);
        if self
            .plan
            .liar
            .as_ref()
            .is_some_and(|liar| liar.lies.len() > 1)
        {
            shorter |= self.lies();
        }
        shorter | self.times()
    }

    /// What holds all the time, switched off one by one.
    fn conditions(&mut self) -> bool {
        let plan = &self.plan;
        let calm = Plan {
            drop_permille: 0,
            duplicate_permille: 0,
            delay_us: (200, 2 * MS),
            disk_us: (100, 500),
            ahead_ms: vec![0; plan.nodes],
            first_prover: Conduct::Honest,
            ..plan.clone()
        };
        let (drop, duplicate) = (plan.drop_permille > 0, plan.duplicate_permille > 0);
        let (delay, disk) = (plan.delay_us.1 > 2 * MS, plan.disk_us.1 > 500);
        let (ahead, prover) = (
            plan.ahead_ms != calm.ahead_ms,
            plan.first_prover != calm.first_prover,
        );
        let mut shorter = false;
        if plan.liar.is_some() {
            shorter |= self.attempt(|plan| plan.liar = None);
        }
        shorter |= drop && self.attempt(|plan| plan.drop_permille = 0);
        shorter |= duplicate && self.attempt(|plan| plan.duplicate_permille = 0);
        shorter |= delay && self.attempt(|plan| plan.delay_us = calm.delay_us);
        shorter |= disk && self.attempt(|plan| plan.disk_us = calm.disk_us);
        shorter |= ahead && self.attempt(|plan| plan.ahead_ms = calm.ahead_ms);
        shorter | (prover && self.attempt(|plan| plan.first_prover = Conduct::Honest))
    }

    /// Leaves out runs of a list's entries, from half of it down to single ones.
    fn shorten<T>(&mut self, list: fn(&mut Plan) -> &mut Vec<T>) -> bool {
        let mut shorter = false;
        let mut chunk = list(&mut self.plan).len();
        while chunk > 0 {
            let mut at = 0;
            while at < list(&mut self.plan).len() {
                let end = (at + chunk).min(list(&mut self.plan).len());
                match self.attempt(|plan| drop(list(plan).drain(at..end))) {
                    true => shorter = true,
                    false => at = end,
                }
            }
            chunk /= 2;
        }
        shorter
    }

    fn lies(&mut self) -> bool {
        let lies = |plan: &Plan| plan.liar.as_ref().map_or(0, |liar| liar.lies.len());
        let mut shorter = false;
        for at in (0..lies(&self.plan)).rev() {
            shorter |= lies(&self.plan) > 1
                && self.attempt(|plan| {
                    plan.liar.iter_mut().for_each(|liar| {
                        liar.lies.remove(at);
                    });
                });
        }
        shorter
    }

    /// Halves how long faults last.
    fn times(&mut self) -> bool {
        let mut shorter = false;
        for at in 0..self.plan.crashes.len() {
            let crash = &self.plan.crashes[at];
            let half = crash.at_us + (crash.back_us - crash.at_us) / 2;
            let long = crash.back_us > crash.at_us + 20 * MS;
            shorter |= long && self.attempt(|plan| plan.crashes[at].back_us = half);
        }
        for at in 0..self.plan.partitions.len() {
            let cut = &self.plan.partitions[at];
            let half = cut.from_us + (cut.to_us - cut.from_us) / 2;
            let long = cut.to_us > cut.from_us + 20 * MS;
            shorter |= long && self.attempt(|plan| plan.partitions[at].to_us = half);
        }
        shorter
    }
}
