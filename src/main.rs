//! The command line: one file per subcommand, and here the list of them.

mod bench;
mod chaos;
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
mod simulate;
mod status;
mod submit;
mod validator;
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
    Keygen(keygen::Args),
    Genesis(genesis::Args),
    Devnet(devnet::Args),
    Node(node::Args),
    Rollup(rollup::Args),
    Prover(prover::Args),
    Submit(submit::Args),
    Validator(validator::Args),
    Status(status::Args),
    Verify(verify::Args),
    Simulate(simulate::Args),
    Chaos(chaos::Args),
    /// Measure this machine: ordering and opening, and proving.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = cli.log.as_deref().unwrap_or("warn");
    if let Err(error) = files::start_log(filter) {
        return fail(&error);
    }
    let shutdown = Shutdown {
        with_parent: cli.exit_with_parent,
    };
    let result = match cli.command {
        Command::Keygen(args) => keygen::run(args),
        Command::Genesis(args) => genesis::run(args, shutdown),
        Command::Devnet(args) => devnet::run(args, shutdown, cli.log),
        Command::Node(args) => node::run(args, shutdown),
        Command::Rollup(args) => rollup::run(args, shutdown),
        Command::Prover(args) => prover::run(args, shutdown),
        Command::Submit(args) => submit::run(args, shutdown),
        Command::Validator(args) => validator::run(args, shutdown),
        Command::Status(args) => status::run(args, shutdown),
        Command::Verify(args) => verify::run(args, shutdown),
        Command::Simulate(args) => simulate::run(&args),
        Command::Chaos(args) => chaos::run(args, shutdown, cli.log),
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
