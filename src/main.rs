//! The command line: one file per subcommand, and here the list of them.

mod bench;
mod devnet;
mod duration;
mod files;
mod genesis;
mod keygen;
mod node;
mod overview;
mod process;
mod programs;
mod prover;
mod rollup;
mod settings;
mod status;
mod submit;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::Shutdown;

/// A shared sequencer for many rollups: BFT order of sealed contents, and a market of provers.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// What to log, as in `info` or `conclave_node=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "CONCLAVE_LOG")]
    log: Option<String>,
    /// Stop when standard input ends; how `devnet` holds its processes.
    #[arg(long, global = true, hide = true)]
    exit_with_parent: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a validator's keys and the public file that goes into a genesis draft.
    Keygen(keygen::Args),
    /// Make a genesis together: draft, then key generation between the validators, then final.
    Genesis(genesis::Args),
    /// Run a whole network on this machine: validators, rollups with a load, and provers.
    Devnet(devnet::Args),
    /// Run a validator.
    Node(node::Args),
    /// Run a node of a payments rollup.
    Rollup(rollup::Args),
    /// Run a member of the prover pool.
    Prover(prover::Args),
    /// Seal something for a rollup, submit it, and follow it until it is opened.
    Submit(submit::Args),
    /// Print a node's view of the chain.
    Status(status::Args),
    /// Check a rollup's contents and settlement on this machine, trusting the genesis only.
    Verify(verify::Args),
    /// Measure this machine: ordering and opening, and proving.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = cli.log.as_deref().unwrap_or("warn");
    if let Err(error) = files::start_log(filter) {
        return fail(&error);
    }
    let shutdown = Shutdown { with_parent: cli.exit_with_parent };
    let result = match cli.command {
        Command::Keygen(args) => keygen::run(args),
        Command::Genesis(args) => genesis::run(args, shutdown),
        Command::Devnet(args) => devnet::run(args, shutdown, cli.log),
        Command::Node(args) => node::run(args, shutdown),
        Command::Rollup(args) => rollup::run(args, shutdown),
        Command::Prover(args) => prover::run(args, shutdown),
        Command::Submit(args) => submit::run(args, shutdown),
        Command::Status(args) => status::run(args, shutdown),
        Command::Verify(args) => verify::run(args, shutdown),
        Command::Bench(args) => bench::run(args, shutdown),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
