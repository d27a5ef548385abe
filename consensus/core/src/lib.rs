//! HotStuff-2 with explicit commit votes and pipelined views, as a pure state machine.
//!
//! ```text
//!            Proposal ─▶ proposal ─▶ CheckProposal ─▶ safety ─▶ PrepareVote ─┐
//! leader: Payload ─▶ propose ─────────────────────────▲                      ▼
//!                                                     │                    tally ─▶ QC ─┬▶ next view
//!   timer ─▶ pacemaker ─▶ safety ─▶ Timeout ─▶ tally ─▶ TC ─▶ next view                 │
//!                                                                                       ▼
//!            Committed ◀─ commit ◀─ CC ◀─ tally ◀─ CommitVote ◀──────────────────── safety
//! ```
//!
//! [`Engine::handle`] takes one [`Input`] and the time, and returns one [`Step`]: writes, and
//! actions that may only be carried out once the writes are durable. There is no clock, no
//! randomness, no channel, no lock and no file in here: equal inputs give equal steps.
//!
//! Invariants:
//! - Views are entered only by the prepare QC or the TC of the view before, restarts included.
//! - Every signature of this node is made in `safety`, and the state that forbids its opposite is
//!   in the same step's writes.
//! - One prepare vote per view; no commit vote for a view that was given up or came before one
//!   that was; the highest QC only grows.
//! - Committed blocks are handed out once, in order, without gaps, each batch with its certificate.
//! - Whatever peers send: memory is bounded by the committee and a window of views.
//!
//! Departures from the paper (Malkhi & Nayak, eprint 2023/397): both phases' votes go to everyone
//! in a small committee, and to two collectors in a large one, who answer everyone with the
//! certificate; a
//! leader that enters by a timeout certificate proposes at once instead of waiting a network
//! delay, because the certificate itself (as in Jolteon, arXiv 2106.10362) carries the highest
//! QC that a quorum knew; after a lost view the heartbeat counts as due.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod action;
mod blocks;
mod broken;
mod certificates;
mod commit;
mod config;
mod elector;
mod engine;
mod evidence;
mod fetch;
mod input;
mod pacemaker;
mod proposal;
mod propose;
mod rejoin;
mod routing;
mod safety;
mod tally;
mod timeouts;
mod votes;

#[cfg(test)]
mod tests;

pub use action::{Action, Message, Step, Write};
#[cfg(feature = "broken-rules")]
pub use broken::Broken;
pub use config::{EngineConfig, Recovered};
pub use elector::ANCESTRY_BLOCKS;
pub use engine::Engine;
pub use evidence::{Evidence, Fault};
pub use input::{Input, Now};
pub use rejoin::{Standing, rejoin};
pub use safety::SafetyState;
