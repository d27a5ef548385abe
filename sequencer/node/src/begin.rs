//! From the data directory to what the cores start from; by way of its peers for a node without a
//! safety state, and for one that is further behind than they have blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_types::Digest;
use crossbeam_channel::{Receiver, bounded};

use crate::join;
use crate::newcomer;
use crate::node::NodeError;
use crate::provable::Provable;
use crate::recovery::{self, Recovered};
use crate::shell::{Shell, lock};
use crate::store::{Identity, Store};

/// An opened data directory.
pub(crate) struct Opened {
    pub(crate) store: Store,
    data_dir: PathBuf,
    /// The validator may have signed before, whatever the store holds.
    ran_before: bool,
}

/// Opens the store, or creates it. `transcript` is that of the sealing key.
pub(crate) fn open(
    data_dir: &Path,
    identity: Identity,
    transcript: &Digest,
) -> Result<Opened, NodeError> {
    let is_new = newcomer::is_new(data_dir, transcript).map_err(|e| unusable(data_dir, e))?;
    Ok(Opened {
        store: Store::open_or_create(&data_dir.join(newcomer::STORE), identity)?,
        ran_before: !is_new,
        data_dir: data_dir.into(),
    })
}

/// What a node still has to do before its cores start.
pub(crate) struct Beginning {
    data_dir: PathBuf,
    ran_before: bool,
    /// The others no longer have the blocks after ours.
    behind: bool,
    /// Read from the store; without a safety state it is only for readers.
    recovered: Recovered,
}

impl Beginning {
    pub(crate) fn new(opened: Opened, recovered: Recovered) -> Result<Self, NodeError> {
        Ok(Self {
            behind: join::is_behind(&opened.store.snapshot()?)?,
            data_dir: opened.data_dir,
            ran_before: opened.ran_before,
            recovered,
        })
    }

    /// Whether the node has to ask its peers what to begin from.
    pub(crate) fn joins(&self) -> bool {
        self.behind || self.recovered.agreement.is_none()
    }

    /// Blocks until it is known what the cores start from; `None` when the node stops.
    pub(crate) fn finish(self, shell: &Arc<Shell>, stop: &Receiver<()>) -> Option<Recovered> {
        let result = match self.joins() {
            true => self.join(shell, stop)?,
            false => started(&self.data_dir).map(|()| self.recovered),
        };
        match result {
            Ok(recovered) => {
                shell.joining.store(false, Ordering::Release);
                Some(recovered)
            }
            Err(error) => {
                shell.stop(error.to_string());
                // The owner ends the node; until then there is nothing to do.
                let _ = stop.recv();
                None
            }
        }
    }

    fn join(self, shell: &Arc<Shell>, stop: &Receiver<()>) -> Option<Result<Recovered, NodeError>> {
        let (done, joined) = bounded(1);
        let task = {
            let (shell, ran_before) = (shell.clone(), self.ran_before);
            let remembers = self.recovered.agreement.is_some();
            let committed = self.recovered.sequencing.committed;
            shell.runtime.clone().spawn(async move {
                let joining = async {
                    let in_doubt = !remembers || join::skip(&shell, committed).await?;
                    match in_doubt {
                        true => join::join(&shell, ran_before).await,
                        false => Ok(()),
                    }
                };
                // Nobody waits any more when the node stops.
                let _ = done.send(joining.await);
            })
        };
        let result = crossbeam_channel::select! {
            recv(stop) -> _ => {
                task.abort();
                return None;
            }
            recv(joined) -> result => result,
        };
        if *shell.closing.borrow() {
            return None;
        }
        let Ok(result) = result else {
            return Some(Err(NodeError::Stopped {
                reason: "[CV-NODE-009] joining ended unexpectedly; see the log and start again"
                    .into(),
            }));
        };
        Some(result.map_err(NodeError::from).and_then(|()| {
            started(&self.data_dir)?;
            let recovered = recovery::recover(&shell.store.snapshot()?, &shell.genesis)?;
            show(shell, &recovered);
            Ok(recovered)
        }))
    }
}

/// Shows readers what the node joined with.
fn show(shell: &Shell, recovered: &Recovered) {
    let sequencing = &recovered.sequencing;
    *lock(&shell.ledger) = sequencing.ledger.clone();
    *lock(&shell.provable) = Provable::new(sequencing.ledger.clone());
    shell
        .committed
        .store(sequencing.committed.0, Ordering::Relaxed);
    shell.progress.send_modify(|progress| {
        progress.committed = sequencing.committed;
        progress.executed = sequencing.height;
    });
}

/// Notes, durably and outside the store, that this validator has run.
fn started(data_dir: &Path) -> Result<(), NodeError> {
    newcomer::begin(data_dir).map_err(|error| unusable(data_dir, error))
}

fn unusable(data_dir: &Path, source: std::io::Error) -> NodeError {
    NodeError::DataDir {
        path: data_dir.into(),
        source,
    }
}
