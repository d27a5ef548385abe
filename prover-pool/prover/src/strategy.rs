//! How a bid is priced: a pure function of cost, ceiling and what was paid last.

use conclave_types::Amount;
use serde::{Deserialize, Serialize};

/// How bids are priced. No strategy bids above the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// The measured cost and a margin, in hundredths of the cost.
    CostPlus {
        /// Hundredths.
        margin_percent: u32,
    },
    /// Below what the last range of the rollup was awarded for, but never below cost and margin.
    Undercut {
        /// How far below, in hundredths of the last price.
        below_percent: u32,
        /// The least margin, in hundredths of the cost.
        margin_percent: u32,
    },
    /// The same for every transaction, whatever it costs.
    Fixed {
        /// Per transaction.
        price: Amount,
    },
}

impl Default for Strategy {
    fn default() -> Self {
        Self::CostPlus { margin_percent: 20 }
    }
}

/// What is for sale, and what it would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Transactions in the range.
    pub count: u64,
    /// What proving it costs here.
    pub cost: Amount,
    /// The most that may be bid.
    pub ceiling: Amount,
    /// What the last awarded range of the rollup was awarded for, and its transactions.
    pub last: Option<(Amount, u64)>,
}

impl Strategy {
    /// The price to bid, `None` to stay away.
    pub fn price(&self, offered: &Offered) -> Option<Amount> {
        let price = match *self {
            Self::CostPlus { margin_percent } => plus_percent(offered.cost, margin_percent),
            Self::Undercut {
                below_percent,
                margin_percent,
            } => {
                let floor = plus_percent(offered.cost, margin_percent);
                let last = match offered.last {
                    Some((price, count)) if count > 0 => saturate(
                        u128::from(price.0) * u128::from(offered.count) / u128::from(count),
                    ),
                    _ => offered.ceiling,
                };
                let keep = 100_u128.saturating_sub(u128::from(below_percent));
                let wanted = saturate(u128::from(last.0) * keep / 100);
                wanted.min(offered.ceiling).max(floor)
            }
            Self::Fixed { price } => saturate(u128::from(price.0) * u128::from(offered.count)),
        };
        (price <= offered.ceiling).then_some(price)
    }
}

/// `amount` and `percent` hundredths of it, rounded up.
fn plus_percent(amount: Amount, percent: u32) -> Amount {
    let sum = u128::from(amount.0) * (100 + u128::from(percent));
    saturate(sum.div_ceil(100))
}

fn saturate(amount: u128) -> Amount {
    Amount(u64::try_from(amount).unwrap_or(u64::MAX))
}
