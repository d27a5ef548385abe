//! The rollup's place on the ledger: registered once, funded, its envelopes paid for.

use std::time::Duration;

use conclave_payments::program_version;
use conclave_sdk::api::{AccountView, RollupView};
use conclave_sdk::{Client, ClientError, Gateway};
use conclave_types::{
    Amount, Digest, ProgramVersion, ProofPolicy, ProofSystem, RollupConfig, StateRoot, SystemOp,
};
use tokio::time::sleep;

use crate::node::{Shutdown, stopped};
use crate::{RollupError, RollupNodeConfig};

/// How long one operation may take to be ordered and executed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks at the accounts.
const TREASURY_POLL: Duration = Duration::from_secs(10);
/// How often, and after which pause, a node is asked again whether it shows the registration.
const LOOKS: u32 = 100;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Registers the rollup when the ledger does not know it, and checks the registration.
pub(crate) async fn ensure_registered(
    gateway: &Gateway,
    config: &RollupNodeConfig,
    genesis_root: StateRoot,
) -> Result<(), RollupError> {
    ensure_fees(gateway, config).await?;
    let wanted = rollup_config(gateway, config, genesis_root);
    let view = match look(gateway.client(), config).await? {
        Some(view) => view,
        None => {
            let op = SystemOp::RegisterRollup {
                rollup: config.rollup,
                config: wanted.clone(),
            };
            perform(gateway, "registering the rollup", &op).await?;
            tracing::info!(rollup = %config.rollup, "registered");
            wait_for_view(gateway.client(), config).await?
        }
    };
    check(config, &wanted, &view)?;
    ensure_fund(gateway, config, &view).await
}

/// What this node registers.
fn rollup_config(
    gateway: &Gateway,
    config: &RollupNodeConfig,
    genesis_root: StateRoot,
) -> RollupConfig {
    let registration = &config.registration;
    RollupConfig {
        name: config.name.clone(),
        owner: gateway.account(),
        program: ProgramVersion(Digest(program_version())),
        genesis_root,
        policy: ProofPolicy::Any {
            systems: vec![ProofSystem::Winterfell],
            required: 1,
        },
        reserve_price: registration.reserve_price,
        reserve_price_max: registration.reserve_price_max,
        range_transactions: registration.range_transactions,
        range_age_ms: registration.range_age_ms,
        deadline_ms: registration.deadline_ms,
        bond_percent: registration.bond_percent,
        fee_share_percent: registration.fee_share_percent,
    }
}

/// A registration is this rollup's when owner, program and genesis root are. Prices and ranges
/// may have been changed by the owner since.
fn check(
    config: &RollupNodeConfig,
    wanted: &RollupConfig,
    view: &RollupView,
) -> Result<(), RollupError> {
    let pairs = [
        (
            "genesis root",
            wanted.genesis_root.to_string(),
            &view.genesis_root,
        ),
        ("program", wanted.program.to_string(), &view.program),
        ("owner", wanted.owner.to_string(), &view.owner),
    ];
    for (what, ours, theirs) in pairs {
        if ours != *theirs {
            return Err(RollupError::ForeignRegistration {
                rollup: config.rollup,
                what,
                ours,
                theirs: theirs.clone(),
            });
        }
    }
    Ok(())
}

async fn look(
    client: &Client,
    config: &RollupNodeConfig,
) -> Result<Option<RollupView>, RollupError> {
    match client.rollup(config.rollup).await {
        Ok(view) => Ok(Some(view)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(sequencer(&error)),
    }
}

/// Another node than the one that executed the registration may be a block behind.
async fn wait_for_view(
    client: &Client,
    config: &RollupNodeConfig,
) -> Result<RollupView, RollupError> {
    for _ in 0..LOOKS {
        if let Some(view) = look(client, config).await? {
            return Ok(view);
        }
        sleep(LOOK_PAUSE).await;
    }
    Err(RollupError::Registration {
        step: "registering the rollup",
        reason: "no node shows it".into(),
    })
}

/// Keeps the fee account above a quarter of what is configured.
async fn ensure_fees(gateway: &Gateway, config: &RollupNodeConfig) -> Result<(), RollupError> {
    let wanted = config.registration.fees;
    let account = operator(gateway).await?;
    if account.fees >= wanted.0 / 4 {
        return Ok(());
    }
    let op = SystemOp::DepositFees {
        account: gateway.account(),
        amount: Amount(wanted.0.min(account.balance)),
    };
    perform(gateway, "depositing fees", &op).await
}

/// Keeps the proving fund above a quarter of what is configured.
async fn ensure_fund(
    gateway: &Gateway,
    config: &RollupNodeConfig,
    view: &RollupView,
) -> Result<(), RollupError> {
    let wanted = config.registration.fund;
    if view.fund >= wanted.0 / 4 {
        return Ok(());
    }
    let account = operator(gateway).await?;
    let op = SystemOp::FundRollup {
        rollup: config.rollup,
        amount: Amount(wanted.0.min(account.balance)),
    };
    perform(gateway, "funding the rollup", &op).await
}

async fn operator(gateway: &Gateway) -> Result<AccountView, RollupError> {
    match gateway.client().account(gateway.account()).await {
        Ok(account) => Ok(account),
        Err(error) if error.is_not_found() => Err(RollupError::Registration {
            step: "looking up the operator",
            reason: format!("the ledger knows no account {}", gateway.account()),
        }),
        Err(error) => Err(sequencer(&error)),
    }
}

async fn perform(gateway: &Gateway, step: &'static str, op: &SystemOp) -> Result<(), RollupError> {
    match gateway.perform(op, PATIENCE).await {
        Ok(_) => Ok(()),
        Err(error) => Err(RollupError::Registration {
            step,
            reason: error.to_string(),
        }),
    }
}

fn sequencer(error: &ClientError) -> RollupError {
    RollupError::Sequencer(error.to_string())
}

/// Tops up fees and fund for as long as the operator has money.
pub(crate) async fn run_treasury(
    gateway: std::sync::Arc<Gateway>,
    config: RollupNodeConfig,
    mut shutdown: Shutdown,
) {
    let work = async {
        loop {
            sleep(TREASURY_POLL).await;
            let topped = async {
                ensure_fees(&gateway, &config).await?;
                match look(gateway.client(), &config).await? {
                    Some(view) => ensure_fund(&gateway, &config, &view).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = topped.await {
                tracing::warn!(%error, "fees or proving fund run low");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopped(&mut shutdown) => {}
    }
}
