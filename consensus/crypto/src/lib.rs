//! Signatures, committees and Merkle trees: the cryptography that everything but sealing uses.
//!
//! ```text
//! Genesis ──▶ Committee (weights, quorum) ──┐
//!        └──▶ BlsCommittee (checked keys) ──┴─▶ votes, quorum and commit certificates
//! account and transport keys ──▶ ed ──▶ envelope signatures, receipts
//! ids ──▶ merkle ──▶ batch contents, ledger state
//! shares ──▶ bundles, signed ──▶ the proof that one of them is wrong
//! bodies ──▶ erasure ──▶ shards of a batch ──▶ bodies, or the proof that its author lied
//! ```
//!
//! Invariants:
//! - No BLS key takes part in an aggregate before its proof of possession was checked.
//! - Points outside the prime-order subgroup and the identity are refused wherever they enter.
//! - Checking ed25519 signatures one by one or in a batch gives the same verdicts.
//! - Secrets are zeroized on drop and have no `Debug`.
//!
//! Everything here is deterministic; key generation takes its randomness as an argument.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bls;
mod committee;
mod dispersal;
pub mod ed;
mod erasure;
mod key_file;
pub mod merkle;
mod shares;
mod signatures;

#[cfg(test)]
mod tests;

pub use bls::{BlsKey, BlsSecret};
pub use committee::{Committee, CommitteeError, Member};
pub use dispersal::{InconsistentBatch, RebuiltBatch, batch_contents};
pub use ed::EdSecret;
pub use erasure::{CodeShape, Coder, Codeword, RebuildError, Rebuilt, Shard};
pub use key_file::{KeyFileError, load_key, save_key};
pub use merkle::{MerklePath, MerkleTree};
pub use shares::{
    ShareProofs, ShareRow, are_signed, are_wrong, bundle_message, is_regular, share_list,
    share_rows, wrong_shares,
};
pub use signatures::{BlsCommittee, BlsCommitteeError, Signatures};
