//! What a rollup node is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use conclave_types::{Amount, RollupId};
use serde::{Deserialize, Serialize};

use crate::RollupError;

/// Payments in one envelope at most: 100 of up to 2,497 bytes fit the largest size bucket.
pub const ENVELOPE_PAYMENTS_MAX: usize = 100;
/// The smallest expiry distance that leaves a payment time to be ordered.
const EXPIRY_BLOCKS_MIN: u64 = 16;

/// Everything about one rollup node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupNodeConfig {
    /// The id on the ledger.
    pub rollup: RollupId,
    /// The registered name.
    pub name: String,
    /// The name of the rollup's money, for people.
    pub token: String,
    /// The chain's genesis file, which the stream is verified against.
    pub chain_genesis: PathBuf,
    /// The rollup's genesis file; written from `devnet` when it does not exist.
    pub genesis: PathBuf,
    /// Base URLs of validators.
    pub nodes: Vec<String>,
    /// Where state, queue and wallets live.
    pub data: PathBuf,
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// The operator's ed25519 key: owner of the rollup and payer of its envelopes.
    pub operator_key: PathBuf,
    /// What is registered when the ledger does not know the rollup.
    #[serde(default)]
    pub registration: RegistrationConfig,
    /// How payments become envelopes.
    #[serde(default)]
    pub gateway: GatewayConfig,
    /// Accounts whose keys this node holds, for tests and demonstrations only.
    #[serde(default)]
    pub devnet: Option<DevnetConfig>,
}

/// The rollup's parameters on the ledger, and its first money there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationConfig {
    /// Price a transaction's proving starts at.
    pub reserve_price: Amount,
    /// What it may rise to when nobody bids.
    pub reserve_price_max: Amount,
    /// An intent is raised at this many unproven transactions …
    pub range_transactions: u64,
    /// … or when the oldest is this old in block time.
    pub range_age_ms: u64,
    /// From award to deadline, in block time.
    pub deadline_ms: u64,
    /// The winner's bond in hundredths of the reference price.
    pub bond_percent: u32,
    /// The rollup's part of its envelopes' fees in hundredths.
    pub fee_share_percent: u8,
    /// Moved into the rollup's proving fund when it registers.
    pub fund: Amount,
    /// Moved into the operator's fee account when it holds less than a quarter of this.
    pub fees: Amount,
}

/// How payments become envelopes, and what waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// An envelope is sealed when so many payments wait …
    pub envelope_payments: usize,
    /// … or when the first has waited this long.
    pub flush_ms: u64,
    /// Payments accepted and not yet delivered at most; more are refused for now.
    pub pending_max: usize,
    /// Of one sender at most.
    pub pending_sender_max: usize,
    /// Envelopes expire this many blocks after they are sealed.
    pub expiry_blocks: u64,
    /// A receipt without a delivery after this long makes the gateway submit again, elsewhere.
    pub resubmit_ms: u64,
}

/// Wallets derived from one seed text, what they do, and what they start with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevnetConfig {
    /// All wallets derive from it; whoever knows it owns them.
    pub seed: String,
    /// How many accounts pay each other.
    pub accounts: u32,
    /// What each starts with.
    pub balance: u64,
    /// What the faucet starts with.
    pub faucet_balance: u64,
    /// What the faucet gives; 0 turns it off.
    pub faucet_amount: u64,
    /// Faucet grants a minute, of all askers together.
    pub faucet_per_minute: u32,
    /// Payments a second, open loop; 0 for none.
    pub load_tps: f64,
    /// The part of them that is deliberately invalid, in hundredths.
    pub load_invalid_percent: u8,
    /// One in so many valid payments goes to an account that does not exist yet; 0 for never.
    pub load_newcomer_every: u64,
    /// Newcomers at most.
    pub load_newcomers_max: u32,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self {
            reserve_price: Amount(100),
            reserve_price_max: Amount(400),
            range_transactions: 64,
            range_age_ms: 15_000,
            deadline_ms: 120_000,
            bond_percent: 150,
            fee_share_percent: 20,
            fund: Amount(100_000_000),
            fees: Amount(100_000_000),
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            envelope_payments: 48,
            flush_ms: 100,
            pending_max: 16_384,
            pending_sender_max: 64,
            expiry_blocks: 300,
            resubmit_ms: 5_000,
        }
    }
}

impl Default for DevnetConfig {
    fn default() -> Self {
        Self {
            seed: "conclave devnet".into(),
            accounts: 16,
            balance: 1_000_000_000,
            faucet_balance: 1_000_000_000_000,
            faucet_amount: 1_000_000,
            faucet_per_minute: 60,
            load_tps: 0.0,
            load_invalid_percent: 10,
            load_newcomer_every: 100,
            load_newcomers_max: 32,
        }
    }
}

impl RollupNodeConfig {
    /// Checks what needs no file and no network.
    pub fn check(&self) -> Result<(), RollupError> {
        let refuse = |reason: &str| {
            Err(RollupError::Config {
                reason: reason.into(),
            })
        };
        let gateway = &self.gateway;
        if self.rollup == RollupId::SYSTEM {
            return refuse("rollup 0 is the system's own");
        }
        if self.name.is_empty() || self.name.len() > conclave_types::limits::NAME_BYTES_MAX {
            return refuse("the name must have 1 to 64 bytes");
        }
        if !(1..=ENVELOPE_PAYMENTS_MAX).contains(&gateway.envelope_payments) {
            return refuse("gateway.envelope_payments must be 1 to 100");
        }
        if gateway.expiry_blocks < EXPIRY_BLOCKS_MIN
            || gateway.expiry_blocks > conclave_types::limits::EXPIRY_AHEAD_BLOCKS_MAX
        {
            return refuse("gateway.expiry_blocks must be 16 to 100000");
        }
        let Some(devnet) = &self.devnet else {
            return Ok(());
        };
        if !(2..=4096).contains(&devnet.accounts) {
            return refuse("devnet.accounts must be 2 to 4096");
        }
        if !devnet.load_tps.is_finite() || !(0.0..=10_000.0).contains(&devnet.load_tps) {
            return refuse("devnet.load_tps must be 0 to 10000");
        }
        if devnet.load_invalid_percent > 100 {
            return refuse("devnet.load_invalid_percent must be 0 to 100");
        }
        Ok(())
    }
}
