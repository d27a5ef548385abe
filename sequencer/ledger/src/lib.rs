//! The ledger: what the ordered, opened sequence means, as one deterministic state machine.
//!
//! ```text
//! committed headers ──▶ FeeLedger::order ──▶ dispositions ──▶ which envelopes open
//!                          ▲ queue(fee changes)                        │ openings
//!                          │                                          ▼
//!                       Executed ◀── Ledger::execute ◀── ExecutableBlock
//!                          │              │ rollups, provers, validators, bonds: system operations
//!                          │              │ the next epoch's key: conclave-seal
//!                          │              │ intents, auctions, awards, settlement: conclave-market
//!                          ▼              ▼
//!        deliveries, events, state root ──▶ streams, watchers, later headers
//! ```
//!
//! Inside a block things happen in this order, so that what is due at the block's time is decided
//! before its contents count:
//!
//! 1. fees are taken, from headers only;
//! 2. auctions that are due close; then missed deadlines; then delayed changes of rollups;
//! 3. fees are shared out: the rollup's part, of the rest the proposer's, what remains (with all
//!    rounding) to the batch's author;
//! 4. envelopes act in their order: deliveries, system operations, proofs;
//! 5. intents are raised for what is long or old enough;
//! 6. the key generation of the next epoch goes on, and epochs that are over in every respect are
//!    closed, which gives back bonds.
//!
//! Invariants:
//! - The same blocks and contents give the same state, byte for byte; there is no clock, no
//!   randomness and no file here.
//! - Money is conserved in every block, asserted in release builds from the entries themselves.
//! - The root commits to every entry, so a snapshot is checked against one header.
//! - Whether an envelope is paid depends on headers and on executed heights that a header covers,
//!   never on unopened contents: a [`FeeLedger`] that runs ahead agrees with the embedded one.
//! - Nothing is due on time alone: timers also need blocks of f+1 distinct proposers.
//! - Whoever had a vote answers for it with its bond until its epoch is closed, and keeps its slot.
//! - The committee and key of the next epoch are a function of the executed blocks, and fixed at one
//!   height for all.
//! - A range settles once, from the settled root, and is paid at most what was escrowed for it.
//!
//! Bounds: a rollup has at most [`OUTSTANDING_MAX`] unfinished ranges, an auction at most
//! `AUCTION_BIDS_MAX` bids, one per bidder. Of finished auctions the newest [`FINISHED_KEPT`] of a
//! rollup stay in the state; older ones are history that nodes keep as events.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod agenda;
mod auctions;
mod bids;
mod block;
mod broken;
mod delivery;
mod epochs;
mod error;
mod events;
mod execute;
mod fees;
mod intents;
mod key_generation;
mod ledger;
mod member_set;
mod misbehaviour;
mod money;
mod proofs;
mod query;
mod replay;
mod rollup;
mod state;
mod system;
mod table;
mod tariffs;
mod tree;
mod validators;

#[cfg(test)]
mod tests;

pub use agenda::FINISHED_KEPT;
pub use block::{ClosedBid, Content, Delivery, Entry, ExecutableBlock, Executed, Outcome};
#[cfg(feature = "broken-rules")]
pub use broken::Broken;
pub use error::{ExecuteError, OpError, RestoreError};
pub use events::LedgerEvent;
pub use fees::{Disposition, FeeChange, FeeLedger, OrderBehind, OrderedBlock, OrderedEnvelope};
pub use key_generation::KeyGenerationView;
pub use ledger::Ledger;
pub use misbehaviour::{BlsCommittees, Committees, VoteKeys};
pub use query::{AccountView, Totals};
pub use rollup::{Change, ConfigField, OUTSTANDING_MAX, PendingChange, Rollup};
pub use validators::{Standing, ValidatorBond, ValidatorField, ValidatorRecord};
