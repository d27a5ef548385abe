//! The genesis: everything a chain's participants agree on before its first block.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Amount, BlockTime, BlsPublicKey, BlsSignature, ChainId, Digest, Epoch, EpochSetup,
    Origin, Point, Threshold, ThresholdError, TransportKey, codec, limits,
};

/// One member of the committee.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorInfo {
    pub name: String,
    pub weight: u16,
    pub bls_key: BlsPublicKey,
    /// Proof of possession of `bls_key`.
    pub bls_possession: BlsSignature,
    pub transport_key: TransportKey,
    /// Gets the validator's part of the fees.
    pub account: AccountId,
    /// `host:port` of the peer transport (UDP).
    pub address: String,
    /// Base URL of the HTTP API.
    pub api: String,
}

/// The committee's threshold key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealingKey {
    /// Y, what senders seal to.
    pub key: Point,
    /// Y_i = x_i·G of each key share, in committee order, `weight` of them per validator; share
    /// indices count from 1.
    pub shares: Vec<Point>,
    /// The digest of all messages of the key generation.
    pub transcript: Digest,
}

/// Money at the start.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    pub account: AccountId,
    pub balance: Amount,
    /// In the prepaid fee account.
    pub fees: Amount,
}

/// Timing of agreement, and what breaking its rules costs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsensusParameters {
    /// Δ: the view timer once payload is known; doubles while views fail.
    pub view_timeout_ms: u64,
    /// The most that the timer grows to.
    pub view_timeout_ms_max: u64,
    /// Between empty blocks.
    pub heartbeat_ms: u64,
    /// Blocks after which an acknowledged envelope should have been ordered.
    pub order_deadline_blocks: u64,
    /// What each validator has at stake from the start, per unit of weight; part of the supply.
    /// Whoever is shown to have broken a rule of agreement forfeits all of it.
    pub validator_bond: Amount,
    /// What of a forfeited bond goes to the first who reports it, in hundredths; the rest goes to
    /// the insurance pool. Small, so that reporting oneself saves little.
    pub reporter_percent: u8,
    /// How many heights an epoch lasts at least; 0 for a chain that keeps its first committee and
    /// sealing key for ever.
    pub epoch_blocks: u64,
    /// For how many heights of an epoch envelopes sealed to the key of the epoch before are still
    /// ordered.
    pub grace_blocks: u64,
    /// Heights that each phase of the next epoch's key generation stays open for those who have not
    /// spoken; with epochs, [`limits::KEYGEN_PHASE_BLOCKS_MIN`] at least.
    pub keygen_phase_blocks: u64,
    /// How long the bond of a validator that left stays locked at least, in block time.
    pub unbonding_ms: u64,
}

/// What ordering costs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeeParameters {
    /// Per envelope.
    pub envelope: Amount,
    /// Per KiB of body, rounded up.
    pub kibibyte: Amount,
    /// On top for an envelope whose seal turns out malformed.
    pub malformed_surcharge: Amount,
    /// The proposer's part of what the rollup's share leaves, in hundredths; the batcher gets the
    /// rest.
    pub proposer_percent: u8,
    /// What the validators order without strain, in [`crate::EnvelopeHeader::cost_bytes`] a second of
    /// block time. While more is ordered, those who order more than their fair share of it pay
    /// rising fees; 0: never.
    pub target_bytes_per_second: u64,
}

/// How the proving market runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarketParameters {
    /// How long an auction takes bids, in block time.
    pub window_ms: u64,
    /// How much the ceiling rises when nobody bids, in hundredths.
    pub raise_percent: u32,
    /// What of a reference price a late proof of an open job earns, in hundredths.
    pub late_percent: u32,
    /// What the standby gets of a slashed bond, after the rollup, in hundredths of the bond.
    pub standby_percent: u32,
    /// What the harmed rollup gets of a slashed bond, in hundredths of the bond.
    pub rollup_percent: u32,
    /// Deposit with a submission to a job that is open to all.
    pub open_deposit: Amount,
    /// Delay of a change to a rollup's configuration, in block time.
    pub config_delay_ms: u64,
}

/// Everything about a chain's start. The digest of its encoding is the chain id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    pub name: String,
    pub time: BlockTime,
    pub validators: Vec<ValidatorInfo>,
    pub sealing: SealingKey,
    pub allocations: Vec<Allocation>,
    #[serde(default)]
    pub consensus: ConsensusParameters,
    #[serde(default)]
    pub fees: FeeParameters,
    #[serde(default)]
    pub market: MarketParameters,
}

/// A genesis that no chain can start from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The weights do not add up to 3f+1.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// A validator of weight 0, or two with one key or name.
    #[error("[CV-TYPE-003] validator {name}: {reason}; edit the genesis draft")]
    Validator { name: String, reason: &'static str },
    /// The sealing key's shares do not match the weights.
    #[error(
        "[CV-TYPE-004] the genesis has {found} sealing shares for a total weight of {expected}; run the key generation again for this draft"
    )]
    Shares { found: usize, expected: u16 },
    /// The allocations and bonds overflow.
    #[error("[CV-TYPE-005] allocations and bonds add up to more than 2^64-1; lower them")]
    Allocations,
    /// More of a forfeited bond than all of it.
    #[error("[CV-TYPE-006] reporter_percent is {percent}, of 100 at most; lower it")]
    ReporterPercent { percent: u8 },
    /// Honest members could not speak in time while opening lags as far as it may.
    #[error(
        "[CV-TYPE-007] keygen_phase_blocks is {blocks}, of {} at least: opening may lag {} blocks behind ordering, and what a member then says takes some to be ordered; raise it, or set epoch_blocks to 0 for a chain without epochs",
        limits::KEYGEN_PHASE_BLOCKS_MIN,
        limits::LEDGER_LAG_BLOCKS_MAX
    )]
    KeygenPhase { blocks: u64 },
}

