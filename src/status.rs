//! `conclave status`: a node's view of the chain.

use std::collections::BTreeMap;

use anyhow::anyhow;
use conclave_sdk::Client;

use crate::overview::{Names, Overview};
use crate::process::{Shutdown, Stop};

/// Print a node's view of the chain.
///
/// Its height, its rollups and how far they are settled, recent auctions with their opened bids,
/// and the provers. This trusts the node; `conclave verify` does
/// not.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A node's API, as in http://127.0.0.1:26700; with several, the first that answers.
    #[arg(
        long = "node",
        value_name = "URL",
        env = "CONCLAVE_NODES",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:26700"
    )]
    nodes: Vec<String>,
    /// How many auctions to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    auctions: usize,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.run(|stop| async move {
        let client = Client::new(args.nodes)?;
        let overview = tokio::select! {
            overview = Overview::fetch(&client) => overview?,
            () = Stop::requested(stop) => return Err(anyhow!("[CV-CLI-051] interrupted; nothing was concluded")),
        };
        print(&overview, args.auctions);
        Ok(())
    })
}

fn print(overview: &Overview, auctions: usize) {
    let status = &overview.status;
    println!(
        "chain {}, as validator {} sees it",
        status.chain, status.validator
    );
    println!("{}", overview.chain_line(None));
    println!(
        "executed height {}  {} peers connected  {} envelopes waiting  {} envelopes and {} transactions ordered",
        status.executed_height,
        status.peers_connected,
        status.mempool_envelopes,
        status.envelopes_ordered,
        status.transactions_ordered
    );
    if let Some(syncing) = &status.syncing {
        let left = match syncing.seconds_left {
            Some(seconds) => format!("{seconds} s left"),
            None => "time left unknown".to_owned(),
        };
        println!(
            "catching up: {} {} of {}  {:.1}/s  {left}",
            syncing.what, syncing.done, syncing.total, syncing.per_second
        );
    }
    let names = Names::default();
    let parts = [
        overview.rollup_lines(),
        overview.auction_lines(&names, auctions),
        overview.prover_lines(&names, &BTreeMap::new()),
    ];
    for lines in parts {
        println!();
        for line in lines {
            println!("{}", line.trim_end());
        }
    }
}
