//! `conclave simulate`: whole committees under a seeded scheduler.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::bail;
use conclave_tests::{Coverage, Options, Outcome, run as run_seed};

/// Run whole committees of real replicas under simulated networks, disks, crashes and clocks, and
/// check every invariant. The same seed always gives the same history.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    first: u64,
    /// Replay one seed and print its event log.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; all processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.seed {
        Some(seed) => replay(seed),
        None => run_many(args),
    }
}

fn replay(seed: u64) -> anyhow::Result<()> {
    let outcome = run_seed(Options { seed, log: true });
    outcome.log.iter().for_each(|line| println!("{line}"));
    println!("{}", summary(&outcome));
    match outcome.violation {
        None => Ok(()),
        Some(violation) => bail!("[CV-SIM-002] seed {seed} broke an invariant: {violation}"),
    }
}

fn summary(outcome: &Outcome) -> String {
    format!(
        "seed {}: {} blocks, {} acknowledged, {} delivered, {} ranges settled, digest {}",
        outcome.seed,
        outcome.blocks,
        outcome.acknowledged,
        outcome.delivered,
        outcome.settled_ranges,
        outcome.digest
    )
}

fn run_many(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let (next, stop) = (AtomicU64::new(args.first), AtomicBool::new(false));
    let totals = Mutex::new((0_u64, 0_u64, 0_u64, 0_u64, Coverage::default()));
    let failed: Mutex<Option<Outcome>> = Mutex::new(None);
    let end = args.first.saturating_add(args.seeds);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..args.threads.unwrap_or(processors).max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run_seed(Options { seed, log: false });
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.0 += 1;
                    totals.1 += outcome.blocks;
                    totals.2 += outcome.delivered;
                    totals.3 += outcome.settled_ranges;
                    totals.4.add(&outcome.coverage);
                    if outcome.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                    }
                }
            });
        }
    });
    let (seeds, blocks, delivered, ranges, coverage) =
        totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(outcome) = failed.into_inner().unwrap_or_else(PoisonError::into_inner)
        && let Some(violation) = &outcome.violation
    {
        println!("{}", summary(&outcome));
        let seed = outcome.seed;
        bail!(
            "[CV-SIM-002] seed {seed} broke an invariant: {violation}; replay it with: conclave \
             simulate --seed {seed}"
        );
    }
    println!(
        "{seeds} seeds held every invariant: {blocks} blocks, {delivered} envelopes delivered, \
         {ranges} ranges settled, in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    for (what, times) in coverage.iter() {
        println!("  {times:>8} {what}");
    }
    Ok(())
}
