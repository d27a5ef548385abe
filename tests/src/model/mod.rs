//! Cryptography for a simulated committee: the real one, or quick models with the same interface.

mod proofs;
mod sealing;
mod signatures;

pub(crate) use proofs::{ModelVerifier, PROGRAM, genesis_root, next_root, prove};
pub(crate) use sealing::{ModelSeal, Sealer};
pub(crate) use signatures::ModelSignatures;
