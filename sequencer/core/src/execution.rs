//! Executing a block: what was opened meets the ledger, and what must be kept comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_ledger::{
    ClosedBid, Content, Disposition, Entry, ExecutableBlock, ExecuteError, Executed, Ledger,
    Outcome, VoteKeys,
};
use conclave_market::{ContentSource, Verifier};
use conclave_seal::{SealScheme, Verdict};
use conclave_types::{
    BatchId, BlockHeader, Digest, Envelope, EnvelopeHeader, EnvelopeId, Height, LaneKind,
    ReleaseRule, SystemOp, ValidatorIndex, codec, limits,
};

use crate::bodies::Body;
use crate::message::{
    DeliveryRecord, FateRecord, OpeningRecord, OutcomeRecord, PlacedEntry, ProofRecord, Write,
};
use crate::opening::OpenedLane;

/// An envelope in its place in a committed block.
#[derive(Debug, Clone)]
pub struct PlacedEnvelope {
    pub(crate) header: Arc<EnvelopeHeader>,
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
    /// Of all batches of the block.
    pub(crate) bodies: BTreeMap<BatchId, Body>,
    /// The bids of the lane at the close.
    pub(crate) held: BTreeMap<EnvelopeId, Arc<Envelope>>,
    /// Of the envelopes that open here, of the bids, and of those among both that are malformed,
    /// with what shows it; each kind by key.
    pub(crate) lanes: Vec<OpenedLane>,
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
    /// The bids that the ledger holds from now on.
    pub(crate) held: BTreeMap<EnvelopeId, Arc<Envelope>>,
    pub(crate) envelopes: u64,
    pub(crate) transactions: u64,
}

