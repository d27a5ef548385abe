//! Every domain-separation string of this crate.

/// A payment's id, from its canonical bytes.
pub(crate) const PAYMENT_ID: &str = "conclave/v1/payments-node/payment-id";
/// The seed of one devnet wallet, from the devnet's seed text and the wallet's number.
pub(crate) const DEVNET_WALLET: &str = "conclave/v1/payments-node/devnet-wallet";
/// Where the search for a newcomer's slot starts.
pub(crate) const SLOT_HINT: &str = "conclave/v1/payments-node/slot-hint";
