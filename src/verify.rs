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
/// and checks them here, from the genesis file: order, completeness, what opened to what, what
/// became of every envelope, the settled root, and the proofs. The outcomes and the settled root
/// are shown to be in a ledger whose root a final block names. Ends with 0 only when everything
/// verifies.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chain: ChainArgs,
    /// The rollup's id.
    #[arg(long, value_name = "ID")]
    rollup: u32,
    /// The first height; those before the rollup's registration are left out.
    #[arg(long, value_name = "HEIGHT", default_value_t = 1)]
    from: u64,
    /// The last height [default: the last that a final block's ledger root covers, a few blocks
    /// behind the newest].
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
    /// The state root that the first settled proof must start from, if you know it: the rollup's
    /// genesis root, or an earlier verified one. Without it, only proofs that end at the settled
    /// root in the ledger count.
    #[arg(long, value_name = "ROOT")]
    anchor: Option<StateRoot>,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.chain.genesis)?;
    let auditor = Auditor::new(&genesis)?;
    shutdown.run(|stop| async move {
        let work = async {
            let client = Client::new(args.chain.nodes)?;
            if args.from == 0 || args.to.is_some_and(|to| args.from > to) {
                let to = args.to.map_or("the last".into(), |to| to.to_string());
                bail!("[CV-CLI-050] heights {} to {to} are no range; count from 1", args.from);
            }
            let request = RangeRequest {
                rollup: RollupId(args.rollup),
                from: Height(args.from),
                to: args.to.map(Height),
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
    let ledger = &report.ledger;
    println!(
        "outcomes      all proven by the ledger of height {}, whose root final block {} names",
        ledger.height, ledger.named_by
    );
    match (report.first_index, report.next_index()) {
        (Some(first), Some(next)) if first < next => println!(
            "transactions  {}, numbers {first} to {next}, decrypted here from their openings",
            report.transactions
        ),
        _ => println!("transactions  none"),
    }
    println!("proofs        {} verified", report.proofs.len());
    for proof in &report.proofs {
        println!(
            "              auction {}: {}..{}, {} bytes, by {}",
            proof.auction, proof.from_index, proof.to_index, proof.bytes, proof.prover
        );
    }
    if report.proofs_skipped > 0 {
        println!(
            "              {} more reach outside these heights, or are of programs not known here",
            report.proofs_skipped
        );
    }
    match (report.settled(), report.proofs.last()) {
        (Some((root, index)), _) => {
            println!("              lead to root {root} before transaction {index}");
        }
        (None, Some(last)) => println!(
            "              not anchored: they end before transaction {}, short of the settled root, and what they start from is not shown; give --anchor, or a later --to",
            last.to_index
        ),
        (None, None) => println!("              the node lists none that lies in this range"),
    }
    if let Some(settled) = ledger.settled {
        println!(
            "settled root  {} before transaction {}, in the same ledger",
            settled.root, settled.next
        );
    }
    println!("verified");
}
