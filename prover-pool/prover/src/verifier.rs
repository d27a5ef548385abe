//! Programs as the market's verifier: what a node injects into its ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use conclave_market::{OrderedTransaction, ProofRejected, Verifier};
use conclave_sdk::{Program, program_of};
use conclave_types::{ProgramVersion, ProofSystem, Statement};

/// Verifies proofs of any of a list of programs.
#[derive(Clone)]
pub struct ProgramVerifier {
    programs: Vec<Arc<dyn Program>>,
}

impl ProgramVerifier {
    /// A verifier of these programs; all validators of a chain must have the same.
    pub fn new(programs: Vec<Arc<dyn Program>>) -> Self {
        Self { programs }
    }
}

impl Verifier for ProgramVerifier {
    fn knows(&self, program: &ProgramVersion) -> bool {
        program_of(&self.programs, *program).is_some()
    }

    fn verify(
        &self,
        statement: &Statement,
        system: ProofSystem,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProofRejected> {
        let rejected = |code, reason| Err(ProofRejected { code, reason });
        let Some(program) = program_of(&self.programs, statement.program) else {
            return rejected("CV-PROVER-020", "the program is not known here".into());
        };
        if program.system() != system {
            return rejected("CV-PROVER-021", "the program has no such proofs".into());
        }
        let contents: Vec<_> = contents
            .iter()
            .map(|transaction| conclave_sdk::OrderedTransaction {
                height: transaction.height,
                bytes: transaction.bytes.clone(),
            })
            .collect();
        // Proof bytes are hostile, and so is whatever a parser does with them.
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            program.verify(statement, &contents, excluded, proof)
        }));
        match verdict {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => rejected("CV-PROVER-022", error.reason),
            Err(_) => rejected("CV-PROVER-023", "the proof made the verifier panic".into()),
        }
    }
}
