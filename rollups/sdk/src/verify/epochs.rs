//! The committees and sealing keys of all epochs, from the genesis on.
//!
//! Whoever knows a committee can check that it handed over to the next: a node is asked for each
//! hand-over in turn, and believed nothing.

use std::sync::{Arc, MutexGuard, PoisonError};

use conclave_light::{CommitteeChain, EpochKeys};
use conclave_seal::Tdh2;
use conclave_types::{Epoch, EpochChange, EpochSetup, Genesis, limits};
use rand_core::{OsRng, RngCore};

use super::settlement::offload;
use super::{Auditor, VerifyError, decode};
use crate::Client;
use crate::api::EpochChangeView;

/// What is known of the epochs up to the newest that was shown.
pub(super) struct Epochs {
    committees: CommitteeChain,
    /// What checks openings under each epoch's key, that of epoch 0 first.
    seals: Vec<Arc<Tdh2>>,
}

impl Epochs {
    pub(super) fn new(genesis: &Genesis) -> Result<Self, VerifyError> {
        Ok(Self {
            committees: CommitteeChain::from_genesis(genesis)?,
            seals: vec![seal(&genesis.first_epoch())?],
        })
    }
}

impl Auditor {
    /// The newest epoch whose committee is known here.
    pub fn newest_epoch(&self) -> Epoch {
        self.epochs().committees.newest()
    }

    /// Learns the committees up to an epoch from a node, each by the hand-over of the one before it.
    pub async fn follow(
        self: &Arc<Self>,
        client: &Client,
        epoch: Epoch,
    ) -> Result<(), VerifyError> {
        while self.newest_epoch() < epoch {
            let next = self.newest_epoch().next();
            let view = client.handoff(next).await?;
            let auditor = self.clone();
            offload(move || auditor.learn(&view)).await?;
            // One of an earlier epoch teaches nothing, however often it is given.
            if self.newest_epoch() < next {
                return Err(VerifyError::HandOver { epoch: next.0 });
            }
        }
        Ok(())
    }

    /// Verifies how the newest epoch that is known handed over to the next; an earlier hand-over changes
    /// nothing. CPU-heavy: about a
    /// millisecond for each validator.
    pub fn learn(&self, view: &EpochChangeView) -> Result<(), VerifyError> {
        let change: EpochChange = decode(&view.change, limits::EPOCH_CHANGE_BYTES_MAX)
            .ok_or(VerifyError::HandOver { epoch: view.epoch })?;
        let mut epochs = self.epochs();
        if change.setup.epoch <= epochs.committees.newest() {
            return Ok(());
        }
        let mut committees = epochs.committees.clone();
        committees.extend(&change)?;
        let seal = seal(&change.setup)?;
        epochs.committees = committees;
        epochs.seals.push(seal);
        Ok(())
    }

    /// What an epoch's committee is checked against.
    pub(super) fn keys(&self, epoch: Epoch) -> Result<Arc<EpochKeys>, VerifyError> {
        Ok(Arc::clone(self.epochs().committees.keys(epoch)?))
    }

    /// What checks openings under an epoch's key.
    pub(super) fn seal(&self, epoch: Epoch) -> Result<Arc<Tdh2>, VerifyError> {
        let epochs = self.epochs();
        epochs.committees.keys(epoch)?;
        Ok(Arc::clone(&epochs.seals[epoch.0 as usize]))
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seal(setup: &EpochSetup) -> Result<Arc<Tdh2>, VerifyError> {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    let seal = Tdh2::new(&setup.sealing, &setup.weights(), None, seed)?;
    Ok(Arc::new(seal))
}
