//! `conclave verify`: check a rollup's range from the genesis.

use anyhow::{anyhow, bail};
use conclave_sdk::{Auditor, Client, RangeReport, RangeRequest};
use conclave_types::{Height, RollupId, StateRoot};

use crate::files::{ChainArgs, read_genesis};
use crate::process::{Shutdown, Stop};
use crate::programs;

/// Check a rollup's contents and settlement on this machine, from the genesis file.
///
/// Fetches the ordered contents with their certificates, openings and settled proofs from any node,
/// and checks them here, from the genesis file: order, completeness, what opened to what, what is
/// malformed, and the proofs. That an envelope was unpaid, a duplicate or void is the node's word,
/// and is counted apart. Ends with 0 only when everything verifies.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chain: ChainArgs,
    /// The rollup's id.
    #[arg(long, value_name = "ID")]
    rollup: u32,
    /// The first height.
    #[arg(long, value_name = "HEIGHT", default_value_t = 1)]
    from: u64,
    /// The last height [default: the last that the node has executed].
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
    /// The state root that the first settled proof must start from, if you know it.
    #[arg(long, value_name = "ROOT")]
    anchor: Option<StateRoot>,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.chain.genesis)?;
    let auditor = Auditor::new(&genesis)?;
    shutdown.run(|stop| async move {
        let work = async {
            let client = Client::new(args.chain.nodes)?;
            let to = match args.to {
                Some(to) => to,
                None => client.status().await?.executed_height,
            };
            if args.from == 0 || args.from > to {
                bail!("[CV-CLI-050] heights {} to {to} are no range; count from 1", args.from);
            }
            let request = RangeRequest {
                rollup: RollupId(args.rollup),
                from: Height(args.from),
                to: Height(to),
                anchor: args.anchor,
                programs: programs::all(),
            };
            Ok(auditor.range(&client, &request).await?)
        };
        let report = tokio::select! {
            report = work => report?,
            () = Stop::requested(stop) => return Err(anyhow!("[CV-CLI-051] interrupted; nothing was concluded")),
        };
        print(&report, &genesis.chain_id().to_string());
        Ok(())
    })
}

fn print(report: &RangeReport, chain: &str) {
    println!("chain         {chain}");
    println!(
        "rollup        {}, heights {} to {}",
        report.rollup, report.from, report.to
    );
    println!(
        "blocks        {} final, each by a certificate of 2f+1 validators",
        report.blocks
    );
    println!(
        "envelopes     {}: all that were ordered, none left out or added",
        report.envelopes
    );
    for (outcome, count) in &report.outcomes {
        println!("              {count} {outcome}");
    }
    println!(
        "transactions  {}, numbers {} to {}, decrypted here from their openings",
        report.transactions(),
        report.first_index,
        report.next_index
    );
    println!("proofs        {} verified", report.proofs.len());
    for proof in &report.proofs {
        println!(
            "              auction {}: {}..{}, {} bytes, by {}",
            proof.auction, proof.from_index, proof.to_index, proof.bytes, proof.prover
        );
    }
    if report.proofs_skipped > 0 {
        println!(
            "              {} more reach outside these heights",
            report.proofs_skipped
        );
    }
    match report.settled() {
        Some((root, index)) => println!("settled root  {root} before transaction {index}"),
        None => println!("settled root  none in this range yet"),
    }
    println!("verified");
}
