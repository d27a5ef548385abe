//! This validator's secrets of each epoch: its part in the key generation, its shares of the sealing
//! key while something may have to be opened under it, and its key for votes.
//!
//! ```text
//! ledger ─▶ follow ─▶ seed, kept before anything is said ─▶ what to post
//!    │
//!    └─ key ready ─▶ take_up ─▶ shares, kept; seed, destroyed ─▶ keyring
//!                               shares, destroyed ◀─ retire
//! ```

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsCommitteeError, BlsSecret};
use conclave_ledger::{KeyGenerationView, Ledger};
use conclave_seal::{KeyError, KeyShares, Participant, Tdh2};
use conclave_types::{
    Epoch, EpochChange, EpochSetup, Height, KeyGenerationPhase, KeyGenerationPost, SystemOp,
    ValidatorIndex, limits,
};
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::keyring::Keyring;
use crate::vault::{self, Vault, VaultError};

/// How many epochs before the present one may have keys that are still needed: the one before, and
/// one more for a bid that is held across two of their ends.
const EPOCHS_BACK: u64 = 2;

/// Keys that cannot be kept, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A sealing key that is no key, or shares that are not ours.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A validator's key for votes.
    #[error(transparent)]
    Votes(#[from] BlsCommitteeError),
    /// The ceremony has not been held, or its result was lost.
    #[error(
        "[CV-NODE-045] there are no shares of the genesis' sealing key in the directory of keys; run the key generation first, or restore the file sealing.key"
    )]
    NoShares,
    /// The file of the genesis key's shares cannot be destroyed.
    #[error("[CV-NODE-043] {} holds shares of a retired sealing key and cannot be destroyed: {source}; destroy it by hand", path.display())]
    Destroy {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What was last said in a key generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    epoch: Epoch,
    attempt: u32,
    phase: KeyGenerationPhase,
    /// The height that is executed before it is said again, should the ledger not have it then: all
    /// that was final when it was said, and as many blocks as it takes to be ordered.
    again_after: Height,
}

/// Shares of the key that the genesis names, which the ceremony left in a file.
pub struct GenesisShares {
    pub shares: KeyShares,
    /// Destroyed once that key is retired.
    pub file: Option<PathBuf>,
}

pub(crate) struct Secrets {
    own: ValidatorIndex,
    vault: Vault,
    keyring: Arc<Keyring>,
    /// One of them is this validator's in each epoch.
    votes: Vec<BlsSecret>,
    genesis: Option<KeyShares>,
    genesis_file: Option<PathBuf>,
    /// Whose keys are on the ring, and whether with shares.
    held: BTreeMap<Epoch, bool>,
    said: Option<Said>,
}

impl Secrets {
    pub(crate) fn new(
        own: ValidatorIndex,
        vault: Vault,
        votes: Vec<BlsSecret>,
        genesis: Option<GenesisShares>,
    ) -> Self {
        let (genesis, genesis_file) = match genesis {
            Some(GenesisShares { shares, file }) => (Some(shares), file),
            None => (None, None),
        };
        Self {
            own,
            vault,
            keyring: Arc::new(Keyring::default()),
            votes,
            genesis,
            genesis_file,
            held: BTreeMap::new(),
            said: None,
        }
    }

    /// The ring that the keys of all epochs in use are on.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    /// Takes up the keys that a node needs at its start: those that the ledger, the newest one that
    /// is stored, knows of, and those of epochs that began after it.
    pub(crate) fn recover(
        &mut self,
        ledger: &Ledger,
        changes: &[EpochChange],
    ) -> Result<(), SecretsError> {
        let oldest = ledger.epoch().0.saturating_sub(EPOCHS_BACK);
        for epoch in (oldest..=ledger.epoch().0 + 1).map(Epoch) {
            if let Some(setup) = ledger.epoch_setup(epoch) {
                self.take_up(setup, ledger)?;
            }
        }
        let later = changes.iter().map(|change| &change.setup);
        for setup in later.filter(|setup| setup.epoch > ledger.epoch()) {
            self.take_up(setup, ledger)?;
        }
        Ok(())
    }

    /// What this validator has to post in the key generation of a newly executed ledger. Blocks are
    /// final up to `committed`; once they reach to the end of a phase nothing more is said in it.
    pub(crate) fn follow(
        &mut self,
        ledger: &Ledger,
        committed: Height,
    ) -> Result<Option<SystemOp>, SecretsError> {
        let next = ledger.epoch().next();
        match ledger.key_generation() {
            Some(view) if view.round().epoch() == next && committed < view.last() => {
                self.speak(&view, ledger.height(), committed)
            }
            _ => Ok(None),
        }
    }

    /// Puts an epoch's key on the ring, with this validator's shares of it if it has any. Done again
    /// it adds shares that were not to be had from an earlier ledger.
    pub(crate) fn take_up(
        &mut self,
        setup: &EpochSetup,
        ledger: &Ledger,
    ) -> Result<(), SecretsError> {
        let epoch = setup.epoch;
        let weights = setup.weights();
        let weight = weights.get(usize::from(self.own.0)).copied().unwrap_or(0);
        let held = self.held.get(&epoch).copied();
        if held == Some(true) || held.is_some() && weight == 0 {
            return Ok(());
        }
        let shares = match weight {
            0 => None,
            _ => self.shares(setup, ledger)?,
        };
        if shares.is_none() && held.is_some() {
            return Ok(());
        }
        let retired = self.vault.retired()? >= Some(epoch);
        if shares.is_none() && weight > 0 && !retired {
            if epoch == Epoch(0) {
                return Err(SecretsError::NoShares);
            }
            tracing::warn!(
                epoch = epoch.0,
                "[CV-NODE-042] this validator has no shares of the epoch's sealing key so far: without \
                 them it opens nothing by itself until the next epoch"
            );
        }
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        self.held.insert(epoch, shares.is_some());
        let own = shares.map(|shares| (self.own, shares));
        let scheme = Tdh2::new(&setup.sealing, &weights, own, seed)?;
        self.keyring.insert(epoch, Arc::new(scheme));
        Ok(())
    }

