//! CPU-heavy pieces, pure functions of what they hold, to be run off the sequencer's thread.

use std::sync::Arc;

use conclave_ledger::VoteKeys;
use conclave_market::{ContentSource, Verifier};
use conclave_seal::{
    MalformedEvidence, OpenResult, OpeningCertificate, SealScheme, ShareContext, Verdict,
};
use conclave_types::{
    Batch, BatchId, Envelope, EnvelopeHeader, Point, ShareBundle, ShareLane, ValidatorIndex,
};

use crate::admission;
use crate::execution::{self, ExecuteJob, ExecuteResult};

/// A piece of work.
#[derive(Debug)]
pub enum Work {
    /// Signatures and seals of clients' envelopes.
    CheckEnvelopes(Vec<(u64, Box<Envelope>)>),
    /// Signatures and seals of a batch, and our share points for it. Our own batch's envelopes
    /// were checked at admission.
    CheckBatch {
        from: ValidatorIndex,
        batch: Arc<Batch>,
        own: bool,
    },
    /// Our bundle of shares of a lane of a committed block. `points` are those computed before.
    Bundle {
        context: ShareContext,
        envelopes: Vec<Arc<Envelope>>,
        points: Vec<Option<Vec<Point>>>,
    },
    /// Opening a lane, and decrypting what it opens.
    Open {
        context: ShareContext,
        envelopes: Vec<Arc<Envelope>>,
        bundles: Vec<ShareBundle>,
    },
    /// Decrypting under verdicts from the own store.
    Decrypt {
        context: ShareContext,
        envelopes: Vec<Arc<Envelope>>,
        verdicts: Vec<Verdict>,
    },
    /// Executing a block.
    Execute(Box<ExecuteJob>),
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// Per ticket: whether signature and seal are right.
    EnvelopesChecked(Vec<(u64, Box<Envelope>, bool)>),
    /// Whether the batch may be certified, and our share points per sealed envelope.
    BatchChecked {
        from: ValidatorIndex,
        id: BatchId,
        batch: Arc<Batch>,
        valid: bool,
        points: Vec<Option<Vec<Point>>>,
    },
    /// Our bundle; none on a node without key shares.
    Bundled {
        context: ShareContext,
        bundle: Option<ShareBundle>,
    },
    /// The verdicts, if the shares sufficed, with the plaintexts in the same order.
    Opened {
        context: ShareContext,
        result: OpenResult,
        plaintexts: Vec<Option<Vec<u8>>>,
        /// In the lane of malformed envelopes: what shows it to everybody.
        evidence: Option<MalformedEvidence>,
        bundles: usize,
    },
    /// A block's outcome.
    Executed(Box<ExecuteResult>),
}

/// What the work needs besides its own contents.
#[derive(Clone)]
pub struct Tools {
    pub seal: Arc<dyn SealScheme>,
    pub verifier: Arc<dyn Verifier + Send + Sync>,
    pub contents: Arc<dyn ContentSource + Send + Sync>,
    pub votes: VoteKeys,
}

impl Work {
    /// Does it.
    pub fn run(self, tools: &Tools) -> Done {
        let seal = tools.seal.as_ref();
        match self {
            Self::CheckEnvelopes(submissions) => check_envelopes(seal, submissions),
            Self::CheckBatch { from, batch, own } => check_batch(seal, from, batch, own),
            Self::Bundle {
                context,
                envelopes,
                points,
            } => Done::Bundled {
                context,
                bundle: bundle(seal, context, &envelopes, points),
            },
            Self::Open {
                context,
                envelopes,
                bundles,
            } => {
                let result = seal.open(context, &headers(&envelopes), &bundles);
                let plaintexts = match &result.verdicts {
                    Some(verdicts) => decrypt(seal, &envelopes, verdicts),
                    None => Vec::new(),
                };
                let evidence = match context.lane {
                    ShareLane::Malformed => evidence(seal, context, &envelopes, &bundles),
                    ShareLane::OnCommit | ShareLane::AtClose => None,
                };
                Done::Opened {
                    context,
                    result,
                    plaintexts,
                    evidence,
                    bundles: bundles.len(),
                }
            }
            Self::Decrypt {
                context,
                envelopes,
                verdicts,
            } => {
                let plaintexts = decrypt(seal, &envelopes, &verdicts);
                let result = OpenResult {
                    verdicts: Some(verdicts),
                    liars: Vec::new(),
                };
                Done::Opened {
                    context,
                    result,
                    plaintexts,
                    evidence: None,
                    bundles: 0,
                }
            }
            Self::Execute(job) => Done::Executed(Box::new(execution::execute(
                &job,
                tools.contents.as_ref(),
                tools.verifier.as_ref(),
                &tools.votes,
            ))),
        }
    }
}

