//! `conclave bench order`: finality and opening under load.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;

use super::committee::Committee;
use super::load::{Fate, Targets};
use super::machine;
use super::ramp::Ramp;
use super::report::{self, Latencies, or_dash, round};
use super::sealed::{Sealer, TRANSACTION_BYTES};
use crate::devnet::directory::{Directory, Wanted};
use crate::devnet::processes::Processes;
use crate::process::Shutdown;

/// Before figures count: connections are made and the committee finds its pace.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long the last envelopes may take after the load ended; later they are lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// A load is sustained when this much of it is ordered while it is offered …
const SUSTAINED: f64 = 0.95;
/// … and finality stays below this.
const FINALITY_MS_MAX: f64 = 1_000.0;

/// Measure order finality and opening on a committee of real validator processes on loopback.
/// Every envelope is sealed ahead, sent at its scheduled time whatever the validators do, and timed
/// from then: until its order is final, and until its contents are readable, at the validator that
/// took it in. Each run starts a new chain. Without --tps, each envelope size runs at a low load
/// first, and then at others until the highest sustained one is known.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Validators: 4, 7, 10, … (3f+1 tolerate f faults).
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// Rollups that the envelopes are spread over; several numbers are measured next to each other.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3")]
    rollups: Vec<u16>,
    /// Transactions of 512 bytes in one envelope; several sizes are measured in turn.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,16,128"
    )]
    transactions: Vec<usize>,
    /// Offer exactly these loads, in transactions a second, instead of searching.
    #[arg(long, value_name = "TPS", value_delimiter = ',')]
    tps: Vec<f64>,
    /// The low load that a search starts from.
    #[arg(long, value_name = "TPS", default_value_t = 1_000.0)]
    low_tps: f64,
    /// How long each load is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Loads that a search tries at most.
    #[arg(long, value_name = "N", default_value_t = 9)]
    steps: usize,
    /// Where the validators keep their data while they run.
    #[arg(long, value_name = "DIR", default_value = "conclave-bench")]
    data_dir: PathBuf,
    /// The first of the ports that the validators listen on.
    #[arg(long, value_name = "PORT", default_value_t = 27600)]
    base_port: u16,
    /// Write all rows to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
struct Row {
    validators: u16,
    rollups: u16,
    transactions_per_envelope: usize,
    transaction_bytes: usize,
    offered_tps: f64,
    ordered_tps: f64,
    envelopes_per_second: f64,
    finality_ms_p50: Option<f64>,
    finality_ms_p99: Option<f64>,
    opening_ms_p50: Option<f64>,
    opening_ms_p99: Option<f64>,
    end_to_end_ms_p50: Option<f64>,
    end_to_end_ms_p99: Option<f64>,
    /// From the first submission until everything was open.
    cpu_seconds_per_validator: f64,
    /// The same, for each transaction offered.
    cpu_us_per_transaction: f64,
    /// Of the validator with the most.
    peak_rss_mib: f64,
    /// Acknowledged and never opened.
    lost: usize,
}

/// What a run shows beyond its row.
struct Extra {
    refused: Option<String>,
    refusals: usize,
    /// Medians from submission to acknowledgement, to a batch, and from there to final order.
    steps_ms: [Option<f64>; 3],
}

impl Row {
    fn is_sustained(&self) -> bool {
        self.lost == 0
            && self.ordered_tps >= SUSTAINED * self.offered_tps
            && self
                .finality_ms_p99
                .is_some_and(|p99| p99 < FINALITY_MS_MAX)
    }

