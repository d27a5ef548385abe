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

mod checkers;
mod model;
mod sim;

pub use checkers::{Coverage, Violation};
pub use sim::{Options, Outcome, REAL_EVERY, run};
