//! What changes from one epoch to the next: who votes, and the key that senders seal to.

use bincode::{Decode, Encode};

use serde::Serialize;

use crate::{
    BlockTime, Digest, Domain, Epoch, Height, SealingKey, Threshold, ThresholdError, ValidatorInfo,
    codec,
};

/// One epoch's committee and sealing key. The last block of the epoch before commits to its digest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochSetup {
    pub epoch: Epoch,
    /// By slot, which is a validator's index in every epoch. Whoever weighs 0 has no vote and no
    /// share of the key: it has left, and its slot is not free yet.
    pub validators: Vec<ValidatorInfo>,
    pub sealing: SealingKey,
}

/// Where an epoch stands, as an entry of the ledger. It stays for ever; the setup, as long as
/// somebody answers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct EpochRecord {
    /// The digest of its setup.
    pub setup: Digest,
    /// The height whose execution made its key; 0 for the genesis's.
    pub ready: Height,
    /// Its first block; `None` while it has not begun.
    pub first: Option<Height>,
    /// Its last block; `None` while it lasts.
    pub last: Option<Height>,
    /// The block time of its last block.
    pub ended: Option<BlockTime>,
}

impl EpochSetup {
    /// What the last block of the epoch before commits to.
    pub fn digest(&self) -> Digest {
        Domain::EpochSetup.digest(&codec::encode(self))
    }

    /// n, f and the quorum of the committee.
    pub fn threshold(&self) -> Result<Threshold, ThresholdError> {
        Threshold::for_total(self.validators.iter().map(|v| u64::from(v.weight)).sum())
    }

    /// The validators' weights, by slot.
    pub fn weights(&self) -> Vec<u16> {
        self.validators.iter().map(|v| v.weight).collect()
    }
}