    fn cells(&self, extra: &Extra) -> Vec<(&'static str, String)> {
        let [acknowledged, batched, ordered] = extra.steps_ms;
        vec![
            ("rollups", self.rollups.to_string()),
            ("tx/env", self.transactions_per_envelope.to_string()),
            ("offered/s", format!("{:.0}", self.offered_tps)),
            ("ordered/s", format!("{:.0}", self.ordered_tps)),
            ("env/s", format!("{:.0}", self.envelopes_per_second)),
            ("final p50", or_dash(self.finality_ms_p50)),
            ("final p99", or_dash(self.finality_ms_p99)),
            ("open p50", or_dash(self.opening_ms_p50)),
            ("open p99", or_dash(self.opening_ms_p99)),
            ("e2e p50", or_dash(self.end_to_end_ms_p50)),
            ("e2e p99", or_dash(self.end_to_end_ms_p99)),
            ("to ack", or_dash(acknowledged)),
            ("to batch", or_dash(batched)),
            ("to order", or_dash(ordered)),
            (
                "cpu s/val",
                format!("{:.2}", self.cpu_seconds_per_validator),
            ),
            ("cpu us/tx", format!("{:.0}", self.cpu_us_per_transaction)),
            ("rss MiB", format!("{:.0}", self.peak_rss_mib)),
            ("refused", extra.refusals.to_string()),
            ("lost", self.lost.to_string()),
            (
                "",
                if self.is_sustained() {
                    "sustained"
                } else {
                    "too much"
                }
                .into(),
            ),
        ]
    }
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let positive = |tps: &f64| tps.is_finite() && *tps > 0.0;
    ensure!(
        args.seconds > 0 && positive(&args.low_tps) && args.tps.iter().all(positive),
        "[CV-CLI-097] loads and seconds must be above 0"
    );
    ensure!(
        args.transactions.iter().all(|count| *count > 0),
        "[CV-CLI-098] use at least 1 transaction"
    );
    let rollups = args.rollups.iter().copied();
    let rollups = rollups.max().filter(|_| !args.rollups.contains(&0));
    let wanted = Wanted {
        validators: Some(args.validators),
        rollups: Some(rollups.context("[CV-CLI-139] use at least 1 rollup")?),
        provers: Some(1),
        base_port: Some(args.base_port),
    };
    let directory = Directory::open(&args.data_dir, wanted, true)?;
    directory.plan().check_ports()?;
    directory.prepare()?;
    let mut processes = Processes::new(&directory, "warn".into())?;
    shutdown.run(|stop| async move {
        let result = tokio::select! {
            result = measure(&args, &directory, &mut processes) => result,
            () = stop.requested() => Err(anyhow!("[CV-CLI-099] interrupted; nothing was written")),
        };
        for line in processes.stop(&[]).await {
            eprintln!("warning: {line}");
        }
        let rows = result?;
        report::write_json(args.json.as_deref(), &rows)
    })
}

/// Everything that the runs share.
struct Bench<'a> {
    args: &'a Args,
    committee: Committee<'a>,
    rows: Vec<Row>,
}

async fn measure(
    args: &Args,
    directory: &Directory,
    processes: &mut Processes,
) -> anyhow::Result<Vec<Row>> {
    println!(
        "{} validators on this machine ({}); latencies in ms; \"to …\" are medians: \
         submission to receipt, submission to batch, batch to final",
        args.validators,
        machine::load()
    );
    let committee = Committee::create(directory, processes).await?;
    let mut bench = Bench {
        args,
        committee,
        rows: Vec::new(),
    };
    for transactions in &args.transactions {
        bench.size(*transactions).await?;
    }
    Ok(bench.rows)
}

