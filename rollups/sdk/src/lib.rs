//! What an L2 developer depends on: seal and submit transactions, follow the ordered stream, verify
//! it from the genesis alone, and describe a provable program.
//!
//! ```text
//!            ┌── Gateway: seal ─▶ submit ─▶ receipt ─▶ stage ──┐
//! rollup ────┤                                                 ├──▶ Client ──▶ nodes (HTTP JSON, SSE)
//!            ├── Follow: deliveries without gaps ◀─────────────┤
//!            └── Auditor: blocks, completeness, openings, outcomes, proofs, from the genesis
//! Program: genesis, execute, prove, verify ──▶ prover members and validators
//! ```
//!
//! Invariants:
//! - A sequence number is durable before it is used, and never used twice.
//! - Envelopes are sealed to the key that the genesis names, never to one that a node names.
//! - A follower yields every transaction exactly once, in order, or an error.
//! - The auditor trusts the genesis only, and takes nothing on a node's word.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod api;
mod client;
mod durable;
mod epochs;
mod error;
mod follow;
mod gateway;
mod operator;
mod program;
mod routes;
mod sequence;
mod sse;
mod verify;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientOptions};
pub use durable::{read_file, replace_file};
pub use epochs::FollowEpochsError;
pub use error::{ClientError, NodeFailure};
pub use follow::{Follow, FollowError, FollowFrom, Followed};
pub use gateway::{Gateway, GatewayError, GatewayOptions, verify_receipt};
pub use operator::{ValidatorChange, leave_validator, register_validator};
pub use program::{
    Measurement, OrderedTransaction, Program, ProgramError, ProgramState, ProofJob, ProvenRange,
    program_of,
};
pub use sequence::{SequenceError, SequenceFile};
pub use verify::{
    Auditor, FinalBlock, ProofReport, ProvenLedger, RangeReport, RangeRequest, VerifiedDelivery,
    VerifyError,
};
