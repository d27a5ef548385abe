//! What a simulated committee and its rollups run on: the real signatures, sealing and program, or
//! quick models with the same interface.

mod hash_chain;
mod malformed;
mod payments;
mod proofs;
mod sealing;
mod signatures;

pub(crate) use hash_chain::HashChain;
pub(crate) use payments::Payments;
pub(crate) use proofs::{Execution, Proofs, any_transactions};
pub(crate) use sealing::{ModelSeal, Sealer};
pub(crate) use signatures::{ModelSignatures, SameKeys};
