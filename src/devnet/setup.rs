//! Setting a devnet up: keys, draft, key generation between real processes, genesis; and, at each
//! start, the configuration files of all parts.

use std::path::{Path, PathBuf};

use anyhow::Context;
use conclave_crypto::{EdSecret, save_key};
use conclave_payments_node::{
    DevnetConfig, GatewayConfig, RegistrationConfig, RollupNodeConfig, prepare_genesis,
};
use conclave_prover::{ServedRollup, Strategy};
use conclave_sdk::replace_file;
use conclave_types::{
    AccountId, Allocation, Amount, ConsensusParameters, FeeParameters, MarketParameters, RollupId,
    SealingKey, ValidatorInfo,
};
use rand_core::{OsRng, RngCore};
use serde::Serialize;

use super::directory::Directory;
use super::plan::{Plan, prover_name, rollup_name, token, validator_name};
use super::processes::{Launch, Processes, Spec};
use crate::files::{KeyDir, read_ed, read_toml, write_toml};
use crate::genesis::{self, Draft};
use crate::{keygen, node};

/// A minute or two under load, so that whoever watches sees the committee make itself a new key.
const EPOCH_BLOCKS: u64 = 1_000;

/// The devnet's name in its genesis.
const NAME: &str = "conclave devnet";
/// What operators, provers and the newcomer's account start with.
const OPERATOR_BALANCE: Amount = Amount(1_000_000_000_000);
const PROVER_BALANCE: Amount = Amount(100_000_000);
const USER_BALANCE: Amount = Amount(1_000_000_000);
/// What each has in its prepaid fee account.
const FEES: Amount = Amount(100_000_000);
/// How long the key generation may take on a busy machine.
const DKG_SECONDS: u64 = 120;
/// A devnet's rollups are settled in small ranges, so that something happens on two cores: a range
/// of 32 payments is proven in about a second and a half.
const RANGE_TRANSACTIONS: u64 = 32;
const RANGE_AGE_MS: u64 = 10_000;
const DEADLINE_MS: u64 = 60_000;
/// The bond that a prover keeps: enough for all its slots at full ranges.
const PROVER_BOND: Amount = Amount(1_000_000);

/// How far provers give way to the rest of the devnet: a proof may wait, finality may not.
const PROVER_NICE: u8 = 10;

/// What the genesis gives to whom.
struct Account {
    key: PathBuf,
    balance: Amount,
}

/// Makes everything that a chain needs before its first block.
pub(crate) async fn create(
    directory: &Directory,
    processes: &mut Processes,
    load: f64,
    say: impl Fn(&str),
) -> anyhow::Result<()> {
    let plan = *directory.plan();
    say("making keys");
    let validators = validators(directory, &plan)?;
    let mut allocations = allocations(directory, &plan)?;
    // What reporting misbehaviour is paid from.
    allocations.extend(validators.iter().map(|validator| Allocation {
        account: validator.account,
        balance: Amount::ZERO,
        fees: FEES,
    }));
    let draft = Draft {
        name: NAME.into(),
        time: genesis::now()?,
        consensus: ConsensusParameters {
            epoch_blocks: EPOCH_BLOCKS,
            ..ConsensusParameters::default()
        },
        fees: FeeParameters::default(),
        market: MarketParameters::default(),
        validators,
        allocations,
    };
    genesis::write_draft(&directory.file("draft.toml"), &draft)?;

    let rollups = plan
        .rollup_ids()
        .map(|id| rollup_config(directory, &plan, id, load, random_seed()));
    let rollups: Vec<RollupNodeConfig> = rollups.collect();
    for (id, config) in plan.rollup_ids().zip(&rollups) {
        write_config(&directory.part(&rollup_name(id), "rollup.toml"), config)?;
    }
    // The rollups' accounts are made while the validators generate the key.
    let accounts = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        rollups
            .iter()
            .try_for_each(|config| prepare_genesis(config).map(drop).map_err(Into::into))
    });
    say(&format!(
        "generating the sealing key between {} processes, without a dealer",
        plan.validators
    ));
    processes.run_to_end(&dkg(directory, &plan)).await?;
    say("making the accounts of the rollups");
    accounts
        .await
        .context("[CV-CLI-083] the rollups' accounts could not be made")??;

    let sealing: SealingKey = read_toml(&directory.part(&validator_name(0), "sealing.toml"))?;
    let genesis = draft.with_key(sealing);
    genesis.check()?;
    write_toml(&directory.file("genesis.toml"), &genesis)?;
    directory.complete(genesis.chain_id().to_string())
}

