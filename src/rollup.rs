//! `conclave rollup`: a node of a payments rollup.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use conclave_payments_node::{RollupNode, RollupNodeConfig};

use crate::process::Shutdown;
use crate::settings::{self, Flags, Layers};

/// Variables of the environment that set what the file can set.
const ENVIRONMENT: &str = "CONCLAVE_ROLLUP_";

/// Run a node of a payments rollup.
///
/// It registers the rollup if the ledger does not know it, takes
/// payments over its own HTTP API, seals and submits them, executes what was ordered, and serves
/// balances with proofs against the settled root. Ctrl-C or SIGTERM stops it cleanly.
///
/// Each setting can also come from the environment, as in CONCLAVE_ROLLUP_GATEWAY__FLUSH_MS=50.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// The rollup's id on the ledger, from 1.
    #[arg(long, value_name = "ID")]
    rollup: Option<u32>,
    /// The chain's genesis file; everything the validators say is checked against it.
    #[arg(long, value_name = "FILE")]
    chain_genesis: Option<PathBuf>,
    /// The rollup's own genesis file: who holds what at its start.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Where state, queue and wallets live.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A validator's API, as in http://127.0.0.1:26700; give several.
    #[arg(long = "node", value_name = "URL")]
    nodes: Vec<String>,
    /// Where this node's own HTTP API listens.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The key file of the operator, who owns the rollup and pays for its envelopes.
    #[arg(long, value_name = "FILE")]
    operator_key: Option<PathBuf>,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let flags = Flags::default()
        .with("rollup", args.rollup)
        .with_path("chain_genesis", args.chain_genesis)
        .with_path("genesis", args.genesis)
        .with_path("data", args.data)
        .with_list("nodes", args.nodes)
        .with("listen", args.listen.map(|address| address.to_string()))
        .with_path("operator_key", args.operator_key);
    let config: RollupNodeConfig = settings::parse(args.layers.read(ENVIRONMENT, flags)?)?;
    shutdown.run(|stop| async move {
        println!("the rollup's HTTP API is at http://{}", config.listen);
        RollupNode::run(config, stop.requested())
            .await
            .context("the rollup node stopped")
    })
}