    /// Checks and makes votes of an epoch's committee.
    pub(crate) fn signatures(&self, setup: &EpochSetup) -> Result<BlsCommittee, SecretsError> {
        let own = setup.validators.get(usize::from(self.own.0));
        let secret = own.filter(|own| own.weight > 0).and_then(|own| {
            let mut secrets = self.votes.iter();
            let secret = secrets.find(|secret| secret.public() == own.bls_key);
            if secret.is_none() {
                tracing::error!(
                    epoch = setup.epoch.0,
                    "[CV-NODE-044] this validator does not have the key that it votes with in this \
                     epoch: it signs nothing; put the key into its directory and start again"
                );
            }
            secret.and_then(|secret| BlsSecret::from_bytes(&secret.to_bytes()))
        });
        Ok(match secret {
            Some(secret) => BlsCommittee::signer(&setup.validators, secret)?,
            None => BlsCommittee::verifier(&setup.validators)?,
        })
    }

    /// Takes the keys of an epoch and of all before off the ring, and destroys the shares.
    pub(crate) fn retire(&mut self, through: Epoch) -> Result<(), SecretsError> {
        self.keyring.retire(through);
        self.vault.retire(through)?;
        self.held.retain(|epoch, _| *epoch > through);
        for name in self.vault.names()? {
            let epoch = name.rsplit('-').next().and_then(|epoch| epoch.parse().ok());
            if epoch.is_some_and(|epoch| Epoch(epoch) <= through) {
                self.vault.forget(&name)?;
                tracing::info!(secret = name, "destroyed: its sealing key is retired");
            }
        }
        if let Some(path) = self.genesis_file.take() {
            vault::destroy(&path).map_err(|source| SecretsError::Destroy { path, source })?;
        }
        Ok(())
    }

    /// This validator's shares: kept ones, or from its seed and what the chain has of the key
    /// generation.
    fn shares(
        &mut self,
        setup: &EpochSetup,
        ledger: &Ledger,
    ) -> Result<Option<KeyShares>, SecretsError> {
        if setup.epoch == Epoch(0) {
            return Ok(self.genesis.take());
        }
        let (shares, seed) = (shares_of(setup.epoch), seed_of(setup.epoch));
        if let Some(kept) = self.vault.read(&shares)? {
            self.vault.forget(&seed)?;
            return Ok(Some(KeyShares::decode(&kept)?));
        }
        let view = ledger.key_generation();
        let made = |view: &KeyGenerationView<'_>| {
            view.round().epoch() == setup.epoch && view.phase() == KeyGenerationPhase::Done
        };
        let Some(view) = view.filter(made) else {
            return Ok(None);
        };
        // Whoever said nothing needs no secret: its shares were revealed to all.
        let kept = self.seed(setup.epoch)?.unwrap_or_default();
        match Participant::new(self.own, &kept).finish(&view.board(), &setup.sealing) {
            Ok(found) => {
                self.vault.keep(&shares, &found.encode())?;
                // With the public record it would give the shares again.
                self.vault.forget(&seed)?;
                Ok(Some(found))
            }
            Err(error) => {
                tracing::error!(%error, epoch = setup.epoch.0, "no shares of the sealing key");
                Ok(None)
            }
        }
    }

    fn speak(
        &mut self,
        view: &KeyGenerationView<'_>,
        executed: Height,
        committed: Height,
    ) -> Result<Option<SystemOp>, SecretsError> {
        let (epoch, attempt) = (view.round().epoch(), view.round().attempt());
        let board = view.board();
        let phase = board.phase();
        let before = self.said;
        let waits = before.is_some_and(|said| {
            (said.epoch, said.attempt, said.phase) == (epoch, attempt, phase)
                && executed < said.again_after
        });
        if waits || view.round().weight(self.own) == 0 {
            return Ok(None);
        }
        let name = seed_of(epoch);
        if self.vault.read(&name)?.is_none() {
            let mut fresh = Zeroizing::new([0; 32]);
            OsRng.fill_bytes(&mut *fresh);
            // Durable before anything that is made from it leaves.
            self.vault.keep(&name, &*fresh)?;
        }
        let Some(seed) = self.seed(epoch)? else {
            return Ok(None);
        };
        let Some(message) = Participant::new(self.own, &seed).next(&board) else {
            return Ok(None);
        };
        self.said = Some(Said {
            epoch,
            attempt,
            phase,
            again_after: Height(committed.max(executed).0 + limits::ORDER_BLOCKS),
        });
        let post = KeyGenerationPost {
            epoch,
            attempt,
            validator: self.own,
            message,
        };
        Ok(Some(SystemOp::KeyGeneration(Box::new(post))))
    }

    fn seed(&self, epoch: Epoch) -> Result<Option<Zeroizing<[u8; 32]>>, SecretsError> {
        let Some(kept) = self.vault.read(&seed_of(epoch))? else {
            return Ok(None);
        };
        let seed = <[u8; 32]>::try_from(kept.as_slice()).ok();
        Ok(seed.map(Zeroizing::new))
    }
}

fn shares_of(epoch: Epoch) -> String {
    format!("shares-{epoch}")
}

fn seed_of(epoch: Epoch) -> String {
    format!("seed-{epoch}")
}