impl Default for ConsensusParameters {
    fn default() -> Self {
        Self {
            view_timeout_ms: 500,
            view_timeout_ms_max: 8_000,
            heartbeat_ms: 1_000,
            order_deadline_blocks: 200,
            validator_bond: Amount(1_000_000),
            reporter_percent: 10,
            epoch_blocks: 10_000,
            grace_blocks: 200,
            // What was lost on its way is said again in time while opening lags half as far as it may.
            keygen_phase_blocks: limits::KEYGEN_PHASE_BLOCKS_MIN + limits::ORDER_BLOCKS,
            unbonding_ms: 24 * 3_600_000,
        }
    }
}

impl Default for FeeParameters {
    fn default() -> Self {
        Self {
            envelope: Amount(100),
            kibibyte: Amount(10),
            malformed_surcharge: Amount(500),
            proposer_percent: 50,
            target_bytes_per_second: 8 * 1024 * 1024,
        }
    }
}

impl Default for MarketParameters {
    fn default() -> Self {
        Self {
            window_ms: 500,
            raise_percent: 25,
            late_percent: 50,
            standby_percent: 25,
            rollup_percent: 50,
            open_deposit: Amount(10_000),
            config_delay_ms: 60_000,
        }
    }
}

impl FeeParameters {
    /// The fee of an envelope whose body has `body_bytes`, at a tariff in thousandths; saturates.
    pub fn fee(&self, body_bytes: u32, tariff: u32) -> Amount {
        let kibibytes = u64::from(body_bytes.div_ceil(1024));
        let size = self.kibibyte.0.saturating_mul(kibibytes);
        let base = u128::from(self.envelope.0.saturating_add(size));
        let fee = base * u128::from(tariff) / u128::from(limits::TARIFF_BASE);
        Amount(u64::try_from(fee).unwrap_or(u64::MAX))
    }
}

impl ConsensusParameters {
    /// What a validator of this weight has at stake; `None` when it does not fit.
    pub fn bond(&self, weight: u16) -> Option<Amount> {
        let bond = self.validator_bond.0.checked_mul(u64::from(weight))?;
        Some(Amount(bond))
    }

    /// Checks them by themselves: a draft of a genesis has them before it has a key.
    pub fn check(&self) -> Result<(), GenesisError> {
        let percent = self.reporter_percent;
        if percent > 100 {
            return Err(GenesisError::ReporterPercent { percent });
        }
        let blocks = self.keygen_phase_blocks;
        if self.epoch_blocks > 0 && blocks < limits::KEYGEN_PHASE_BLOCKS_MIN {
            return Err(GenesisError::KeygenPhase { blocks });
        }
        Ok(())
    }
}

impl Genesis {
    /// The chain id: the digest of the canonical encoding.
    pub fn chain_id(&self) -> ChainId {
        ChainId::of_genesis(&codec::encode(self))
    }

    /// Where the first epoch begins.
    pub fn origin(&self) -> Origin {
        Origin::genesis(self.chain_id(), self.time)
    }

    /// The committee and the sealing key that the chain starts with.
    pub fn first_epoch(&self) -> EpochSetup {
        EpochSetup {
            epoch: Epoch(0),
            validators: self.validators.clone(),
            sealing: self.sealing.clone(),
        }
    }

    /// n, f and the quorum of the committee.
    pub fn threshold(&self) -> Result<Threshold, ThresholdError> {
        Threshold::for_total(self.validators.iter().map(|v| u64::from(v.weight)).sum())
    }

    /// Checks everything that needs no cryptography.
    pub fn check(&self) -> Result<(), GenesisError> {
        let threshold = self.threshold()?;
        for (index, validator) in self.validators.iter().enumerate() {
            let refuse = |reason| {
                Err(GenesisError::Validator {
                    name: validator.name.clone(),
                    reason,
                })
            };
            let before = &self.validators[..index];
            if validator.weight == 0 {
                return refuse("the weight is 0");
            }
            if validator.name.len() > limits::NAME_BYTES_MAX {
                return refuse("the name is longer than 64 bytes");
            }
            if before.iter().any(|other| other.name == validator.name) {
                return refuse("another validator has the same name");
            }
            if before.iter().any(|other| {
                other.bls_key == validator.bls_key || other.transport_key == validator.transport_key
            }) {
                return refuse("another validator has the same key");
            }
        }
        if self.sealing.shares.len() != usize::from(threshold.total()) {
            return Err(GenesisError::Shares {
                found: self.sealing.shares.len(),
                expected: threshold.total(),
            });
        }
        self.consensus.check()?;
        let bonds = self
            .validators
            .iter()
            .map(|validator| self.consensus.bond(validator.weight));
        let allocations = self
            .allocations
            .iter()
            .map(|allocation| allocation.balance.checked_add(allocation.fees));
        let sum = bonds
            .chain(allocations)
            .try_fold(Amount::ZERO, |sum, amount| sum.checked_add(amount?));
        sum.map(|_| ()).ok_or(GenesisError::Allocations)
    }
}
