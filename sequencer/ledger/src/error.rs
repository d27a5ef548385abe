//! Why an operation failed. A failed operation changes nothing and has still paid its fee.

use bincode::{Decode, Encode};
use conclave_market::SubmitError;
use conclave_types::{Amount, EnvelopeId, KeyGenerationFault, Range};
use serde::Serialize;

use crate::rollup::ConfigField;
use crate::validators::ValidatorField;

/// Why a system operation did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Encode, Decode, Serialize)]
pub enum OpError {
    /// The bytes are no operation.
    #[error("[CV-LEDGER-010] not a system operation; encode it with the same protocol version")]
    Undecodable,
    /// The author's balance is too small.
    #[error("[CV-LEDGER-011] the balance is {balance}, {wanted} are asked; add balance first")]
    Balance { balance: Amount, wanted: Amount },
    /// Moving nothing.
    #[error("[CV-LEDGER-012] the amount is 0; name an amount")]
    Zero,
    /// The rollup id is the system's or taken, now or once.
    #[error("[CV-LEDGER-013] the rollup id is taken; choose another")]
    RollupTaken,
    /// No such rollup, or it has left.
    #[error("[CV-LEDGER-014] no such rollup; check the id")]
    UnknownRollup,
    /// The author does not own the rollup.
    #[error("[CV-LEDGER-015] only the rollup's owner may do this; use the owner's key")]
    NotOwner,
    /// A configuration that cannot be.
    #[error("[CV-LEDGER-016] the configuration's {field:?} is not acceptable; correct it")]
    Config { field: ConfigField },
    /// The author is not registered as a prover.
    #[error("[CV-LEDGER-017] not a prover; register first")]
    NotAProver,
    /// The free bond does not cover the withdrawal, or the sum does not fit.
    #[error("[CV-LEDGER-018] the free bond is {free}; wait for jobs to settle or ask for less")]
    Bond { free: Amount },
    /// A bid outside an envelope that is released at its auction's close.
    #[error(
        "[CV-LEDGER-019] a bid must be sealed until its auction's close; use that release rule"
    )]
    BidNotSealed,
    /// A proof inside a sealed envelope.
    #[error("[CV-LEDGER-020] a proof must be plain; submit it unsealed")]
    ProofNotPlain,
    /// The proof was not looked at.
    #[error(transparent)]
    Submit(SubmitError),
    /// The proof was looked at and does not show its statement.
    #[error(
        "[CV-LEDGER-021] the proof is not valid for its range; see the node's event for the reason"
    )]
    ProofInvalid,
    /// The evidence of misbehaviour proves nothing here.
    #[error(
        "[CV-LEDGER-022] the evidence does not show that the validator broke a rule of agreement; report two messages that it signed and that contradict each other"
    )]
    EvidenceInvalid,
    /// The validator's bond is forfeited already.
    #[error("[CV-LEDGER-023] the validator's bond was forfeited before; nothing is left to report")]
    BondForfeited,
    /// A registration or a change of one that cannot be.
    #[error(
        "[CV-LEDGER-024] the validator's {field:?} is not acceptable; correct it, or use a fresh key or name"
    )]
    Validator { field: ValidatorField },
    /// The author is not the account of a serving validator in this slot.
    #[error(
        "[CV-LEDGER-025] only the account of a validator that serves or waits in this slot may do this; use the operator's key and check the slot"
    )]
    NotOperator,
    /// No slot is vacant.
    #[error(
        "[CV-LEDGER-026] all {max} slots for validators are taken; wait until one that left is unbonded",
        max = conclave_types::limits::VALIDATORS_MAX
    )]
    ValidatorsFull,
    /// The attempt is over, or never was.
    #[error(
        "[CV-LEDGER-027] no such key generation runs; follow the epochs of the chain for the present one"
    )]
    KeyGenerationOver,
    /// The message is not one that this member sends now.
    #[error(
        "[CV-LEDGER-028] the key generation does not take this message ({fault:?}); post what the present phase asks for"
    )]
    KeyGeneration { fault: KeyGenerationFault },
    /// Evidence of an epoch that has not been, or whose committee was let go.
    #[error(
        "[CV-LEDGER-029] nobody answers for that epoch (any more); report misbehaviour before the bonds of its committee are released"
    )]
    EpochClosed,
}

/// A block that cannot be executed yet. The ledger is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The contents of a range that a proof in the block is for are not here.
    #[error(
        "[CV-LEDGER-030] the contents of {range:?} are missing; rebuild them and execute again"
    )]
    MissingContents { range: Range },
    /// They are here and are not what was delivered.
    #[error(
        "[CV-LEDGER-031] the stored contents of {range:?} are not those delivered; restore the store from peers"
    )]
    CorruptContents { range: Range },
    /// A bid of an auction that closes in the block has no opening.
    #[error(
        "[CV-LEDGER-032] the bid {envelope} of a closing auction is not opened; open it and execute again"
    )]
    MissingBid { envelope: EnvelopeId },
}

/// A snapshot that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes do not decode.
    #[error(transparent)]
    Codec(#[from] conclave_types::codec::CodecError),
    /// It decodes to a state that no execution leads to.
    #[error("[CV-LEDGER-033] the snapshot is inconsistent: {reason}; fetch another")]
    Inconsistent { reason: &'static str },
}
