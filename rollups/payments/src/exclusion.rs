//! Which ordered bytes are no payment at all.
//!
//! Exclusion is stateless: it depends on the bytes, the height that ordered them, and the rollup
//! they were ordered for. The submitter of a proof names the excluded indices, and every verifier
//! checks each of them here.

use crate::payment::{Payment, PaymentContext};

/// Why ordered bytes are excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExclusionReason {
    /// The bytes are not the canonical encoding of a payment with all fields in bounds.
    #[error("[CV-PAY-010] the bytes are not a payment; encode it with this program's version")]
    Undecodable,
    /// The payment was ordered above its expiry height.
    #[error("[CV-PAY-011] the payment was ordered after its expiry; sign it again")]
    Expired,
    /// The signature does not verify under the owner root the payment states.
    #[error("[CV-PAY-012] the signature does not match the stated owner; sign for this rollup")]
    BadSignature,
}

/// Reads a payment that was ordered at `height`, or says why it is excluded.
pub fn classify(
    bytes: &[u8],
    ctx: &PaymentContext,
    height: u64,
) -> Result<Payment, ExclusionReason> {
    let payment = read_unexpired(bytes, height)?;
    if payment.is_authorised(ctx) {
        Ok(payment)
    } else {
        Err(ExclusionReason::BadSignature)
    }
}

/// The part of [`classify`] that costs no hashing: everything but the signature.
pub(crate) fn read_unexpired(bytes: &[u8], height: u64) -> Result<Payment, ExclusionReason> {
    let payment = Payment::decode(bytes).ok_or(ExclusionReason::Undecodable)?;
    if height > payment.body.expiry {
        return Err(ExclusionReason::Expired);
    }
    Ok(payment)
}
