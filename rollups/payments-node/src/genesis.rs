//! The rollup's genesis file: who holds what before the first payment.
//!
//! The rollup node writes it once; prover members and anybody else who executes the rollup load
//! it. The format is TOML, the keys are 32 bytes in lowercase hexadecimal:
//!
//! ```toml
//! version = 1
//! rollup = 1
//! name = "payments"
//! token = "TOKEN"
//! root = "…"            # the state root that follows; loading refuses a file where it does not
//!
//! [fee_account]         # collects the payments' fees
//! slot = 0
//! key = "…"
//!
//! [[accounts]]          # by ascending slot
//! slot = 1
//! key = "…"
//! balance = 1000000
//! ```

use std::path::Path;

use conclave_payments::{Address, Allocation, FieldDigest, State};
use conclave_types::{Digest, StateRoot};
use serde::{Deserialize, Serialize};

use crate::{RollupError, files};

/// The only version there is.
const VERSION: u32 = 1;
/// A file of 100,000 accounts has about 13 MB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A rollup's genesis, as checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupGenesis {
    /// The rollup's id.
    pub rollup: u32,
    /// The rollup's name.
    pub name: String,
    /// The name of its money.
    pub token: String,
    /// Collects the fees.
    pub fee_account: Address,
    /// By ascending slot.
    pub accounts: Vec<Allocation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisFile {
    version: u32,
    rollup: u32,
    name: String,
    token: String,
    root: String,
    fee_account: AddressFile,
    accounts: Vec<AccountFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressFile {
    slot: u32,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountFile {
    slot: u32,
    key: String,
    balance: u64,
}

impl RollupGenesis {
    /// The state before the first payment.
    pub fn state(&self) -> Result<State, RollupError> {
        Ok(State::genesis(self.fee_account, &self.accounts)?)
    }

    /// Its root, as the rollup registers it.
    pub fn root(&self) -> Result<StateRoot, RollupError> {
        Ok(StateRoot(Digest(self.state()?.root())))
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, RollupError> {
        let text = files::read_bounded(path, FILE_BYTES_MAX)?;
        Self::from_toml(&text).map_err(|reason| RollupError::GenesisFile {
            path: path.into(),
            reason,
        })
    }

    /// Writes the file atomically, in place of any other.
    pub fn save(&self, path: &Path) -> Result<(), RollupError> {
        files::write_atomic(path, self.to_toml()?.as_bytes())
    }

    fn to_toml(&self) -> Result<String, RollupError> {
        let file = GenesisFile {
            version: VERSION,
            rollup: self.rollup,
            name: self.name.clone(),
            token: self.token.clone(),
            root: self.root()?.to_string(),
            fee_account: AddressFile {
                slot: self.fee_account.slot,
                key: self.fee_account.key.to_string(),
            },
            accounts: self
                .accounts
                .iter()
                .map(|Allocation { address, balance }| AccountFile {
                    slot: address.slot,
                    key: address.key.to_string(),
                    balance: *balance,
                })
                .collect(),
        };
        toml::to_string_pretty(&file).map_err(|error| RollupError::Config {
            reason: format!("the genesis has no TOML form: {error}"),
        })
    }

    fn from_toml(text: &str) -> Result<Self, String> {
        let file: GenesisFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("version {} is not {VERSION}", file.version));
        }
        if file
            .accounts
            .windows(2)
            .any(|two| two[0].slot >= two[1].slot)
        {
            return Err("the accounts are not sorted by slot".into());
        }
        let key = |text: &str| text.parse::<FieldDigest>().map_err(|e| e.to_string());
        let mut accounts = Vec::with_capacity(file.accounts.len());
        for account in &file.accounts {
            accounts.push(Allocation {
                address: Address {
                    slot: account.slot,
                    key: key(&account.key)?,
                },
                balance: account.balance,
            });
        }
        let genesis = Self {
            rollup: file.rollup,
            name: file.name,
            token: file.token,
            fee_account: Address {
                slot: file.fee_account.slot,
                key: key(&file.fee_account.key)?,
            },
            accounts,
        };
        let root = genesis.root().map_err(|error| error.to_string())?;
        if root.to_string() != file.root {
            return Err(format!("its accounts give root {root}, not {}", file.root));
        }
        Ok(genesis)
    }
}
