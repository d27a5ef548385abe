//! Following a rollup's stream without gaps, over nodes that come and go.
//!
//! ```text
//! node A ──delivery 7, progress 9, ✗
//! node B ──────────────────────────── from 10: delivery 12 (first index checked) ──▶ next()
//! ```
//!
//! A delivery whose first index is not the next one is a gap: that node left something out or adds
//! something. The follower goes back to the last delivery it vouched for and asks another node.

use std::time::Duration;

use conclave_types::{Digest, Height, RollupId, TxIndex};

use crate::api::{DeliveryView, ProgressView};
use crate::sse::{Event, Parser};
use crate::{Client, ClientError, NodeFailure};

/// Where to begin.
#[derive(Debug, Clone)]
pub struct FollowFrom {
    /// The first height wanted.
    pub height: Height,
    /// The index of the first transaction at or after that height, if it is known. Otherwise the
    /// first delivery says it.
    pub next_index: Option<TxIndex>,
    /// Whether every height comes with what proves its contents.
    pub proofs: bool,
}

impl FollowFrom {
    /// From the beginning of the rollup.
    pub const fn start() -> Self {
        Self {
            height: Height(1),
            next_index: Some(TxIndex(0)),
            proofs: false,
        }
    }
}

/// What a follower yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// What one block delivered.
    Delivery(Box<DeliveryView>),
    /// Everything up to this height was delivered.
    Progress(Height),
}

/// A stream that cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// No node serves the stream.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Every node that was asked has a gap or another stream.
    #[error(
        "[CV-SDK-030] {node}: rollup {rollup} continues at transaction {found} of height {height}, expected {expected}; ask nodes you trust for the settled index"
    )]
    Gap {
        node: String,
        rollup: RollupId,
        height: Height,
        expected: TxIndex,
        found: TxIndex,
    },
}

/// A resumable follower; see [`Client::follow`].
pub struct Follow {
    client: Client,
    rollup: RollupId,
    proofs: bool,
    /// The next height to be covered.
    next: Height,
    next_index: Option<TxIndex>,
    /// The stream's digest after the last delivery.
    digest: Option<String>,
    /// Where to go back to when a gap shows: just after the last delivery.
    vouched: Height,
    node: usize,
    connection: Option<Connection>,
    /// Failures in a row, without an event between them.
    failures: Vec<NodeFailure>,
    gaps: usize,
}

struct Connection {
    response: reqwest::Response,
    parser: Parser,
}

impl Client {
    /// Follows a rollup's deliveries from a height on, at whichever node serves them. Dropping the
    /// follower closes the connection.
    pub fn follow(&self, rollup: RollupId, from: &FollowFrom) -> Follow {
        let height = from.height.max(Height(1));
        Follow {
            client: self.clone(),
            rollup,
            proofs: from.proofs,
            next: height,
            next_index: from.next_index,
            digest: None,
            vouched: height,
            node: self.preferred(),
            connection: None,
            failures: Vec::new(),
            gaps: 0,
        }
    }
}

impl Follow {
    /// The next delivery or progress, waited for. Cancelling the wait loses nothing.
    ///
    /// An error is given only after every node failed in all the client's rounds; calling again
    /// goes on from the same place.
    pub async fn next(&mut self) -> Result<Followed, FollowError> {
        loop {
            let event = match self.event().await {
                Ok(event) => event,
                Err(reason) => {
                    self.fail(reason).await?;
                    continue;
                }
            };
            match self.take(&event) {
                Ok(Some(followed)) => {
                    self.failures.clear();
                    return Ok(followed);
                }
                Ok(None) => {}
                Err(Trouble::Unreadable(reason)) => self.fail(reason).await?,
                Err(Trouble::Gap(error)) => self.go_back(error)?,
            }
        }
    }

    /// The next height to be covered: where to resume.
    pub fn next_height(&self) -> Height {
        self.next
    }

    /// The index that the next transaction will have, once it is known.
    pub fn next_index(&self) -> Option<TxIndex> {
        self.next_index
    }

    /// The stream's digest after the last delivery, as the node stated it.
    pub fn stream_digest(&self) -> Option<Digest> {
        self.digest.as_deref()?.parse().ok()
    }

    /// The follower as a [`futures::Stream`].
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<Followed, FollowError>> + Send {
        futures::stream::unfold(self, |mut follow| async {
            Some((follow.next().await, follow))
        })
    }

