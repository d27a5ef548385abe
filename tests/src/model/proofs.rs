//! A rollup whose state is the hash of everything it was given, and "proofs" that are the hash of
//! their statement and contents: quick to make, and wrong as soon as anything differs.

use conclave_market::{OrderedTransaction, ProofRejected, Verifier};
use conclave_types::{Digest, Domain, ProgramVersion, ProofSystem, StateRoot, Statement};

/// The only program there is.
pub(crate) const PROGRAM: ProgramVersion = ProgramVersion(Digest([0x50; 32]));

/// The state before the first transaction.
pub(crate) fn genesis_root() -> StateRoot {
    StateRoot(Domain::Simulation.digest(b"genesis root"))
}

/// The state after one more transaction. Those that start with a 0 are invalid and excluded.
pub(crate) fn next_root(root: StateRoot, transaction: &[u8]) -> StateRoot {
    let hasher = Domain::Simulation
        .hasher()
        .part(b"transition")
        .part(root.as_bytes());
    StateRoot(hasher.part(transaction).digest())
}

fn is_invalid(transaction: &[u8]) -> bool {
    transaction.first() == Some(&0)
}

/// What a prover submits: excluded positions, new root and proof.
pub(crate) fn prove(
    statement: &mut Statement,
    contents: &[OrderedTransaction],
) -> (Vec<u32>, Vec<u8>) {
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

/// Verifies them.
pub(crate) struct ModelVerifier;

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
