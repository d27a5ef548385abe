//! The rollup's own stream, and what the ledger settled of it.

use std::sync::Arc;
use std::time::Duration;

use conclave_payments::PaymentContext;
use conclave_sdk::api::DeliveryView;
use conclave_sdk::{Client, FollowError, FollowFrom, Followed};
use conclave_types::{EnvelopeId, Height, RollupId, StateRoot, TxIndex};
use tokio::time::sleep;

use crate::RollupError;
use crate::node::{Phase, Phases, Shutdown, stopped};
use crate::owner::Handle;
use crate::replica::{Delivery, Judged};

/// Between looks at the settled root.
const SETTLED_POLL: Duration = Duration::from_millis(500);
/// Pause after all nodes failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Gaps in a row, each at every node, after which the node stops: nobody serves this stream.
const GAPS_MAX: u32 = 5;

/// Follows the stream.
pub(crate) struct Feed {
    pub(crate) client: Client,
    pub(crate) rollup: RollupId,
    pub(crate) context: PaymentContext,
    pub(crate) handle: Handle,
    pub(crate) phases: Arc<Phases>,
}

impl Feed {
    /// Executes everything from a position on. Ends with an error only when the stream cannot be
    /// followed at all; nodes that are down are waited for.
    pub(crate) async fn run(
        self,
        (height, index): (u64, u64),
        mut shutdown: Shutdown,
    ) -> Result<(), RollupError> {
        tokio::select! {
            result = self.follow(height, index) => result,
            () = stopped(&mut shutdown) => Ok(()),
        }
    }

    async fn follow(&self, height: u64, index: u64) -> Result<(), RollupError> {
        let target = self.target().await;
        if height > target {
            self.phases.enter(Phase::Ready);
        }
        let from = FollowFrom {
            height: Height(height),
            next_index: Some(TxIndex(index)),
            proofs: false,
        };
        let mut follow = self.client.follow(self.rollup, &from);
        let mut gaps = 0;
        loop {
            match follow.next().await {
                Ok(followed) => {
                    gaps = 0;
                    let next_index = follow.next_index().map_or(index, |next| next.0);
                    let Some(delivery) = self.judge(followed, next_index).await? else {
                        continue;
                    };
                    let reached = delivery.next_height > target;
                    if self.handle.deliver(delivery).await.is_err() {
                        return Ok(());
                    }
                    if reached {
                        self.phases.enter(Phase::Ready);
                    }
                }
                Err(error @ FollowError::Gap { .. }) if gaps >= GAPS_MAX => {
                    return Err(RollupError::Sequencer(error.to_string()));
                }
                Err(error) => {
                    gaps += u32::from(matches!(error, FollowError::Gap { .. }));
                    tracing::warn!(%error, "the stream is interrupted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The height that this node has caught up at: the chain's when it started.
    async fn target(&self) -> u64 {
        loop {
            match self.client.committee().await {
                Ok(committee) => return committee.height,
                Err(error) => {
                    tracing::warn!(%error, "no node says how high the chain is");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Turns a message of the stream into a delivery whose signatures are checked, on a worker
    /// thread.
    async fn judge(
        &self,
        followed: Followed,
        next_index: u64,
    ) -> Result<Option<Delivery>, RollupError> {
        let view = match followed {
            Followed::Progress(height) => {
                return Ok(Some(Delivery {
                    first_index: next_index,
                    next_height: height.0 + 1,
                    transactions: Vec::new(),
                    envelopes: Vec::new(),
                }));
            }
            Followed::Delivery(view) => view,
        };
        let context = self.context;
        let judged = tokio::task::spawn_blocking(move || judge(&context, &view)).await;
        let judged = judged.map_err(|error| RollupError::Part {
            part: "signature check",
            reason: error.to_string(),
        })?;
        judged.map(Some).map_err(RollupError::Sequencer)
    }
}

/// Checks the transactions of one height.
fn judge(context: &PaymentContext, view: &DeliveryView) -> Result<Delivery, String> {
    let unreadable = |what: &str, text: &str| {
        format!(
            "[CV-PAY-111] height {} delivers an unreadable {what} {text:.80}; follow nodes of the right version",
            view.height
        )
    };
    let mut transactions = Vec::new();
    let mut envelopes = Vec::new();
    for envelope in &view.envelopes {
        let id: EnvelopeId = envelope
            .id
            .parse()
            .map_err(|_| unreadable("envelope id", &envelope.id))?;
        envelopes.push(*id.as_bytes());
        for text in &envelope.transactions {
            let bytes = hex::decode(text).map_err(|_| unreadable("transaction", text))?;
            transactions.push(Judged::new(context, view.height, bytes));
        }
    }
    Ok(Delivery {
        first_index: view.first_index,
        next_height: view.height + 1,
        transactions,
        envelopes,
    })
}

/// Reports the settled index and root whenever they move.
pub(crate) async fn watch_settled(
    client: Client,
    rollup: RollupId,
    handle: Handle,
    mut shutdown: Shutdown,
) {
    let work = async {
        let mut last = None;
        loop {
            match client.rollup(rollup).await {
                Ok(view) => {
                    let root = view.settled_root.parse::<StateRoot>();
                    let seen = root.ok().map(|root| (view.settled_index, root.0.0));
                    if let Some((index, root)) = seen.filter(|_| seen != last) {
                        last = seen;
                        if handle.settle(index, root).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the settled root is not known"),
            }
            sleep(SETTLED_POLL).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stopped(&mut shutdown) => {}
    }
}
