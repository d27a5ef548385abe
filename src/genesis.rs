//! `conclave genesis`: a ceremony in three steps that works across real hosts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use conclave_node::{ceremony, mark_new};
use conclave_types::{
    AccountId, Allocation, Amount, BlockTime, ConsensusParameters, Digest, Domain, FeeParameters,
    Genesis, MarketParameters, SealingKey, ValidatorInfo, codec,
};
use serde::{Deserialize, Serialize};

use crate::files::{KeyDir, read_toml, write_toml};
use crate::process::Shutdown;

/// Make a genesis together: draft, then key generation between the validators, then final.
///
/// Each validator runs keygen and publishes its validator.toml; one
/// coordinator drafts; all run dkg on the same draft at the same time; anyone makes the final file.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand)]
enum Step {
    /// Put the validators' public files and the allocations into a draft.
    Draft(DraftArgs),
    /// Generate the committee's sealing key with the other validators; nobody ever holds it.
    Dkg(DkgArgs),
    /// Put the draft and the generated key together.
    Final(FinalArgs),
}

#[derive(clap::Args)]
struct DraftArgs {
    /// The chain's name.
    #[arg(long)]
    name: String,
    /// A validator's public file; once per validator, in committee order.
    #[arg(long = "validator", required = true)]
    validators: Vec<PathBuf>,
    /// Money at the start, as ACCOUNT=BALANCE or ACCOUNT=BALANCE:FEES (prepaid).
    #[arg(long = "allocate", value_parser = parse_allocation)]
    allocations: Vec<Allocation>,
    /// A TOML file with the tables consensus, fees and market: parameters to change.
    #[arg(long)]
    parameters: Option<PathBuf>,
    /// The draft to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
struct DkgArgs {
    /// The draft, the same file on every host.
    #[arg(long)]
    draft: PathBuf,
    /// This validator's key directory; its share of the key goes there.
    #[arg(long)]
    keys: PathBuf,
    /// The validator's data directory, as `conclave node` will use it: it gets the mark that this validator
    /// has never run, which its first start takes away.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Where to listen, if not at the port that the draft names, on all addresses.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// How long to wait for the others.
    #[arg(long, default_value_t = 600)]
    timeout_seconds: u64,
    /// The committee's public sealing key to write; the same on every host.
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
struct FinalArgs {
    #[arg(long)]
    draft: PathBuf,
    /// What dkg wrote.
    #[arg(long)]
    sealing: PathBuf,
    /// The genesis to write.
    #[arg(long)]
    out: PathBuf,
}

/// A genesis without its sealing key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) time: BlockTime,
    #[serde(default)]
    pub(crate) consensus: ConsensusParameters,
    #[serde(default)]
    pub(crate) fees: FeeParameters,
    #[serde(default)]
    pub(crate) market: MarketParameters,
    pub(crate) validators: Vec<ValidatorInfo>,
    #[serde(default)]
    pub(crate) allocations: Vec<Allocation>,
}

/// Parameters to change from their defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    consensus: ConsensusParameters,
    fees: FeeParameters,
    market: MarketParameters,
}

impl Draft {
    /// The genesis that this draft becomes.
    pub(crate) fn with_key(&self, sealing: SealingKey) -> Genesis {
        let draft = self.clone();
        Genesis {
            name: draft.name,
            time: draft.time,
            validators: draft.validators,
            sealing,
            allocations: draft.allocations,
            consensus: draft.consensus,
            fees: draft.fees,
            market: draft.market,
        }
    }

    /// What the ceremony is bound to: every byte of the draft.
    pub(crate) fn digest(&self) -> Digest {
        let none = SealingKey {
            key: conclave_types::Point([0; 32]),
            shares: Vec::new(),
            transcript: Digest::ZERO,
        };
        Domain::KeyGeneration.digest(&codec::encode(&self.with_key(none)))
    }
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    match args.step {
        Step::Draft(args) => draft(args),
        Step::Dkg(args) => dkg(&args, shutdown),
        Step::Final(args) => finish(&args),
    }
}