    async fn event(&mut self) -> Result<Event, String> {
        let idle = self.client.options().stream_idle;
        if self.connection.is_none() {
            let query = [
                ("from_height", self.next.to_string()),
                ("proofs", self.proofs.to_string()),
            ];
            let path = format!("/v1/rollups/{}/stream", self.rollup);
            let response = self.client.open_stream(self.node, &path, &query).await?;
            self.connection = Some(Connection {
                response,
                parser: Parser::default(),
            });
        }
        let Some(connection) = &mut self.connection else {
            return Err("not connected".into());
        };
        loop {
            if let Some(event) = connection.parser.pop() {
                return Ok(event);
            }
            let chunk = tokio::time::timeout(idle, connection.response.chunk())
                .await
                .map_err(|_| format!("silent for {idle:?}"))?
                .map_err(|error| error.to_string())?
                .ok_or("the node closed the stream")?;
            connection
                .parser
                .push(&chunk)
                .map_err(|_| "an event is longer than any honest one")?;
        }
    }

    fn take(&mut self, event: &Event) -> Result<Option<Followed>, Trouble> {
        let unreadable = |error: serde_json::Error| Trouble::Unreadable(error.to_string());
        match event.name.as_str() {
            "delivery" => {
                let delivery: DeliveryView =
                    serde_json::from_str(&event.data).map_err(unreadable)?;
                self.take_delivery(delivery)
            }
            "progress" => {
                let progress: ProgressView =
                    serde_json::from_str(&event.data).map_err(unreadable)?;
                let height = Height(progress.height);
                if height < self.next {
                    return Ok(None);
                }
                self.next = height.next();
                Ok(Some(Followed::Progress(height)))
            }
            _ => Ok(None),
        }
    }

    fn take_delivery(&mut self, delivery: DeliveryView) -> Result<Option<Followed>, Trouble> {
        let height = Height(delivery.height);
        if delivery.rollup != self.rollup.0 {
            return Err(Trouble::Unreadable("another rollup's delivery".into()));
        }
        if height < self.next {
            return Ok(None);
        }
        if self.proofs && height > self.next {
            return Err(Trouble::Unreadable(format!(
                "height {} was left out",
                self.next
            )));
        }
        let found = TxIndex(delivery.first_index);
        let expected = self.next_index.unwrap_or(found);
        // A height without contents leaves the stream's digest as it was.
        let same_digest = self.digest.as_ref().is_none_or(|digest| {
            !delivery.envelopes.is_empty() || *digest == delivery.stream_digest
        });
        if found != expected || !same_digest {
            return Err(Trouble::Gap(FollowError::Gap {
                node: self.client.nodes()[self.node % self.client.nodes().len()].clone(),
                rollup: self.rollup,
                height,
                expected,
                found,
            }));
        }
        let count: usize = delivery
            .envelopes
            .iter()
            .map(|envelope| envelope.transactions.len())
            .sum();
        self.next_index = Some(TxIndex(found.0 + count as u64));
        self.digest = Some(delivery.stream_digest.clone());
        self.next = height.next();
        self.vouched = self.next;
        self.gaps = 0;
        Ok(Some(Followed::Delivery(Box::new(delivery))))
    }

    /// Goes to the next node; after a whole round in vain, pauses first.
    async fn fail(&mut self, reason: String) -> Result<(), FollowError> {
        let nodes = self.client.nodes().len();
        let options = self.client.options();
        self.failures.push(NodeFailure {
            node: self.client.nodes()[self.node % nodes].clone(),
            reason,
        });
        let rounds = (self.failures.len() / nodes) as u32;
        let pause = match self.failures.len() % nodes {
            0 => backoff(options.backoff, options.backoff_max, rounds),
            _ => Duration::ZERO,
        };
        self.connection = None;
        self.node = (self.node + 1) % nodes;
        if rounds >= options.rounds.max(1) {
            let keep = self.failures.len() - nodes;
            let failures = self.failures.split_off(keep);
            self.failures.clear();
            return Err(ClientError::Unavailable { failures }.into());
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Leaves a node whose stream does not fit, and reads again from what is vouched for.
    fn go_back(&mut self, error: FollowError) -> Result<(), FollowError> {
        self.connection = None;
        self.next = self.vouched;
        self.node = (self.node + 1) % self.client.nodes().len();
        self.gaps += 1;
        if self.gaps >= self.client.nodes().len() {
            self.gaps = 0;
            return Err(error);
        }
        Ok(())
    }
}

/// What is wrong with an event.
enum Trouble {
    Unreadable(String),
    Gap(FollowError),
}

fn backoff(first: Duration, max: Duration, rounds: u32) -> Duration {
    first
        .saturating_mul(1 << rounds.saturating_sub(1).min(16))
        .min(max)
}
