//! One attempt: what it is for, and who takes part.

use core::ops::Range;

use conclave_types::{ChainId, Digest, Domain, Epoch, Threshold, ThresholdError, ValidatorIndex};

use crate::key;

/// One attempt at an epoch's sealing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    epoch: Epoch,
    attempt: u32,
    threshold: Threshold,
    holdings: Vec<Range<usize>>,
    context: Digest,
}

impl Round {
    /// An attempt by validators of these weights, by slot; who weighs 0 takes no part.
    ///
    /// # Errors
    /// The weights do not add up to 3f+1.
    pub fn new(
        chain: ChainId,
        epoch: Epoch,
        attempt: u32,
        weights: &[u16],
    ) -> Result<Self, ThresholdError> {
        let total = weights.iter().map(|weight| u64::from(*weight)).sum();
        let threshold = Threshold::for_total(total)?;
        let start = Domain::KeyGenerationRound
            .hasher()
            .part(chain.as_bytes())
            .part(&epoch.0.to_le_bytes())
            .part(&attempt.to_le_bytes());
        let context = weights
            .iter()
            .fold(start, |hasher, weight| hasher.part(&weight.to_le_bytes()))
            .digest();
        Ok(Self {
            epoch,
            attempt,
            threshold,
            holdings: key::holdings(weights),
            context,
        })
    }

    /// The epoch that the key is for.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the attempt, from 0.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// n, f and the quorum of the committee to be.
    pub const fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// How many slots there are, those of weight 0 included.
    pub fn slots(&self) -> usize {
        self.holdings.len()
    }

    /// A validator's weight; 0 for a stranger.
    pub fn weight(&self, validator: ValidatorIndex) -> u16 {
        self.positions(validator).len() as u16
    }

    /// All weights, by slot.
    pub(super) fn weights(&self) -> Vec<u16> {
        self.holdings.iter().map(|held| held.len() as u16).collect()
    }

    /// The members, ascending.
    pub fn members(&self) -> impl Iterator<Item = ValidatorIndex> + '_ {
        let all = (0..self.holdings.len() as u16).map(ValidatorIndex);
        all.filter(|validator| self.weight(*validator) > 0)
    }

    /// A validator's key shares as positions from 0.
    pub(super) fn positions(&self, validator: ValidatorIndex) -> Range<usize> {
        let positions = self.holdings.get(usize::from(validator.0));
        positions.cloned().unwrap_or_default()
    }

    /// Chain, epoch, attempt and weights in one digest, to which every proof and key is bound.
    pub(super) const fn context(&self) -> &Digest {
        &self.context
    }

    /// The number of coefficients of a dealing: the threshold of shares that open.
    pub(super) fn coefficients(&self) -> usize {
        usize::from(self.threshold.quorum())
    }
}
