//! The programs that this binary can prove and verify; all validators of a chain need the same.

use std::sync::Arc;

use conclave_market::Verifier;
use conclave_prover::{PaymentsProgram, ProgramVerifier};
use conclave_sdk::Program;

/// Every known program.
pub(crate) fn all() -> Vec<Arc<dyn Program>> {
    vec![Arc::new(PaymentsProgram)]
}

/// What a validator verifies proofs with.
pub(crate) fn verifier() -> Arc<dyn Verifier + Send + Sync> {
    Arc::new(ProgramVerifier::new(all()))
}
