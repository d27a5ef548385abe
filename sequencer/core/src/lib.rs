//! The way of an envelope through a validator, as one pure state machine: admitted, batched,
//! certified, ordered, opened, executed, delivered.
//!
//! ```text
//! Submit ─▶ admission ─▶ mempool ─▶ pack ─▶ Dispersal ─▶ availability ─▶ certified ─▶ proposer ─▶ Payload
//!                                                              └─▶ shards ─▶ bodies ─┐
//!                                                                                   (agreement)
//! Committed ─▶ order (FeeLedger) ─▶ opening (shares, by lane) ─▶ execution (Ledger) ─▶ Executed
//! ```
//!
//! [`Sequencer::handle`] takes one [`Input`] and the time and returns [`Action`]s. There is no
//! clock, no randomness, no channel, no lock and no file in here. What is CPU-heavy leaves as
//! [`Work`], a pure function that the host runs elsewhere.
//!
//! Invariants:
//! - An envelope is acknowledged only once it is durable, and then it is ordered or reported
//!   expired, across crashes.
//! - "Stored" leaves only once the manifest and our shards are durable and every envelope's immutable
//!   properties check.
//! - Ordering and opening read manifests only; execution waits for the bodies.
//! - Shares are made only for envelopes of blocks that agreement reported final.
//! - Blocks are ordered and executed in the order of their heights, each once.
//! - Whatever peers send: memory is bounded.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod admission;
mod availability;
mod bodies;
mod censorship;
mod certificates;
mod dispersal;
mod epochs;
mod execution;
mod mempool;
mod message;
mod openers;
mod opening;
mod pipeline;
mod proposer;
mod quota;
mod refusal;
mod space;
mod sync;
#[cfg(test)]
mod tests;
mod turns;
mod work;

pub use dispersal::{Dispersal, Rebuilt};
pub use execution::{ExecuteJob, ExecuteResult, PlacedEnvelope};
pub use message::{
    Action, DeliveryRecord, FateRecord, Fetch, GroupOpenings, Input, Message, OpeningRecord,
    OutcomeRecord, PlacedEntry, ProofRecord, Published, Write,
};
pub use pipeline::{Config, ROOTS_KEPT, Recovered, SNAPSHOT_BLOCKS, Sequencer};
pub use proposer::LedgerReference;
pub use refusal::Refusal;
pub use sync::{
    Ask, FetchProgress, Fetches, PART_ASKS_PER_PEER_MAX, PART_TIMEOUT_MS, PEER_REST_MS,
};
pub use work::{BundleJob, Claim, Done, Tools, Work};
