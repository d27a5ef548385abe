//! How much history stays in the store, and how the rest goes to the archive.
//!
//! ```text
//! executed height ─▶ plan ─▶ a segment ─▶ archive, durable ─▶ the store remembers it (one commit)
//!                      └──▶ rows of archived heights ─▶ deleted in small commits
//! ```
//!
//! Both steps are planned from the store alone: what is archived is what [`Table::Archive`] names, and
//! what of it still has to go is what is still there. So a node that is stopped anywhere goes on where
//! it was: a segment that was written and not yet remembered is written again, to the same bytes.
//!
//! What must stay, however short the setting: the heights that elections look back at before the oldest
//! snapshot that is kept ([`ANCESTRY_BLOCKS`]), for this node's restart and for whoever joins by that
//! snapshot; and deliveries of ranges against which a proof may yet be verified. Rows are deleted a few
//! hundred at a time, each time behind whatever else waits for the disk, so that no vote waits long.
//!
//! [`Table::Archive`]: crate::store::Table::Archive
//! [`ANCESTRY_BLOCKS`]: conclave_consensus::ANCESTRY_BLOCKS

mod forget;
mod heights;
mod plan;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_ledger::Ledger;
use conclave_types::{Height, RollupId};

use crate::backend::ProverRecord;
use crate::records::decoded;
use crate::shell::{Shell, lock};
use crate::store::{KeyRange, Snapshot, StoreError, Table, WriteBatch, keys};
use plan::Step;

/// Between two attempts while the archive fails.
const ARCHIVE_REST: Duration = Duration::from_secs(10);
/// Prover counts read at a time.
const COUNTS_PAGE: usize = 1024;

/// Up to which heights a rollup's deliveries may go: one less than the first that a proof may yet need.
type Free = BTreeMap<RollupId, Height>;

/// Archives and deletes what is older than `blocks` executed heights, until the node ends.
pub(crate) async fn run(shell: Arc<Shell>, blocks: u64) {
    let (mut progress, mut closing) = (shell.progress.subscribe(), shell.closing.clone());
    loop {
        let executed = progress.borrow_and_update().executed;
        let rest = match advance(&shell, blocks, executed).await {
            Ok(true) => None,
            Ok(false) => Some(ARCHIVE_REST),
            Err(error) => return shell.stop(error.to_string()),
        };
        let wait = async {
            match rest {
                Some(rest) => tokio::time::sleep(rest).await,
                // The sender lives as long as the shell.
                None => drop(progress.changed().await),
            }
        };
        tokio::select! {
            () = wait => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// Does all that there is to do; `false` when the archive takes nothing.
async fn advance(shell: &Arc<Shell>, blocks: u64, executed: Height) -> Result<bool, StoreError> {
    while !*shell.closing.borrow() {
        let planned = {
            let shell = Arc::clone(shell);
            tokio::task::spawn_blocking(move || {
                let ledger = lock(&shell.ledger).clone();
                let owner = shell.archive.owner();
                plan::next(
                    &shell.store.snapshot()?,
                    owner,
                    blocks,
                    executed,
                    &free(&ledger),
                )
            })
        };
        let step = match planned.await {
            Ok(step) => step?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let batch = match step {
            Step::Nothing => break,
            Step::Forget(batch) => batch,
            Step::Archive(segment) => match shell.archive.write(&segment).await {
                Ok(reference) => {
                    let mut batch = WriteBatch::new();
                    batch.put_value(Table::Archive, keys::height(segment.first), &reference);
                    batch
                }
                Err(error) => {
                    shell
                        .metrics
                        .archive_failures
                        .fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "nothing is pruned until the archive takes it");
                    return Ok(false);
                }
            },
        };
        shell.writer.persist(batch).await?;
    }
    Ok(true)
}

/// What the ledger still needs of each rollup's deliveries.
fn free(ledger: &Ledger) -> Free {
    let mut free = Free::new();
    for (range, _) in ledger.provable() {
        let before = Height(range.from_height.0.saturating_sub(1));
        let entry = free.entry(range.rollup).or_insert(before);
        *entry = before.min(*entry);
    }
    free
}

/// What was counted of provers at heights whose events were pruned.
pub(crate) fn counted(
    snapshot: &Snapshot,
) -> Result<BTreeMap<conclave_types::AccountId, ProverRecord>, StoreError> {
    let mut counts = BTreeMap::new();
    let mut range = KeyRange::all();
    loop {
        let page = snapshot.range(Table::ProverCounts, &range, COUNTS_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(counts);
        };
        range = KeyRange::after(last);
        for (key, value) in page {
            counts.insert(
                decoded(Table::ProverCounts, &key)?,
                decoded(Table::ProverCounts, &value)?,
            );
        }
    }
}
