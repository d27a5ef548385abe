//! What a rollup developer implements: a deterministic program whose execution can be proven.

use std::sync::Arc;
use std::time::Duration;

use conclave_types::{
    AccountId, ChainId, Height, ProgramVersion, ProofSystem, Range, RollupId, StateRoot, Statement,
};

/// One transaction of a rollup's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedTransaction {
    /// The height that ordered it.
    pub height: Height,
    /// Its bytes, chosen by whoever sent it: hostile until the program has read them.
    pub bytes: Vec<u8>,
}

/// Whose proof of which range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofJob {
    /// The chain that ordered the range.
    pub chain: ChainId,
    /// The one to pay; bound into the proof.
    pub prover: AccountId,
    /// The rollup and the transactions to prove.
    pub range: Range,
}

/// A proven range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRange {
    /// What [`Program::verify`] takes.
    pub proof: Vec<u8>,
    /// The state's root after the range.
    pub new_root: StateRoot,
    /// Positions inside the range that are no valid transactions at all, ascending.
    pub excluded: Vec<u32>,
}

/// What proving cost on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// Transactions proven, all valid.
    pub transactions: u64,
    /// CPU time of proving them, execution and trace included.
    pub proving: Duration,
}

/// Why a program refused. The code is the program's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProgramError {
    /// The program's words, with its stable code.
    pub reason: String,
}

/// A program: its identity, its states, and its proofs' verification.
///
/// Everything is a pure function of the arguments; a proof may differ between runs, its statement
/// never does. Executing, proving and verifying are CPU-heavy and belong on worker threads.
/// `verify` takes hostile bytes: it answers with an error, never with a panic.
pub trait Program: Send + Sync {
    /// The version that rollups register.
    fn version(&self) -> ProgramVersion;

    /// The family of proofs that this program makes and verifies.
    fn system(&self) -> ProofSystem;

    /// The state that a rollup starts from, read from its published description in the program's
    /// own format.
    fn genesis(&self, description: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError>;

    /// The state of a snapshot that [`ProgramState::snapshot`] made; the caller compares its root.
    fn restore(&self, snapshot: &[u8]) -> Result<Box<dyn ProgramState>, ProgramError>;

    /// Proves a sample range of about so many valid transactions and says what it cost.
    fn measure(&self, transactions: u64) -> Result<Measurement, ProgramError>;

    /// Whether the proof shows the statement for these contents, with the listed positions
    /// excluded because each is really invalid.
    fn verify(
        &self,
        statement: &Statement,
        contents: &[OrderedTransaction],
        excluded: &[u32],
        proof: &[u8],
    ) -> Result<(), ProgramError>;
}

/// A rollup's state under a program.
pub trait ProgramState: Send + Sync {
    /// The state's root.
    fn root(&self) -> StateRoot;

    /// The state for the disk.
    fn snapshot(&self) -> Vec<u8>;

    /// An independent copy.
    fn fork(&self) -> Box<dyn ProgramState>;

    /// Executes ordered contents. Transactions that are invalid change nothing; none is an error.
    fn execute(&mut self, chain: ChainId, rollup: RollupId, contents: &[OrderedTransaction]);

    /// Proves a range whose old root is this state's.
    fn prove(
        &self,
        job: &ProofJob,
        contents: &[OrderedTransaction],
    ) -> Result<ProvenRange, ProgramError>;
}

/// The program of a version, among those at hand.
pub fn program_of(
    programs: &[Arc<dyn Program>],
    version: ProgramVersion,
) -> Option<&Arc<dyn Program>> {
    programs.iter().find(|program| program.version() == version)
}
