//! A devnet's directory: recognised by its marker, used by one devnet at a time, and wiped only as
//! far as it is the devnet's own.
//!
//! ```text
//! conclave-devnet/
//!   devnet.toml            the marker: size, base port, chain
//!   lock                   held while a devnet runs here
//!   pids.json              name → process id, while a devnet runs here
//!   genesis.toml           with draft.toml, parameters.toml and user.key
//!   validator-0/           node.toml, keys/, sealing.toml, data/
//!   rollup-1/              rollup.toml, genesis.toml, operator.key, data/
//!   prover-0/              prover.toml, account.key, data/
//!   logs/                  a file for each process; that of the run before ends in .old
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use conclave_sdk::replace_file;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::files::{read_genesis, read_toml};

/// The only format there is.
const FORMAT: &str = "conclave-devnet-1";
const MARKER: &str = "devnet.toml";
/// Everything that a devnet makes at the top of its directory, but for numbered parts.
const OWN_FILES: [&str; 7] = [
    "pids.json",
    "genesis.toml",
    "draft.toml",
    "parameters.toml",
    "user.key",
    "user.key.sequence",
    "logs",
];
/// The parts, which are numbered.
const OWN_PARTS: [&str; 3] = ["validator-", "rollup-", "prover-"];

/// What the marker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    format: String,
    validators: u16,
    rollups: u16,
    provers: u16,
    base_port: u16,
    /// Absent until everything is set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
}

/// What was asked for; what is not is taken from the directory, or the default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) validators: Option<u16>,
    pub(crate) rollups: Option<u16>,
    pub(crate) provers: Option<u16>,
    pub(crate) base_port: Option<u16>,
}

impl Wanted {
    fn or_default(self) -> Plan {
        Plan {
            validators: self.validators.unwrap_or(4),
            rollups: self.rollups.unwrap_or(3),
            provers: self.provers.unwrap_or(3),
            base_port: self.base_port.unwrap_or(26600),
        }
    }
}

/// A devnet's directory, locked.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    plan: Plan,
    is_new: bool,
    /// Released by the system when this process ends, however it ends.
    _lock: File,
}

impl Directory {
    /// Opens or makes the directory. Refuses one that is not a devnet's, in use, or of another
    /// size; nothing is changed then.
    pub(crate) fn open(path: &Path, wanted: Wanted, fresh: bool) -> anyhow::Result<Self> {
        let marker = read_marker(path)?;
        let is_empty = is_absent_or_empty(path)?;
        if marker.is_none() && !is_empty {
            bail!(
                "[CV-CLI-070] {} is not empty and not a devnet's; choose another --data-dir",
                path.display()
            );
        }
        let kept = marker.filter(|marker| !fresh && marker.chain.is_some());
        let plan = match &kept {
            Some(marker) => marker.plan(path, wanted)?,
            None => wanted.or_default(),
        };
        plan.check()?;
        let denied = || {
            format!(
                "[CV-CLI-071] cannot write {}; check its owner and rights",
                path.display()
            )
        };
        fs::create_dir_all(path).with_context(denied)?;
        let root = path.canonicalize().with_context(denied)?;
        let lock = lock(&root).with_context(denied)?;
        let lock = lock.ok_or_else(|| {
            let path = path.display();
            anyhow!("[CV-CLI-072] a devnet runs in {path} already; stop it, or choose another --data-dir")
        })?;
        let directory = Self {
            root,
            plan,
            is_new: kept.is_none(),
            _lock: lock,
        };
        if let Some(marker) = &kept {
            directory.check_chain(marker)?;
        }
        Ok(directory)
    }

    /// Makes the directory ready for a start: what is to be set up anew starts over.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let prepare = || {
            if self.is_new {
                self.start_over()?;
            }
            fs::create_dir_all(self.file("logs"))
        };
        prepare().with_context(|| self.denied())
    }

    fn denied(&self) -> String {
        let root = self.root.display();
        format!("[CV-CLI-071] cannot write {root}; check its owner and rights")
    }

    /// The devnet's size and place.
    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether everything is still to be set up.
    pub(crate) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// A file or directory of the devnet.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where one part's files are.
    pub(crate) fn part(&self, part: &str, file: &str) -> PathBuf {
        self.root.join(part).join(file)
    }

    /// Says that everything is set up, for this chain.
    pub(crate) fn complete(&self, chain: String) -> anyhow::Result<()> {
        self.mark(Some(chain)).with_context(|| self.denied())
    }

    /// Removes what an earlier devnet left, and nothing else, and marks the directory.
    fn start_over(&self) -> io::Result<()> {
        // The marker goes first: a wipe that is interrupted is done again.
        self.mark(None)?;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_str().is_some_and(is_own) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn mark(&self, chain: Option<String>) -> io::Result<()> {
        let Plan {
            validators,
            rollups,
            provers,
            base_port,
        } = self.plan;
        let format = FORMAT.into();
        let marker = Marker {
            format,
            validators,
            rollups,
            provers,
            base_port,
            chain,
        };
        let text = toml::to_string(&marker).map_err(io::Error::other)?;
        replace_file(&self.file(MARKER), text.as_bytes())
    }

    fn check_chain(&self, marker: &Marker) -> anyhow::Result<()> {
        let genesis = read_genesis(&self.file("genesis.toml"))?;
        let found = genesis.chain_id().to_string();
        if marker.chain.as_ref() != Some(&found) {
            bail!(
                "[CV-CLI-073] {} holds the genesis of another chain, {found}; restore its genesis.toml, or start over with --fresh",
                self.root.display()
            );
        }
        Ok(())
    }
}

