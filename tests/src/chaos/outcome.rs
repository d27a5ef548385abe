//! The verdict on one scenario.

use std::fmt::Write as _;

use conclave_sdk::api::{RollupView, TotalsView};
use serde::Serialize;

use super::bonds::{Bonds, accountability, liars};
use super::contents::{Contents, Finding};
use super::history::History;
use super::scenario::Scenario;
use super::windows::{Committee, Windows, has_quorum_at, is_starved, recovery_ms, windows};

/// Windows that the machine may spoil: one of so many.
const STARVED_PART: u64 = 10;

/// What was found once everything had come to rest.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// All the money at each validator.
    pub totals: Vec<(u16, TotalsView)>,
    /// The money that the genesis made.
    pub supply: u64,
    /// The payments rollup at each validator.
    pub rollups: Vec<(u16, RollupView)>,
    /// Settled ranges whose proofs were verified from the genesis.
    pub settled: u64,
    /// What each validator put up at the genesis.
    pub bond: u64,
    /// The validators' bonds at each validator.
    pub bonds: Vec<Bonds>,
    /// What did not come to rest in time or did not verify, by invariant.
    pub trouble: Vec<(&'static str, String)>,
}

/// One fault and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultOutcome {
    pub what: String,
    pub began_ms: u64,
    pub ended_ms: Option<u64>,
    /// The longest pause that its beginning and its end cost; absent where no quorum was left.
    pub begin_cost_ms: Option<u64>,
    pub end_cost_ms: Option<u64>,
}

/// One scenario's figures, as in `report.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    pub name: String,
    pub about: String,
    pub validators: u16,
    /// How many faults there were.
    pub faults: usize,
    pub seconds: u64,
    /// One-second windows past the recovery allowance in which a quorum was up and connected, and
    /// those of them in which a block became final.
    pub windows_with_progress: u64,
    pub windows_expected: u64,
    /// Windows beside those that are not judged, since the machine itself stood still.
    pub windows_starved: u64,
    /// The longest stall of the machine.
    pub stall_ms_max: u64,
    /// The longest time without a final block while a quorum was up and connected.
    pub longest_pause_ms: u64,
    /// The most that the beginning or the end of any fault cost.
    pub recovery_ms_max: u64,
    /// The most that killing the leader cost; absent where none was killed.
    pub leader_cost_ms_max: Option<u64>,
    /// Envelopes with a valid receipt.
    pub acknowledged: u64,
    /// Submissions that were refused or not answered.
    pub refused: u64,
    pub lost: u64,
    pub opened_early: u64,
    /// Ranges settled by a verified proof.
    pub settled: u64,
    /// Final blocks, each verified by its certificate.
    pub blocks: u64,
    /// Who lied, and how.
    pub byzantine: Vec<String>,
    /// Validators whose bond is forfeited.
    pub forfeited: Vec<u16>,
    /// Every checker held.
    pub held: bool,
    pub findings: Vec<String>,
    pub fault_list: Vec<FaultOutcome>,
    #[serde(skip)]
    pub(super) windows: Windows,
}

impl Outcome {
    /// A run that could not be finished.
    pub fn failed(scenario: &Scenario, validators: u16, history: &History, reason: &str) -> Self {
        Self {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            validators,
            byzantine: liars(scenario),
            faults: history.faults.len(),
            acknowledged: history.acknowledged.len() as u64,
            findings: vec![live(reason.into()).to_string()],
            ..Self::default()
        }
    }

    /// Something went wrong after the verdict.
    pub fn fail(&mut self, reason: &str) {
        self.held = false;
        self.findings.push(live(reason.into()).to_string());
    }
}

