//! `conclave-byzantine`: a validator that lies, as a process beside honest ones in `conclave chaos`.
//!
//! It is the real node with its transport, store and API; between the replica and the outside are
//! the same actors that lie in the simulator. It is built with the feature `byzantine` only, and
//! nothing of it is in `conclave`.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use conclave_crypto::{BlsCommittee, Committee};
use conclave_node::{Bend, Node};
use conclave_tests::byzantine::{Liar, Lie};
use conclave_types::Genesis;

use self::files::{KeyDir, read_genesis};
use self::process::Shutdown;

// Shared with the command line, which uses the rest of them.
#[allow(dead_code)]
mod files;
#[allow(dead_code)]
mod node;
#[allow(dead_code)]
mod process;
#[allow(dead_code)]
mod programs;
#[allow(dead_code)]
mod settings;

/// A validator that lies, to try out the others with. Never give it keys that are worth anything.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// What to log, as in `info` or `conclave_node=debug`.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
    /// Stop when standard input ends.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// How it lies, as in `equivocator,flooder`.
    #[arg(long, value_name = "LIE", value_delimiter = ',', required = true)]
    conduct: Vec<Lie>,
    /// Decides everything that it draws.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    node: node::Args,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    files::start_log(&cli.log)?;
    let settings = cli.node.settings()?;
    let genesis = read_genesis(&settings.genesis)?;
    let keys = KeyDir::new(&settings.keys);
    let mut liar = liar(&genesis, &keys, (&cli.conduct, cli.seed))?;
    let serves = liar.serves();
    let bend: Bend = Box::new(move |now_ms, event, replica| liar.handle(now_ms, event, replica));
    let shutdown = Shutdown {
        with_parent: cli.exit_with_parent,
    };
    shutdown.run(|stop| async move {
        let config = node::config(settings, genesis).await?;
        let node = Node::start_bent(config, bend, serves).await?;
        Ok(node.run(stop.requested()).await?)
    })
}

fn liar(genesis: &Genesis, keys: &KeyDir, lies: (&[Lie], u64)) -> anyhow::Result<Liar> {
    let committee = Committee::from_genesis(genesis)?;
    let signatures = BlsCommittee::signer(&genesis.validators, keys.bls()?)?;
    let keys = (signatures, keys.transport()?);
    let liar = Liar::new(genesis.chain_id(), committee, keys, lies);
    liar.ok_or_else(|| {
        anyhow!("[CV-CLI-147] the transport key is in no committee of this genesis; point --keys at a validator's")
    })
}