impl Marker {
    /// The plan of the directory, if nothing else is asked for.
    fn plan(&self, path: &Path, wanted: Wanted) -> anyhow::Result<Plan> {
        let pairs = [
            ("--validators", wanted.validators, self.validators),
            ("--rollups", wanted.rollups, self.rollups),
            ("--provers", wanted.provers, self.provers),
            ("--base-port", wanted.base_port, self.base_port),
        ];
        for (flag, wanted, ours) in pairs {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != ours) {
                bail!(
                    "[CV-CLI-074] the devnet in {} was made with {flag} {ours}, not {wanted}; leave the flag out, add --fresh to start over, or choose another --data-dir",
                    path.display()
                );
            }
        }
        Ok(Plan {
            validators: self.validators,
            rollups: self.rollups,
            provers: self.provers,
            base_port: self.base_port,
        })
    }
}

fn read_marker(path: &Path) -> anyhow::Result<Option<Marker>> {
    let path = path.join(MARKER);
    match path.try_exists() {
        Ok(false) => return Ok(None),
        Ok(true) => {}
        Err(error) => bail!(
            "[CV-CLI-002] cannot read {}: {error}; check its owner and rights",
            path.display()
        ),
    }
    let marker: Marker = read_toml(&path)?;
    if marker.format != FORMAT {
        let (path, format) = (path.display(), &marker.format);
        bail!(
            "[CV-CLI-075] {path} is of format {format}, this is {FORMAT}; choose another --data-dir"
        );
    }
    Ok(Some(marker))
}

fn is_absent_or_empty(path: &Path) -> anyhow::Result<bool> {
    let refuse = |error: &io::Error| {
        anyhow!(
            "[CV-CLI-002] cannot read {}: {error}; check path and rights",
            path.display()
        )
    };
    match fs::read_dir(path) {
        Ok(entries) => {
            let first = entries
                .filter_map(Result::ok)
                .find(|entry| entry.file_name() != "lock");
            Ok(first.is_none())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(refuse(&error)),
    }
}

fn lock(root: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_own(name: &str) -> bool {
    let numbered = |prefix: &&str| {
        name.strip_prefix(*prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    OWN_FILES.contains(&name) || OWN_PARTS.iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: anyhow::Result<Directory>) -> String {
        let text = format!("{:#}", result.unwrap_err());
        text.chars().take(12).collect()
    }

    #[test]
    fn a_foreign_directory_is_refused_and_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "bytes").unwrap();
        for fresh in [false, true] {
            let result = Directory::open(folder.path(), Wanted::default(), fresh);
            assert_eq!(code(result), "[CV-CLI-070]");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&precious).unwrap(), b"bytes");
    }

    #[test]
    fn one_devnet_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let first = Directory::open(&path, Wanted::default(), false).unwrap();
        assert_eq!(
            code(Directory::open(&path, Wanted::default(), true)),
            "[CV-CLI-072]"
        );
        drop(first);
        drop(Directory::open(&path, Wanted::default(), true).unwrap());
    }

    #[test]
    fn starting_over_removes_only_what_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        Directory::open(folder.path(), Wanted::default(), false)
            .unwrap()
            .prepare()
            .unwrap();
        let (own, others) = (
            ["validator-0", "prover-12"],
            ["validator-", "notes", "rollup-x"],
        );
        for name in own.iter().chain(&others) {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Directory::open(folder.path(), Wanted::default(), true)
            .unwrap()
            .prepare()
            .unwrap();
        assert!(own.iter().all(|name| !folder.path().join(name).exists()));
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn an_unfinished_set_up_starts_over_and_a_finished_one_keeps_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            rollups: Some(2),
            ..Wanted::default()
        };
        Directory::open(folder.path(), wanted, false)
            .unwrap()
            .prepare()
            .unwrap();
        let again = Directory::open(folder.path(), Wanted::default(), false).unwrap();
        assert_eq!((again.is_new(), again.plan().rollups), (true, 3));
        again.complete("00".into()).unwrap();
        drop(again);
        assert_eq!(
            code(Directory::open(folder.path(), wanted, false)),
            "[CV-CLI-074]"
        );
    }
}
