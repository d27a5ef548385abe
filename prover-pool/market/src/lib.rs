//! The proving market: what turns an unproven range of a rollup into a settled root and a paid
//! prover.
//!
//! ```text
//! Intent ──▶ Auction (sealed bids, reverse, first price) ──▶ Award: winner + standby
//!   ▲            │ nobody                                      │ proof in time        │ deadline missed
//!   └── raised ──┘                                             ▼                      ▼
//!       ceiling                                         settle, pay winner   slash: rollup, standby, pool
//!                                                              ▲                      │
//!                                                              └── standby ◀──────────┤
//!                                                              └── open to all, late ◀┘
//! ```
//!
//! Invariants:
//! - Every function here is a pure function of its arguments; the ledger holds the state, moves the
//!   money and asserts its conservation.
//! - Nothing is due on time alone: a [`Timer`] also needs blocks of f+1 distinct proposers.
//! - A clearing awards at most one winner, who bid at most the ceiling and whose bond and slots
//!   cover the job.
//! - What is paid for a range never exceeds what was escrowed for it.
//! - Proof bytes are hostile: only [`check_proof`] hands them to a [`Verifier`], bounded and after
//!   every cheap check.
//!
//! Departure from the literature: the auction is first-price with a public reserve instead of
//! second-price, because a ring of bidders gains least there.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod auction;
mod award;
mod bid;
mod bond;
mod intent;
mod settlement;
mod timer;
mod verify;

#[cfg(test)]
mod tests;

pub use auction::{Auction, Clearing, Phase, Settlement, clear};
pub use award::{Award, Stage, Standby};
pub use bid::{BidVerdict, Offer, OpenedBid, tie};
pub use bond::{BondError, Prover, SlashSplit};
pub use intent::{ContentsDigest, Intent, ceiling, reference_price};
pub use settlement::{Payment, RecordedProof, SubmitError, may_submit, split_payment};
pub use timer::{ProposerClock, Timer};
pub use verify::{
    ContentSource, OrderedTransaction, ProofRejected, Verifier, check_proof, check_shape,
};
