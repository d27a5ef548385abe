//! `conclave simulate`: whole committees under a seeded scheduler.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::bail;
use conclave_tests::{Branch, Coverage, Options, Outcome, minimise, run as run_seed};

/// Lines of the log that a minimised seed ends with.
const LAST_LINES: usize = 30;

/// Run whole committees of real replicas under simulated networks, disks, crashes, clocks and
/// lying members, and check every invariant. The same seed always gives the same history.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    first: u64,
    /// How many validators, 3f+1 and up to 31; drawn from each seed if absent.
    #[arg(long, value_parser = validators)]
    validators: Option<usize>,
    /// Replay one seed and print its event log.
    #[arg(long)]
    seed: Option<u64>,
    /// Look for a short list of faults under which the seed still breaks the same invariant.
    #[arg(long, requires = "seed")]
    minimise: bool,
    /// Print which branches of the protocol the seeds reached, and fail if one was not.
    #[arg(long, conflicts_with = "seed")]
    coverage: bool,
    /// Threads; all processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

/// The sums over many seeds.
#[derive(Default)]
struct Totals {
    seeds: u64,
    blocks: u64,
    delivered: u64,
    ranges: u64,
    coverage: Coverage,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.seed {
        Some(seed) if args.minimise => shorten(options(args, seed)),
        Some(seed) => replay(options(args, seed)),
        None => run_many(args),
    }
}

fn options(args: &Args, seed: u64) -> Options {
    Options::of(seed).among(args.validators)
}

/// Partitions are masks of 32 bits, one of them a twin's.
fn validators(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    match (4..=31).contains(&count) && count % 3 == 1 {
        true => Ok(count),
        false => Err("not 3f+1 from 4 to 31".to_owned()),
    }
}

fn replay(options: Options) -> anyhow::Result<()> {
    let seed = options.seed;
    let outcome = run_seed(options.logged());
    outcome.log.iter().for_each(|line| println!("{line}"));
    println!("{}", summary(&outcome));
    match outcome.violation {
        None => Ok(()),
        Some(violation) => bail!("[CV-SIM-002] seed {seed} broke an invariant: {violation}"),
    }
}

fn shorten(options: Options) -> anyhow::Result<()> {
    let seed = options.seed;
    let Some(found) = minimise(options) else {
        println!("seed {seed} breaks no invariant");
        return Ok(());
    };
    let last = found.log.len().saturating_sub(LAST_LINES);
    found.log[last..].iter().for_each(|line| println!("{line}"));
    let (before, after, runs) = (found.events_before, found.events.len(), found.runs);
    println!("seed {seed}: {after} of {before} events left after {runs} runs");
    println!("  {}", found.conditions);
    found.events.iter().for_each(|event| println!("  {event}"));
    bail!(
        "[CV-SIM-002] seed {seed} broke an invariant: {}",
        found.violation
    )
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
    let totals = Mutex::new(Totals::default());
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
                    let outcome = run_seed(options(args, seed));
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.seeds += 1;
                    totals.blocks += outcome.blocks;
                    totals.delivered += outcome.delivered;
                    totals.ranges += outcome.settled_ranges;
                    totals.coverage.add(&outcome.coverage);
                    if outcome.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(outcome) = failed.into_inner().unwrap_or_else(PoisonError::into_inner)
        && let Some(violation) = &outcome.violation
    {
        println!("{}", summary(&outcome));
        let seed = outcome.seed;
        bail!(
            "[CV-SIM-002] seed {seed} broke an invariant: {violation}; replay it with: conclave \
             simulate --seed {seed}, or shorten it with: conclave simulate --seed {seed} --minimise"
        );
    }
    println!(
        "{} seeds held every invariant: {} blocks, {} envelopes delivered, {} ranges settled, in \
         {:.0} s",
        totals.seeds,
        totals.blocks,
        totals.delivered,
        totals.ranges,
        start.elapsed().as_secs_f64()
    );
    if !args.coverage {
        return Ok(());
    }
    for branch in Branch::ALL {
        println!("  {:>8} {branch}", totals.coverage.times(*branch));
    }
    let missing = totals.coverage.missing();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    if !missing.is_empty() {
        let missing = missing.join("; ");
        bail!("[CV-SIM-003] not reached, so not tested: {missing}; run more seeds");
    }
    Ok(())
}
