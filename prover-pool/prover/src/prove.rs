//! Proving one range on a worker: bring the state there, prove, check the own proof, keep it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_sdk::{OrderedTransaction, Program, ProgramError, ProofJob, ProvenRange};
use conclave_types::{StateRoot, Statement};

use crate::snapshot::{load_proof, save_proof};
use crate::track::Boundary;

/// Everything one proof takes.
pub(crate) struct ProveWork {
    pub(crate) job: ProofJob,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) start: Boundary,
    /// Between the start and the range.
    pub(crate) before: Vec<OrderedTransaction>,
    /// The range.
    pub(crate) contents: Vec<OrderedTransaction>,
    pub(crate) dir: PathBuf,
}

/// A proven range, with the states at its ends for the ranges after it.
pub(crate) struct Proved {
    pub(crate) proven: Arc<ProvenRange>,
    pub(crate) boundaries: [Boundary; 2],
    /// What it took; zero for one that was kept from an earlier run.
    pub(crate) took: Duration,
}

impl ProveWork {
    /// Proves, or takes the proof that an earlier run kept.
    pub(crate) fn run(self) -> Result<Proved, ProgramError> {
        let ProofJob { chain, range, .. } = self.job;
        let started = Instant::now();
        let mut state = self.start.state.fork();
        state.execute(chain, range.rollup, &self.before);
        let from = Boundary {
            index: range.from,
            state: Arc::from(state.fork()),
        };
        let old_root = state.root();
        let kept = load_proof(&self.dir, &range, old_root)
            .filter(|kept| self.check(old_root, kept).is_ok());
        let fresh = kept.is_none();
        let proven = match kept {
            Some(kept) => kept,
            None => state.prove(&self.job, &self.contents)?,
        };
        if fresh {
            // A proof that others refuse would cost the bond: better to know before.
            self.check(old_root, &proven)?;
            if let Err(error) = save_proof(&self.dir, &range, old_root, &proven) {
                tracing::warn!(%error, "the proof could not be kept and is made again after a restart");
            }
        }
        state.execute(chain, range.rollup, &self.contents);
        if state.root() != proven.new_root {
            return Err(ProgramError {
                reason: format!(
                    "[CV-PROVER-033] the proof leads to root {}, execution to {}; this is a defect of the program",
                    proven.new_root,
                    state.root()
                ),
            });
        }
        let to = Boundary {
            index: range.to,
            state: Arc::from(state),
        };
        Ok(Proved {
            proven: Arc::new(proven),
            boundaries: [from, to],
            took: if fresh {
                started.elapsed()
            } else {
                Duration::ZERO
            },
        })
    }

    fn check(&self, old_root: StateRoot, proven: &ProvenRange) -> Result<(), ProgramError> {
        let statement = Statement {
            chain: self.job.chain,
            program: self.program.version(),
            prover: self.job.prover,
            range: self.job.range,
            old_root,
            new_root: proven.new_root,
        };
        self.program
            .verify(&statement, &self.contents, &proven.excluded, &proven.proof)
    }
}
