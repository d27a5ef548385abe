//! A wallet with its account, that signs only what fits the account's projection.

use conclave_payments::{Address, Draft, Payment, PaymentContext, WalletError};

use crate::devnet::DiskWallet;
use crate::queue::Projection;

/// Ordinary leaves that are left when the wallet rotates.
const ROTATE_AT: u16 = 8;

/// One wallet and the account it owns.
pub(crate) struct Purse {
    pub(crate) address: Address,
    pub(crate) wallet: DiskWallet,
}

/// What a purse may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Sign payments.
    Ready,
    /// Sign one payment that also rotates, and wait for it.
    MustRotate,
    /// Wait: a rotation is on its way.
    Waiting,
}

impl Purse {
    /// Follows the account's owner, and says what the wallet may sign.
    ///
    /// A wallet moves to its next tree only when the executed state shows it: if the rotation were
    /// lost, the old tree would still own the account.
    pub(crate) fn prepare(&mut self, projection: &Projection) -> Result<Readiness, WalletError> {
        if projection.owner != projection.account.owner {
            return Ok(Readiness::Waiting);
        }
        self.wallet.adopt(projection.account.owner)?;
        match self.wallet.remaining() > ROTATE_AT {
            true => Ok(Readiness::Ready),
            // Payments of the old tree must be through before its owner root changes.
            false if projection.pending > 0 => Ok(Readiness::Waiting),
            false => Ok(Readiness::MustRotate),
        }
    }

    /// Signs under the present tree.
    pub(crate) fn pay(
        &mut self,
        context: &PaymentContext,
        draft: &Draft,
    ) -> Result<Payment, WalletError> {
        self.wallet.pay(context, draft)
    }

    /// Signs a payment of nothing to itself that hands the account to the next tree.
    pub(crate) fn rotate(
        &mut self,
        context: &PaymentContext,
        nonce: u64,
        expiry: u64,
    ) -> Result<Payment, WalletError> {
        self.rotate_paying(context, nonce, self.address, 0, expiry)
    }

    /// Signs a payment that also hands the account to the next tree.
    pub(crate) fn rotate_paying(
        &mut self,
        context: &PaymentContext,
        nonce: u64,
        receiver: Address,
        amount: u64,
        expiry: u64,
    ) -> Result<Payment, WalletError> {
        let draft = Draft {
            sender: self.address.slot,
            nonce,
            receiver,
            amount,
            fee: 0,
            expiry,
        };
        self.wallet.rotate(context, &draft)
    }
}