/// Makes the validators' keys.
pub(crate) fn validators(directory: &Directory, plan: &Plan) -> anyhow::Result<Vec<ValidatorInfo>> {
    let create = |index| {
        let name = validator_name(index);
        let keys = KeyDir::new(&directory.part(&name, "keys"));
        keygen::create(
            &keys,
            name,
            plan.validator(index).to_string(),
            plan.api_url(index),
            1,
        )
    };
    (0..plan.validators).map(create).collect()
}

fn allocations(directory: &Directory, plan: &Plan) -> anyhow::Result<Vec<Allocation>> {
    let operators = plan.rollup_ids().map(|id| Account {
        key: directory.part(&rollup_name(id), "operator.key"),
        balance: OPERATOR_BALANCE,
    });
    let provers = (0..plan.provers).map(|index| Account {
        key: directory.part(&prover_name(index), "account.key"),
        balance: PROVER_BALANCE,
    });
    let user = Account {
        key: directory.file("user.key"),
        balance: USER_BALANCE,
    };
    let accounts = operators.chain(provers).chain([user]);
    accounts
        .map(|Account { key, balance }| {
            Ok(Allocation {
                account: new_account(&key)?,
                balance,
                fees: FEES,
            })
        })
        .collect()
}

fn new_account(path: &Path) -> anyhow::Result<AccountId> {
    make_parent(path)?;
    let secret = EdSecret::generate(&mut OsRng);
    save_key(path, &secret.to_seed())?;
    Ok(secret.account())
}

/// What its wallets derive from: the devnet's money is play money, but nobody else's wallets.
fn random_seed() -> String {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    hex::encode(seed)
}

/// The key generation's processes.
pub(crate) fn dkg(directory: &Directory, plan: &Plan) -> Vec<Spec> {
    let path = |name: &str, file: &str| directory.part(name, file).display().to_string();
    let spec = |index| {
        let name = validator_name(index);
        let mut args = vec!["genesis".to_owned(), "dkg".into()];
        for (flag, value) in [
            (
                "--draft",
                directory.file("draft.toml").display().to_string(),
            ),
            ("--keys", path(&name, "keys")),
            ("--data", path(&name, "data")),
            ("--listen", plan.validator(index).to_string()),
            ("--timeout-seconds", DKG_SECONDS.to_string()),
            ("--out", path(&name, "sealing.toml")),
        ] {
            args.extend([flag.to_owned(), value]);
        }
        Spec {
            name: format!("dkg-{index}"),
            args,
            launch: Launch::default(),
        }
    };
    (0..plan.validators).map(spec).collect()
}

/// Writes the configuration files of all parts, as they are at every start.
pub(crate) fn configure(directory: &Directory, load: Option<f64>) -> anyhow::Result<()> {
    let plan = *directory.plan();
    configure_validators(directory)?;
    for id in plan.rollup_ids() {
        let path = directory.part(&rollup_name(id), "rollup.toml");
        let mut config: RollupNodeConfig = read_toml(&path)?;
        if let (Some(load), Some(devnet)) = (load, &mut config.devnet) {
            devnet.load_tps = load / f64::from(plan.rollups);
        }
        write_config(&path, &config)?;
    }
    for index in 0..plan.provers {
        let path = directory.part(&prover_name(index), "prover.toml");
        write_config(&path, &prover_file(directory, &plan, index))?;
    }
    Ok(())
}