impl Bench<'_> {
    /// All loads of one size of envelope. Those that differ in the number of rollups alone follow
    /// each other, so that they find the machine in the same mood.
    async fn size(&mut self, transactions: usize) -> anyhow::Result<()> {
        for tps in &self.args.tps {
            for rollups in &self.args.rollups {
                let mut sealer = self.sealer(*rollups, transactions);
                self.load(&mut sealer, *rollups, transactions, *tps).await?;
            }
        }
        if self.args.tps.is_empty() {
            for rollups in &self.args.rollups {
                self.search(*rollups, transactions).await?;
            }
        }
        Ok(())
    }

    fn sealer(&self, rollups: u16, transactions: usize) -> Sealer {
        let (genesis, payers) = (self.committee.genesis(), self.committee.payers());
        Sealer::new(genesis.clone(), payers.clone(), rollups, transactions)
    }

    /// Loads until the highest sustained one is known.
    async fn search(&mut self, rollups: u16, transactions: usize) -> anyhow::Result<()> {
        let mut sealer = self.sealer(rollups, transactions);
        let mut ramp = Ramp::new(self.args.steps);
        let mut next = Some(self.args.low_tps);
        while let Some(tps) = next {
            let sustained = self.load(&mut sealer, rollups, transactions, tps).await?;
            ramp.note(tps, sustained);
            next = ramp.next();
        }
        match ramp.most() {
            Some(most) => println!("highest sustained load: {most:.0} transactions a second"),
            None => println!("no load that was tried is sustained"),
        }
        Ok(())
    }

    /// One load on a new chain; whether it was sustained.
    async fn load(
        &mut self,
        sealer: &mut Sealer,
        rollups: u16,
        transactions: usize,
        tps: f64,
    ) -> anyhow::Result<bool> {
        let per_second = tps / transactions as f64;
        let duration = WARM_UP + Duration::from_secs(self.args.seconds);
        let count = (per_second * duration.as_secs_f64()).ceil().max(1.0) as usize;
        let envelopes = sealer.envelopes(count)?;

        // 1. A new chain, and the load on it.
        self.committee.start().await?;
        let targets = Targets::new(&self.committee.urls())?;
        let cpu_before = self.committee.cpu_seconds()?;
        let offered = async {
            let sent = targets.offer(envelopes, per_second).await?;
            targets.drain(&sent, DRAIN_PATIENCE).await?;
            anyhow::Ok(sent)
        };
        let sent = tokio::select! {
            sent = offered => sent?,
            error = self.committee.died() => return Err(error),
        };

        // 2. What it cost, before asking after each envelope costs more.
        let cpu = self.committee.cpu_seconds()? - cpu_before;
        let peak_rss_mib = self.committee.peak_rss_mib()?;
        let fates = targets.fates(sent).await?;
        self.committee.stop().await?;

        // 3. The figures of what was due after the warm-up.
        let mut row = self.row(&fates, rollups, transactions, tps);
        let cpu = cpu / f64::from(self.args.validators);
        row.cpu_seconds_per_validator = round(cpu);
        row.cpu_us_per_transaction = round(cpu * 1e6 / (count * transactions) as f64);
        row.peak_rss_mib = round(peak_rss_mib);
        let extra = extra(&fates);
        let cells = row.cells(&extra);
        if self.rows.is_empty() {
            println!("{}", report::titles(&cells));
        }
        println!("{}", report::line(&cells));
        if let Some(reason) = extra.refused {
            println!("  refused, for one: {}", reason.trim());
        }
        let sustained = row.is_sustained();
        self.rows.push(row);
        Ok(sustained)
    }

    fn row(&self, fates: &[Fate], rollups: u16, transactions: usize, tps: f64) -> Row {
        let start_us = fates.first().map_or(0, |fate| fate.sent.due_us);
        let from_us = start_us + WARM_UP.as_micros() as u64;
        let to_us = from_us + self.args.seconds * 1_000_000;
        let counted = || fates.iter().filter(|fate| fate.sent.due_us >= from_us);
        let finality = counted().filter_map(|f| Some((f.sent.due_us, f.times.ordered_us?)));
        let opening = counted().filter_map(|f| Some((f.times.ordered_us?, f.times.opened_us?)));
        let end_to_end = counted().filter_map(|f| Some((f.sent.due_us, f.times.opened_us?)));
        let [finality, opening, end_to_end] = [
            Latencies::between(finality),
            Latencies::between(opening),
            Latencies::between(end_to_end),
        ];
        let ordered = fates.iter().filter_map(|fate| fate.times.ordered_us);
        let ordered = ordered.filter(|at| (from_us..to_us).contains(at)).count();
        let envelopes_per_second = ordered as f64 / self.args.seconds as f64;
        let lost = fates
            .iter()
            .filter(|f| f.sent.refused.is_none() && f.times.opened_us.is_none());
        Row {
            validators: self.args.validators,
            rollups,
            transactions_per_envelope: transactions,
            transaction_bytes: TRANSACTION_BYTES,
            offered_tps: tps,
            ordered_tps: round(envelopes_per_second * transactions as f64),
            envelopes_per_second: round(envelopes_per_second),
            finality_ms_p50: finality.percentile(50),
            finality_ms_p99: finality.percentile(99),
            opening_ms_p50: opening.percentile(50),
            opening_ms_p99: opening.percentile(99),
            end_to_end_ms_p50: end_to_end.percentile(50),
            end_to_end_ms_p99: end_to_end.percentile(99),
            cpu_seconds_per_validator: 0.0,
            cpu_us_per_transaction: 0.0,
            peak_rss_mib: 0.0,
            lost: lost.count(),
        }
    }
}

fn extra(fates: &[Fate]) -> Extra {
    let mut refusals = fates.iter().filter_map(|fate| fate.sent.refused.clone());
    let refused = refusals.next();
    let due = |fate: &Fate, to: Option<u64>| Some((fate.sent.due_us, to?));
    let acknowledged = fates.iter().filter_map(|f| due(f, f.times.acknowledged_us));
    let batched = fates.iter().filter_map(|f| due(f, f.times.batched_us));
    let ordered = fates
        .iter()
        .filter_map(|f| Some((f.times.batched_us?, f.times.ordered_us?)));
    let steps_ms = [
        Latencies::between(acknowledged).percentile(50),
        Latencies::between(batched).percentile(50),
        Latencies::between(ordered).percentile(50),
    ];
    Extra {
        refusals: usize::from(refused.is_some()) + refusals.count(),
        refused,
        steps_ms,
    }
}
