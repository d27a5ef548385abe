//! What a member does for its standing: fees, registration, bond, re-arming.

use conclave_sdk::api::{AccountView, ProverView};
use conclave_types::{AccountId, Amount, SystemOp};

use crate::config::ProverConfig;

/// The next operation that the member's standing needs, one at a time; `None` when all is well or
/// the balance does not reach.
pub(crate) fn next_operation(
    config: &ProverConfig,
    me: AccountId,
    account: &AccountView,
    prover: Option<&ProverView>,
) -> Option<SystemOp> {
    let balance = Amount(account.balance);
    if account.fees < config.fees_min.0 && balance > Amount::ZERO {
        return Some(SystemOp::DepositFees {
            account: me,
            amount: config.fees_topup.min(balance),
        });
    }
    let Some(prover) = prover.filter(|prover| prover.slots == config.slots) else {
        return Some(SystemOp::RegisterProver {
            slots: config.slots,
        });
    };
    let posted = prover.bond_free.saturating_add(prover.bond_locked);
    let missing = Amount(config.bond.0.saturating_sub(posted)).min(balance);
    if missing > Amount::ZERO {
        return Some(SystemOp::PostBond { amount: missing });
    }
    (!prover.armed && config.rearm).then_some(SystemOp::Rearm)
}