/// Executes; a pure function of the job and the contents that its proofs speak of.
pub(crate) fn execute(
    job: &ExecuteJob,
    seal: &dyn SealScheme,
    contents: &dyn ContentSource,
    verifier: &dyn Verifier,
    votes: &VoteKeys,
) -> ExecuteResult {
    let height = job.header.height;
    let mut ledger = job.ledger.as_ref().clone();
    let block = executable(job, seal);
    let bids = block.bids.clone();
    match ledger.execute(block, contents, verifier, votes) {
        Ok(executed) => {
            let writes = writes(job, &bids, &executed);
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
                held: held(job, &executed),
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

/// Decrypts what the lanes opened, and puts every envelope with its contents in its place.
fn executable(job: &ExecuteJob, seal: &dyn SealScheme) -> ExecutableBlock {
    let verdicts = job.verdicts();
    let entries = job.envelopes.iter().map(|(placed, disposition)| {
        let header = placed.header.as_ref();
        let on_commit = header.core.release == ReleaseRule::OnCommit;
        let opens = disposition.is_accepted() && header.is_sealed() && on_commit;
        let verdict = opens.then(|| verdicts.get(&header.id()).copied()).flatten();
        let content = match (job.body(placed), disposition.is_accepted()) {
            (None, _) => Content::Inconsistent,
            (Some(_), false) => Content::NotOpened,
            (Some(envelope), true) if !header.is_sealed() => Content::Plain(envelope.body.clone()),
            (Some(_), true) if !on_commit => Content::Held,
            (Some(envelope), true) => decrypt(seal, envelope, verdict),
        };
        Entry {
            header: header.clone(),
            author: placed.author,
            content,
        }
    });
    let entries = entries.collect();
    let bids = job.bids();
    // One that is not here is missed by the ledger.
    let bids = bids.filter_map(|id| Some((job.held.get(&id)?, verdicts.get(&id).copied())));
    ExecutableBlock {
        height: job.header.height,
        epoch: job.header.epoch,
        time: job.header.time,
        proposer: job.header.proposer,
        ledger_height: job.header.ledger_height,
        entries,
        bids: bids
            .map(|(bid, verdict)| ClosedBid {
                envelope: bid.header.id(),
                content: decrypt(seal, bid, verdict),
            })
            .collect(),
    }
}

fn decrypt(seal: &dyn SealScheme, envelope: &Envelope, verdict: Option<Verdict>) -> Content {
    match verdict {
        Some(Verdict::Opened(m)) => match seal.decrypt(envelope, &m) {
            Some(plaintext) => Content::Opened { plaintext, m },
            None => Content::UndecryptableBody { m },
        },
        Some(Verdict::Malformed) | None => Content::Malformed,
    }
}

impl ExecuteJob {
    /// The envelope with its body; `None` if its batch is inconsistent.
    fn body(&self, placed: &PlacedEnvelope) -> Option<&Envelope> {
        match self.bodies.get(&placed.batch) {
            Some(Body::Whole(batch)) => Some(&batch.envelopes[placed.position as usize]),
            Some(Body::Inconsistent(_)) => None,
            None => unreachable!("a block is executed once its bodies are rebuilt"),
        }
    }

    /// What became of each envelope that opens in this block.
    fn verdicts(&self) -> BTreeMap<EnvelopeId, Verdict> {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|lane| lane.lane.kind != LaneKind::Malformed);
        let verdicts = lanes.flat_map(|lane| lane.envelopes.iter().zip(&lane.verdicts));
        verdicts
            .map(|(envelope, verdict)| (envelope.id(), *verdict))
            .collect()
    }

    /// The bids that open in this block, of whichever key.
    fn bids(&self) -> impl Iterator<Item = EnvelopeId> + '_ {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|lane| lane.lane.kind == LaneKind::AtClose);
        lanes.flat_map(|lane| lane.envelopes.iter().map(|bid| bid.id()))
    }
}

/// The bids that were taken and stay sealed until their auction's close, without the signatures:
/// a snapshot holds them, and one header may be signed differently on every node.
fn held(job: &ExecuteJob, executed: &Executed) -> BTreeMap<EnvelopeId, Arc<Envelope>> {
    let taken = job.envelopes.iter().zip(&executed.outcomes);
    let taken = taken.filter(|(_, outcome)| **outcome == Outcome::Held);
    let bids = taken.filter_map(|((placed, _), _)| job.body(placed));
    let unsigned = |bid: &Envelope| Envelope {
        header: bid.header.without_signature(),
        body: bid.body.clone(),
    };
    bids.map(|bid| (bid.header.id(), Arc::new(unsigned(bid))))
        .collect()
}

fn writes(job: &ExecuteJob, bids: &[ClosedBid], executed: &Executed) -> Vec<Write> {
    let height = job.header.height;
    let mut writes = Vec::new();
    for opened in &job.lanes {
        let record = OpeningRecord {
            verdicts: opened.verdicts.clone(),
            bundles: opened.own.clone(),
            evidence: opened.evidence.clone(),
        };
        writes.push(Write::Openings {
            height,
            lane: opened.lane,
            record,
        });
    }
    for ((placed, _), outcome) in job.envelopes.iter().zip(&executed.outcomes) {
        // A copy must not hide where the first one ended.
        if !matches!(outcome, Outcome::Refused(Disposition::Duplicate)) {
            let fate = FateRecord {
                height,
                outcome: Some(*outcome),
            };
            writes.push(Write::Fate(placed.header.id(), fate));
        }
        if *outcome == Outcome::Done {
            writes.extend(job.body(placed).and_then(|envelope| proof(job, envelope)));
        }
    }
    for bid in bids {
        let outcome = match bid.content {
            Content::Opened { .. } => Outcome::Done,
            Content::UndecryptableBody { .. } => Outcome::UndecryptableBody,
            _ => Outcome::Malformed,
        };
        writes.push(Write::Fate(
            bid.envelope,
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
        places.entry(placed.header.id()).or_insert(PlacedEntry {
            batch: placed.batch,
            position: placed.position,
            opening: None,
        });
    }
    for (envelope, verdict) in job.verdicts() {
        if let Verdict::Opened(m) = verdict
            && let Some(place) = places.get_mut(&envelope)
        {
            place.opening = Some(m);
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
