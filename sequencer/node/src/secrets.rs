//! This validator's secrets of each epoch: its part in the key generation, its shares of the sealing
//! key while something may have to be opened under it, and its key for votes.
//!
//! ```text
//! ledger ─▶ turn ─▶ seed, kept before anything is said ─▶ speak ─▶ what to post
//!    │
//!    └─ key ready ─▶ take_up ─▶ shares, kept; seed, destroyed ─▶ keyring
//!                               shares, destroyed ◀─ retire ─▶ keyring without shares
//! ```

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conclave_crypto::{BlsCommittee, BlsCommitteeError, BlsSecret};
use conclave_ledger::{KeyGenerationView, Ledger};
use conclave_seal::{KeyError, KeyShares, Participant, Tdh2};
use conclave_types::{
    Epoch, EpochChange, EpochSetup, Height, KeyGenerationPhase, KeyGenerationPost, SealingKey,
    SystemOp, ValidatorIndex, limits,
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

/// A validator's turn to speak in a key generation.
pub(crate) struct Turn {
    own: ValidatorIndex,
    seed: Zeroizing<[u8; 32]>,
    said: Said,
}

/// Shares of the key that the genesis names, which the ceremony left in a file.
pub struct GenesisShares {
    pub shares: KeyShares,
    /// Destroyed once that key is retired.
    pub file: Option<PathBuf>,
}

/// An epoch's key on the ring.
struct Held {
    key: SealingKey,
    weights: Vec<u16>,
    with_shares: bool,
}

/// Whether the genesis' key is retired, as the directory of keys says. Then the file of its shares is not
/// to be read: a stop in the middle of its destruction left it, or a part. It is destroyed now.
pub fn destroy_if_retired(directory: &Path, file: &Path) -> Result<bool, SecretsError> {
    let retired = Vault::open(directory)?.retired()?.is_some();
    if retired {
        destroy_file(file)?;
    }
    Ok(retired)
}

fn destroy_file(path: &Path) -> Result<(), SecretsError> {
    vault::destroy(path).map_err(|source| SecretsError::Destroy {
        path: path.to_owned(),
        source,
    })
}

pub(crate) struct Secrets {
    own: ValidatorIndex,
    vault: Vault,
    keyring: Arc<Keyring>,
    /// One of them is this validator's in each epoch.
    votes: Vec<BlsSecret>,
    genesis: Option<KeyShares>,
    genesis_file: Option<PathBuf>,
    /// The keys on the ring.
    held: BTreeMap<Epoch, Held>,
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
    /// is stored, knows of, and those of epochs that began after it. First it destroys what a stop in
    /// the middle of a retirement left of retired keys.
    pub(crate) fn recover(
        &mut self,
        ledger: &Ledger,
        changes: &[EpochChange],
    ) -> Result<(), SecretsError> {
        if let Some(through) = self.vault.retired()? {
            self.destroy(through)?;
        }
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

    /// This validator's turn to speak in the key generation of a newly executed ledger, if it may have
    /// something to say. Blocks are final up to `committed`; once they reach to the end of a phase
    /// nothing more is said in it.
    pub(crate) fn turn(
        &mut self,
        ledger: &Ledger,
        committed: Height,
    ) -> Result<Option<Turn>, SecretsError> {
        let next = ledger.epoch().next();
        match ledger.key_generation() {
            Some(view) if view.round().epoch() == next && committed < view.last() => {
                self.turn_of(&view, ledger.height(), committed)
            }
            _ => Ok(None),
        }
    }

    /// Takes note that the message of a turn was made, so that it is not said again at every block.
    pub(crate) fn spoke(&mut self, turn: &Turn) {
        self.said = Some(turn.said);
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
        let held = self.held.get(&epoch).map(|held| held.with_shares);
        if held == Some(true) || held.is_some() && weight == 0 {
            return Ok(());
        }
        // Whatever the directory or the chain still gives of a retired key: it is not used again.
        let retired = self.vault.retired()? >= Some(epoch);
        let shares = match weight {
            0 => None,
            _ if retired => None,
            _ => self.shares(setup, ledger)?,
        };
        if shares.is_none() && held.is_some() {
            return Ok(());
        }
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
        let held = Held {
            key: setup.sealing.clone(),
            weights,
            with_shares: shares.is_some(),
        };
        self.put_on_ring(epoch, &held, shares)?;
        self.held.insert(epoch, held);
        Ok(())
    }

    fn put_on_ring(
        &self,
        epoch: Epoch,
        held: &Held,
        shares: Option<KeyShares>,
    ) -> Result<(), KeyError> {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let own = shares.map(|shares| (self.own, shares));
        let scheme = Tdh2::new(&held.key, &held.weights, own, seed)?;
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

    /// Destroys the shares of the keys of an epoch and of all before. The newest of these keys goes on
    /// checking: batches of the epoch after its own hold what was packed in its grace, whenever they
    /// arrive. No epoch takes a batch with an older one.
    pub(crate) fn retire(&mut self, through: Epoch) -> Result<(), SecretsError> {
        if let Some(held) = self.held.get(&through).filter(|held| held.with_shares) {
            self.put_on_ring(through, held, None)?;
        }
        if let Some(held) = self.held.get_mut(&through) {
            held.with_shares = false;
        }
        self.keyring.forget_before(through);
        self.held.retain(|epoch, _| *epoch >= through);
        // Said before anything is destroyed, so that a start after a stop in the middle of it knows
        // that what it finds half destroyed is of no use.
        self.vault.retire(through)?;
        self.destroy(through)
    }

    /// Destroys what is kept of the keys of an epoch and of all before.
    fn destroy(&mut self, through: Epoch) -> Result<(), SecretsError> {
        for name in self.vault.names()? {
            let epoch = name.rsplit('-').next().and_then(|epoch| epoch.parse().ok());
            if epoch.is_some_and(|epoch| Epoch(epoch) <= through) {
                self.vault.forget(&name)?;
                tracing::info!(secret = name, "destroyed: its sealing key is retired");
            }
        }
        self.genesis = None;
        match self.genesis_file.take() {
            Some(path) => destroy_file(&path),
            None => Ok(()),
        }
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

    fn turn_of(
        &self,
        view: &KeyGenerationView<'_>,
        executed: Height,
        committed: Height,
    ) -> Result<Option<Turn>, SecretsError> {
        let (epoch, attempt) = (view.round().epoch(), view.round().attempt());
        let phase = view.board().phase();
        let waits = self.said.is_some_and(|said| {
            (said.epoch, said.attempt, said.phase) == (epoch, attempt, phase)
                && executed < said.again_after
        });
        if waits || view.round().weight(self.own) == 0 {
            return Ok(None);
        }
        // The key is made, whatever an old ledger says. The seed of its shares is destroyed, and a new
        // one would be of use to nobody.
        if self.vault.holds(&shares_of(epoch)) || self.vault.retired()? >= Some(epoch) {
            return Ok(None);
        }
        let name = seed_of(epoch);
        if self.vault.read(&name)?.is_none() {
            let mut fresh = Zeroizing::new([0; 32]);
            OsRng.fill_bytes(&mut *fresh);
            // Durable before anything that is made from it leaves.
            self.vault.keep(&name, &*fresh)?;
        }
        let said = Said {
            epoch,
            attempt,
            phase,
            again_after: Height(committed.max(executed).0 + limits::ORDER_BLOCKS),
        };
        let own = self.own;
        let seed = self.seed(epoch)?;
        Ok(seed.map(|seed| Turn { own, seed, said }))
    }

    fn seed(&self, epoch: Epoch) -> Result<Option<Zeroizing<[u8; 32]>>, SecretsError> {
        let Some(kept) = self.vault.read(&seed_of(epoch))? else {
            return Ok(None);
        };
        let seed = <[u8; 32]>::try_from(kept.as_slice()).ok();
        Ok(seed.map(Zeroizing::new))
    }
}

impl Turn {
    /// What to post, if anything. `ledger` is the one that gave the turn. Acknowledging costs many
    /// multiplications in a large committee, so nobody should have to wait for the secrets meanwhile.
    pub(crate) fn speak(&self, ledger: &Ledger) -> Option<SystemOp> {
        let message =
            Participant::new(self.own, &self.seed).next(&ledger.key_generation()?.board())?;
        let post = KeyGenerationPost {
            epoch: self.said.epoch,
            attempt: self.said.attempt,
            validator: self.own,
            message,
        };
        Some(SystemOp::KeyGeneration(Box::new(post)))
    }
}

fn shares_of(epoch: Epoch) -> String {
    format!("shares-{epoch}")
}

fn seed_of(epoch: Epoch) -> String {
    format!("seed-{epoch}")
}
