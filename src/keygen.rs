//! `conclave keygen`: keys of a validator, or of a payer.

use std::path::PathBuf;

use conclave_crypto::{EdSecret, save_key};
use conclave_types::ValidatorInfo;

use crate::files::{KeyDir, write_toml};

/// Make a validator's keys and the public file that goes into a genesis draft.
///
/// The keys are for BLS votes, the transport and the account; or, with --account, there is one
/// ed25519 key of a payer.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for the secret keys and `validator.toml`; or, with --account, the key's file.
    #[arg(long)]
    out: PathBuf,
    /// Make one payer's key instead of a validator's.
    #[arg(long, conflicts_with_all = ["name", "address", "api", "weight"])]
    account: bool,
    /// The validator's name, unique in the committee.
    #[arg(long, required_unless_present = "account")]
    name: Option<String>,
    /// Where peers reach it, as host:port (UDP).
    #[arg(long, required_unless_present = "account")]
    address: Option<String>,
    /// Where clients reach its HTTP API, as a base URL.
    #[arg(long, required_unless_present = "account")]
    api: Option<String>,
    /// Its weight; the committee's total must be 3f+1.
    #[arg(long, default_value_t = 1)]
    weight: u16,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        out,
        account,
        name,
        address,
        api,
        weight,
    } = args;
    let (false, Some(name), Some(address), Some(api)) = (account, name, address, api) else {
        let secret = EdSecret::generate(&mut rand_core::OsRng);
        save_key(&out, &secret.to_seed())?;
        println!("{}", secret.account());
        return Ok(());
    };
    let info = create(&KeyDir::new(&out), name, address, api, weight)?;
    println!("wrote the keys of {} to {}", info.name, out.display());
    println!(
        "{} goes into the genesis draft; the .key files stay here",
        KeyDir::new(&out).public().display()
    );
    Ok(())
}

/// Makes a validator's keys and public file.
pub(crate) fn create(
    keys: &KeyDir,
    name: String,
    address: String,
    api: String,
    weight: u16,
) -> anyhow::Result<ValidatorInfo> {
    keys.create()?;
    let bls = keys.bls()?;
    let info = ValidatorInfo {
        name,
        weight,
        bls_key: bls.public(),
        bls_possession: bls.prove_possession(),
        transport_key: keys.transport()?.transport_key(),
        account: keys.account()?.account(),
        address,
        api,
    };
    write_toml(&keys.public(), &info)?;
    Ok(info)
}
