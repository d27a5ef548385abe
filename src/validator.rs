//! `conclave validator`: join the committee, change, or leave.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use conclave_sdk::api::RegisteredView;
use conclave_sdk::{
    Client, Gateway, GatewayOptions, ValidatorChange, leave_validator, register_validator,
};
use conclave_types::{AccountId, SystemOp, ValidatorIndex, ValidatorInfo};

use crate::duration;
use crate::files::{ChainArgs, KeyDir, read_bls, read_ed, read_genesis, read_toml};
use crate::process::{Shutdown, Stop};
use crate::submit::{follow, sequence_beside};

/// Join the committee, change a validator, or leave.
///
/// Signed with the operator's account key, whose prepaid fees pay for it and whose balance is
/// bonded. It acts from the next epoch whose committee it fits; `GET /v1/validators` tells how far
/// that is. Ends with 0 only when the ledger has taken it.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    chain: ChainArgs,
    /// The validator's key directory, as `keygen` made it.
    #[arg(long, value_name = "DIR", global = true, default_value = "keys")]
    keys: PathBuf,
    /// The operator's account key, if it is kept elsewhere [default: account.key in --keys].
    #[arg(long, value_name = "FILE", global = true)]
    account_key: Option<PathBuf>,
    /// How long to follow the operation.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "60s", global = true)]
    timeout: Duration,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Register as `validator.toml` of the key directory says, and lock the bond.
    Register,
    /// Change weight, keys or addresses from the next epoch on.
    Update(Update),
    /// Leave with the next epoch that can do without it.
    Leave(Slot),
}

/// Which validator.
#[derive(clap::Args)]
struct Slot {
    /// The validator's slot; without it, the only one of the account.
    #[arg(long, value_name = "SLOT")]
    slot: Option<u16>,
}

#[derive(clap::Args)]
struct Update {
    #[command(flatten)]
    slot: Slot,
    /// Its new weight; more is bonded at once.
    #[arg(long)]
    weight: Option<u16>,
    /// A file with its new BLS key. The node needs it once the next epoch begins, and the old one
    /// until then.
    #[arg(long, value_name = "FILE")]
    bls_key: Option<PathBuf>,
    /// A file with its new transport key.
    #[arg(long, value_name = "FILE")]
    transport_key: Option<PathBuf>,
    /// Where peers reach it, as host:port (UDP).
    #[arg(long)]
    address: Option<String>,
    /// Where clients reach its HTTP API, as a base URL.
    #[arg(long)]
    api: Option<String>,
}

pub(crate) fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.run(|stop| async move {
        tokio::select! {
            result = operate(&args) => result,
            () = Stop::requested(stop) => Err(anyhow!(
                "[CV-CLI-041] interrupted; what was acknowledged will still be ordered"
            )),
        }
    })
}

async fn operate(args: &Args) -> anyhow::Result<()> {
    let genesis = Arc::new(read_genesis(&args.chain.genesis)?);
    let client = Client::new(args.chain.nodes.iter().cloned())?;
    let directory = args.keys.join("account.key");
    let key = args.account_key.as_ref().unwrap_or(&directory);
    let secret = read_ed(key)?;
    let account = secret.account();
    let operation = operation(args, &client, account).await?;
    let sequence = sequence_beside(key);
    let options = GatewayOptions::default();
    let gateway = Gateway::open(client, genesis, secret, &sequence, options).await?;
    let envelope = gateway.plain_op(&operation).await?;
    follow(&gateway, &envelope, args.timeout).await?;
    let client = gateway.client();
    if let Ok(slot) = find(client, account, slot_of(&args.action)).await {
        println!("{}", describe(&slot));
    }
    Ok(())
}

async fn operation(args: &Args, client: &Client, account: AccountId) -> anyhow::Result<SystemOp> {
    let slot = slot_of(&args.action);
    let own = async || {
        let view = find(client, account, slot).await?;
        anyhow::Ok(ValidatorIndex(view.validator.index))
    };
    match &args.action {
        Action::Register => register(args, account),
        Action::Update(update) => change(own().await?, update),
        Action::Leave(_) => Ok(leave_validator(own().await?)),
    }
}

fn register(args: &Args, account: AccountId) -> anyhow::Result<SystemOp> {
    let path = KeyDir::new(&args.keys).public();
    let info: ValidatorInfo = read_toml(&path)?;
    if info.account != account {
        bail!(
            "[CV-CLI-143] {} names the account {}, but the key is of {account}; use the key of that account",
            path.display(),
            info.account
        );
    }
    Ok(register_validator(info))
}

fn change(validator: ValidatorIndex, update: &Update) -> anyhow::Result<SystemOp> {
    let mut change = ValidatorChange::of(validator);
    if let Some(weight) = update.weight {
        change = change.weight(weight);
    }
    if let Some(path) = &update.bls_key {
        change = change.bls(&read_bls(path)?);
    }
    if let Some(path) = &update.transport_key {
        change = change.transport_key(read_ed(path)?.transport_key());
    }
    if let Some(address) = &update.address {
        change = change.address(address);
    }
    if let Some(api) = &update.api {
        change = change.api(api);
    }
    if change.is_empty() {
        bail!("[CV-CLI-144] nothing to change; name what changes, as in --weight 2");
    }
    Ok(change.operation())
}

const fn slot_of(action: &Action) -> Option<u16> {
    match action {
        Action::Register => None,
        Action::Update(update) => update.slot.slot,
        Action::Leave(slot) => slot.slot,
    }
}

/// The account's validator, in a slot if one is named.
async fn find(
    client: &Client,
    account: AccountId,
    slot: Option<u16>,
) -> anyhow::Result<RegisteredView> {
    let all = client.validators().await?.validators;
    let account = account.to_string();
    let mut own = all.into_iter().filter(|view| {
        let wanted = slot.is_none_or(|slot| slot == view.validator.index);
        wanted && view.validator.account == account && view.standing != "vacant"
    });
    match (own.next(), own.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => bail!(
            "[CV-CLI-145] the account {account} has no such validator; register it, or use its operator's key"
        ),
        (Some(_), Some(_)) => {
            bail!("[CV-CLI-146] the account {account} has several validators; name one with --slot")
        }
    }
}

fn describe(view: &RegisteredView) -> String {
    format!(
        "validator {} {}: weight {} now, {} wanted, bond {}",
        view.validator.index, view.standing, view.weight, view.weight_wanted, view.bond
    )
}