fn headers(envelopes: &[Arc<Envelope>]) -> Vec<&EnvelopeHeader> {
    envelopes.iter().map(|envelope| &envelope.header).collect()
}

fn check_envelopes(seal: &dyn SealScheme, submissions: Vec<(u64, Box<Envelope>)>) -> Done {
    let envelopes: Vec<&Envelope> = submissions.iter().map(|(_, e)| e.as_ref()).collect();
    let verdicts = admission::check_signatures(seal, &envelopes);
    let checked = submissions.into_iter().zip(verdicts);
    Done::EnvelopesChecked(
        checked
            .map(|((ticket, e), valid)| (ticket, e, valid))
            .collect(),
    )
}

fn check_batch(seal: &dyn SealScheme, from: ValidatorIndex, batch: Arc<Batch>, own: bool) -> Done {
    let envelopes: Vec<&Envelope> = batch.envelopes.iter().collect();
    let valid = own
        || admission::check_signatures(seal, &envelopes)
            .iter()
            .all(|valid| *valid);
    let points = if valid {
        share_points(seal, &envelopes)
    } else {
        Vec::new()
    };
    Done::BatchChecked {
        from,
        id: batch.header.id(),
        batch,
        valid,
        points,
    }
}

/// Our points per envelope, `None` for a plain one.
fn share_points(seal: &dyn SealScheme, envelopes: &[&Envelope]) -> Vec<Option<Vec<Point>>> {
    let sealed: Vec<&EnvelopeHeader> = envelopes
        .iter()
        .map(|e| &e.header)
        .filter(|header| header.is_sealed())
        .collect();
    let rows = seal.share_points(&sealed);
    let mut column = 0;
    envelopes
        .iter()
        .map(|envelope| {
            envelope.header.is_sealed().then(|| {
                column += 1;
                rows.iter().map(|row| row[column - 1]).collect()
            })
        })
        .collect()
}

fn bundle(
    seal: &dyn SealScheme,
    context: ShareContext,
    envelopes: &[Arc<Envelope>],
    mut points: Vec<Option<Vec<Point>>>,
) -> Option<ShareBundle> {
    let missing: Vec<usize> = (0..points.len()).filter(|i| points[*i].is_none()).collect();
    let without: Vec<&Envelope> = missing.iter().map(|i| envelopes[*i].as_ref()).collect();
    for (index, computed) in missing.into_iter().zip(share_points(seal, &without)) {
        points[index] = computed;
    }
    let columns: Vec<Vec<Point>> = points.into_iter().flatten().collect();
    let key_shares = columns.first().map_or(0, Vec::len);
    let rows = (0..key_shares)
        .map(|row| columns.iter().map(|c| c[row]).collect())
        .collect();
    seal.bundle(context, &headers(envelopes), rows)
}

fn evidence(
    seal: &dyn SealScheme,
    context: ShareContext,
    envelopes: &[Arc<Envelope>],
    bundles: &[ShareBundle],
) -> Option<MalformedEvidence> {
    let headers = headers(envelopes);
    let certificate = OpeningCertificate::assemble(seal, context, &headers, bundles)?;
    let headers = headers.into_iter().cloned().collect();
    Some(MalformedEvidence {
        headers,
        certificate,
    })
}

fn decrypt(
    seal: &dyn SealScheme,
    envelopes: &[Arc<Envelope>],
    verdicts: &[Verdict],
) -> Vec<Option<Vec<u8>>> {
    let opened = envelopes.iter().zip(verdicts);
    opened
        .map(|(envelope, verdict)| match verdict {
            Verdict::Opened(m) => seal.decrypt(envelope, m),
            Verdict::Malformed => None,
        })
        .collect()
}
