//! Final blocks from several peers at a time, for a node that is behind.
//!
//! ```text
//! ranges of heights ─▶ peers, in parallel ─▶ each verified against its certificate ─▶ agreement, in order
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use conclave_consensus as agreement;
use conclave_light::{Verifier, verify_ancestry, verify_body};
use conclave_sequencer::{FetchProgress, Fetches};
use conclave_types::{Block, BlockHeader, CommitCertificate, Height, Signers, ValidatorIndex};

use crate::download::Verdict;
use crate::join;
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

/// Checks that blocks of one epoch begin at a height and are a chain to their certificate, by that
/// epoch's committee.
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
    let epoch = certificate.epoch;
    if headers.iter().any(|header| header.epoch != epoch) {
        return Err(format!("blocks of other epochs than {epoch}"));
    }
    verify_ancestry(&headers, certificate).map_err(|error| error.to_string())?;
    for block in blocks {
        verify_body(block).map_err(|error| error.to_string())?;
    }
    verifier
        .commit(certificate)
        .map_err(|error| error.to_string())
}

/// Blocks that cannot be taken.
enum Unverified {
    /// Nothing shows that their epoch has begun; the hand-over to it may be had later.
    Unknown,
    Wrong(String),
}

/// Ranges of heights that are being put together.
#[derive(Debug)]
struct Ranges {
    ranges: BTreeMap<u64, Range>,
    /// The first that is not complete.
    front: u64,
}

#[derive(Debug)]
struct Range {
    next: Height,
    last: Height,
    parts: Vec<CertifiedBlocks>,
}

impl Ranges {
    /// From `start` up to `end`, or as far as one plan goes.
    fn plan(start: Height, end: Height) -> Self {
        let count = (end.0 + 1 - start.0).div_ceil(RANGE_BLOCKS).min(RANGES_MAX);
        let range = |number| {
            let next = start.0 + number * RANGE_BLOCKS;
            let range = Range {
                next: Height(next),
                last: Height((next + RANGE_BLOCKS - 1).min(end.0)),
                parts: Vec::new(),
            };
            (number, range)
        };
        Self {
            ranges: (0..count).map(range).collect(),
            front: 0,
        }
    }

    /// The height from which on a range is missing.
    fn missing(&self, number: u64) -> Height {
        let range = self.ranges.get(&number);
        range.map_or(Height(0), |range| range.next)
    }

