//! Accounts that appear while the rollup runs. Their slots are written down beside their wallets.

use std::path::{Path, PathBuf};

use conclave_payments::Address;

use crate::purse::Purse;
use crate::{DevnetConfig, RollupError, devnet, files};

/// A slot, a key of 64 digits, and white space.
const FILE_BYTES_MAX: u64 = 128;

fn address_path(data: &Path, number: u32) -> PathBuf {
    data.join("wallets").join(format!("{number}.address"))
}

/// The number of the first newcomer.
pub(crate) fn first_newcomer(devnet: &DevnetConfig) -> u32 {
    devnet::FIRST_LOAD_WALLET + devnet.accounts
}

/// Newcomers of earlier runs, and the number of the next. One whose address was not written down
/// before a crash never had an account.
pub(crate) fn known_newcomers(
    data: &Path,
    devnet: &DevnetConfig,
) -> Result<(Vec<Purse>, u32), RollupError> {
    let mut purses = Vec::new();
    let mut number = first_newcomer(devnet);
    while devnet::wallet_exists(data, number) {
        let path = address_path(data, number);
        if path.exists() {
            purses.push(Purse {
                address: read_address(&path)?,
                wallet: devnet::open_wallet(data, devnet, number)?,
            });
        }
        number += 1;
    }
    Ok((purses, number))
}

/// Makes a new wallet whose account will be in `slot_of(key)`.
pub(crate) fn create_newcomer(
    data: &Path,
    devnet: &DevnetConfig,
    number: u32,
) -> Result<devnet::DiskWallet, RollupError> {
    devnet::create_wallet(data, devnet, number)
}

/// Writes a newcomer's address down; before its first payment is made.
pub(crate) fn record_newcomer(
    data: &Path,
    number: u32,
    address: Address,
) -> Result<(), RollupError> {
    let text = format!("{} {}\n", address.slot, address.key);
    files::write_atomic(&address_path(data, number), text.as_bytes())
}

fn read_address(path: &Path) -> Result<Address, RollupError> {
    let text = files::read_bounded(path, FILE_BYTES_MAX)?;
    let parse = || {
        let (slot, key) = text.trim().split_once(' ')?;
        Some(Address {
            slot: slot.parse().ok()?,
            key: key.parse().ok()?,
        })
    };
    parse().ok_or_else(|| RollupError::WrongData {
        reason: format!("{} holds no address", path.display()),
    })
}
