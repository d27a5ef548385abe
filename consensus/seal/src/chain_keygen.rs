//! Key generation over the chain: how the members of a later epoch make its sealing key while some
//! of them are silent or cheat.
//!
//! ```text
//!              Channel        Deal               Acknowledge         Reveal
//! member ──▶  channel key ─▶ commitments and ─▶ whose shares are ─▶ the shares of whoever ─▶ KeyShares
//!                            encrypted shares   right               did not acknowledge
//!                                                                     │
//! everybody: check_* of each message ────────────────────────▶ Board::outcome ─▶ SealingKey
//! ```
//!
//! The chain is the broadcast channel: all see the same messages in the same order, so every verdict
//! is a function of the [`Board`], and the ledger comes to it. A validator of weight w deals one
//! polynomial of degree 2f and receives w shares of everyone's, under the indices that
//! `Committee::share_indices` gives it.
//!
//! A dealer *qualifies* when members of weight 2f+1 acknowledged it (itself included) and it
//! revealed the right shares of all others. The attempt succeeds when dealers of weight 2f+1
//! qualify, so that honest ones are among them: Y = Σ A_d(0) and Y_i = Σ A_d(i) over the qualified.
//!
//! Invariants:
//! - Every honest member can compute its shares from the board and its seed: it acknowledged a
//!   qualified dealer, or that dealer's shares for it are public. There is nothing to complain about
//!   afterwards, and no complaint can be false: not acknowledging only makes a share public.
//! - A coalition of weight f knows at most 2f values of an honest dealer's polynomial, f of its own
//!   and f that were revealed: one too few, and nothing about the constant term. Both bounds are
//!   used up, so a share that leaks besides breaks the claim.
//! - Rogue keys are refused: a dealer proves that it knows its constant term, bound to the attempt
//!   and to its slot. Whoever speaks last can still shift Y by an offset that it knows; see
//!   `keygen.rs` for why that does not help.
//! - A member's messages are a function of its seed and the board, so whoever crashes says the same
//!   again, and nobody deals twice.
//!
//! Departures from the literature: Pedersen's key generation with Feldman commitments as in the
//! genesis's (`keygen.rs`); acknowledgements in place of complaints, as in asynchronous verifiable
//! secret sharing (Cachin et al. 2002), since a silent receiver looks like a cheated one.

mod board;
mod check;
mod participant;
mod proof;
mod round;
mod secrets;
#[cfg(test)]
mod tests;

pub use board::Board;
pub use check::{check_acknowledgement, check_channel, check_dealing, check_reveal};
pub use participant::{Participant, ParticipantError};
pub use round::Round;
