//! What judges the protocol: a seeded simulator of whole committees, and checkers that share no
//! code with what they check.
//!
//! ```text
//! seed ─▶ plan (faults, load) ─▶ world: replicas, disks, network, clients, provers ─▶ trace
//!                                     │                                               │
//!                                     └────────────▶ checkers ◀───────────────────────┘
//! ```
//!
//! The replicas are the production ones ([`conclave_node::Replica`]). Time, network, disks and
//! randomness are simulated; signatures, sealing and the rollups' program with its proofs are the
//! real ones in one seed of [`REAL_EVERY`], and quick keyed-hash models in the others. The same seed gives the same
//! trace, byte for byte.

pub mod byzantine;
pub mod chaos;
mod checkers;
mod coverage;
mod model;
mod sim;

pub use checkers::Violation;
#[cfg(feature = "broken-rules")]
pub use conclave_consensus::Broken as Rule;
#[cfg(feature = "broken-rules")]
pub use conclave_ledger::Broken as LedgerRule;
pub use coverage::{Branch, Coverage};
#[cfg(feature = "broken-rules")]
pub use sim::Broken;
pub use sim::{Minimised, Options, Outcome, REAL_EVERY, minimise, run, run_censored, run_lying};
