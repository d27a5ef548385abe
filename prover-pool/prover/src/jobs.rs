//! The member's jobs, from award to settlement. Pure: the market's views and the time go in.
//!
//! ```text
//! Wanted ─▶ Proving ─▶ Proven ─▶ Submitting ─▶ Accepted ─▶ (settled: forgotten)
//!    ▲         │          ▲          │
//!    └─ full ──┘          └─ later ──┴─▶ Failed
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_sdk::ProvenRange;
use conclave_sdk::api::AuctionView;
use conclave_types::{AccountId, AuctionId, Height, Range, RollupId, TxIndex};

/// A range, whatever auction it is in.
pub(crate) type RangeKey = (RollupId, TxIndex, TxIndex);

/// Between two submissions of one proof, in milliseconds.
const RETRY_MS: u64 = 250;
/// Before a submission that needs money is tried again.
const FUNDS_RETRY_MS: u64 = 5_000;
/// How long a job that no node lists any more is remembered.
const UNSEEN_MS: u64 = 600_000;

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobStage {
    Wanted,
    Proving,
    Proven,
    Submitting,
    Accepted,
    Failed(String),
}

/// One range to prove.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) range: Range,
    pub(crate) auction: AuctionId,
    pub(crate) stage: JobStage,
    pub(crate) proven: Option<Arc<ProvenRange>>,
    /// Whether it is this member's turn and the predecessor is settled.
    ready: bool,
    retry_at: u64,
    seen_at: u64,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Submission {
    /// The proof is recorded.
    Accepted,
    /// Not now: submit again later.
    Later { pause_ms: u64, reason: String },
    /// Never.
    Refused(String),
}

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs(BTreeMap<RangeKey, Job>);

impl Submission {
    /// Judges an operation's refusal by its stable code.
    pub(crate) fn refused(code: &str, reason: &str) -> Self {
        let text = format!("[{code}] {reason}");
        match code {
            // The predecessor is not settled, or it is another's turn yet.
            "CV-MKT-012" | "CV-MKT-013" | "CV-MKT-014" => Self::later(text),
            // The envelope expired or was not opened.
            "CV-SDK-025" => Self::later(text),
            "CV-MKT-016" => Self::Accepted,
            // The deposit, or the fee.
            "CV-MKT-019" | "CV-SEQ-008" | "CV-SEQ-026" => Self::Later {
                pause_ms: FUNDS_RETRY_MS,
                reason: text,
            },
            // Anything about the envelope: the next one is another.
            _ if code.starts_with("CV-SEQ-") => Self::later(text),
            _ => Self::Refused(text),
        }
    }

    /// Something that may well work the next time.
    pub(crate) fn later(reason: String) -> Self {
        Self::Later {
            pause_ms: RETRY_MS,
            reason,
        }
    }
}

impl Jobs {
    /// Takes what a look at the market showed. `settled` is a rollup's settled index; `open` says
    /// whether ranges that everybody missed are wanted. Returns the ranges that are over.
    pub(crate) fn observe(
        &mut self,
        now: u64,
        me: AccountId,
        auctions: &[AuctionView],
        open: bool,
        settled: impl Fn(RollupId) -> Option<TxIndex>,
    ) -> Vec<Range> {
        let me = me.to_string();
        for job in self.0.values_mut() {
            job.ready = false;
        }
        for view in auctions {
            let range = range_of(view);
            let Some(index) = settled(range.rollup) else {
                continue;
            };
            let mine = match view.state.as_str() {
                "awarded" => view.winner.as_ref() == Some(&me),
                "standby" => view.standby.as_ref() == Some(&me),
                "open" => open,
                _ => false,
            };
            if !mine || range.to <= index {
                continue;
            }
            let job = self.0.entry(key_of(&range)).or_insert(Job {
                range,
                auction: AuctionId(view.id),
                stage: JobStage::Wanted,
                proven: None,
                ready: false,
                retry_at: 0,
                seen_at: now,
            });
            if job.auction.0 != view.id {
                // The same range in another auction: what was refused there may count here.
                job.auction = AuctionId(view.id);
                job.reopen();
            }
            job.ready = view.deadline_ms.is_some() || range.from == index;
            job.seen_at = now;
        }
        let mut over = Vec::new();
        self.0.retain(|_, job| {
            let passed = settled(job.range.rollup).is_some_and(|index| job.range.to <= index);
            let lost = now.saturating_sub(job.seen_at) > UNSEEN_MS;
            if passed || lost {
                over.push(job.range);
            }
            !passed && !lost
        });
        over
    }

