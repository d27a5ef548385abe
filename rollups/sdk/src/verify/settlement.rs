//! A whole range: every height, the outcomes against the ledger, then the settled proofs over the
//! transactions.

use std::sync::Arc;

use conclave_types::{
    AuctionId, Digest, Epoch, Height, ProofSystem, Range, RollupId, StateRoot, Statement, TxIndex,
    limits,
};

use super::walk::Walk;
use super::{Auditor, ProofReport, ProvenLedger, RangeReport, RangeRequest, VerifyError};
use crate::api::ProofView;
use crate::{Client, OrderedTransaction, Program, program_of};

/// Proofs asked for at once.
const PROOFS_PAGE: usize = 100;
/// Links asked for at once.
const LINKS_PAGE: usize = 1000;

impl Auditor {
    /// Verifies a rollup's contents and outcomes over a range of heights, and every settled proof
    /// whose transactions all lie in it. Names exactly what fails.
    pub async fn range(
        self: &Arc<Self>,
        client: &Client,
        request: &RangeRequest,
    ) -> Result<RangeReport, VerifyError> {
        let rollup = request.rollup;

        // 1. A ledger that a final header names: where the chain of digests must lead.
        let view = client.ledger_proof(rollup).await?;
        self.follow(client, Epoch(view.block.epoch)).await?;
        let auditor = self.clone();
        let ledger = offload(move || auditor.ledger(rollup, &view)).await?;
        let (from, to) = heights(request, &ledger)?;

        // 2. Every height, in order, with its block and all its envelopes.
        let registered = ledger.stream.registered;
        let before = match from == registered.next() {
            true => Digest::ZERO,
            false => {
                let page = client.links(rollup, from, 1).await?;
                page.digest.parse().map_err(|_| VerifyError::Malformed {
                    height: from,
                    what: "the digest before it",
                })?
            }
        };
        let mut walk = Walk::new(rollup, (from, to), registered, before);
        while walk.next <= to {
            let page = client.contents(rollup, walk.next, to, true).await?;
            if page.deliveries.is_empty() {
                return Err(VerifyError::Short {
                    rollup,
                    served: Height(walk.next.0.saturating_sub(1)),
                    wanted: to,
                });
            }
            let blocks = page.deliveries.iter().flat_map(|view| &view.block);
            let newest = blocks.map(|block| block.epoch).max().unwrap_or(0);
            self.follow(client, Epoch(newest)).await?;
            let auditor = self.clone();
            walk = offload(move || {
                for view in &page.deliveries {
                    walk.take(&auditor, view)?;
                }
                Ok::<_, VerifyError>(walk)
            })
            .await?;
        }

        // 3. The digests lead from there to the one in the ledger.
        let mut tail = walk.tail();
        while tail.digest != ledger.stream.digest && tail.next <= ledger.height {
            let page = client.links(rollup, tail.next, LINKS_PAGE).await?;
            tail.take(&page, ledger.height)?;
        }
        if tail.digest != ledger.stream.digest {
            return Err(VerifyError::Outcomes {
                from,
                to,
                ledger_height: ledger.height,
                found: tail.digest,
                expected: ledger.stream.digest,
            });
        }

        // 4. The settled proofs over these transactions.
        let (mut report, transactions) = walk.finish(ledger, request.anchor)?;
        self.proofs(client, request, &mut report, &transactions)
            .await?;
        check_settled(&report)?;
        Ok(report)
    }

    /// Verifies the settled proofs over the range's transactions.
    async fn proofs(
        self: &Arc<Self>,
        client: &Client,
        request: &RangeRequest,
        report: &mut RangeReport,
        transactions: &[OrderedTransaction],
    ) -> Result<(), VerifyError> {
        let (Some(first), Some(next)) = (report.first_index, report.next_index()) else {
            return Ok(());
        };
        let settled = report.ledger.settled.map_or(TxIndex(0), |s| s.next);
        let mut last = report.anchor.map(|root| (root, first));
        let mut from = first;
        loop {
            let page = client.proofs(request.rollup, from, PROOFS_PAGE).await?;
            let full = page.len() == PROOFS_PAGE;
            for view in page {
                // What was settled after the ledger in hand is for another time.
                if view.from_index >= next.0 || view.height > report.ledger.height.0 {
                    return Ok(());
                }
                listed(&view, from, settled)?;
                from = TxIndex(view.from_index + 1);
                let inside = view.to_index <= next.0;
                let program = view
                    .program
                    .parse()
                    .ok()
                    .and_then(|version| program_of(&request.programs, version));
                let (true, Some(program)) = (inside, program) else {
                    report.proofs_skipped += 1;
                    continue;
                };
                let proof = client.proof(AuctionId(view.auction)).await?;
                let contents = slice(transactions, first, &view).ok_or_else(|| bounds(&view))?;
                let job = ProofCheck {
                    auditor: self.clone(),
                    rollup: request.rollup,
                    program: program.clone(),
                    contents,
                };
                let verified = offload(move || job.run(&proof)).await?;
                connect(last, &verified)?;
                last = Some((verified.new_root, verified.to_index));
                report.proofs.push(verified);
            }
            if !full {
                return Ok(());
            }
        }
    }
}

/// The heights to verify: after the rollup's registration, and covered by the ledger in hand.
fn heights(request: &RangeRequest, ledger: &ProvenLedger) -> Result<(Height, Height), VerifyError> {
    let to = request.to.unwrap_or(ledger.height);
    if to > ledger.height {
        return Err(VerifyError::Unproven {
            wanted: to,
            proven: ledger.height,
        });
    }
    let registered = ledger.stream.registered;
    if to <= registered {
        return Err(VerifyError::Early {
            rollup: request.rollup,
            registered,
            to,
        });
    }
    let from = request.from.max(registered.next());
    match from > to {
        true => Err(VerifyError::Unproven {
            wanted: from,
            proven: ledger.height,
        }),
        false => Ok((from, to)),
    }
}

