//! One served rollup: its unsettled contents, its state at the settled index, and states at the
//! boundaries of ranges after it.
//!
//! ```text
//! snapshot (settled) ──execute──▶ boundary ──execute──▶ boundary          contents: settled .. next
//!        ▲                           └ prove range        └ prove range
//!        └── moves when the ledger settles, if the roots agree
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use conclave_sdk::api::{DeliveryView, RollupView};
use conclave_sdk::{OrderedTransaction, Program, ProgramState};
use conclave_types::{Amount, ChainId, Height, Range, RollupId, StateRoot, TxIndex};
use tokio::sync::watch;

use crate::calibrate::Calibration;
use crate::contents::{Contents, ContentsError};
use crate::snapshot::Snapshot;

/// A state and where in the stream it stands.
#[derive(Clone)]
pub(crate) struct Boundary {
    pub(crate) index: TxIndex,
    pub(crate) state: Arc<dyn ProgramState>,
}

/// What the ledger says about the rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) settled_root: StateRoot,
    pub(crate) settled_index: TxIndex,
    pub(crate) settled_height: Height,
    pub(crate) reserve_price: Amount,
    pub(crate) bond_percent: u32,
    pub(crate) deadline_ms: u64,
}

/// A served rollup.
pub(crate) struct Track {
    pub(crate) chain: ChainId,
    pub(crate) rollup: RollupId,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) calibration: Calibration,
    pub(crate) terms: Terms,
    /// What the last range was awarded for, and its transactions.
    pub(crate) last_price: Option<(Amount, u64)>,
    /// Why it is not served any more.
    pub(crate) broken: Option<String>,
    /// Everything up to this height was read.
    pub(crate) covered: Height,
    base: Boundary,
    boundaries: BTreeMap<TxIndex, Arc<dyn ProgramState>>,
    contents: Contents,
    advancing: bool,
    /// Tells the follower how far the settled state is.
    settled: watch::Sender<TxIndex>,
}

/// Moving the settled state on; runs on a worker.
pub(crate) struct Advance {
    chain: ChainId,
    rollup: RollupId,
    start: Boundary,
    contents: Vec<OrderedTransaction>,
    to: TxIndex,
    height: Height,
    expected: StateRoot,
    program: Arc<dyn Program>,
    dir: PathBuf,
}

impl Terms {
    /// Reads a rollup's view; `None` when a field is malformed.
    pub(crate) fn of(view: &RollupView) -> Option<Self> {
        Some(Self {
            settled_root: view.settled_root.parse().ok()?,
            settled_index: TxIndex(view.settled_index),
            settled_height: Height(view.settled_height),
            reserve_price: Amount(view.reserve_price),
            bond_percent: view.bond_percent,
            deadline_ms: view.deadline_ms,
        })
    }

    /// The bond that a job of so many transactions locks; saturates.
    pub(crate) fn bond(&self, count: u64) -> Amount {
        let reference = u128::from(self.reserve_price.0) * u128::from(count);
        let bond = reference * u128::from(self.bond_percent) / 100;
        Amount(u64::try_from(bond).unwrap_or(u64::MAX))
    }
}

impl Track {
    pub(crate) fn new(
        chain: ChainId,
        rollup: RollupId,
        program: Arc<dyn Program>,
        calibration: Calibration,
        terms: Terms,
        base: Boundary,
    ) -> Self {
        Self {
            chain,
            rollup,
            program,
            calibration,
            terms,
            last_price: None,
            broken: None,
            covered: Height(0),
            contents: Contents::from(base.index),
            settled: watch::Sender::new(base.index),
            base,
            boundaries: BTreeMap::new(),
            advancing: false,
        }
    }

    /// Takes a delivery of the stream.
    pub(crate) fn take(&mut self, delivery: &DeliveryView) -> Result<(), ContentsError> {
        self.contents.append(delivery)?;
        self.covered = self.covered.max(Height(delivery.height));
        Ok(())
    }

    /// The index that the next transaction will have.
    pub(crate) fn next_index(&self) -> TxIndex {
        self.contents.next()
    }

    /// The index of the settled state, as it moves.
    pub(crate) fn watch_settled(&self) -> watch::Receiver<TxIndex> {
        self.settled.subscribe()
    }

    /// Where the settled state stands.
    pub(crate) fn base_index(&self) -> TxIndex {
        self.base.index
    }

    /// The nearest state at or before a range, what lies between, and the range's transactions;
    /// `None` while any of it is missing, or once the range is settled.
    pub(crate) fn start_of(
        &self,
        range: &Range,
    ) -> Option<(Boundary, Vec<OrderedTransaction>, Vec<OrderedTransaction>)> {
        let start = self.nearest(range.from)?;
        let before = self.contents.range(start.index, range.from)?;
        let inside = self.contents.range(range.from, range.to)?;
        Some((start, before, inside))
    }

    /// Keeps a state that a worker came to.
    pub(crate) fn keep(&mut self, boundary: Boundary) {
        if boundary.index > self.base.index {
            self.boundaries.insert(boundary.index, boundary.state);
        }
    }

    /// The work of moving the settled state on, if the ledger has settled more and it was read.
    pub(crate) fn advance(&mut self, dir: &std::path::Path) -> Option<Advance> {
        let to = self.terms.settled_index;
        if self.advancing || to <= self.base.index || self.broken.is_some() {
            return None;
        }
        let start = self.nearest(to)?;
        let contents = self.contents.range(start.index, to)?;
        self.advancing = true;
        Some(Advance {
            chain: self.chain,
            rollup: self.rollup,
            start,
            contents,
            to,
            height: self.terms.settled_height,
            expected: self.terms.settled_root,
            program: self.program.clone(),
            dir: dir.into(),
        })
    }

    /// Takes the result of [`Advance::run`], or that it was not run.
    pub(crate) fn advanced(&mut self, result: Option<Result<Boundary, String>>) {
        self.advancing = false;
        match result {
            Some(Ok(boundary)) => {
                self.contents.forget_before(boundary.index);
                self.boundaries.retain(|index, _| *index > boundary.index);
                self.settled.send_replace(boundary.index);
                self.base = boundary;
            }
            Some(Err(reason)) => self.broken = Some(reason),
            None => {}
        }
    }

    fn nearest(&self, index: TxIndex) -> Option<Boundary> {
        let kept = self.boundaries.range(..=index).next_back();
        let boundary = kept.map(|(index, state)| Boundary {
            index: *index,
            state: state.clone(),
        });
        boundary
            .or_else(|| Some(self.base.clone()))
            .filter(|boundary| boundary.index <= index)
    }
}

impl Advance {
    /// Executes up to the settled index, compares the root with the ledger's and keeps a snapshot.
    pub(crate) fn run(self) -> Result<Boundary, String> {
        let mut state = self.start.state.fork();
        state.execute(self.chain, self.rollup, &self.contents);
        let found = state.root();
        if found != self.expected {
            return Err(format!(
                "[CV-PROVER-032] the state at transaction {} has root {found}, the ledger settled {}; check the genesis file and the nodes, then delete the snapshot",
                self.to, self.expected
            ));
        }
        let snapshot = Snapshot {
            program: self.program.version(),
            index: self.to,
            height: self.height,
            state: state.snapshot(),
        };
        if let Err(error) = snapshot.save(&self.dir, self.rollup) {
            // Without a snapshot a restart only takes longer.
            tracing::warn!(rollup = %self.rollup, %error, "the snapshot could not be kept");
        }
        Ok(Boundary {
            index: self.to,
            state: Arc::from(state),
        })
    }
}
