//! What the member does over the network, each piece as one task whose result comes back.

use std::sync::Arc;
use std::time::Duration;

use conclave_sdk::api::{AccountView, AuctionView, ProverView, RollupView};
use conclave_sdk::{
    Client, ClientError, FollowError, FollowFrom, Followed, Gateway, GatewayError, ProvenRange,
};
use conclave_types::{
    AccountId, Amount, AuctionId, ProofSubmission, ProofSystem, RollupId, SystemOp, TxIndex,
};
use tokio::sync::{mpsc, watch};

use crate::jobs::Submission;

/// How long a submitted operation may take to be executed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a stream that no node serves is asked for again.
const FOLLOW_RETRY: Duration = Duration::from_secs(1);
/// Transactions read ahead of the settled ones. The ledger has at most 4 ranges of 1,024 under way,
/// so this never starves a job; at 2.5 KB a payment it is about 80 MB.
const AHEAD_MAX: u64 = 32 * 1024;

/// A look at the market.
pub(crate) struct MarketView {
    pub(crate) auctions: Vec<AuctionView>,
    /// The slower part, not part of every look.
    pub(crate) standing: Option<Standing>,
}

/// The member's own standing, and its rollups.
pub(crate) struct Standing {
    pub(crate) account: Option<AccountView>,
    pub(crate) prover: Option<ProverView>,
    pub(crate) rollups: Vec<RollupView>,
}

/// Looks at the market.
pub(crate) async fn look(
    client: Client,
    me: AccountId,
    standing: bool,
) -> Result<MarketView, ClientError> {
    let auctions = client.intents(None);
    if !standing {
        return Ok(MarketView {
            auctions: auctions.await?,
            standing: None,
        });
    }
    let (auctions, account, prover, rollups) = tokio::join!(
        auctions,
        client.account(me),
        client.prover(me),
        client.rollups()
    );
    Ok(MarketView {
        auctions: auctions?,
        standing: Some(Standing {
            account: found(account)?,
            prover: found(prover)?,
            rollups: rollups?,
        }),
    })
}

/// Seals a bid until the auction's close and submits it.
pub(crate) async fn bid(
    gateway: Arc<Gateway>,
    auction: AuctionId,
    price: Amount,
) -> Result<(), GatewayError> {
    let envelope = gateway.bid(auction, price).await?;
    gateway.submit(&envelope).await?;
    Ok(())
}

/// Submits a proof and waits for the ledger's word on it.
pub(crate) async fn submit(
    gateway: Arc<Gateway>,
    auction: AuctionId,
    system: ProofSystem,
    proven: Arc<ProvenRange>,
) -> Submission {
    let op = SystemOp::SubmitProof(ProofSubmission {
        auction,
        system,
        new_root: proven.new_root,
        excluded: proven.excluded.clone(),
        proof: proven.proof.clone(),
    });
    match gateway.perform(&op, PATIENCE).await {
        Ok(_) => Submission::Accepted,
        Err(GatewayError::NoEffect { code, reason }) => Submission::refused(&code, &reason),
        Err(GatewayError::Client(error)) => match error.refusal_code() {
            Some(code @ "CV-SEQ-008") => Submission::refused(code, &error.to_string()),
            _ => Submission::later(error.to_string()),
        },
        Err(error) => Submission::later(error.to_string()),
    }
}

/// Carries out one operation for the member's standing.
pub(crate) async fn upkeep(gateway: Arc<Gateway>, op: SystemOp) -> Result<(), GatewayError> {
    gateway.perform(&op, PATIENCE).await?;
    Ok(())
}

/// Sends what a rollup's stream yields until the receiver is gone; errors are sent too, and the
/// follower goes on after them. It does not read further than [`AHEAD_MAX`] past `settled`.
pub(crate) async fn follow(
    client: Client,
    rollup: RollupId,
    from: FollowFrom,
    mut settled: watch::Receiver<TxIndex>,
    sender: mpsc::Sender<(RollupId, Result<Followed, FollowError>)>,
) {
    let mut follow = client.follow(rollup, &from);
    loop {
        let next = follow.next().await;
        let failed = next.is_err();
        if sender.send((rollup, next)).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(FOLLOW_RETRY).await;
        }
        let read = follow.next_index().unwrap_or_default();
        let near = |settled: &TxIndex| read.0 <= settled.0.saturating_add(AHEAD_MAX);
        if settled.wait_for(near).await.is_err() {
            return;
        }
    }
}

/// Absence is an answer.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(view) => Ok(Some(view)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
