//! Taking up a rollup: its program, its settled state from disk or genesis, the machine's cost.

use std::path::PathBuf;
use std::sync::Arc;

use conclave_sdk::api::RollupView;
use conclave_sdk::{Client, Program, ProgramError, ProgramState, program_of};
use conclave_types::{ChainId, Height, RollupId, TxIndex};
use tracing::{info, warn};

use crate::calibrate::Calibration;
use crate::config::ServedRollup;
use crate::snapshot::Snapshot;
use crate::track::{Boundary, Terms, Track};

/// A rollup ready to be followed.
pub(crate) struct Opened {
    pub(crate) track: Track,
    /// Where to follow from.
    pub(crate) height: Height,
    /// The index of the first transaction there, if it is known.
    pub(crate) next_index: Option<TxIndex>,
}

/// Why a rollup is not served.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It may work later: the node is away, or the rollup is not registered yet.
    Later(String),
    /// It will not.
    Never(String),
}

/// Everything needed to take up one rollup.
pub(crate) struct Opener {
    pub(crate) client: Client,
    pub(crate) chain: ChainId,
    pub(crate) programs: Vec<Arc<dyn Program>>,
    pub(crate) served: ServedRollup,
    pub(crate) dir: PathBuf,
}

impl Opener {
    /// Asks the node about the rollup, then does the heavy part on a blocking thread.
    pub(crate) async fn open(self) -> Result<Opened, OpenError> {
        let view = self.client.rollup(self.served.id).await;
        let view = view.map_err(|error| OpenError::Later(error.to_string()))?;
        let work = tokio::task::spawn_blocking(move || self.build(&view));
        match work.await {
            Ok(result) => result,
            Err(error) => Err(OpenError::Never(error.to_string())),
        }
    }

    fn build(self, view: &RollupView) -> Result<Opened, OpenError> {
        let never = OpenError::Never;
        let program = view.program.parse().ok();
        let program = program.and_then(|version| program_of(&self.programs, version));
        let program = program.cloned().ok_or_else(|| {
            never(format!(
                "[CV-PROVER-050] program {} is not known here; update the prover",
                view.program
            ))
        })?;
        let terms = Terms::of(view)
            .ok_or_else(|| never("[CV-PROVER-051] the node describes the rollup badly".into()))?;
        if view.proof_systems.is_empty() || view.proofs_required == 0 {
            return Err(never(
                "[CV-PROVER-054] the rollup wants no proofs; remove it from the configuration"
                    .into(),
            ));
        }
        let failed = |error: ProgramError| never(error.reason);
        let (base, height, next_index) = match self.snapshot(program.as_ref(), &terms) {
            Some((boundary, height)) => (boundary, height, None),
            None => (
                self.genesis(program.as_ref(), view)?,
                Height(1),
                Some(TxIndex(0)),
            ),
        };
        let calibration =
            Calibration::load_or_measure(&self.dir, program.as_ref()).map_err(failed)?;
        info!(
            rollup = %self.served.id,
            from = %base.index,
            proof_us = calibration.proof_us,
            slot_us = calibration.slot_us,
            "serving"
        );
        let track = Track::new(
            self.chain,
            self.served.id,
            program,
            calibration,
            terms,
            base,
        );
        Ok(Opened {
            track,
            height,
            next_index,
        })
    }

    /// The state that an earlier run kept, if it is of this program and not ahead of the ledger.
    fn snapshot(&self, program: &dyn Program, terms: &Terms) -> Option<(Boundary, Height)> {
        let rollup: RollupId = self.served.id;
        let snapshot = match Snapshot::load(&self.dir, rollup) {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                warn!(%rollup, %error, "the snapshot cannot be read; starting from the genesis");
                return None;
            }
        };
        let fits = snapshot.program == program.version() && snapshot.index <= terms.settled_index;
        let state = fits
            .then(|| program.restore(&snapshot.state).ok())
            .flatten();
        let agrees = state.as_ref().is_some_and(|state| {
            snapshot.index != terms.settled_index || state.root() == terms.settled_root
        });
        let Some(state) = state.filter(|_| agrees) else {
            warn!(%rollup, "the snapshot does not fit the rollup; starting from the genesis");
            return None;
        };
        let boundary = Boundary {
            index: snapshot.index,
            state: Arc::from(state),
        };
        Some((boundary, snapshot.height))
    }

    fn genesis(&self, program: &dyn Program, view: &RollupView) -> Result<Boundary, OpenError> {
        let path = &self.served.genesis;
        let description = std::fs::read(path).map_err(|error| {
            OpenError::Never(format!("[CV-PROVER-052] {}: {error}", path.display()))
        })?;
        let state: Box<dyn ProgramState> = program
            .genesis(&description)
            .map_err(|error| OpenError::Never(error.reason))?;
        if state.root().to_string() != view.genesis_root {
            return Err(OpenError::Never(format!(
                "[CV-PROVER-053] {} describes root {}, the rollup registered {}; get the published file",
                path.display(),
                state.root(),
                view.genesis_root
            )));
        }
        Ok(Boundary {
            index: TxIndex(0),
            state: Arc::from(state),
        })
    }
}
