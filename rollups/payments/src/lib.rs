//! A validity rollup for payments: state, transition function, and the proof that a range of
//! ordered payments turns one state root into another.
//!
//! ```text
//! Wallet ──▶ Payment ──(sealed, ordered, opened)──▶ contents of a range
//!                                                     │ classify: bytes that are no payment are excluded
//!                                                     ▼
//!                        State ──▶ apply each payment, or justify its no-op ──▶ new root
//!                                                     │ trace: 256 rows a payment
//!                                                     ▼
//!                            prove ──▶ proof ──▶ verify, by every validator, from the contents alone
//! ```
//!
//! Invariants:
//! - The new root follows from the old one and the ordered contents; a prover chooses nothing.
//! - No money moves without a signature of its owner, and the proof shows the signature.
//! - Every included payment is applied or its no-op is justified inside the proof; every excluded
//!   transaction is checked natively by the verifier.
//! - Supply is conserved: balances and the fee pool add up to the genesis supply, below 2^62.
//! - `verify` takes hostile bytes: it answers with an error, never with a panic or an abort.

mod air;
mod bench;
mod commitment;
mod domain;
mod exclusion;
mod fingerprint;
mod hash;
mod keys;
mod layout;
mod leaf_store;
mod padding;
mod payment;
mod permutation;
mod program;
mod proof_bytes;
mod prove;
mod signature;
mod state;
mod statement;
mod trace;
mod transition;
mod verify;
mod wallet;

#[cfg(test)]
mod tests;

pub use bench::{BenchReport, bench_range};
pub use exclusion::{ExclusionReason, classify};
pub use hash::{FieldDigest, NotCanonical};
pub use keys::Seed;
pub use leaf_store::{FileLeafStore, LeafStore, LeafStoreError};
pub use payment::{
    Address, AddressError, PAYMENT_BYTES_MAX, Payment, PaymentBody, PaymentContext, SLOTS,
    VALUE_LIMIT,
};
pub use program::{SecurityBits, program_version, security_bits};
pub use prove::{ProveError, ProveJob, ProvenRange, prove};
pub use signature::{KEY_LEAVES, Signature};
pub use state::{Account, AccountPath, Allocation, State, StateError, verify_path};
pub use statement::{ContentsError, RANGE_CONTENTS_MAX, RangeContext};
pub use transition::{Outcome, apply, execute, judge};
pub use verify::{PROOF_BYTES_MAX, VerifyError, VerifyReport, verify};
pub use wallet::{Draft, ROTATION_LEAVES, Wallet, WalletError, WalletState};

/// An owner's tree of one-time keys, by its root.
pub type OwnerRoot = FieldDigest;
/// What names an account: the owner root it was created with.
pub type AccountKey = FieldDigest;
