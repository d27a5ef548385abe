//! A whole range: every height, then the settled proofs over its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_types::{
    AuctionId, BlockId, Height, ProofSystem, Range, RollupId, StateRoot, Statement, TxIndex, limits,
};

use super::delivery::next_index;
use super::{Auditor, ProofReport, RangeReport, RangeRequest, VerifiedDelivery, VerifyError};
use crate::api::{DeliveryView, ProofView};
use crate::{Client, OrderedTransaction, Program, program_of};

/// Proofs asked for at once.
const PROOFS_PAGE: usize = 100;

impl Auditor {
    /// Verifies a rollup's contents over a range of heights, and every settled proof whose
    /// transactions all lie in it. Names exactly what fails.
    pub async fn range(
        self: &Arc<Self>,
        client: &Client,
        request: &RangeRequest,
    ) -> Result<RangeReport, VerifyError> {
        // 1. Every height, in order, with its block and all its envelopes.
        let mut walk = Walk::new(request);
        while walk.next <= request.to {
            let page = client
                .contents(request.rollup, walk.next, request.to, true)
                .await?;
            if page.deliveries.is_empty() {
                return Err(VerifyError::Short {
                    rollup: request.rollup,
                    served: Height(walk.next.0.saturating_sub(1)),
                    wanted: request.to,
                });
            }
            let auditor = self.clone();
            walk = offload(move || {
                for view in &page.deliveries {
                    walk.take(&auditor, view)?;
                }
                Ok(walk)
            })
            .await?;
        }

        // 2. The settled proofs over these transactions.
        let (mut report, transactions) = walk.finish();
        let mut last = request.anchor.map(|root| (root, report.first_index));
        let mut from = report.first_index;
        loop {
            let page = client.proofs(request.rollup, from, PROOFS_PAGE).await?;
            let Some(final_view) = page.last() else { break };
            from = TxIndex(final_view.from_index.saturating_add(1));
            let full = page.len() == PROOFS_PAGE;
            let past = page
                .iter()
                .any(|view| view.from_index >= report.next_index.0);
            for view in page {
                if view.from_index >= report.next_index.0 {
                    break;
                }
                let inside =
                    view.from_index >= report.first_index.0 && view.to_index <= report.next_index.0;
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
                let contents =
                    slice(&transactions, report.first_index, &view).ok_or_else(|| bounds(&view))?;
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
            if past || !full {
                break;
            }
        }
        self.check_settled(client, &report).await?;
        Ok(report)
    }
}

impl Auditor {
    /// When the proofs reach the settled index, they must lead to the stated root.
    async fn check_settled(
        &self,
        client: &Client,
        report: &RangeReport,
    ) -> Result<(), VerifyError> {
        let Some((found, index)) = report.settled() else {
            return Ok(());
        };
        let rollup = client.rollup(report.rollup).await?;
        if rollup.settled_index == index.0 && rollup.settled_root != found.to_string() {
            return Err(VerifyError::SettledRoot {
                stated: rollup.settled_root,
                found,
            });
        }
        Ok(())
    }
}

/// Verification takes milliseconds of CPU per block and proof, which the reactor must not wait for.
async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("blocking work is never cancelled while it is waited for"),
        },
    }
}

/// The blocks so far.
struct Walk {
    rollup: RollupId,
    from: Height,
    next: Height,
    /// The last final block, once there is one.
    parent: Option<BlockId>,
    first_index: Option<TxIndex>,
    next_index: TxIndex,
    envelopes: u64,
    outcomes: BTreeMap<String, u64>,
    transactions: Vec<OrderedTransaction>,
}

impl Walk {
    fn new(request: &RangeRequest) -> Self {
        let from = request.from.max(Height(1));
        Self {
            rollup: request.rollup,
            from,
            next: from,
            parent: None,
            // Nothing is ordered before the first block.
            first_index: (from == Height(1)).then_some(TxIndex(0)),
            next_index: TxIndex(0),
            envelopes: 0,
            outcomes: BTreeMap::new(),
            transactions: Vec::new(),
        }
    }

    fn take(&mut self, auditor: &Auditor, view: &DeliveryView) -> Result<(), VerifyError> {
        let height = self.next;
        let malformed = |what| VerifyError::Malformed { height, what };
        let block = view.block.as_ref().ok_or_else(|| malformed("the block"))?;
        if view.height != height.0 || block.height != height.0 {
            return Err(malformed("the delivery of this height"));
        }
        let final_block = auditor.block(block)?;
        let found = final_block.block.header.parent;
        if let Some(expected) = self.parent.filter(|expected| *expected != found) {
            return Err(VerifyError::Fork {
                height,
                found,
                expected,
            });
        }
        let delivery = auditor.delivery(self.rollup, &final_block.block, view)?;
        self.check_index(&delivery)?;
        self.parent = Some(final_block.id);
        self.next = height.next();
        self.next_index = next_index(&delivery);
        self.envelopes += view.envelopes.len() as u64;
        for (outcome, count) in delivery.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.transactions.extend(delivery.transactions);
        Ok(())
    }

    fn check_index(&mut self, delivery: &VerifiedDelivery) -> Result<(), VerifyError> {
        let found = delivery.first_index;
        let expected = match self.first_index {
            Some(first) => TxIndex(first.0 + self.transactions.len() as u64),
            None => found,
        };
        self.first_index.get_or_insert(found);
        match found == expected {
            true => Ok(()),
            false => Err(VerifyError::Index {
                height: delivery.height,
                expected,
                found,
            }),
        }
    }

    fn finish(self) -> (RangeReport, Vec<OrderedTransaction>) {
        let first_index = self.first_index.unwrap_or_default();
        let report = RangeReport {
            rollup: self.rollup,
            from: self.from,
            to: Height(self.next.0 - 1),
            blocks: self.next.0 - self.from.0,
            envelopes: self.envelopes,
            outcomes: self.outcomes,
            first_index,
            next_index: TxIndex(first_index.0 + self.transactions.len() as u64),
            proofs: Vec::new(),
            proofs_skipped: 0,
        };
        (report, self.transactions)
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
