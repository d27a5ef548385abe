//! The report: a table, JSON and a picture for each scenario.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use conclave_tests::chaos::{History, Outcome, picture};
use serde::Serialize;

/// What the scenarios ran on.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Setting {
    pub(super) view_timeout_ms: u64,
    /// After each fault began or ended.
    pub(super) allowance_ms: u64,
    /// Whether each validator had a network namespace of its own, whose only link leads to the
    /// relay.
    pub(super) isolated: bool,
    pub(super) debug_build: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    held: bool,
    #[serde(flatten)]
    setting: &'a Setting,
    scenarios: &'a [Outcome],
}

/// A report that grows by one scenario at a time.
pub(super) struct Report {
    folder: PathBuf,
    setting: Setting,
    outcomes: Vec<Outcome>,
}

impl Report {
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| denied(folder))?;
        Ok(Self {
            folder: folder.into(),
            setting: Setting::default(),
            outcomes: Vec::new(),
        })
    }

    /// Says what the next scenarios run on, the same for all.
    pub(super) fn set(&mut self, setting: Setting) {
        self.setting = setting;
    }

    /// The folder of one scenario's logs.
    pub(super) fn logs(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(name)
    }

    /// Adds a scenario and writes everything anew.
    pub(super) fn add(&mut self, outcome: Outcome, history: &History) -> anyhow::Result<()> {
        self.write(
            &format!("{}.svg", outcome.name),
            &picture(&outcome, history),
        )?;
        self.outcomes.push(outcome);
        let json = Json {
            held: self.held(),
            setting: &self.setting,
            scenarios: &self.outcomes,
        };
        self.write(
            "report.json",
            &(serde_json::to_string_pretty(&json)? + "\n"),
        )?;
        self.write("report.txt", &self.text())
    }

    /// Whether every checker held in every scenario.
    pub(super) fn held(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.held)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| denied(&path))
    }

    fn text(&self) -> String {
        let Setting {
            view_timeout_ms,
            allowance_ms,
            isolated,
            debug_build,
        } = self.setting;
        let mut lines = vec![
            format!(
                "validators as processes, {}; {} build; timeout {view_timeout_ms} ms, recovery allowance {allowance_ms} ms",
                match isolated {
                    true => "each in a network namespace whose only link leads to the relay",
                    false => "on loopback, with the relay between them: not isolated in namespaces",
                },
                if debug_build { "debug" } else { "release" }
            ),
            String::new(),
            titles(),
        ];
        for outcome in &self.outcomes {
            lines.push(line(outcome));
        }
        for outcome in &self.outcomes {
            lines.push(String::new());
            lines.push(format!(
                "{}, {} validators: {}",
                outcome.name, outcome.validators, outcome.about
            ));
            if outcome.stall_ms_max > 0 {
                lines.push(format!(
                    "  the machine itself stood still for {} ms at most; {} windows are not judged for that",
                    outcome.stall_ms_max, outcome.windows_starved
                ));
            }
            for liar in &outcome.byzantine {
                lines.push(format!("  {liar}"));
            }
            if !outcome.forfeited.is_empty() {
                lines.push(format!(
                    "  bonds forfeited: validators {:?}",
                    outcome.forfeited
                ));
            }
            for fault in &outcome.fault_list {
                lines.push(format!(
                    "  {} to {}: {}; cost {} at its beginning, {} at its end",
                    seconds(fault.began_ms),
                    fault.ended_ms.map_or("never".into(), seconds),
                    fault.what,
                    cost(fault.begin_cost_ms),
                    cost(fault.end_cost_ms)
                ));
            }
            for finding in &outcome.findings {
                lines.push(format!("  FAILED {finding}"));
            }
        }
        lines.join("\n") + "\n"
    }
}

const WIDTHS: [usize; 11] = [19, 6, 10, 7, 9, 8, 6, 5, 5, 7, 7];

/// The table's head.
pub(super) fn titles() -> String {
    row(&[
        "scenario", "faults", "windows", "share", "pause ms", "recov ms", "acked", "lost", "early",
        "settled", "",
    ]
    .map(String::from))
}

/// One scenario in the table.
pub(super) fn line(outcome: &Outcome) -> String {
    let (with, expected) = (outcome.windows_with_progress, outcome.windows_expected);
    let share = match expected {
        0 => "–".into(),
        _ => format!("{:.1} %", with as f64 * 100.0 / expected as f64),
    };
    row(&[
        outcome.name.clone(),
        outcome.faults.to_string(),
        format!("{with}/{expected}"),
        share,
        outcome.longest_pause_ms.to_string(),
        outcome.recovery_ms_max.to_string(),
        outcome.acknowledged.to_string(),
        outcome.lost.to_string(),
        outcome.opened_early.to_string(),
        outcome.settled.to_string(),
        if outcome.held { "held" } else { "FAILED" }.into(),
    ])
}

fn row(cells: &[String; 11]) -> String {
    let cells = cells
        .iter()
        .zip(WIDTHS)
        .enumerate()
        .map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
    cells.collect::<Vec<_>>().join("  ")
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

fn cost(ms: Option<u64>) -> String {
    ms.map_or("nothing that counts".into(), |ms| format!("{ms} ms"))
}

fn denied(path: &Path) -> String {
    format!(
        "[CV-CLI-071] cannot write {}; check its rights",
        path.display()
    )
}
