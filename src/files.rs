//! What several subcommands do with files: TOML in and out, key directories, the log.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use conclave_crypto::{BlsSecret, EdSecret, load_key, save_key};
use conclave_node::{GenesisShares, destroy_if_retired};
use conclave_seal::KeyShares;
use conclave_types::Genesis;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// A configuration file; larger ones are not ours.
const TOML_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Logs to standard error.
pub(crate) fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow!("[CV-CLI-001] --log {filter}: {error}; use a level such as info")
    })?;
    let ansi = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi);
    log.with_writer(std::io::stderr).init();
    Ok(())
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::File::open(path)
        .with_context(|| format!("[CV-CLI-002] cannot read {}", path.display()))
}

/// Reads a TOML file; unknown keys are errors.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let size = std::fs::metadata(path).map(|meta| meta.len());
    let size = size.with_context(|| format!("[CV-CLI-002] cannot read {}", path.display()))?;
    if size > TOML_BYTES_MAX {
        bail!(
            "[CV-CLI-003] {} has {size} bytes; it is not the right file",
            path.display()
        );
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("[CV-CLI-002] cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| {
        format!(
            "[CV-CLI-004] {} is not as it should be; correct it",
            path.display()
        )
    })
}

/// Writes a new TOML file; an existing one is never overwritten.
pub(crate) fn write_toml<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    let text = toml::to_string_pretty(value)?;
    write_new(path, text.as_bytes())
}

/// Writes a new file durably.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| {
        let path = path.display();
        format!("[CV-CLI-005] cannot create {path}; if it exists, move it away first")
    })
}

/// Reads and checks a genesis.
pub(crate) fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let genesis: Genesis = read_toml(path)?;
    genesis
        .check()
        .with_context(|| format!("{} cannot start a chain", path.display()))?;
    Ok(genesis)
}

/// Which chain a command is about, and whom it asks.
#[derive(clap::Args)]
pub(crate) struct ChainArgs {
    /// The chain's genesis file: what everything is sealed to and checked against.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CONCLAVE_GENESIS",
        default_value = "genesis.toml"
    )]
    pub(crate) genesis: PathBuf,
    /// A validator's API, as in http://127.0.0.1:26700; give several.
    #[arg(
        long = "node",
        global = true,
        value_name = "URL",
        env = "CONCLAVE_NODES",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:26700"
    )]
    pub(crate) nodes: Vec<String>,
}

/// A validator's directory of keys.
pub(crate) struct KeyDir(PathBuf);

impl KeyDir {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.into())
    }

    /// The public file that goes into a draft.
    pub(crate) fn public(&self) -> PathBuf {
        self.0.join("validator.toml")
    }

    /// Makes the directory and all keys; fails if any exists.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.0)
            .with_context(|| format!("[CV-CLI-006] cannot create {}", self.0.display()))?;
        let mut random = rand_core::OsRng;
        save_key(
            &self.0.join("bls.key"),
            &BlsSecret::generate(&mut random).to_bytes(),
        )?;
        save_key(
            &self.0.join("transport.key"),
            &EdSecret::generate(&mut random).to_seed(),
        )?;
        save_key(
            &self.0.join("account.key"),
            &EdSecret::generate(&mut random).to_seed(),
        )?;
        Ok(())
    }

    pub(crate) fn bls(&self) -> anyhow::Result<BlsSecret> {
        read_bls(&self.0.join("bls.key"))
    }

    /// The keys that votes are signed with: the first one, and those that take its place in later
    /// epochs, in files such as `bls-2.key`.
    pub(crate) fn all_bls(&self) -> anyhow::Result<Vec<BlsSecret>> {
        let mut keys = vec![self.bls()?];
        let unreadable = || format!("[CV-CLI-002] cannot read {}", self.0.display());
        for entry in std::fs::read_dir(&self.0).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("bls-") && name.ends_with(".key")) {
                keys.push(read_bls(&path)?);
            }
        }
        Ok(keys)
    }

    pub(crate) fn transport(&self) -> anyhow::Result<EdSecret> {
        read_ed(&self.0.join("transport.key"))
    }

    /// The account's key, which its owner may keep elsewhere.
    pub(crate) fn account_if_any(&self) -> anyhow::Result<Option<EdSecret>> {
        match self.0.join("account.key").exists() {
            true => self.account().map(Some),
            false => Ok(None),
        }
    }

    pub(crate) fn account(&self) -> anyhow::Result<EdSecret> {
        read_ed(&self.0.join("account.key"))
    }

    /// Keeps the shares of the committee's key.
    pub(crate) fn save_shares(&self, shares: &KeyShares) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.0.join("sealing.key");
        let secrets = self.0.join("secrets");
        if secrets.exists() {
            // It says which keys of that chain are retired, and would have these destroyed.
            bail!(
                "[CV-CLI-005] cannot create {}; move {} away first, which is of another chain",
                path.display(),
                secrets.display()
            );
        }
        let text = Zeroizing::new(hex::encode(shares.encode()) + "\n");
        let write = || {
            use std::io::Write;
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| {
            let path = path.display();
            format!("[CV-CLI-005] cannot create {path}; if it exists, move it away first")
        })
    }

    /// The shares of the genesis key; none once that was retired and they were destroyed.
    pub(crate) fn shares_if_any(&self) -> anyhow::Result<Option<GenesisShares>> {
        let file = self.0.join("sealing.key");
        if !file.exists() || destroy_if_retired(&self.0, &file)? {
            return Ok(None);
        }
        let shares = self.shares()?;
        let file = Some(file);
        Ok(Some(GenesisShares { shares, file }))
    }

    fn shares(&self) -> anyhow::Result<KeyShares> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join("sealing.key");
        let mode = std::fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777);
        if let Ok(mode) = mode
            && mode & 0o077 != 0
        {
            bail!(
                "[CV-CLI-013] {} has mode {mode:o}, so others can read it; chmod 600 it, and \
                 generate a new key if somebody might have",
                path.display()
            );
        }
        let text = Zeroizing::new(std::fs::read_to_string(&path).with_context(|| {
            format!(
                "[CV-CLI-002] cannot read {}; run the key generation first",
                path.display()
            )
        })?);
        let bytes = Zeroizing::new(hex::decode(text.trim_end()).map_err(|_| {
            anyhow!(
                "[CV-CLI-008] {} is not hexadecimal; restore it",
                path.display()
            )
        })?);
        Ok(KeyShares::decode(&bytes)?)
    }
}

/// Reads a BLS key file.
pub(crate) fn read_bls(path: &Path) -> anyhow::Result<BlsSecret> {
    let bytes = load_key(path)?;
    BlsSecret::from_bytes(&bytes).ok_or_else(|| {
        anyhow!(
            "[CV-CLI-007] {} holds no BLS key; restore it",
            path.display()
        )
    })
}

/// Reads an ed25519 key file.
pub(crate) fn read_ed(path: &Path) -> anyhow::Result<EdSecret> {
    Ok(EdSecret::from_seed(&*load_key(path)?))
}
