//! The committees and sealing keys that a genesis leads to, one hand-over after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_light::{CommitteeChain, EpochError};
use conclave_types::{Epoch, EpochChange, EpochSetup, Genesis, limits};

use crate::api::EpochChangeView;
use crate::verify::{decode, offload};
use crate::{Client, ClientError};

/// Setups kept: a receipt may be of the epoch before the newest.
const SETUPS_KEPT: usize = 2;

/// An epoch whose committee and key could not be learnt.
#[derive(Debug, thiserror::Error)]
pub enum FollowEpochsError {
    /// The nodes did not serve the hand-over.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The hand-over does not verify.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The hand-over does not decode.
    #[error("[CV-SDK-054] the hand-over to epoch {epoch} is malformed; ask another node")]
    Malformed { epoch: u64 },
}

/// What is known of a chain's epochs. Whoever knows one committee can check that it handed over to
/// the next, so nodes are asked and believed nothing.
pub(crate) struct Epochs(Mutex<Known>);

struct Known {
    committees: CommitteeChain,
    setups: BTreeMap<Epoch, Arc<EpochSetup>>,
}

impl Epochs {
    /// Knows the first epoch.
    pub(crate) fn new(genesis: &Genesis) -> Result<Self, EpochError> {
        Ok(Self(Mutex::new(Known {
            committees: CommitteeChain::from_genesis(genesis)?,
            setups: BTreeMap::from([(Epoch(0), Arc::new(genesis.first_epoch()))]),
        })))
    }

    /// The newest epoch that is known.
    pub(crate) fn newest(&self) -> Arc<EpochSetup> {
        let known = self.known();
        match known.setups.last_key_value() {
            Some((_, setup)) => Arc::clone(setup),
            None => unreachable!("the first epoch is known from the beginning"),
        }
    }

    /// The setups that are kept, the newest first.
    pub(crate) fn setups(&self) -> Vec<Arc<EpochSetup>> {
        self.known().setups.values().rev().cloned().collect()
    }

    /// Learns the epochs up to this one.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        client: &Client,
        epoch: Epoch,
    ) -> Result<(), FollowEpochsError> {
        while self.newest().epoch < epoch {
            let next = self.newest().epoch.next();
            let view = client.handoff(next).await?;
            let epochs = Arc::clone(self);
            // About a millisecond of pairings for each validator.
            offload(move || epochs.learn(&view)).await?;
            // One of an earlier epoch teaches nothing, however often it is given.
            if self.newest().epoch < next {
                return Err(FollowEpochsError::Malformed { epoch: next.0 });
            }
        }
        Ok(())
    }

    fn learn(&self, view: &EpochChangeView) -> Result<(), FollowEpochsError> {
        let epoch = view.epoch;
        let change: EpochChange = decode(&view.change, limits::EPOCH_CHANGE_BYTES_MAX)
            .ok_or(FollowEpochsError::Malformed { epoch })?;
        // Verified outside the lock; another thread may have learnt the same meanwhile.
        let mut committees = self.known().committees.clone();
        committees.extend(&change)?;
        let mut known = self.known();
        if committees.newest() > known.committees.newest() {
            known.committees = committees;
            known
                .setups
                .insert(change.setup.epoch, Arc::new(change.setup));
            while known.setups.len() > SETUPS_KEPT {
                known.setups.pop_first();
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
