//! Which committee verifies what: the keys of each epoch that this node knows to have begun.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use conclave_light::{EpochError, EpochKeys, verify_epoch_change};
use conclave_types::{ChainId, Epoch, EpochChange};

use crate::serve::{Request, Response};
use crate::shell::{Shell, lock};
use crate::store::{Table, keys};

/// Epochs besides the first whose keys stay decoded: blocks are fetched a few hundred at a time.
const EPOCHS_KEPT: usize = 8;
/// Hand-overs asked for in a row; those beyond come with the next time.
const CHANGES_AT_ONCE: usize = 64;

/// The committees, as far as they are known.
pub(crate) struct Committees {
    /// The genesis' id, which takes hashing all of it.
    pub(crate) chain: ChainId,
    first: Arc<EpochKeys>,
    known: Mutex<Known>,
}

struct Known {
    newest: Epoch,
    /// The newest that the store has.
    stored: Epoch,
    /// Of some later epochs than the first: of those that the store has not, all.
    keys: BTreeMap<Epoch, Arc<EpochKeys>>,
}

impl Committees {
    /// Knows the first epoch's, and that the store knows those up to `newest`.
    pub(crate) fn new(chain: ChainId, first: EpochKeys, newest: Epoch) -> Self {
        Self {
            chain,
            first: Arc::new(first),
            known: Mutex::new(Known {
                newest,
                stored: newest,
                keys: BTreeMap::new(),
            }),
        }
    }

    fn cached(&self, epoch: Epoch) -> Option<Arc<EpochKeys>> {
        match epoch {
            Epoch(0) => Some(Arc::clone(&self.first)),
            _ => lock(&self.known).keys.get(&epoch).cloned(),
        }
    }

    fn newest(&self) -> Epoch {
        lock(&self.known).newest
    }

    /// Takes in an epoch that is known to have begun.
    pub(crate) fn learn(&self, change: &EpochChange) -> Result<Arc<EpochKeys>, EpochError> {
        let epoch = change.setup.epoch;
        if let Some(found) = self.cached(epoch) {
            return Ok(found);
        }
        let keys = Arc::new(EpochKeys::of(&change.setup, change.origin())?);
        let mut known = lock(&self.known);
        known.newest = known.newest.max(epoch);
        known.keys.insert(epoch, Arc::clone(&keys));
        while known.keys.len() > EPOCHS_KEPT {
            let stored = known.stored;
            let spare = known
                .keys
                .keys()
                .find(|kept| **kept < stored && **kept != epoch);
            let Some(spare) = spare.copied() else {
                break;
            };
            known.keys.remove(&spare);
        }
        Ok(keys)
    }

    /// Takes in an epoch that has begun here: it will be in the store.
    pub(crate) fn began(&self, change: &EpochChange) -> Result<(), EpochError> {
        self.learn(change)?;
        let mut known = lock(&self.known);
        known.stored = known.stored.max(change.setup.epoch);
        Ok(())
    }
}

impl Shell {
    /// The keys that verify what an epoch's committee signed; `None` when the epoch is not known to
    /// have begun.
    pub(crate) fn keys(&self, epoch: Epoch) -> Option<Arc<EpochKeys>> {
        if let Some(found) = self.committees.cached(epoch) {
            return Some(found);
        }
        let stored = self.store.snapshot();
        match stored.and_then(|store| store.get_value(Table::Epochs, keys::epoch(epoch))) {
            Ok(change) => self.committees.learn(&change?).ok(),
            Err(error) => {
                self.stop(error.to_string());
                None
            }
        }
    }

    /// The keys of the newest epoch that is known to have begun.
    pub(crate) fn newest_keys(&self) -> Arc<EpochKeys> {
        let newest = self.committees.newest();
        let keys = self.keys(newest);
        keys.unwrap_or_else(|| Arc::clone(&self.committees.first))
    }

    /// Asks the others for hand-overs after the newest epoch that is known here, verifies each with
    /// the committee before it, and gives them in order.
    pub(crate) async fn learn_epochs(&self) -> Vec<EpochChange> {
        let mut learned = Vec::new();
        while learned.len() < CHANGES_AT_ONCE {
            let keys = self.newest_keys();
            let verifier = keys.verifier(self.committees.chain);
            let request = Request::EpochChange(keys.committee.epoch.next());
            let mut found = None;
            for (from, answer) in self.ask_all(&request).await {
                let Response::EpochChange(answer) = answer else {
                    self.transport.punish(from, "an answer to another question");
                    continue;
                };
                let Some(change) = answer.filter(|_| found.is_none()) else {
                    continue;
                };
                let verified = verify_epoch_change(&verifier, &change);
                match verified.and_then(|()| self.committees.learn(&change)) {
                    Ok(_) => found = Some(*change),
                    Err(error) => self.transport.punish(from, &error.to_string()),
                }
            }
            match found {
                Some(change) => learned.push(change),
                None => break,
            }
        }
        learned
    }
}
