//! `conclave bench prove`: what proving costs on this machine.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use conclave_payments::{BenchReport, bench_range};
use serde::{Deserialize, Serialize};

use super::machine;
use super::report::{self, round};

/// Prove ranges of payments with the system that the validators verify. Each row is a process of
/// its own; with several threads, each thread proves a range of its own at the same time.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Payments in a range; several sizes are measured in turn.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "16,64,256"
    )]
    payments: Vec<usize>,
    /// Ranges proven at the same time, a thread for each.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Write all rows to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure one row in this process and print it as JSON.
    #[arg(long, hide = true)]
    one: bool,
}

/// The figures of one row.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    system: String,
    payments: usize,
    threads: usize,
    cpu_seconds_per_payment: f64,
    /// From the start of the first proof to the end of the last.
    wall_seconds: f64,
    verify_ms: f64,
    proof_bytes: usize,
    proven_bits: u32,
    conjectured_bits: u32,
    peak_rss_mib: f64,
    rows: usize,
    columns: usize,
}

impl Row {
    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("system", self.system.clone()),
            ("payments", self.payments.to_string()),
            ("threads", self.threads.to_string()),
            (
                "cpu ms/payment",
                format!("{:.2}", self.cpu_seconds_per_payment * 1e3),
            ),
            ("wall s", format!("{:.2}", self.wall_seconds)),
            ("verify ms", format!("{:.2}", self.verify_ms)),
            ("proof bytes", self.proof_bytes.to_string()),
            ("proven bits", self.proven_bits.to_string()),
            ("conjectured", self.conjectured_bits.to_string()),
            ("rss MiB", format!("{:.0}", self.peak_rss_mib)),
            ("rows", self.rows.to_string()),
            ("columns", self.columns.to_string()),
        ]
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.payments
            .iter()
            .chain(&args.threads)
            .all(|count| (1..=512).contains(count)),
        "[CV-CLI-100] use 1 to 512 payments and threads"
    );
    if let (true, [payments], [threads]) = (args.one, &args.payments[..], &args.threads[..]) {
        let row = measure(*payments, *threads)?;
        println!("{}", serde_json::to_string(&row)?);
        return Ok(());
    }
    println!("proving on this machine ({})", machine::load());
    let mut rows = Vec::new();
    for payments in &args.payments {
        for threads in &args.threads {
            let row = measure_apart(*payments, *threads)?;
            if rows.is_empty() {
                println!("{}", report::titles(&row.cells()));
            }
            println!("{}", report::line(&row.cells()));
            rows.push(row);
        }
    }
    report::write_json(args.json.as_deref(), &rows)
}

/// In a process of its own, so that its memory is that of this row only.
fn measure_apart(payments: usize, threads: usize) -> anyhow::Result<Row> {
    let binary =
        std::env::current_exe().context("[CV-CLI-080] the path of this program is unknown")?;
    let output = Command::new(binary)
        .args(["bench", "prove", "--one"])
        .args([
            "--payments",
            &payments.to_string(),
            "--threads",
            &threads.to_string(),
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("[CV-CLI-102] cannot start the measuring process; check rights and limits")?;
    ensure!(
        output.status.success(),
        "[CV-CLI-101] measuring {payments} payments ended with {}; see above",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("[CV-CLI-103] the measuring process gave no row")
}

fn measure(payments: usize, threads: usize) -> anyhow::Result<Row> {
    let reports: Vec<BenchReport> = thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || bench_range(payments)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        spawned.into_iter().map(join).collect::<Result<_, _>>()
    })?;
    let first = reports
        .first()
        .ok_or_else(|| anyhow!("[CV-CLI-104] use at least 1 thread"))?;
    let cpu: Duration = reports.iter().map(|report| report.prove_cpu).sum();
    let start = reports
        .iter()
        .map(|report| report.prove_start)
        .min()
        .unwrap_or(first.prove_start);
    let end = reports
        .iter()
        .map(|report| report.prove_end)
        .max()
        .unwrap_or(first.prove_end);
    Ok(Row {
        system: "winterfell".into(),
        payments,
        threads,
        cpu_seconds_per_payment: cpu.as_secs_f64() / (payments * threads) as f64,
        wall_seconds: round((end - start).as_secs_f64()),
        verify_ms: round(first.verify_cpu.as_secs_f64() * 1e3),
        proof_bytes: first.proof_bytes,
        proven_bits: first.security.proven,
        conjectured_bits: first.security.conjectured,
        peak_rss_mib: round(machine::own_peak_rss_mib()?),
        rows: first.rows,
        columns: first.columns,
    })
}
