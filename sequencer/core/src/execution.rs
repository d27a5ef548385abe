//! Executing a block: what was opened meets the ledger, and what must be kept comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_ledger::{
    ClosedBid, Content, Disposition, Entry, ExecutableBlock, ExecuteError, Executed, Ledger,
    Outcome, VoteKeys,
};
use conclave_market::{ContentSource, Verifier};
use conclave_seal::Verdict;
use conclave_types::{
    BatchId, BlockHeader, Digest, Envelope, EnvelopeId, Height, ReleaseRule, ShareLane, SystemOp,
    ValidatorIndex, codec, limits,
};

use crate::message::{
    DeliveryRecord, FateRecord, OpeningRecord, OutcomeRecord, PlacedEntry, ProofRecord, Write,
};
use crate::opening::OpenedLane;

/// An envelope in its place in a committed block.
#[derive(Debug, Clone)]
pub struct PlacedEnvelope {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) author: ValidatorIndex,
    pub(crate) batch: BatchId,
    pub(crate) position: u32,
}

/// Everything a block's execution depends on.
#[derive(Debug)]
pub struct ExecuteJob {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) header: BlockHeader,
    pub(crate) envelopes: Vec<(PlacedEnvelope, Disposition)>,
    pub(crate) opened: OpenedLane,
    pub(crate) bids: OpenedLane,
    /// Those of both that are malformed, with what shows it.
    pub(crate) malformed: OpenedLane,
}

/// What came of it.
#[derive(Debug)]
pub struct ExecuteResult {
    pub(crate) height: Height,
    pub(crate) outcome: Result<Box<Done>, ExecuteError>,
}

/// A block was executed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) executed: Executed,
    pub(crate) root: Digest,
    pub(crate) writes: Vec<Write>,
    pub(crate) envelopes: u64,
    pub(crate) transactions: u64,
}

/// Executes; a pure function of the job and the contents that its proofs speak of.
pub(crate) fn execute(
    job: &ExecuteJob,
    contents: &dyn ContentSource,
    verifier: &dyn Verifier,
    votes: &VoteKeys,
) -> ExecuteResult {
    let height = job.header.height;
    let mut ledger = job.ledger.as_ref().clone();
    match ledger.execute(executable(job), contents, verifier, votes) {
        Ok(executed) => {
            let writes = writes(job, &executed);
            let transactions = executed
                .deliveries
                .iter()
                .map(|d| d.transactions.len() as u64)
                .sum();
            let done = Done {
                root: executed.state_root,
                envelopes: job.envelopes.len() as u64,
                transactions,
                writes,
                executed,
                ledger: Arc::new(ledger),
            };
            ExecuteResult {
                height,
                outcome: Ok(Box::new(done)),
            }
        }
        Err(error) => ExecuteResult {
            height,
            outcome: Err(error),
        },
    }
}

fn executable(job: &ExecuteJob) -> ExecutableBlock {
    let mut lane = lane_contents(&job.opened);
    let entries = job.envelopes.iter().map(|(placed, disposition)| {
        let header = &placed.envelope.header;
        let content = match (disposition.is_accepted(), header.is_sealed()) {
            (false, _) => Content::NotOpened,
            (true, false) => Content::Plain(placed.envelope.body.clone()),
            (true, true) if header.core.release != ReleaseRule::OnCommit => Content::Held,
            (true, true) => lane.next().unwrap_or(Content::Malformed),
        };
        Entry {
            header: header.clone(),
            author: placed.author,
            content,
        }
    });
    let entries = entries.collect();
    let bids = job.bids.envelopes.iter().zip(lane_contents(&job.bids));
    ExecutableBlock {
        height: job.header.height,
        epoch: job.header.epoch,
        time: job.header.time,
        proposer: job.header.proposer,
        ledger_height: job.header.ledger_height,
        entries,
        bids: bids
            .map(|(bid, content)| ClosedBid {
                envelope: bid.header.id(),
                content,
            })
            .collect(),
    }
}

