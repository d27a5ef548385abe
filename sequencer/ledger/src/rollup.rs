//! Registered rollups: configuration, fund, stream position, settled root and unproven backlog.

use bincode::{Decode, Encode};
use conclave_market::{ContentsDigest, Timer};
use conclave_types::{
    Amount, AuctionId, BlockTime, Height, ProofPolicy, RollupConfig, Settled, Stream, TxIndex,
    limits,
};
use serde::Serialize;

use crate::error::OpError;
use crate::table::Value;

/// Ranges of one rollup that may be in auctions or being proven at once.
pub const OUTSTANDING_MAX: usize = 4;
/// The bond may be at most this many hundredths of the reference price.
const BOND_PERCENT_MAX: u32 = 10_000;

/// A change that waits for its delay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum Change {
    /// A new configuration.
    Update(RollupConfig),
    /// The end of the rollup.
    Leave,
}

/// A change and when it applies.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct PendingChange {
    pub at: Timer,
    pub change: Change,
}

/// A registered rollup. Its entry stays when it leaves, so that its id is never used again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Rollup {
    pub config: RollupConfig,
    pub registered: Height,
    /// The height from which it is no more.
    pub left: Option<Height>,
    /// What it can still pay provers from.
    pub fund: Amount,
    /// Its auctions that are not finished, in the order of their ranges.
    pub outstanding: Vec<AuctionId>,
    pub pending: Option<PendingChange>,
}

/// Consecutive transactions that no intent covers yet, up to the rollup's `range_transactions` or
/// until they reach [`limits::RANGE_BYTES_MAX`]; the key names the first. A backlog is cut into
/// ranges of the size that the rollup chose its deadline for, so that it is never more than a
/// prover can do in time. It grows by one of these (under 100 bytes) for every such range, whose
/// transactions have paid for their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Chunk {
    pub(crate) to: TxIndex,
    pub(crate) from_height: Height,
    pub(crate) to_height: Height,
    /// The block time of the first.
    pub(crate) oldest: BlockTime,
    pub(crate) contents: ContentsDigest,
    pub(crate) bytes: u64,
}

impl Value for Rollup {
    fn money(&self) -> u128 {
        self.fund.0.into()
    }
}

impl Value for Stream {}
impl Value for Settled {}
impl Value for Chunk {}

impl Chunk {
    /// Whether a chunk whose first transaction is `from` takes no more under a configuration.
    pub(crate) const fn is_full(&self, from: TxIndex, config: &RollupConfig) -> bool {
        self.to.0 - from.0 >= config.range_transactions || self.bytes >= limits::RANGE_BYTES_MAX
    }
}

impl Rollup {
    /// Whether its stream goes on.
    pub const fn is_active(&self) -> bool {
        self.left.is_none()
    }

    /// Whether a block of this height delivers to it. The one that registers it does not, so that
    /// a stream holds all or nothing of what a block orders.
    pub(crate) fn takes_contents(&self, height: Height) -> bool {
        self.is_active() && height > self.registered
    }

    /// Whether its ranges are to be proven.
    pub const fn is_proven(&self) -> bool {
        matches!(self.config.policy, ProofPolicy::Any { .. })
    }
}

/// Whether a configuration can be registered.
pub(crate) fn check_config(config: &RollupConfig) -> Result<(), OpError> {
    let refuse = |ok: bool, field: ConfigField| match ok {
        true => Ok(()),
        false => Err(OpError::Config { field }),
    };
    let name = !config.name.is_empty() && config.name.len() <= limits::NAME_BYTES_MAX;
    refuse(name, ConfigField::Name)?;
    refuse(policy_is_sound(&config.policy), ConfigField::Policy)?;
    refuse(
        config.reserve_price <= config.reserve_price_max,
        ConfigField::ReservePriceMax,
    )?;
    let range = (1..=limits::RANGE_TRANSACTIONS_MAX).contains(&config.range_transactions);
    refuse(range, ConfigField::RangeTransactions)?;
    refuse(config.deadline_ms > 0, ConfigField::DeadlineMs)?;
    refuse(
        config.bond_percent <= BOND_PERCENT_MAX,
        ConfigField::BondPercent,
    )?;
    refuse(
        config.fee_share_percent <= 100,
        ConfigField::FeeSharePercent,
    )
}

fn policy_is_sound(policy: &ProofPolicy) -> bool {
    match policy {
        ProofPolicy::None => true,
        ProofPolicy::Any { systems, required } => {
            systems.is_sorted_by(|a, b| a < b)
                && *required >= 1
                && usize::from(*required) <= systems.len()
        }
    }
}

/// The part of a configuration that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub enum ConfigField {
    /// Empty, or longer than a name may be.
    Name,
    /// Systems not ascending, or more required than named, or none.
    Policy,
    /// Below the reserve.
    ReservePriceMax,
    /// Zero, or more than one proof may cover.
    RangeTransactions,
    /// Zero.
    DeadlineMs,
    /// More than a hundred times the reference price.
    BondPercent,
    /// More than all of it.
    FeeSharePercent,
    /// Whether anything is proven, and the genesis root, stay as registered.
    Fixed,
    /// The program is unknown here, or frozen.
    Program,
}
