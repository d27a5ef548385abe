//! The boundary that hostile proof bytes cross.

use conclave_types::{
    Height, ProgramVersion, ProofSubmission, ProofSystem, Range, Statement, limits,
};

use crate::settlement::SubmitError;

/// One transaction of a rollup's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedTransaction {
    /// The height that ordered it.
    pub height: Height,
    pub bytes: Vec<u8>,
}

/// Where the ledger reads the opened contents of a range.
pub trait ContentSource {
    /// The range's transactions, in order; `None` while any of them is missing here.
    fn transactions(&self, range: &Range) -> Option<Vec<OrderedTransaction>>;
}

/// A proof that does not show its statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{code}] {reason}")]
pub struct ProofRejected {
    /// A stable code.
    pub code: &'static str,
    /// What was wrong; what to do.
    pub reason: String,
}

/// Verifies proofs of registered programs. The node injects it.
///
/// It must be deterministic across nodes, take hostile bytes without panicking, compare the
/// proof's options with the registered ones before parsing, and bound its own cost by the bytes it
/// is given.
pub trait Verifier {
    /// Whether the program can be verified here; rollups register only such programs.
    fn knows(&self, program: &ProgramVersion) -> bool;

    /// Whether the proof shows the statement for these contents, with the listed positions
    /// excluded because each is really invalid.
    fn verify(
        &self,
        statement: &Statement,
        system: ProofSystem,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProofRejected>;
}

/// The checks that cost nothing: sizes and exclusions.
pub fn check_shape(submission: &ProofSubmission, range: &Range) -> Result<(), SubmitError> {
    if submission.proof.is_empty() || submission.proof.len() > limits::PROOF_BYTES_MAX {
        return Err(SubmitError::ProofSize);
    }
    let ascending = submission.excluded.is_sorted_by(|a, b| a < b);
    let inside = submission
        .excluded
        .last()
        .is_none_or(|last| u64::from(*last) < range.count());
    match ascending && inside {
        true => Ok(()),
        false => Err(SubmitError::Exclusions),
    }
}

/// Verifies a submission whose shape was checked; the contents must be the whole range.
pub fn check_proof(
    verifier: &dyn Verifier,
    statement: &Statement,
    submission: &ProofSubmission,
    contents: &[OrderedTransaction],
) -> Result<(), ProofRejected> {
    assert_eq!(
        contents.len() as u64,
        statement.range.count(),
        "verification without the whole range"
    );
    verifier.verify(
        statement,
        submission.system,
        contents,
        &submission.excluded,
        &submission.proof,
    )
}
