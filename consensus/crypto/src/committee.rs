//! Who votes, with which weight, and which key shares are whose.

use std::ops::Range;

use conclave_types::{
    AccountId, BlsPublicKey, Digest, Epoch, EpochSetup, Genesis, GenesisError, ShareIndex,
    SignatureSet, Signers, Threshold, TransportKey, ValidatorIndex, limits,
};

use crate::ed::{self, EdItem};

/// One validator of a committee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub weight: u16,
    pub bls_key: BlsPublicKey,
    pub transport_key: TransportKey,
    /// Gets the validator's part of the fees.
    pub account: AccountId,
    /// The member's key shares as positions from 0, `weight` of them.
    shares: Range<u16>,
}

/// The validators of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    pub epoch: Epoch,
    pub threshold: Threshold,
    members: Vec<Member>,
}

/// A genesis without a valid committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// The genesis itself is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// More validators than a bitmap of signers has bits.
    #[error("[CV-CRYPTO-001] the genesis names {validators} validators, at most {max} can vote; merge some into heavier ones", max = limits::VALIDATORS_MAX)]
    Size { validators: usize },
}

impl Committee {
    /// The first epoch's committee, after [`Genesis::check`].
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, CommitteeError> {
        genesis.check()?;
        Self::of_epoch(&genesis.first_epoch())
    }

    /// An epoch's committee. Slots of weight 0 are strangers to it.
    pub fn of_epoch(setup: &EpochSetup) -> Result<Self, CommitteeError> {
        let threshold = setup.threshold().map_err(GenesisError::Threshold)?;
        let validators = setup.validators.len();
        if validators > limits::VALIDATORS_MAX {
            return Err(CommitteeError::Size { validators });
        }
        let mut next = 0;
        let members = setup.validators.iter().map(|validator| {
            let shares = next..next + validator.weight;
            next = shares.end;
            Member {
                weight: validator.weight,
                bls_key: validator.bls_key,
                transport_key: validator.transport_key,
                account: validator.account,
                shares,
            }
        });
        Ok(Self {
            epoch: setup.epoch,
            members: members.collect(),
            threshold,
        })
    }

    /// The validators in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many validators there are (not their weight).
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// All validators' indices, ascending.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        (0..self.members.len() as u16).map(ValidatorIndex)
    }

    /// One validator, if the index is in range.
    pub fn member(&self, index: ValidatorIndex) -> Option<&Member> {
        self.members.get(usize::from(index.0))
    }

    /// A validator's weight; 0 for a stranger.
    pub fn weight(&self, index: ValidatorIndex) -> u16 {
        self.member(index).map_or(0, |member| member.weight)
    }

    /// The weight of a set; `None` when it names a stranger.
    pub fn weight_of(&self, signers: &Signers) -> Option<u16> {
        signers
            .iter()
            .try_fold(0, |sum, index| match self.weight(index) {
                0 => None,
                weight => Some(sum + weight),
            })
    }

    /// Whether the set is of members only and weighs 2f+1.
    pub fn has_quorum(&self, signers: &Signers) -> bool {
        self.weight_of(signers)
            .is_some_and(|weight| weight >= self.threshold.quorum())
    }

    /// Whether the set is of members only and weighs f+1.
    pub fn has_one_honest(&self, signers: &Signers) -> bool {
        self.weight_of(signers)
            .is_some_and(|weight| weight >= self.threshold.one_honest())
    }

    /// Whether every one of the signers is a member and signed the message with its transport key.
    /// That they are a quorum is another question.
    pub fn all_signed(&self, message: &Digest, set: &SignatureSet) -> bool {
        let keys = set.signers.iter().map(|index| self.member(index));
        let Some(members) = keys.collect::<Option<Vec<&Member>>>() else {
            return false;
        };
        let signed = members.iter().zip(&set.signatures);
        let items: Vec<EdItem<'_>> = signed
            .map(|(member, signature)| EdItem {
                key: &member.transport_key.0,
                message,
                signature,
            })
            .collect();
        members.len() == set.signatures.len() && ed::verify_batch(&items).is_empty()
    }

    /// The key shares of a validator, counted from 1; empty for a stranger.
    pub fn share_indices(&self, index: ValidatorIndex) -> impl Iterator<Item = ShareIndex> + use<> {
        self.share_positions(index)
            .map(|position| ShareIndex(position as u16 + 1))
    }

    /// The same shares as positions from 0 in [`conclave_types::SealingKey::shares`].
    pub fn share_positions(&self, index: ValidatorIndex) -> Range<usize> {
        self.member(index).map_or(0..0, |member| {
            usize::from(member.shares.start)..usize::from(member.shares.end)
        })
    }

    /// Who holds a key share.
    pub fn share_owner(&self, share: ShareIndex) -> Option<ValidatorIndex> {
        let position = share.0.checked_sub(1)?;
        let index = self
            .members
            .iter()
            .position(|member| member.shares.contains(&position))?;
        Some(ValidatorIndex(index as u16))
    }

    /// The validator with this transport key.
    pub fn by_transport_key(&self, key: &TransportKey) -> Option<ValidatorIndex> {
        let index = self
            .members
            .iter()
            .position(|member| member.transport_key == *key)?;
        Some(ValidatorIndex(index as u16))
    }
}
