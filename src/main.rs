//! The command line: one file per subcommand, and here the list of them.

mod files;
mod genesis;
mod keygen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A shared sequencer for many rollups: BFT order of sealed contents, and a market of provers.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// What to log, as in `info` or `conclave_node=debug`.
    #[arg(long, global = true, env = "CONCLAVE_LOG", default_value = "warn")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a validator's keys and the public file that goes into a genesis draft.
    Keygen(keygen::Args),
    /// Make a genesis together: draft, then key generation between the validators, then final.
    Genesis(genesis::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = files::start_log(&cli.log) {
        return fail(&error);
    }
    let result = match cli.command {
        Command::Keygen(args) => keygen::run(args),
        Command::Genesis(args) => genesis::run(args),
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
