//! `conclave prover`: a member of the prover pool.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use conclave_prover::{Prover, ProverConfig, ProverStatus};
use tokio::sync::watch;
use toml::{Table, Value};

use crate::files::read_genesis;
use crate::process::Shutdown;
use crate::programs;
use crate::settings::{self, Flags, Layers};

/// Variables of the environment that set what the file can set.
const ENVIRONMENT: &str = "CONCLAVE_PROVER_";
/// The status file is written at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// Run a member of the prover pool.
///
/// It follows the rollups it serves, measures what proving costs
/// here, bids for ranges with the configured strategy, proves what it wins, submits the proofs and
/// is paid. Its bond answers for its deadlines. Ctrl-C or SIGTERM stops it cleanly.
///
/// Each setting can also come from the environment, as in CONCLAVE_PROVER_WORKERS=2. The member's
/// status is kept in status.json in its data directory.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// The chain's genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The key file of the account that posts the bond and is paid.
    #[arg(long, value_name = "FILE")]
    account_key: Option<PathBuf>,
    /// Where snapshots, proofs and counters live.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A validator's API, as in http://127.0.0.1:26700; give several.
    #[arg(long = "node", value_name = "URL")]
    nodes: Vec<String>,
    /// Threads that prove, one range each.
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// The bond to keep posted.
    #[arg(long, value_name = "AMOUNT")]
    bond: Option<u32>,
    /// How far to give way to other processes of this machine, 0 to 19 [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=19))]
    nice: Option<u8>,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let flags = Flags::default()
        .with_path("genesis", args.genesis)
        .with_path("account_key", args.account_key)
        .with_path("data_dir", args.data_dir)
        .with_list("nodes", args.nodes)
        .with("workers", args.workers)
        .with("bond", args.bond);
    let mut table = args
        .layers
        .read(ENVIRONMENT, flags.with("nice", args.nice))?;
    let genesis = Arc::new(read_genesis(&take_genesis(&mut table)?)?);
    // Before any thread exists: each thread inherits it from the one that started it.
    give_way(take_nice(&mut table)?)?;
    let config: ProverConfig = settings::parse(table)?;
    shutdown.run(|stop| async move {
        let status_file = config.data_dir.join("status.json");
        let prover = Prover::open(config, genesis, programs::all()).await;
        let prover = prover.context("the prover did not start")?;
        let writing = tokio::spawn(write_status(prover.status(), status_file));
        let result = prover
            .run(stop.requested())
            .await
            .context("the prover stopped");
        writing.abort();
        result
    })
}

/// The genesis is this command's own setting; the rest is the member's.
fn take_genesis(table: &mut Table) -> anyhow::Result<PathBuf> {
    match table.remove("genesis") {
        Some(Value::String(path)) => Ok(path.into()),
        Some(_) => Err(anyhow!(
            "[CV-CLI-033] genesis is not a path; put it in quotes"
        )),
        None => Ok("genesis.toml".into()),
    }
}

/// So is the priority.
fn take_nice(table: &mut Table) -> anyhow::Result<i32> {
    match table.remove("nice") {
        Some(Value::Integer(nice @ 0..=19)) => Ok(nice as i32),
        Some(_) => Err(anyhow!(
            "[CV-CLI-034] nice is not a number from 0 to 19; correct it"
        )),
        None => Ok(0),
    }
}

fn give_way(nice: i32) -> anyhow::Result<()> {
    if nice > 0 {
        rustix::process::nice(nice)
            .context("[CV-CLI-035] the priority cannot be lowered; leave nice out")?;
    }
    Ok(())
}

/// Keeps a file with the latest status; readers see a whole one.
async fn write_status(mut status: watch::Receiver<ProverStatus>, path: PathBuf) {
    let temporary = path.with_extension("json.new");
    loop {
        let text = serde_json::to_vec_pretty(&*status.borrow_and_update()).unwrap_or_default();
        let written = async {
            tokio::fs::write(&temporary, text).await?;
            tokio::fs::rename(&temporary, &path).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, path = %path.display(), "the status could not be written");
        }
        tokio::time::sleep(STATUS_EVERY).await;
        if status.changed().await.is_err() {
            return;
        }
    }
}