/// Writes the validators' configuration files.
pub(crate) fn configure_validators(directory: &Directory) -> anyhow::Result<()> {
    let plan = *directory.plan();
    for index in 0..plan.validators {
        let name = validator_name(index);
        let settings = node::Settings {
            genesis: directory.file("genesis.toml"),
            keys: directory.part(&name, "keys"),
            data: directory.part(&name, "data"),
            listen: Some(plan.validator(index)),
            api: plan.api(index),
            ..node::Settings::default()
        };
        write_config(&directory.part(&name, "node.toml"), &settings)?;
    }
    Ok(())
}

fn rollup_config(
    directory: &Directory,
    plan: &Plan,
    id: u16,
    load: f64,
    seed: String,
) -> RollupNodeConfig {
    let part = rollup_name(id);
    let (name, token) = token(id);
    RollupNodeConfig {
        rollup: RollupId(id.into()),
        name,
        token,
        chain_genesis: directory.file("genesis.toml"),
        genesis: directory.part(&part, "genesis.toml"),
        nodes: plan.api_urls(id % plan.validators),
        data: directory.part(&part, "data"),
        listen: plan.rollup(id),
        operator_key: directory.part(&part, "operator.key"),
        registration: RegistrationConfig {
            range_transactions: RANGE_TRANSACTIONS,
            range_age_ms: RANGE_AGE_MS,
            deadline_ms: DEADLINE_MS,
            ..RegistrationConfig::default()
        },
        gateway: GatewayConfig::default(),
        devnet: Some(DevnetConfig {
            seed,
            load_tps: load / f64::from(plan.rollups),
            ..DevnetConfig::default()
        }),
    }
}

/// A prover's configuration file, as far as it differs from the defaults.
#[derive(Serialize)]
struct ProverFile {
    genesis: PathBuf,
    account_key: PathBuf,
    nodes: Vec<String>,
    data_dir: PathBuf,
    bond: Amount,
    slots: u16,
    nice: u8,
    strategy: Strategy,
    rollups: Vec<ServedRollup>,
}

fn prover_file(directory: &Directory, plan: &Plan, index: u16) -> ProverFile {
    let part = prover_name(index);
    let rollups = plan.rollup_ids().map(|id| ServedRollup {
        id: RollupId(id.into()),
        genesis: directory.part(&rollup_name(id), "genesis.toml"),
    });
    // Different members: a steady one, an eager one that holds one job at a time, and one with a
    // price list.
    let (strategy, slots) = match index % 3 {
        0 => (Strategy::CostPlus { margin_percent: 25 }, 4),
        1 => (
            Strategy::Undercut {
                below_percent: 5,
                margin_percent: 10,
            },
            1,
        ),
        _ => (Strategy::Fixed { price: Amount(55) }, 2),
    };
    ProverFile {
        genesis: directory.file("genesis.toml"),
        account_key: directory.part(&part, "account.key"),
        nodes: plan.api_urls(index % plan.validators),
        data_dir: directory.part(&part, "data"),
        bond: PROVER_BOND,
        slots,
        nice: PROVER_NICE,
        strategy,
        rollups: rollups.collect(),
    }
}

/// The account of a prover.
pub(crate) fn prover_account(directory: &Directory, index: u16) -> anyhow::Result<AccountId> {
    Ok(read_ed(&directory.part(&prover_name(index), "account.key"))?.account())
}

fn write_config(path: &Path, config: &impl Serialize) -> anyhow::Result<()> {
    make_parent(path)?;
    let text = toml::to_string(config)
        .with_context(|| format!("[CV-CLI-084] {} has no TOML form", path.display()))?;
    let text = format!("# Written by `conclave devnet` at each start.\n{text}");
    replace_file(path, text.as_bytes()).with_context(|| {
        format!(
            "[CV-CLI-071] cannot write {}; check its rights",
            path.display()
        )
    })
}

fn make_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).with_context(|| {
        format!(
            "[CV-CLI-071] cannot write {}; check its rights",
            parent.display()
        )
    })
}
