//! The prover member: follows rollups, bids for their ranges from measured cost, proves, submits,
//! and is paid.
//!
//! ```text
//! stream ─▶ contents, state ─┐
//! intents ─▶ cost ─▶ strategy ─▶ sealed bid ─▶ award ─▶ work queue ─▶ proof ─▶ submission ─▶ paid
//!             ▲                                  │
//!        calibration                             └─ lost: the standby waits for its turn
//! ```
//!
//! Invariants:
//! - No bid beyond free slots, free bond, or what can be proven within half the deadline.
//! - No proof leaves that the member did not verify itself, or whose root is not its own state's.
//! - A state that disagrees with a settled root stops the rollup, loudly.
//! - Jobs won survive a restart: awards come from the ledger, proofs and states from disk.
//! - Proving never runs on the reactor; its queue is bounded and a panic in it is one job's failure.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bids;
mod calibrate;
mod config;
mod contents;
mod error;
mod jobs;
mod member;
mod open;
mod payments;
mod prove;
mod queue;
mod snapshot;
mod status;
mod strategy;
mod tasks;
mod track;
mod upkeep;
mod verifier;

#[cfg(test)]
mod tests;

pub use calibrate::Calibration;
pub use config::{ProverConfig, ServedRollup};
pub use error::ProverError;
pub use member::Prover;
pub use payments::{PaymentsAddress, PaymentsAllocation, PaymentsGenesis, PaymentsProgram};
pub use queue::{Panicked, QueueFull, WorkQueue};
pub use status::{JobStatus, ProverStatus, RollupStatus};
pub use strategy::{Offered, Strategy};
pub use verifier::ProgramVerifier;
