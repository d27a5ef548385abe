//! Intents: a rollup's published wish for a proof of one range, and what it may cost.

use bincode::{Decode, Encode};
use conclave_types::{
    Amount, BlockTime, Digest, Domain, Height, MarketParameters, ProgramVersion, Range,
    RollupConfig,
};
use serde::Serialize;

/// The wish for a proof of a range.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Intent {
    pub range: Range,
    /// The program that the proof must be of, fixed when the intent is raised.
    pub program: ProgramVersion,
    /// Commits to the range's transactions in order; see [`ContentsDigest`].
    pub contents: Digest,
    /// Bytes of the range's transactions: the metered size of the work.
    pub bytes: u64,
    /// The block time that ordered the range's first transaction.
    pub oldest: BlockTime,
    /// What the public reserve pays for the range; bonds and late payments refer to it.
    pub reference: Amount,
    /// The winner's bond.
    pub bond: Amount,
    /// Block time that an award leaves for proving, in milliseconds.
    pub deadline_ms: u64,
}

/// The rolling commitment to a range's transactions: each with the height that ordered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ContentsDigest(pub Digest);

impl ContentsDigest {
    /// Of no transactions.
    pub const EMPTY: Self = Self(Digest::ZERO);

    /// With one more transaction.
    #[must_use]
    pub fn with(self, height: Height, transaction: &[u8]) -> Self {
        Self(
            Domain::IntentContents
                .hasher()
                .part(&self.0.0)
                .part(&height.0.to_le_bytes())
                .part(transaction)
                .digest(),
        )
    }
}

/// `amount × percent / 100`, rounded down, saturating.
pub(crate) const fn percent(amount: Amount, percent: u32) -> Amount {
    let part = amount.0 as u128 * percent as u128 / 100;
    Amount(if part > u64::MAX as u128 {
        u64::MAX
    } else {
        part as u64
    })
}

/// What the public reserve pays for `count` transactions; saturates.
pub const fn reference_price(config: &RollupConfig, count: u64) -> Amount {
    Amount(config.reserve_price.0.saturating_mul(count))
}

/// The most that may be bid for `count` transactions in the given round: the reserve, raised by
/// `raise_percent` per failed round up to the rollup's maximum, and never more than its `fund`.
pub fn ceiling(
    config: &RollupConfig,
    market: &MarketParameters,
    count: u64,
    round: u32,
    fund: Amount,
) -> Amount {
    let mut price = config.reserve_price;
    for _ in 0..round {
        if price >= config.reserve_price_max {
            break;
        }
        // Always at least one unit, or a small reserve would never rise.
        let raise = percent(price, market.raise_percent).max(Amount(1));
        price = Amount(price.0.saturating_add(raise.0)).min(config.reserve_price_max);
    }
    Amount(price.0.saturating_mul(count)).min(fund)
}
