//! Verifies the chain without running it: pure functions from the genesis, no consensus state.
//!
//! ```text
//! Genesis ─▶ CommitteeChain ─▶ Verifier ─▶ commit certificate ─▶ headers by hash ─▶ block body ─▶ one rollup's
//!            (each epoch's     (keys,       quorum, timeout and    (ancestry)        (payload       envelopes:
//!            hand-over)        quorum)      stored certificates)                     digest)        all of them
//! ```
//!
//! Invariants:
//! - A function returns `Ok` only for what 2f+1 validators signed, directly or by hash.
//! - Nothing here reads a clock, keeps state or trusts who delivered the data.
//! - Agreement itself verifies certificates through this crate, so that a light client and a
//!   validator never differ on what a certificate is.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod certificate;
mod chain;
mod contents;
mod epochs;
mod ledger;
mod misbehaviour;

#[cfg(test)]
mod tests;

pub use certificate::{CertificateError, Verifier};
pub use chain::{ChainError, verify_ancestry, verify_body};
pub use contents::{
    ContentsError, rollup_contents, verify_absent, verify_complete, verify_included,
};
pub use epochs::{CommitteeChain, EpochError, EpochKeys, verify_epoch_change};
pub use ledger::{
    EntryProof, EntryTable, LEDGER_BUCKETS, LedgerProofError, entry_bucket, entry_leaf,
    verify_entry, verify_settled, verify_stream,
};
pub use misbehaviour::{MisbehaviourError, verify_contradiction, verify_misbehaviour};
