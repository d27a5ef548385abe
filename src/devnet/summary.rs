//! What a run achieved, and whether that is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use conclave_sdk::Client;
use conclave_types::{RollupId, TxIndex};

use crate::duration::clock;
use crate::overview::{Names, Overview};

/// Proofs counted at most for one rollup.
const PROOFS_MAX: usize = 1000;

/// Where a run began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Baseline {
    height: u64,
    /// Ordered and settled transactions of each rollup that was registered.
    rollups: BTreeMap<u32, (u64, u64)>,
}

impl Baseline {
    pub(crate) fn of(overview: &Overview) -> Self {
        let rollups = overview.rollups.iter();
        Self {
            height: overview.status.committed_height,
            rollups: rollups
                .map(|rollup| (rollup.id, (rollup.ordered_index, rollup.settled_index)))
                .collect(),
        }
    }

    fn rollup(&self, id: u32) -> (u64, u64) {
        self.rollups.get(&id).copied().unwrap_or_default()
    }
}

/// What one rollup achieved in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Achieved {
    id: u32,
    ordered: u64,
    settled: u64,
}

/// Prints what was achieved since the baseline.
pub(crate) async fn print(
    baseline: &Baseline,
    end: &Overview,
    client: &Client,
    names: &Names,
    elapsed: Duration,
) {
    let status = &end.status;
    println!("\nsummary after {}", clock(elapsed));
    println!(
        "  {} blocks, height {}, finality p50 {} p99 {} ms",
        status.committed_height.saturating_sub(baseline.height),
        status.committed_height,
        status
            .finality_ms_p50
            .map_or_else(|| "-".into(), |ms| format!("{ms:.0}")),
        status
            .finality_ms_p99
            .map_or_else(|| "-".into(), |ms| format!("{ms:.0}")),
    );
    for achieved in achieved(baseline, end) {
        let from = baseline.rollup(achieved.id).1;
        let to = from + achieved.settled;
        let proofs = client
            .proofs(RollupId(achieved.id), TxIndex(from), PROOFS_MAX)
            .await;
        let ranges = proofs.map_or_else(
            |_| "?".into(),
            // Some may have been settled after the last look.
            |proofs| {
                proofs
                    .iter()
                    .filter(|proof| proof.to_index <= to)
                    .count()
                    .to_string()
            },
        );
        let name = end.rollups.iter().find(|rollup| rollup.id == achieved.id);
        println!(
            "  rollup {} {}: {} transactions ordered, {} settled in {ranges} ranges",
            achieved.id,
            name.map_or("", |rollup| rollup.name.as_str()),
            achieved.ordered,
            achieved.settled
        );
    }
    println!("  {}", end.provers_short(names));
}

/// An error unless every one of the rollups settled a range since the baseline.
pub(crate) fn verdict(baseline: &Baseline, end: &Overview, rollups: u16) -> anyhow::Result<()> {
    let achieved = achieved(baseline, end);
    let unsettled: Vec<String> = (1..=u32::from(rollups))
        .filter(|id| {
            !achieved
                .iter()
                .any(|rollup| rollup.id == *id && rollup.settled > 0)
        })
        .map(|id| match achieved.iter().find(|rollup| rollup.id == id) {
            Some(rollup) => format!("rollup {id} ordered {} transactions", rollup.ordered),
            None => format!("rollup {id} was not registered"),
        })
        .collect();
    if unsettled.is_empty() {
        return Ok(());
    }
    bail!(
        "[CV-CLI-085] not every rollup settled a range: {} and settled none; run it for longer, or look into the logs",
        unsettled.join(", ")
    );
}

fn achieved(baseline: &Baseline, end: &Overview) -> Vec<Achieved> {
    let rollups = end.rollups.iter();
    rollups
        .map(|rollup| {
            let (ordered, settled) = baseline.rollup(rollup.id);
            Achieved {
                id: rollup.id,
                ordered: rollup.ordered_index.saturating_sub(ordered),
                settled: rollup.settled_index.saturating_sub(settled),
            }
        })
        .collect()
}
