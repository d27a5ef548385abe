//! Final blocks from several peers at a time, for a node that is behind.
//!
//! ```text
//! ranges of heights ─▶ peers, in parallel ─▶ each verified against its certificate ─▶ agreement, in order
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use conclave_consensus as agreement;
use conclave_light::{Verifier, verify_ancestry, verify_body};
use conclave_sequencer::{FetchProgress, Fetches};
use conclave_types::{Block, BlockHeader, CommitCertificate, Height, ValidatorIndex};

use crate::download::Verdict;
use crate::replica::Event;
use crate::serve::{Request, Response};
use crate::shell::{Shell, lock};

/// Heights that one question is for.
const RANGE_BLOCKS: u64 = 64;
/// Ranges under way or waiting for the ones before them.
const RANGES_AHEAD: usize = 8;
/// Final blocks that wait to be executed before more are fetched: they are held in memory.
const UNEXECUTED_MAX: u64 = 512;
/// Ranges planned at once; what is beyond them comes with the next plan.
const RANGES_MAX: u64 = 64;

/// Blocks that verified, with the certificate of the last.
#[derive(Debug)]
pub(crate) struct CertifiedBlocks {
    pub(crate) from: ValidatorIndex,
    pub(crate) blocks: Vec<Block>,
    pub(crate) certificate: CommitCertificate,
}

/// Checks that blocks begin at a height and are a chain to their certificate.
pub(crate) fn verify_blocks(
    verifier: &Verifier<'_>,
    first: Height,
    blocks: &[Block],
    certificate: &CommitCertificate,
) -> Result<(), String> {
    let headers: Vec<BlockHeader> = blocks.iter().map(|block| block.header.clone()).collect();
    if headers.first().is_none_or(|header| header.height != first) {
        return Err(format!("blocks that do not begin at height {first}"));
    }
    verify_ancestry(&headers, certificate).map_err(|error| error.to_string())?;
    for block in blocks {
        verify_body(block).map_err(|error| error.to_string())?;
    }
    verifier
        .commit(certificate)
        .map_err(|error| error.to_string())
}

/// One range that is being put together.
struct Range {
    next: Height,
    last: Height,
    parts: Vec<CertifiedBlocks>,
}

impl Shell {
    /// Gets blocks after ours up to about `height`, and gives them to agreement in order.
    pub(crate) async fn catch_up(self: Arc<Self>, height: Height) {
        let start = self.committed.load(Ordering::Relaxed) + 1;
        if height.0 < start {
            return;
        }
        let count = (height.0 - start + 1)
            .div_ceil(RANGE_BLOCKS)
            .min(RANGES_MAX);
        let mut ranges: BTreeMap<u64, Range> = (0..count)
            .map(|number| {
                let next = start + number * RANGE_BLOCKS;
                let range = Range {
                    next: Height(next),
                    last: Height((next + RANGE_BLOCKS - 1).min(height.0)),
                    parts: Vec::new(),
                };
                (number, range)
            })
            .collect();
        // The first missing height of each range, for the questions.
        let nexts: Vec<std::sync::atomic::AtomicU64> =
            ranges.values().map(|range| range.next.0.into()).collect();
        let mut given = 0;
        let mut fetches = Fetches::new(count, self.all_peers(), 0);
        let request = |part: u64| Request::Blocks {
            from: Height(nexts[part as usize].load(Ordering::Relaxed)),
        };
        let judge = |from, part: u64, answer| {
            let Some(range) = ranges.get_mut(&part) else {
                return Verdict::Good;
            };
            let verdict = self.judge(range, from, answer);
            nexts[part as usize].store(range.next.0, Ordering::Relaxed);
            if matches!(verdict, Verdict::Good) {
                // Whatever is complete from the front goes to agreement.
                while ranges
                    .get(&given)
                    .is_some_and(|range| range.next > range.last)
                {
                    let range = ranges.remove(&given).into_iter();
                    for part in range.flat_map(|range| range.parts) {
                        let input = agreement::Input::Synced {
                            from: part.from,
                            blocks: part.blocks,
                            certificate: part.certificate,
                        };
                        self.give(Event::Agreement(Box::new(input)));
                    }
                    given += 1;
                }
            }
            verdict
        };
        self.download("blocks", &mut fetches, RANGES_AHEAD, request, judge)
            .await;
        self.executed_so_far(height).await;
    }

    fn judge(&self, range: &mut Range, from: ValidatorIndex, answer: Response) -> Verdict {
        let Response::Blocks {
            mut blocks,
            certificate,
        } = answer
        else {
            return Verdict::Lie("an answer to another question".into());
        };
        let Some(certificate) = certificate.filter(|_| !blocks.is_empty()) else {
            return Verdict::Lacking;
        };
        // Of two answers for the same range the later one may repeat what is here.
        blocks.retain(|block| block.header.height >= range.next);
        if blocks.is_empty() {
            return Verdict::Partial;
        }
        let verified = verify_blocks(&self.verifier(), range.next, &blocks, &certificate);
        if let Err(why) = verified {
            return Verdict::Lie(why);
        }
        range.next = certificate.height.next();
        range.parts.push(CertifiedBlocks {
            from,
            blocks,
            certificate,
        });
        match range.next > range.last {
            true => Verdict::Good,
            false => Verdict::Partial,
        }
    }

    /// Waits until not too much is final and not executed; shows how far execution is.
    async fn executed_so_far(&self, target: Height) {
        let (mut progress, mut closing) = (self.progress.subscribe(), self.closing.clone());
        let (start, mut shown) = (Instant::now(), None);
        let first = progress.borrow().executed.0;
        loop {
            let (executed, committed) = {
                let progress = progress.borrow_and_update();
                (progress.executed.0, progress.committed.0)
            };
            let elapsed = start.elapsed().as_millis() as u64;
            let (done, total) = (executed - first, target.0.saturating_sub(first));
            self.note_syncing(
                "execution",
                FetchProgress::over(done, total, elapsed),
                &mut shown,
            );
            if executed + UNEXECUTED_MAX >= committed || *closing.borrow_and_update() {
                break;
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { break },
                _ = closing.changed() => {}
            }
        }
        *lock(&self.syncing) = None;
    }
}
