//! CPU-heavy pieces, pure functions of what they hold, to be run off the sequencer's thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::{Coder, Committee, Shard, are_signed, bundle_message};
use conclave_ledger::VoteKeys;
use conclave_market::{ContentSource, Verifier};
use conclave_seal::{Liar, MalformedEvidence, OpenResult, OpeningCertificate, SealScheme, Verdict};
use conclave_types::{
    Batch, Digest, EdSignature, Envelope, EnvelopeHeader, Epoch, LaneKind, Manifest, Point,
    ShareBundle, ShareContext, ShareGroup, ValidatorIndex,
};

use crate::admission;
use crate::dispersal::{self, Dispersal, Rebuilt};
use crate::execution::{self, ExecuteJob, ExecuteResult};

#[cfg(test)]
mod tests;

/// A piece of work.
#[derive(Debug)]
pub enum Work {
    /// Signatures and seals of clients' envelopes.
    CheckEnvelopes(Vec<(u64, Box<Envelope>)>),
    /// Coding a batch of ours; its header names no shards yet.
    Encode {
        batch: Box<Batch>,
        committee: Arc<Committee>,
    },
    /// Signatures and seals of a batch, our shards of it, and our share points for it. Our own
    /// batch's envelopes were checked at admission, and its shards we made.
    CheckDispersal {
        from: ValidatorIndex,
        to: ValidatorIndex,
        dispersal: Arc<Dispersal>,
        committee: Arc<Committee>,
    },
    /// Giving a batch its bodies back.
    Rebuild {
        manifest: Arc<Manifest>,
        shards: Vec<(ValidatorIndex, Vec<Shard>)>,
        committee: Arc<Committee>,
    },
    /// Our bundles of shares of a lane of a committed block, one per group.
    Bundle {
        context: ShareContext,
        groups: Vec<BundleJob>,
    },
    /// Opening a group of a lane, with shares of a committee's key.
    Open {
        context: ShareContext,
        envelopes: Vec<Arc<EnvelopeHeader>>,
        bundles: Vec<ShareBundle>,
        committee: Arc<Committee>,
    },
    /// Openings of a lane that others published, all together.
    CheckOpenings {
        context: ShareContext,
        claims: Vec<Claim>,
    },
    /// Decrypting and executing a block.
    Execute(Box<ExecuteJob>),
}

/// A bundle to be made.
#[derive(Debug)]
pub struct BundleJob {
    pub(crate) context: ShareContext,
    pub(crate) envelopes: Vec<Arc<EnvelopeHeader>>,
    /// Our share points as far as they were computed before.
    pub(crate) points: Vec<Option<Vec<Point>>>,
}