/// Judges a run.
pub fn judge(
    scenario: &Scenario,
    history: &History,
    contents: &mut Contents,
    ending: &Ending,
    committee: Committee,
) -> Outcome {
    let windows = windows(history, committee);
    let commits: Vec<u64> = history.commits().iter().map(|(at, _)| *at).collect();
    let changes = history.changes();
    let cost = |at_ms: u64| {
        let counts = at_ms < history.end_ms && has_quorum_at(&changes, at_ms, committee);
        counts.then(|| recovery_ms(&commits, at_ms, committee.allowance_ms))
    };
    let mut findings = Vec::new();
    let (mut recovery_ms_max, mut leader_cost_ms_max) = (0, None);
    let mut fault_list = Vec::new();
    for fault in history.faults.values() {
        let begin = cost(fault.began_ms);
        let end = fault.ended_ms.and_then(cost);
        for (moment, found) in [("began", begin), ("ended", end)] {
            match found {
                Some(Some(ms)) => recovery_ms_max = recovery_ms_max.max(ms),
                Some(None) => findings.push(live(format!(
                    "nothing was final after {} {moment}",
                    fault.what
                ))),
                None => {}
            }
        }
        let judged =
            |cost: &u64| !is_starved(history, fault.began_ms, fault.began_ms + cost, committee);
        if fault.impact.killed_leader {
            leader_cost_ms_max = leader_cost_ms_max.max(begin.flatten().filter(judged));
        }
        if fault.ended_ms.is_none() {
            findings.push(live(format!("{} never ended", fault.what)));
        }
        fault_list.push(FaultOutcome {
            what: fault.what.clone(),
            began_ms: fault.began_ms,
            ended_ms: fault.ended_ms,
            begin_cost_ms: begin.flatten(),
            end_cost_ms: end.flatten(),
        });
    }
    findings.extend(liveness(scenario, &windows, leader_cost_ms_max));
    let (lost, found) = contents.finish(&history.acknowledged);
    findings.extend(found);
    findings.extend(money(ending));
    findings.extend(settlement(ending));
    findings.extend(accountability(scenario, ending, committee.validators));
    if scenario.payments_per_second > 0.0 && ending.settled == 0 {
        findings.push(Finding {
            invariant: "settlement",
            text: "nothing was settled".into(),
        });
    }
    if history.acknowledged.is_empty() {
        findings.push(live("no envelope was acknowledged".into()));
    }
    let stalls = history
        .stalls
        .iter()
        .map(|stall| stall.to_ms - stall.from_ms);
    Outcome {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        validators: committee.validators,
        faults: history.faults.len(),
        seconds: history.end_ms / 1000,
        windows_with_progress: windows.with_progress,
        windows_expected: windows.expected,
        windows_starved: windows.starved,
        stall_ms_max: stalls.max().unwrap_or(0),
        longest_pause_ms: windows.longest_pause_ms,
        recovery_ms_max,
        leader_cost_ms_max,
        acknowledged: history.acknowledged.len() as u64,
        refused: history.refused,
        lost,
        opened_early: contents.opened_early(),
        settled: ending.settled,
        blocks: contents.blocks() as u64,
        byzantine: liars(scenario),
        forfeited: ending
            .bonds
            .first()
            .map_or(Vec::new(), |bonds| bonds.forfeited.clone()),
        held: findings.is_empty() && lost == 0 && contents.opened_early() == 0,
        findings: findings.iter().map(ToString::to_string).collect(),
        fault_list,
        windows,
    }
}

fn liveness(scenario: &Scenario, windows: &Windows, leader_cost: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (with, expected) = (windows.with_progress, windows.expected);
    if expected == 0 {
        findings.push(live(
            "no window was expected to have progress: the faults leave no time to judge".into(),
        ));
    } else if (with as f64) * 100.0 < expected as f64 * scenario.progress_percent_min {
        findings.push(live(format!(
            "{with} of {expected} windows had progress, wanted {} %; without: those from {:?} ms on",
            scenario.progress_percent_min, windows.without_ms
        )));
    }
    if windows.starved * STARVED_PART > windows.starved + expected {
        findings.push(live(format!(
            "the machine stood still in {} windows of {}: it is too busy to judge anything on it",
            windows.starved,
            windows.starved + expected
        )));
    }
    if let Some(cost) = leader_cost.filter(|cost| *cost >= scenario.leader_cost_ms_max) {
        findings.push(live(format!(
            "a killed leader cost {cost} ms, allowed is less than {}",
            scenario.leader_cost_ms_max
        )));
    }
    if windows.without_quorum > 0 {
        findings.push(Finding {
            invariant: "certified",
            text: format!(
                "{} heights became final while no quorum was connected",
                windows.without_quorum
            ),
        });
    }
    findings
}

/// All the money is there, everywhere.
fn money(ending: &Ending) -> Vec<Finding> {
    let wrong = |(validator, totals): &(u16, TotalsView)| {
        let parts = [
            totals.balances,
            totals.fee_accounts,
            totals.bonds,
            totals.funds,
            totals.pool,
            totals.other,
        ];
        let sum = parts
            .iter()
            .try_fold(0_u64, |sum, part| sum.checked_add(*part));
        let all_there = sum == Some(ending.supply) && totals.total == ending.supply;
        (!all_there).then(|| Finding {
            invariant: "conservation",
            text: format!(
                "validator {validator} has {totals:?}, the genesis made {}",
                ending.supply
            ),
        })
    };
    ending.totals.iter().filter_map(wrong).collect()
}

/// Everything is settled, to the same root everywhere.
fn settlement(ending: &Ending) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ending
        .trouble
        .iter()
        .map(|(invariant, text)| Finding {
            invariant,
            text: text.clone(),
        })
        .collect();
    let Some((_, first)) = ending.rollups.first() else {
        return findings;
    };
    for (validator, view) in &ending.rollups {
        let mut text = String::new();
        if view.settled_index != view.ordered_index {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{} of {} transactions are settled; ",
                view.settled_index, view.ordered_index
            );
        }
        if view.settled_root != first.settled_root || view.stream_digest != first.stream_digest {
            let _ = write!(
                text,
                "root {} and stream {} are not those of validator {}; ",
                view.settled_root, view.stream_digest, ending.rollups[0].0
            );
        }
        if !text.is_empty() {
            findings.push(Finding {
                invariant: "settlement",
                text: format!("at validator {validator}: {}", text.trim_end_matches("; ")),
            });
        }
    }
    findings
}

fn live(text: String) -> Finding {
    Finding {
        invariant: "liveness",
        text,
    }
}
