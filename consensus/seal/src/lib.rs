//! Threshold sealing of envelopes: nobody reads one before 2f+1 of the committee's weight opened
//! it, and everybody can check what was opened.
//!
//! ```text
//! KeyGeneration (genesis), Participant (later epochs) ──▶ KeyShares (secret) + SealingKey (public)
//!                        │                   │
//! seal ──▶ Envelope ──▶ check ──▶ share_points ──▶ … committed … ──▶ bundle ──▶ open ──▶ M ──▶ decrypt ──▶ transactions
//! ```
//!
//! The scheme is of the TDH2 family (Shoup–Gennaro, "Securing threshold cryptosystems against
//! chosen ciphertext attack") over ristretto255, a group of prime order without small subgroups.
//!
//! - Sender: M random; body = AEAD(KDF(M, core), core, padded plaintext); label = core ‖ length
//!   and hash of the body; r = H(Y, M, label); C = r·G; D = M + r·Y; C̄ = r·Ḡ with Ḡ hashed from
//!   (label, C, D); a proof that log_G C = log_Ḡ C̄.
//! - Share: x_i·C. Opening: M = D − Σ λ_i·x_i·C, right if and only if C = r·G and D = M + r·Y.
//!
//! Invariants: an envelope has at most one right opening · a verdict never depends on randomness,
//! on which 2f+1 shares were used, or on who lied · multiplications by secrets take constant time,
//! and variable-time arithmetic lives in `public.rs` only · secrets are erased when dropped and
//! cannot be printed · peer input gives a verdict or an error, never a panic.
//!
//! Departures from the paper: Ḡ is hashed per envelope, as in TDH1; the sealed message is a group
//! element and r is derived from it (as in the Fujisaki–Okamoto transform), so that openings can be
//! checked by re-encryption and many of them by one multi-scalar multiplication; proofs carry
//! commitments instead of the challenge, for the same reason; shares are proven in batches and the
//! proofs are looked at only after an opening failed. Security is static: the adversary chooses
//! whom to corrupt before the key generation.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bisect;
mod certificate;
mod chain_keygen;
mod channel;
mod check;
mod curve;
mod hashes;
mod key;
mod keygen;
mod lagrange;
mod opening;
mod plaintext;
mod public;
mod scheme;
mod sealing;
mod shares;

#[cfg(test)]
mod tests;

pub use certificate::{CertificateError, MalformedEvidence, OpeningCertificate};
pub use chain_keygen::{
    Board, Participant, ParticipantError, Round, check_acknowledgement, check_channel,
    check_dealing, check_reveal,
};
pub use check::{body_matches, verify_payer_signature};
pub use key::{KeyError, KeyShares};
pub use keygen::{Ceremony, KeyGeneration, KeyGenerationError, Progress};
pub use plaintext::bucket_for;
pub use scheme::{Liar, OpenResult, SealScheme, Tdh2, Verdict};
pub use sealing::{SealError, plain, seal, sealed_bytes};

use sealing::TAG_BYTES;
