//! A rollup whose state is the hash of everything it was given, and "proofs" that are the hash of
//! their statement and contents: quick to make, and wrong as soon as anything differs.

use std::sync::Arc;

use conclave_ledger::Ledger;
use conclave_market::{ContentSource, OrderedTransaction, ProofRejected, Verifier};
use conclave_types::{
    Digest, Domain, Height, ProgramVersion, ProofSystem, RollupId, StateRoot, Statement,
};
use rand_chacha::ChaCha20Rng;

use super::proofs::{Execution, Proofs, any_transactions};
use crate::coverage::Branch;

const PROGRAM: ProgramVersion = ProgramVersion(Digest([0x50; 32]));

/// The model program.
pub(crate) struct HashChain;

fn genesis_root() -> StateRoot {
    StateRoot(Domain::Simulation.digest(b"genesis root"))
}

/// The state after one more valid transaction.
fn next_root(root: StateRoot, transaction: &[u8]) -> StateRoot {
    let hasher = Domain::Simulation
        .hasher()
        .part(b"transition")
        .part(root.as_bytes());
    StateRoot(hasher.part(transaction).digest())
}

/// Those that start with a 0 are excluded.
fn is_invalid(transaction: &[u8]) -> bool {
    transaction.first() == Some(&0)
}

fn prove(statement: &mut Statement, contents: &[OrderedTransaction]) -> (Vec<u32>, Vec<u8>) {
    let mut root = statement.old_root;
    let mut excluded = Vec::new();
    for (position, transaction) in contents.iter().enumerate() {
        if is_invalid(&transaction.bytes) {
            excluded.push(position as u32);
        } else {
            root = next_root(root, &transaction.bytes);
        }
    }
    statement.new_root = root;
    let proof = seal(statement, &excluded);
    (excluded, proof)
}

fn seal(statement: &Statement, excluded: &[u32]) -> Vec<u8> {
    let mut hasher = Domain::Simulation
        .hasher()
        .part(b"proof")
        .part(&statement.digest().0);
    for position in excluded {
        hasher = hasher.part(&position.to_le_bytes());
    }
    hasher.digest().0.to_vec()
}

impl Proofs for HashChain {
    fn program(&self) -> ProgramVersion {
        PROGRAM
    }

    fn genesis_root(&self) -> StateRoot {
        genesis_root()
    }

    fn range_limits(&self) -> (u64, u64) {
        (8, 2_000)
    }

    fn verifier(&self) -> Arc<dyn Verifier + Send + Sync> {
        Arc::new(ModelVerifier)
    }

    fn observe(&mut self, _: &Ledger, _: &dyn ContentSource) {}

    fn transactions(&mut self, _: RollupId, _: Height, random: &mut ChaCha20Rng) -> Vec<Vec<u8>> {
        any_transactions(random)
    }

    fn prove(
        &mut self,
        statement: &mut Statement,
        contents: &[OrderedTransaction],
    ) -> (Vec<u32>, Vec<u8>) {
        prove(statement, contents)
    }

    fn execution(&self, _: RollupId) -> Box<dyn Execution> {
        Box::new(ModelExecution(genesis_root()))
    }
}

struct ModelExecution(StateRoot);

impl Execution for ModelExecution {
    fn execute(&mut self, transaction: &OrderedTransaction) -> Branch {
        if is_invalid(&transaction.bytes) {
            return Branch::TransactionExcluded;
        }
        self.0 = next_root(self.0, &transaction.bytes);
        Branch::TransactionApplied
    }

    fn root(&self) -> StateRoot {
        self.0
    }
}

struct ModelVerifier;

impl Verifier for ModelVerifier {
    fn knows(&self, program: &ProgramVersion) -> bool {
        *program == PROGRAM
    }

    fn verify(
        &self,
        statement: &Statement,
        _: ProofSystem,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProofRejected> {
        let mut expected = statement.clone();
        let (right, _) = prove(&mut expected, contents);
        let valid =
            expected == *statement && right == excluded && seal(statement, excluded) == proof;
        match valid {
            true => Ok(()),
            false => {
                let reason = "the model proof is not of this statement".into();
                Err(ProofRejected {
                    code: "CV-SIM-001",
                    reason,
                })
            }
        }
    }
}
