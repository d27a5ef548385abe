//! What changes from one epoch to the next: who votes, and the key that senders seal to.

use bincode::{Decode, Encode};

use serde::Serialize;

use crate::{
    BlockHeader, BlockId, BlockTime, ChainId, CommitCertificate, Digest, Domain, Epoch, Height,
    SealingKey, Threshold, ThresholdError, ValidatorInfo, codec,
};

/// Where an epoch begins: with the last block of the epoch before it, which is final, or with the
/// genesis. Agreement of the epoch starts on top of it, in view 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// The epoch that begins here.
    pub epoch: Epoch,
    pub height: Height,
    pub block: BlockId,
    pub time: BlockTime,
}

impl Origin {
    /// Where epoch 0 begins.
    pub fn genesis(chain: ChainId, time: BlockTime) -> Self {
        Self {
            epoch: Epoch(0),
            height: Height(0),
            block: BlockId::genesis(chain),
            time,
        }
    }
}

/// How one epoch hands over to the next: what shows the next committee to whoever knows this one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochChange {
    /// Of the epoch's last block, which names the digest of `setup`.
    pub last: BlockHeader,
    /// Makes that block final.
    pub certificate: CommitCertificate,
    /// Of the epoch that begins.
    pub setup: EpochSetup,
}

impl EpochChange {
    /// Where the new epoch begins.
    pub fn origin(&self) -> Origin {
        Origin {
            epoch: self.setup.epoch,
            height: self.last.height,
            block: self.last.id(),
            time: self.last.time,
        }
    }
}

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