    /// Jobs that wait for a worker, oldest range first.
    pub(crate) fn wanted(&self) -> Vec<Range> {
        self.stage(&JobStage::Wanted).map(|job| job.range).collect()
    }

    /// Jobs whose proof is to be submitted now; they count as submitting from here on.
    pub(crate) fn start_submitting(
        &mut self,
        now: u64,
    ) -> Vec<(Range, AuctionId, Arc<ProvenRange>)> {
        let mut due = Vec::new();
        for job in self.0.values_mut() {
            let waits = job.stage == JobStage::Proven && job.ready && now >= job.retry_at;
            if waits && let Some(proven) = &job.proven {
                due.push((job.range, job.auction, proven.clone()));
                job.stage = JobStage::Submitting;
            }
        }
        due
    }

    /// A worker took the range.
    pub(crate) fn proving(&mut self, range: &Range) {
        if let Some(job) = self.0.get_mut(&key_of(range)) {
            job.stage = JobStage::Proving;
        }
    }

    /// A worker is done with the range.
    pub(crate) fn proved(&mut self, key: RangeKey, result: Result<Arc<ProvenRange>, String>) {
        if let Some(job) = self.0.get_mut(&key) {
            match result {
                Ok(proven) => {
                    job.proven = Some(proven);
                    job.stage = JobStage::Proven;
                }
                Err(reason) => job.stage = JobStage::Failed(reason),
            }
        }
    }

    /// A submission came back. One for an auction that has been replaced since says nothing.
    pub(crate) fn submitted(
        &mut self,
        now: u64,
        key: RangeKey,
        auction: AuctionId,
        result: Submission,
    ) {
        let Some(job) = self.0.get_mut(&key).filter(|job| job.auction == auction) else {
            return;
        };
        match result {
            Submission::Accepted => job.stage = JobStage::Accepted,
            Submission::Later { pause_ms, .. } => {
                job.stage = JobStage::Proven;
                job.retry_at = now.saturating_add(pause_ms);
            }
            Submission::Refused(reason) => job.stage = JobStage::Failed(reason),
        }
    }

    /// All jobs, by range.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }

    /// Ranges that will still take a worker's time.
    pub(crate) fn unproven(&self) -> impl Iterator<Item = &Range> {
        self.0
            .values()
            .filter(|job| matches!(job.stage, JobStage::Wanted | JobStage::Proving))
            .map(|job| &job.range)
    }

    fn stage(&self, stage: &JobStage) -> impl Iterator<Item = &Job> {
        self.0.values().filter(move |job| job.stage == *stage)
    }
}

impl Job {
    fn reopen(&mut self) {
        self.retry_at = 0;
        if matches!(
            self.stage,
            JobStage::Submitting | JobStage::Accepted | JobStage::Failed(_)
        ) {
            self.stage = match self.proven {
                Some(_) => JobStage::Proven,
                None => JobStage::Wanted,
            };
        }
    }
}

/// The range of an auction.
pub(crate) fn range_of(view: &AuctionView) -> Range {
    Range {
        rollup: RollupId(view.rollup),
        from: TxIndex(view.from_index),
        to: TxIndex(view.to_index),
        from_height: Height(view.from_height),
        to_height: Height(view.to_height),
    }
}

/// A range without its heights.
pub(crate) const fn key_of(range: &Range) -> RangeKey {
    (range.rollup, range.from, range.to)
}