/// A node lists proofs in order, and none of what the ledger has not settled.
fn listed(view: &ProofView, from: TxIndex, settled: TxIndex) -> Result<(), VerifyError> {
    let refuse = |reason| VerifyError::Proof {
        auction: view.auction,
        reason,
    };
    if view.from_index < from.0 {
        return Err(refuse("it is not listed in its order".into()));
    }
    if view.to_index > settled.0 {
        return Err(refuse(format!(
            "it is listed as settled up to transaction {}, the ledger has settled up to {settled}",
            view.to_index
        )));
    }
    Ok(())
}

/// Where the ledger's settled root stands before a transaction of the range, the proofs lead there.
fn check_settled(report: &RangeReport) -> Result<(), VerifyError> {
    let (Some(settled), Some(first), Some(next)) = (
        report.ledger.settled,
        report.first_index,
        report.next_index(),
    ) else {
        return Ok(());
    };
    let anchor = report.anchor.map(|root| (root, first));
    let end = report.end().or(anchor);
    if let Some((found, index)) = end
        && index == settled.next
        && found != settled.root
    {
        return Err(VerifyError::SettledRoot {
            found,
            index,
            settled,
        });
    }
    // Without a proof, an anchor, or the start of the stream, the settled range may have begun
    // before the first transaction here, and then no proof of it is listed.
    let start = (first == TxIndex(0)).then_some(first);
    let reached = end.map(|(_, index)| index).or(start);
    let inside = first < settled.next && settled.next <= next;
    match reached {
        Some(reached) if inside && report.proofs_skipped == 0 && reached != settled.next => {
            Err(VerifyError::ProofsMissing {
                reached,
                settled: settled.next,
            })
        }
        _ => Ok(()),
    }
}

/// Verification takes milliseconds of CPU per block and proof, which the reactor must not wait for.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("blocking work is never cancelled while it is waited for"),
        },
    }
}

/// One proof's verification.
struct ProofCheck {
    auditor: Arc<Auditor>,
    rollup: RollupId,
    program: Arc<dyn Program>,
    contents: Vec<OrderedTransaction>,
}

impl ProofCheck {
    fn run(self, view: &ProofView) -> Result<ProofReport, VerifyError> {
        let auction = view.auction;
        let refuse = |reason: String| VerifyError::Proof { auction, reason };
        let malformed = |_| refuse("a field is malformed".into());
        let proof = view
            .proof
            .as_ref()
            .ok_or_else(|| refuse("it was not given".into()))?;
        if proof.len() > 2 * limits::PROOF_BYTES_MAX {
            return Err(refuse("it is longer than any".into()));
        }
        let proof = hex::decode(proof).map_err(|_| refuse("it is not hexadecimal".into()))?;
        if view.system != system_name(self.program.system()) {
            return Err(refuse(format!(
                "{} proofs cannot be verified here",
                view.system
            )));
        }
        let heights = (view.from_height, view.to_height);
        let ordered = (
            self.contents.first().map_or(0, |first| first.height.0),
            self.contents.last().map_or(0, |last| last.height.0),
        );
        if heights != ordered {
            return Err(refuse(format!(
                "it states heights {heights:?}, its transactions were ordered at {ordered:?}"
            )));
        }
        let statement = Statement {
            chain: self.auditor.chain,
            program: self.program.version(),
            prover: view.prover.parse().map_err(malformed)?,
            range: Range {
                rollup: self.rollup,
                from: TxIndex(view.from_index),
                to: TxIndex(view.to_index),
                from_height: Height(view.from_height),
                to_height: Height(view.to_height),
            },
            old_root: view.old_root.parse().map_err(malformed)?,
            new_root: view.new_root.parse().map_err(malformed)?,
        };
        self.program
            .verify(&statement, &self.contents, &view.excluded, &proof)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(ProofReport {
            auction,
            from_index: statement.range.from,
            to_index: statement.range.to,
            prover: statement.prover,
            old_root: statement.old_root,
            new_root: statement.new_root,
            bytes: proof.len() as u64,
        })
    }
}

/// The range's transactions; `None` when the range is empty or not inside.
fn slice(
    transactions: &[OrderedTransaction],
    first: TxIndex,
    view: &ProofView,
) -> Option<Vec<OrderedTransaction>> {
    let from = usize::try_from(view.from_index.checked_sub(first.0)?).ok()?;
    let to = usize::try_from(view.to_index.checked_sub(first.0)?).ok()?;
    (from < to).then_some(())?;
    Some(transactions.get(from..to)?.to_vec())
}

fn bounds(view: &ProofView) -> VerifyError {
    VerifyError::Proof {
        auction: view.auction,
        reason: "its range is empty".into(),
    }
}

/// Whether a proof goes on where the last one ended.
fn connect(last: Option<(StateRoot, TxIndex)>, proof: &ProofReport) -> Result<(), VerifyError> {
    let Some((root, index)) = last else {
        return Ok(());
    };
    let refuse = |reason| VerifyError::Proof {
        auction: proof.auction,
        reason,
    };
    if proof.from_index != index {
        return Err(refuse(format!(
            "it starts at transaction {}, the one before ends at {index}",
            proof.from_index
        )));
    }
    if proof.old_root != root {
        return Err(refuse(format!(
            "it starts from root {}, the one before ends at {root}",
            proof.old_root
        )));
    }
    Ok(())
}

/// The name under which the API knows a proof system.
fn system_name(system: ProofSystem) -> &'static str {
    match system {
        ProofSystem::Winterfell => "winterfell",
    }
}