/// What somebody says came out of a group: an opening of each of its envelopes.
#[derive(Debug)]
pub struct Claim {
    pub(crate) from: ValidatorIndex,
    pub(crate) group: ShareGroup,
    pub(crate) envelopes: Vec<Arc<EnvelopeHeader>>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    /// Per ticket: whether signature and seal are right.
    EnvelopesChecked(Vec<(u64, Box<Envelope>, bool)>),
    /// Our batch, whose header names its shards now, and what each validator is sent of it.
    Encoded {
        batch: Arc<Batch>,
        dispersals: Vec<Arc<Dispersal>>,
    },
    /// Whether the batch may be certified, and our share points per sealed envelope.
    DispersalChecked {
        from: ValidatorIndex,
        dispersal: Arc<Dispersal>,
        valid: bool,
        points: Vec<Option<Vec<Point>>>,
    },
    /// What a batch's shards came to.
    Rebuilt(Box<Rebuilt>),
    /// Our bundles; none on a node without key shares.
    Bundled {
        context: ShareContext,
        bundles: Vec<ShareBundle>,
    },
    /// The verdicts, if the shares sufficed.
    Opened {
        context: ShareContext,
        result: OpenResult,
        /// In the lane of malformed envelopes: what shows it to everybody.
        evidence: Option<MalformedEvidence>,
        bundles: usize,
    },
    /// Each claim, with whether it is right.
    OpeningsChecked {
        context: ShareContext,
        checked: Vec<(Claim, bool)>,
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
    pub coder: Coder,
    /// Signs bundles of shares with the transport key.
    pub sign: Arc<dyn Fn(&Digest) -> EdSignature + Send + Sync>,
}

impl Work {
    /// Does it.
    pub fn run(self, tools: &mut Tools) -> Done {
        let seal = Arc::clone(&tools.seal);
        let seal = seal.as_ref();
        match self {
            Self::CheckEnvelopes(submissions) => check_envelopes(seal, submissions),
            Self::Encode { batch, committee } => {
                let (batch, dispersals) = dispersal::encode(&mut tools.coder, &committee, batch);
                Done::Encoded { batch, dispersals }
            }
            Self::CheckDispersal {
                from,
                to,
                dispersal,
                committee,
            } => check_dispersal(seal, &committee, (from, to), dispersal),
            Self::Rebuild {
                manifest,
                shards,
                committee,
            } => {
                let coder = &mut tools.coder;
                let rebuilt = dispersal::rebuild(coder, &committee, &manifest, shards);
                Done::Rebuilt(Box::new(rebuilt))
            }
            Self::Bundle { context, groups } => {
                let bundles = groups.into_iter().filter_map(|job| bundle(seal, job));
                let sign = |mut bundle: ShareBundle| {
                    let message = bundle_message(tools.votes.chain, &bundle);
                    bundle.signature = (tools.sign)(&message);
                    bundle
                };
                Done::Bundled {
                    context,
                    bundles: bundles.map(sign).collect(),
                }
            }
            Self::Open {
                context,
                envelopes,
                bundles,
                committee,
            } => open(tools, &committee, context, &envelopes, bundles),
            Self::CheckOpenings { context, claims } => Done::OpeningsChecked {
                context,
                checked: check_openings(seal, claims),
            },
            Self::Execute(job) => Done::Executed(Box::new(execution::execute(
                &job,
                seal,
                tools.contents.as_ref(),
                tools.verifier.as_ref(),
                &tools.votes,
            ))),
        }
    }
}

fn headers(envelopes: &[Arc<EnvelopeHeader>]) -> Vec<&EnvelopeHeader> {
    envelopes.iter().map(AsRef::as_ref).collect()
}

fn check_envelopes(seal: &dyn SealScheme, submissions: Vec<(u64, Box<Envelope>)>) -> Done {
    let headers: Vec<&EnvelopeHeader> = submissions.iter().map(|(_, e)| &e.header).collect();
    let verdicts = admission::check_signatures(seal, &headers);
    let checked = submissions.into_iter().zip(verdicts);
    Done::EnvelopesChecked(
        checked
            .map(|((ticket, e), valid)| (ticket, e, valid))
            .collect(),
    )
}

fn check_dispersal(
    seal: &dyn SealScheme,
    committee: &Committee,
    (from, to): (ValidatorIndex, ValidatorIndex),
    dispersal: Arc<Dispersal>,
) -> Done {
    let envelopes: Vec<&EnvelopeHeader> = dispersal.manifest.envelopes.iter().collect();
    let signed = || admission::check_signatures(seal, &envelopes).into_iter();
    let valid = from == to
        || (dispersal::is_complete(committee, to, &dispersal) && signed().all(|valid| valid));
    let points = if valid {
        share_points(seal, &envelopes)
    } else {
        Vec::new()
    };
    Done::DispersalChecked {
        from,
        dispersal,
        valid,
        points,
    }
}

/// Our points per envelope; `None` for a plain one, and for one under a key of which we have no shares:
/// they may come later, and are asked for again at the release, or be gone. Each epoch's key is shared by
/// itself.
fn share_points(seal: &dyn SealScheme, envelopes: &[&EnvelopeHeader]) -> Vec<Option<Vec<Point>>> {
    let mut by_key: BTreeMap<Epoch, Vec<usize>> = BTreeMap::new();
    for (at, header) in envelopes.iter().enumerate() {
        if header.is_sealed() {
            by_key.entry(header.core.epoch).or_default().push(at);
        }
    }
    let mut points = vec![None; envelopes.len()];
    for (_, sealed) in by_key {
        let headers: Vec<&EnvelopeHeader> = sealed.iter().map(|at| envelopes[*at]).collect();
        let rows = seal.share_points(&headers);
        if rows.is_empty() {
            continue;
        }
        for (column, at) in sealed.into_iter().enumerate() {
            points[at] = Some(rows.iter().map(|row| row[column]).collect());
        }
    }
    points
}

/// Our bundle of a group, to be signed; `None` without shares of its key.
fn bundle(seal: &dyn SealScheme, job: BundleJob) -> Option<ShareBundle> {
    let BundleJob {
        context,
        envelopes,
        mut points,
    } = job;
    let missing: Vec<usize> = (0..points.len()).filter(|i| points[*i].is_none()).collect();
    let without: Vec<&EnvelopeHeader> = missing.iter().map(|i| envelopes[*i].as_ref()).collect();
    for (index, computed) in missing.into_iter().zip(share_points(seal, &without)) {
        points[index] = computed;
    }
    let columns: Vec<Vec<Point>> = points.into_iter().collect::<Option<_>>()?;
    let key_shares = columns.first().map_or(0, Vec::len);
    let rows = (0..key_shares)
        .map(|row| columns.iter().map(|c| c[row]).collect())
        .collect();
    seal.bundle(context, &headers(&envelopes), rows)
}

/// Opens from the bundles that their senders signed, so that a wrong one can be shown to everybody;
/// the others cost no more than finding that out.
fn open(
    tools: &Tools,
    committee: &Committee,
    context: ShareContext,
    envelopes: &[Arc<EnvelopeHeader>],
    mut bundles: Vec<ShareBundle>,
) -> Done {
    let seal = tools.seal.as_ref();
    let taken = bundles.len();
    let mut signed = are_signed(tools.votes.chain, committee, &bundles).into_iter();
    let mut unsigned = Vec::new();
    bundles.retain(|bundle| {
        let kept = signed.next() == Some(true);
        if !kept {
            unsigned.push(Liar {
                validator: bundle.signer,
                evidence: None,
            });
        }
        kept
    });
    let mut result = seal.open(context, &headers(envelopes), &bundles);
    result.liars.extend(unsigned);
    let evidence = match context.lane.kind {
        LaneKind::Malformed => evidence(seal, context, envelopes, &bundles),
        LaneKind::OnCommit | LaneKind::AtClose => None,
    };
    Done::Opened {
        context,
        result,
        evidence,
        bundles: taken,
    }
}

/// Checks the openings of all claims at once; only if that fails are they told apart.
fn check_openings(seal: &dyn SealScheme, claims: Vec<Claim>) -> Vec<(Claim, bool)> {
    let opening = |(header, verdict)| match (header, verdict) {
        (header, &Verdict::Opened(m)) => Some((Arc::as_ref(header), m)),
        (_, Verdict::Malformed) => None,
    };
    let openings: Vec<(&EnvelopeHeader, Point)> = claims
        .iter()
        .flat_map(|claim| claim.envelopes.iter().zip(&claim.verdicts))
        .filter_map(opening)
        .collect();
    let mut right = seal.verify_openings(&openings).into_iter();
    let all_right = |claim: &Claim| {
        let of_claim: Vec<bool> = right.by_ref().take(claim.verdicts.len()).collect();
        of_claim.len() == claim.verdicts.len() && !of_claim.contains(&false)
    };
    let verdicts: Vec<bool> = claims.iter().map(all_right).collect();
    claims.into_iter().zip(verdicts).collect()
}

fn evidence(
    seal: &dyn SealScheme,
    context: ShareContext,
    envelopes: &[Arc<EnvelopeHeader>],
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
