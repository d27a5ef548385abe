//! `conclave bench`: figures of this machine, measured on the same binary and real processes.

mod committee;
mod load;
mod machine;
mod order;
mod prove;
mod ramp;
mod report;
mod sealed;

use crate::process::Shutdown;

/// Measure this machine: how fast a committee orders and opens, and what proving costs.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Order and open sealed envelopes on a committee of validators, at low load and at the most.
    Order(order::Args),
    /// Prove ranges of payments.
    Prove(prove::Args),
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    match args.what {
        What::Order(args) => order::run(args, shutdown),
        What::Prove(args) => prove::run(&args),
    }
}
