//! From the data directory to what the cores start from; for a node without a safety state, by way
//! of its peers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, bounded};

use crate::join;
use crate::node::NodeError;
use crate::provable::Provable;
use crate::recovery::{self, Recovered};
use crate::shell::{Shell, lock};
use crate::store::{Identity, Store};

/// An opened data directory.
pub(crate) struct Opened {
    pub(crate) store: Store,
    mark: PathBuf,
    /// A validator has run here before, whatever the store holds.
    ran_before: bool,
}

/// Opens the store, or creates it.
pub(crate) fn open(data_dir: &Path, identity: Identity) -> Result<Opened, NodeError> {
    let mark = data_dir.join("node.started");
    Ok(Opened {
        store: Store::open_or_create(&data_dir.join("node.redb"), identity)?,
        ran_before: mark.exists(),
        mark,
    })
}

/// What a node still has to do before its cores start.
pub(crate) struct Beginning {
    mark: PathBuf,
    ran_before: bool,
    /// Read from the store; without a safety state it is only for readers.
    recovered: Recovered,
}

impl Beginning {
    pub(crate) fn new(opened: Opened, recovered: Recovered) -> Self {
        Self {
            mark: opened.mark,
            ran_before: opened.ran_before,
            recovered,
        }
    }

    /// Whether the node has to ask its peers what to begin from.
    pub(crate) fn joins(&self) -> bool {
        self.recovered.agreement.is_none()
    }

    /// Blocks until it is known what the cores start from; `None` when the node stops.
    pub(crate) fn finish(self, shell: &Arc<Shell>, stop: &Receiver<()>) -> Option<Recovered> {
        let result = match self.joins() {
            true => self.join(shell, stop)?,
            false => mark_started(&self.mark).map(|()| self.recovered),
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
            shell.runtime.clone().spawn(async move {
                let result = join::join(&shell, ran_before).await;
                // Nobody waits any more when the node stops.
                let _ = done.send(result);
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
            mark_started(&self.mark)?;
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

/// Notes, durably and outside the store, that a validator has run in this directory: with the store
/// gone, it must not pass for one that never ran.
fn mark_started(mark: &Path) -> Result<(), NodeError> {
    let directory = mark.parent().unwrap_or(Path::new("."));
    let marked = File::create(mark)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all());
    marked.map_err(|source| NodeError::DataDir {
        path: directory.into(),
        source,
    })
}
