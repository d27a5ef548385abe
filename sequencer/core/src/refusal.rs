//! Why a submission is not admitted.

/// Nothing was stored and nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{code}] {reason}; {remedy}")]
pub struct Refusal {
    /// Stable.
    pub code: &'static str,
    pub reason: String,
    pub remedy: &'static str,
    /// Whether the same submission may be admitted later.
    pub retry: bool,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $retry:literal, $remedy:literal;)*) => {
        impl Refusal {$(
            $(#[$doc])*
            pub fn $name(reason: impl Into<String>) -> Self {
                Self { code: $code, reason: reason.into(), remedy: $remedy, retry: $retry }
            }
        )*}
    };
}

refusals! {
    /// Another chain's envelope.
    chain = "CV-SEQ-001", false, "seal it for the chain id that /v1/committee names";
    /// Sealed to a key that is not accepted any more, or not yet.
    epoch = "CV-SEQ-002", false, "seal it again to the key that /v1/committee names";
    /// Lengths or digests that contradict each other.
    shape = "CV-SEQ-003", false, "build the envelope with the SDK";
    /// The payer's signature or the seal does not verify.
    seal = "CV-SEQ-004", false, "sign and seal the envelope again; do not change it afterwards";
    /// A rollup that is not registered.
    rollup = "CV-SEQ-005", true, "register the rollup first, or correct its id";
    /// A height in the past or too far ahead.
    expiry = "CV-SEQ-006", false, "choose an expiry within the allowed heights from now";
    /// A sequence number that was used, or is too old.
    sequence = "CV-SEQ-007", false, "use a larger sequence number of this payer";
    /// The prepaid fee account does not cover the fee.
    funds = "CV-SEQ-008", true, "deposit fees for this payer; GET /v1/fees quotes the price";
    /// The mempool is full.
    full = "CV-SEQ-009", true, "try again shortly, or at another validator";
    /// There is room, but not for more of this rollup or payer.
    crowded = "CV-SEQ-011", true, "send slower: there is room again as what waits is ordered";
    /// The fee has risen above what the payer would pay.
    price = "CV-SEQ-012", true, "seal it again with a higher fee_max, or wait until the fee has fallen; GET /v1/fees quotes it";
    /// The validator is overloaded or stopping.
    busy = "CV-SEQ-010", true, "try again shortly, or at another validator";
}