    /// Takes an answer that verifies.
    fn take(
        &mut self,
        number: u64,
        from: ValidatorIndex,
        answer: Response,
        verify: impl FnOnce(Height, &[Block], &CommitCertificate) -> Result<(), Unverified>,
    ) -> Verdict {
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
        let Some(range) = self.ranges.get_mut(&number) else {
            return Verdict::Useless;
        };
        // Of two answers for the same range the later one may repeat what is here.
        blocks.retain(|block| block.header.height >= range.next);
        if blocks.is_empty() {
            return Verdict::Useless;
        }
        match verify(range.next, &blocks, &certificate) {
            Ok(()) => {}
            Err(Unverified::Unknown) => return Verdict::Lacking,
            Err(Unverified::Wrong(why)) => return Verdict::Lie(why),
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

    /// Whatever is gap-free from the front and was not handed out yet. It does not wait for its range:
    /// what is missing of that may never come, and what is there may be what agreement waits for.
    fn ready(&mut self) -> Vec<CertifiedBlocks> {
        let mut ready = Vec::new();
        while let Some(front) = self.ranges.get_mut(&self.front) {
            ready.append(&mut front.parts);
            if front.next <= front.last {
                break;
            }
            self.ranges.remove(&self.front);
            self.front += 1;
        }
        ready
    }
}

impl Shell {
    /// Gets blocks after ours up to about `height`, and gives them to agreement in order.
    pub(crate) async fn catch_up(self: Arc<Self>, height: Height) {
        let start = Height(self.committed.load(Ordering::Relaxed)).next();
        if height < start {
            return;
        }
        // Whoever is behind by epochs needs the committees in between.
        self.learn_epochs().await;
        let ranges = Ranges::plan(start, height);
        let mut fetches = Fetches::new(ranges.ranges.len() as u64, self.all_peers(), 0);
        let ranges = Mutex::new(ranges);
        let mut lacking = Signers::default();
        let request = |part| Request::Blocks {
            from: lock(&ranges).missing(part),
        };
        let judge = |from, part, answer| {
            let mut ranges = lock(&ranges);
            let verify = |first, blocks: &[Block], certificate: &CommitCertificate| {
                let keys = self.keys(certificate.epoch).ok_or(Unverified::Unknown)?;
                let verifier = keys.verifier(self.committees.chain);
                verify_blocks(&verifier, first, blocks, certificate).map_err(Unverified::Wrong)
            };
            let wanted = ranges.missing(part);
            let verdict = ranges.take(part, from, answer, verify);
            if wanted == start && matches!(verdict, Verdict::Lacking) {
                lacking.insert(from);
            }
            for part in ranges.ready() {
                let input = agreement::Input::Synced {
                    from: part.from,
                    blocks: part.blocks,
                    certificate: part.certificate,
                };
                self.give(Event::Agreement(Box::new(input)));
            }
            verdict
        };
        self.download("blocks", &mut fetches, RANGES_AHEAD, request, judge)
            .await;
        // An honest one among them does not have the next block, and nobody else gave it.
        let waits = lock(&ranges).missing(0) == start
            && self.committed.load(Ordering::Relaxed) + 1 == start.0;
        if waits && join::has_one_honest(&self.newest_keys().committee, &lacking) {
            join::fall_behind(&self, Height(start.0 - 1)).await;
        }
        self.executed_so_far(height).await;
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

#[cfg(test)]
mod tests {
    use conclave_types::*;

    use super::*;

    fn answer(heights: std::ops::RangeInclusive<u64>) -> Response {
        let block = |height| Block {
            header: BlockHeader {
                chain: ChainId(Digest::ZERO),
                epoch: Epoch(0),
                view: View(height),
                height: Height(height),
                parent: BlockId(Digest::ZERO),
                parent_view: View(height - 1),
                proposer: ValidatorIndex(0),
                time: BlockTime(height),
                payload: Digest::ZERO,
                ledger_height: Height(0),
                ledger_root: Digest::ZERO,
                next_epoch: None,
            },
            batches: Vec::new(),
        };
        let certificate = CommitCertificate {
            epoch: Epoch(0),
            view: View(*heights.end()),
            height: Height(*heights.end()),
            block: BlockId(Digest::ZERO),
            aggregate: AggregateSignature {
                signers: Signers::default(),
                signature: BlsSignature([0; 48]),
            },
        };
        Response::Blocks {
            blocks: heights.map(block).collect(),
            certificate: Some(certificate),
        }
    }

    fn take(ranges: &mut Ranges, number: u64, answer: Response) -> Verdict {
        ranges.take(number, ValidatorIndex(1), answer, |_, _, _| Ok(()))
    }

    fn heights(parts: &[CertifiedBlocks]) -> Vec<u64> {
        let blocks = parts.iter().flat_map(|part| &part.blocks);
        blocks.map(|block| block.header.height.0).collect()
    }

    /// A quorum was up and the chain stood still: a node wanted heights 1 to 40, nobody who answered
    /// had the last of them, and what it had got of the rest was never handed to agreement, which
    /// needed it to vote.
    #[test]
    fn what_is_there_does_not_wait_for_what_may_never_come() {
        let mut ranges = Ranges::plan(Height(1), Height(40));
        assert!(matches!(
            take(&mut ranges, 0, answer(1..=39)),
            Verdict::Partial
        ));
        assert_eq!(heights(&ranges.ready()), (1..=39).collect::<Vec<_>>());
        assert_eq!(ranges.missing(0), Height(40));
        assert!(ranges.ready().is_empty(), "each once");
        assert!(matches!(
            take(&mut ranges, 0, answer(40..=40)),
            Verdict::Good
        ));
        assert_eq!(heights(&ranges.ready()), [40]);
    }

    #[test]
    fn later_ranges_wait_for_the_ones_before_them() {
        let mut ranges = Ranges::plan(Height(1), Height(130));
        assert!(matches!(
            take(&mut ranges, 1, answer(65..=128)),
            Verdict::Good
        ));
        assert!(ranges.ready().is_empty());
        assert!(matches!(
            take(&mut ranges, 0, answer(1..=64)),
            Verdict::Good
        ));
        assert_eq!(heights(&ranges.ready()), (1..=128).collect::<Vec<_>>());
        assert_eq!(ranges.missing(2), Height(129));
    }

    /// A liar once sent the same old block for ever and was asked again at once each time.
    #[test]
    fn an_answer_that_adds_nothing_is_no_answer() {
        let mut ranges = Ranges::plan(Height(10), Height(40));
        for _ in 0..3 {
            let verdict = take(&mut ranges, 0, answer(1..=9));
            assert!(matches!(verdict, Verdict::Useless));
        }
        assert!(matches!(
            take(&mut ranges, 0, answer(10..=40)),
            Verdict::Good
        ));
        drop(ranges.ready());
        let verdict = take(&mut ranges, 0, answer(10..=40));
        assert!(matches!(verdict, Verdict::Useless), "it is here already");
        let refused = ranges.take(0, ValidatorIndex(1), Response::Standing(None), |_, _, _| {
            Ok(())
        });
        assert!(matches!(refused, Verdict::Lie(_)));
    }
}