fn draft(args: DraftArgs) -> anyhow::Result<()> {
    let Parameters {
        consensus,
        fees,
        market,
    } = args
        .parameters
        .as_deref()
        .map(read_toml)
        .transpose()?
        .unwrap_or_default();
    let validators: Vec<ValidatorInfo> = args
        .validators
        .iter()
        .map(|path| read_toml(path))
        .collect::<anyhow::Result<_>>()?;
    let draft = Draft {
        name: args.name,
        time: now()?,
        consensus,
        fees,
        market,
        validators,
        allocations: args.allocations,
    };
    write_draft(&args.out, &draft)?;
    println!(
        "draft {}: give {} to every validator",
        draft.digest(),
        args.out.display()
    );
    Ok(())
}

/// Checks and writes a draft.
pub(crate) fn write_draft(path: &Path, draft: &Draft) -> anyhow::Result<()> {
    let threshold = Genesis::threshold(&draft.with_key(SealingKey {
        key: conclave_types::Point([0; 32]),
        shares: Vec::new(),
        transcript: Digest::ZERO,
    }))?;
    if threshold.faults() == 0 {
        bail!("[CV-CLI-009] a committee of weight 1 tolerates no fault; use at least 4 validators");
    }
    // Before anybody generates a key for it.
    draft.consensus.check()?;
    write_toml(path, draft)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> anyhow::Result<BlockTime> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let elapsed = elapsed.context("[CV-CLI-010] the clock is before 1970; set it")?;
    Ok(BlockTime(elapsed.as_millis() as u64))
}

fn dkg(args: &DkgArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let draft: Draft = read_toml(&args.draft)?;
    let keys = KeyDir::new(&args.keys);
    let transport = keys.transport()?;
    let own = draft
        .validators
        .iter()
        .position(|v| v.transport_key == transport.transport_key());
    let own = own.ok_or_else(|| {
        let keys = args.keys.display();
        anyhow!("[CV-CLI-011] the key in {keys} is no validator's of this draft; check --keys")
    })?;
    let listen = match args.listen {
        Some(listen) => listen,
        None => ceremony::listen_address(&draft.validators[own].address)?,
    };
    let config = ceremony::Config {
        context: draft.digest(),
        validators: draft.validators,
        own,
        transport,
        listen,
        timeout: Duration::from_secs(args.timeout_seconds),
    };
    let (shares, sealing) = shutdown.run(|stop| async move {
        tokio::select! {
            result = ceremony::run(config) => Ok(result?),
            () = stop.requested() => Err(anyhow!(
                "[CV-CLI-012] interrupted; nothing was kept, all validators start dkg again"
            )),
        }
    })?;
    keys.save_shares(&shares)?;
    write_toml(&args.out, &sealing)?;
    mark_new(&args.data, &sealing.transcript).with_context(|| {
        let data = args.data.display();
        format!(
            "[CV-CLI-024] cannot mark {data} for a first start; name an empty directory of this validator with --data, and start dkg again"
        )
    })?;
    println!(
        "sealing key {} with transcript {}",
        sealing.key, sealing.transcript
    );
    println!("compare the transcript with the other validators: it must be the same everywhere");
    Ok(())
}

fn finish(args: &FinalArgs) -> anyhow::Result<()> {
    let draft: Draft = read_toml(&args.draft)?;
    let genesis = draft.with_key(read_toml(&args.sealing)?);
    genesis.check()?;
    write_toml(&args.out, &genesis)?;
    println!(
        "chain {}: {} is the genesis",
        genesis.chain_id(),
        args.out.display()
    );
    Ok(())
}

fn parse_allocation(text: &str) -> Result<Allocation, String> {
    let form = "use ACCOUNT=BALANCE or ACCOUNT=BALANCE:FEES";
    let (account, money) = text.split_once('=').ok_or(form)?;
    let (balance, fees) = money.split_once(':').unwrap_or((money, "0"));
    let account: AccountId = account.parse().map_err(|error| format!("{error}"))?;
    let balance: Amount = balance
        .parse()
        .map_err(|error| format!("{error}; {form}"))?;
    let fees: Amount = fees.parse().map_err(|error| format!("{error}; {form}"))?;
    Ok(Allocation {
        account,
        balance,
        fees,
    })
}