/// The contents of a lane's envelopes in order.
fn lane_contents(lane: &OpenedLane) -> impl Iterator<Item = Content> + '_ {
    lane.verdicts
        .iter()
        .zip(&lane.plaintexts)
        .map(|(verdict, plaintext)| match (verdict, plaintext) {
            (Verdict::Opened(m), Some(plaintext)) => Content::Opened {
                plaintext: plaintext.clone(),
                m: *m,
            },
            (Verdict::Opened(m), None) => Content::UndecryptableBody { m: *m },
            (Verdict::Malformed, _) => Content::Malformed,
        })
}

fn writes(job: &ExecuteJob, executed: &Executed) -> Vec<Write> {
    let height = job.header.height;
    let mut writes = Vec::new();
    for (lane, opened) in [
        (ShareLane::OnCommit, &job.opened),
        (ShareLane::AtClose, &job.bids),
        (ShareLane::Malformed, &job.malformed),
    ] {
        if !opened.verdicts.is_empty() {
            let record = OpeningRecord {
                verdicts: opened.verdicts.clone(),
                bundle: opened.own.clone(),
                evidence: opened.evidence.clone(),
            };
            writes.push(Write::Openings {
                height,
                lane,
                record,
            });
        }
    }
    for ((placed, _), outcome) in job.envelopes.iter().zip(&executed.outcomes) {
        // A copy must not hide where the first one ended.
        if !matches!(outcome, Outcome::Refused(Disposition::Duplicate)) {
            let fate = FateRecord {
                height,
                outcome: Some(*outcome),
            };
            writes.push(Write::Fate(placed.envelope.header.id(), fate));
        }
        if *outcome == Outcome::Done {
            writes.extend(proof(job, &placed.envelope));
        }
    }
    for (bid, content) in job.bids.envelopes.iter().zip(lane_contents(&job.bids)) {
        let outcome = match content {
            Content::Opened { .. } => Outcome::Done,
            Content::UndecryptableBody { .. } => Outcome::UndecryptableBody,
            _ => Outcome::Malformed,
        };
        writes.push(Write::Fate(
            bid.header.id(),
            FateRecord {
                height,
                outcome: Some(outcome),
            },
        ));
    }
    let places = places(job);
    for delivery in &executed.deliveries {
        let record = DeliveryRecord {
            time: job.header.time,
            placed: delivery
                .entries
                .iter()
                .filter_map(|entry| places.get(&entry.envelope).cloned())
                .collect(),
            delivery: delivery.clone(),
        };
        writes.push(Write::Delivery {
            rollup: delivery.rollup,
            height,
            record,
        });
    }
    let record = OutcomeRecord {
        time: job.header.time,
        root: executed.state_root,
        events: executed.events.clone(),
    };
    writes.push(Write::Outcome { height, record });
    writes
}

/// Where each envelope of a block is, with its opening. An id is a hash of the whole header, so each
/// is computed once; of copies the first counts.
fn places(job: &ExecuteJob) -> BTreeMap<EnvelopeId, PlacedEntry> {
    let mut places = BTreeMap::new();
    for (placed, _) in &job.envelopes {
        places
            .entry(placed.envelope.header.id())
            .or_insert(PlacedEntry {
                batch: placed.batch,
                position: placed.position,
                opening: None,
            });
    }
    for (envelope, verdict) in job.opened.envelopes.iter().zip(&job.opened.verdicts) {
        if let Verdict::Opened(m) = verdict
            && let Some(place) = places.get_mut(&envelope.header.id())
        {
            place.opening = Some(*m);
        }
    }
    places
}

/// The record of a proof that was accepted.
fn proof(job: &ExecuteJob, envelope: &Envelope) -> Option<Write> {
    if envelope.header.is_sealed() {
        return None;
    }
    let op: SystemOp = codec::decode(&envelope.body, limits::PLAIN_BODY_BYTES_MAX).ok()?;
    let SystemOp::SubmitProof(submission) = op else {
        return None;
    };
    let auction = job.ledger.auction(submission.auction)?;
    let range = auction.intent.range;
    let record = ProofRecord {
        height: job.header.height,
        range,
        program: auction.intent.program,
        prover: envelope.header.core.payer,
        old_root: job.ledger.settled(range.rollup)?.root,
        submission,
    };
    Some(Write::Proof(Box::new(record)))
}
