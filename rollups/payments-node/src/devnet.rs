//! The accounts of a devnet: wallets derived from one seed text, and the genesis they make.
//!
//! | wallet | slot | role |
//! | --- | --- | --- |
//! | 0 | 0 | fee account |
//! | 1 | 1 | faucet |
//! | 2 … | 2 … | accounts that pay each other |
//! | after those | found at first credit | newcomers of the load generator |

use std::fs;
use std::path::{Path, PathBuf};

use conclave_payments::{Address, Allocation, FieldDigest, FileLeafStore, Seed, Wallet};

use crate::leaves::ReservedLeaves;
use crate::{DevnetConfig, RollupError, RollupGenesis, RollupNodeConfig, domain};

/// The wallet that collects fees.
const FEE_WALLET: u32 = 0;
/// The wallet that the faucet pays from.
pub(crate) const FAUCET_WALLET: u32 = 1;
/// The first of the accounts that pay each other.
pub(crate) const FIRST_LOAD_WALLET: u32 = 2;

/// A wallet on disk that asks for a sync once in many signatures.
pub(crate) type DiskWallet = Wallet<ReservedLeaves<FileLeafStore>>;

/// Loads the rollup's genesis file, or writes it for the configured devnet, with its wallets.
///
/// Call this before prover members start, so that they find the file. It derives all key trees:
/// about a tenth of a second of CPU each, on the caller's thread.
pub fn prepare_genesis(config: &RollupNodeConfig) -> Result<RollupGenesis, RollupError> {
    config.check()?;
    let genesis = match (&config.devnet, config.genesis.exists()) {
        (_, true) => RollupGenesis::load(&config.genesis)?,
        (Some(devnet), false) => {
            let genesis = create_genesis(config, devnet)?;
            genesis.save(&config.genesis)?;
            genesis
        }
        (None, false) => {
            return Err(RollupError::GenesisFile {
                path: config.genesis.clone(),
                reason: "it does not exist, and no devnet accounts are configured".into(),
            });
        }
    };
    match genesis.rollup == config.rollup.0 {
        true => Ok(genesis),
        false => Err(RollupError::GenesisFile {
            path: config.genesis.clone(),
            reason: format!("it is of rollup {}, not {}", genesis.rollup, config.rollup),
        }),
    }
}

fn create_genesis(
    config: &RollupNodeConfig,
    devnet: &DevnetConfig,
) -> Result<RollupGenesis, RollupError> {
    let fee_account = Address {
        slot: FEE_WALLET,
        key: first_owner(config, devnet, FEE_WALLET)?,
    };
    let mut accounts = Vec::new();
    for number in FAUCET_WALLET..FIRST_LOAD_WALLET + devnet.accounts {
        let balance = match number {
            FAUCET_WALLET => devnet.faucet_balance,
            _ => devnet.balance,
        };
        accounts.push(Allocation {
            address: Address {
                slot: number,
                key: first_owner(config, devnet, number)?,
            },
            balance,
        });
    }
    Ok(RollupGenesis {
        rollup: config.rollup.0,
        name: config.name.clone(),
        token: config.token.clone(),
        fee_account,
        accounts,
    })
}

/// Creates a wallet and answers its account key. Only here, before the genesis exists, is it
/// certain that none of the wallet's leaves was ever used; if files are left from an attempt that
/// was interrupted, nothing was signed either, because no account existed.
fn first_owner(
    config: &RollupNodeConfig,
    devnet: &DevnetConfig,
    number: u32,
) -> Result<FieldDigest, RollupError> {
    let path = wallet_path(&config.data, number);
    if path.exists() {
        return Ok(open_wallet(&config.data, devnet, number)?.owner());
    }
    Ok(create_wallet(&config.data, devnet, number)?.owner())
}

/// A wallet's seed.
fn seed(devnet: &DevnetConfig, number: u32) -> Seed {
    let mut hasher = blake3::Hasher::new_derive_key(domain::DEVNET_WALLET);
    hasher.update(&number.to_le_bytes());
    hasher.update(devnet.seed.as_bytes());
    Seed::new(*hasher.finalize().as_bytes())
}

fn wallet_path(data: &Path, number: u32) -> PathBuf {
    data.join("wallets").join(format!("{number}.leaves"))
}

fn leaves(data: &Path, number: u32) -> Result<ReservedLeaves<FileLeafStore>, RollupError> {
    let path = wallet_path(data, number);
    let folder = data.join("wallets");
    fs::create_dir_all(&folder).map_err(RollupError::file(&folder))?;
    let store = FileLeafStore::open(path).map_err(|source| RollupError::Wallet {
        number,
        source: source.into(),
    })?;
    Ok(ReservedLeaves::new(store))
}

/// Creates a wallet none of whose leaves was ever used.
pub(crate) fn create_wallet(
    data: &Path,
    devnet: &DevnetConfig,
    number: u32,
) -> Result<DiskWallet, RollupError> {
    Wallet::create(seed(devnet, number), leaves(data, number)?)
        .map_err(|source| RollupError::Wallet { number, source })
}

/// Opens a wallet whose leaves are recorded.
pub(crate) fn open_wallet(
    data: &Path,
    devnet: &DevnetConfig,
    number: u32,
) -> Result<DiskWallet, RollupError> {
    Wallet::open(seed(devnet, number), leaves(data, number)?)
        .map_err(|source| RollupError::Wallet { number, source })
}

/// Opens a wallet, or restores it when its file is gone; a restored wallet rotates before it pays.
/// `None` when none of the first trees owns the account, so that the seed is another one.
pub(crate) fn recover_wallet(
    data: &Path,
    devnet: &DevnetConfig,
    number: u32,
    owner: FieldDigest,
) -> Result<Option<DiskWallet>, RollupError> {
    /// Rotations that a search covers: 64 trees are about 64,000 payments of one devnet account.
    const TREES_MAX: u32 = 64;
    if wallet_path(data, number).exists() {
        return open_wallet(data, devnet, number).map(Some);
    }
    let refuse = |source| RollupError::Wallet { number, source };
    for tree in 0..TREES_MAX {
        let probe = Wallet::restore(seed(devnet, number), tree, crate::leaves::NoLeaves);
        if probe.map_err(refuse)?.owner() == owner {
            let wallet = Wallet::restore(seed(devnet, number), tree, leaves(data, number)?);
            return wallet.map(Some).map_err(refuse);
        }
    }
    Ok(None)
}

/// Whether a wallet's leaves are recorded here.
pub(crate) fn wallet_exists(data: &Path, number: u32) -> bool {
    wallet_path(data, number).exists()
}
