//! Does the ledger hold its invariants: conservation, determinism, agreement of the two fee
//! ledgers, and the market's rules from intent to payment?

// Test helpers take what they consume in spirit; call sites stay short.
#![allow(clippy::needless_pass_by_value)]

mod dispersal;
mod epochs;
mod fees;
mod harness;
mod market;
mod misbehaviour;
mod property;
mod rollups;
mod slashing;
mod tree;
