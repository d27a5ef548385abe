//! The open-loop load: envelopes leave at their scheduled times whatever the validators do.
//!
//! ```text
//! schedule (a thread, precise) ─▶ a task for each envelope ─▶ POST at validator i mod n ─▶ Sent
//! after the run: GET each envelope where it was submitted ─▶ its times there, on the same clock
//! ```

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use conclave_sdk::api::{EnvelopeStage, EnvelopeTimes};
use conclave_sdk::{Client, ClientOptions};
use conclave_types::EnvelopeId;
use futures::StreamExt;
use futures::stream::iter;
use reqwest::StatusCode;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::sealed::SealedEnvelope;

/// How long a submission may take before it counts as refused.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether everything is open.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// Envelopes asked after at once.
const ASK_AT_ONCE: usize = 16;

/// A submission.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: EnvelopeId,
    /// The validator it was submitted at.
    pub(super) node: usize,
    /// When it was due to leave, in microseconds since the Unix epoch. Latency counts from here.
    pub(super) due_us: u64,
    /// `None` when it was acknowledged, else why not.
    pub(super) refused: Option<String>,
}

/// A submission and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) sent: Sent,
    pub(super) times: EnvelopeTimes,
}

/// The validators' APIs.
pub(super) struct Targets {
    http: reqwest::Client,
    urls: Vec<String>,
    clients: Vec<Client>,
}

impl Targets {
    pub(super) fn new(nodes: &[String]) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(SUBMIT_PATIENCE)
            .tcp_nodelay(true)
            .build()
            .context("[CV-CLI-094] no HTTP client; check the system's limits")?;
        let once = ClientOptions {
            rounds: 1,
            ..ClientOptions::default()
        };
        let clients = nodes
            .iter()
            .map(|node| Client::with_options([node], once.clone()));
        let clients = clients.collect::<Result<_, _>>()?;
        let urls = nodes
            .iter()
            .map(|node| format!("{node}/v1/envelopes"))
            .collect();
        Ok(Self {
            http,
            urls,
            clients,
        })
    }

    /// Submits all envelopes, `per_second` of them, and waits for the answers.
    pub(super) async fn offer(
        &self,
        envelopes: &[SealedEnvelope],
        per_second: f64,
    ) -> anyhow::Result<Vec<Sent>> {
        let jobs: Vec<(SealedEnvelope, usize)> = envelopes
            .iter()
            .enumerate()
            .map(|(index, envelope)| (envelope.clone(), index % self.urls.len()))
            .collect();
        let (http, urls, runtime) = (self.http.clone(), self.urls.clone(), Handle::current());
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let schedule = move || {
            let (start, start_us) = (Instant::now(), now_us());
            let send = |(at, (envelope, node)): (u32, (SealedEnvelope, usize))| {
                let due = interval * at;
                thread::sleep((start + due).saturating_duration_since(Instant::now()));
                let due_us = start_us + due.as_micros() as u64;
                runtime.spawn(submit(
                    http.clone(),
                    urls[node].clone(),
                    envelope,
                    node,
                    due_us,
                ))
            };
            (0..).zip(jobs).map(send).collect::<Vec<JoinHandle<Sent>>>()
        };
        let tasks = tokio::task::spawn_blocking(schedule).await?;
        let mut sent = Vec::with_capacity(tasks.len());
        for task in tasks {
            sent.push(task.await?);
        }
        Ok(sent)
    }

    /// Waits until the last acknowledged envelope of each validator is open there.
    pub(super) async fn drain(&self, sent: &[Sent], patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        for (node, client) in self.clients.iter().enumerate() {
            let last = sent
                .iter()
                .rfind(|sent| sent.node == node && sent.refused.is_none());
            let Some(last) = last else { continue };
            while Instant::now() < deadline {
                if client.envelope(last.id).await?.status == EnvelopeStage::Opened {
                    break;
                }
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        }
        Ok(())
    }

    /// Asks after each envelope where it was submitted.
    pub(super) async fn fates(&self, sent: Vec<Sent>) -> anyhow::Result<Vec<Fate>> {
        let ask = |sent: Sent| async move {
            if sent.refused.is_some() {
                return Ok(Fate {
                    sent,
                    times: EnvelopeTimes::default(),
                });
            }
            let view = self.clients[sent.node].envelope(sent.id).await?;
            let times = view.times.ok_or_else(|| {
                anyhow!(
                    "[CV-CLI-095] validator {} forgot {}; shorten the run",
                    sent.node,
                    sent.id
                )
            })?;
            Ok(Fate { sent, times })
        };
        let fates: Vec<anyhow::Result<Fate>> =
            iter(sent).map(ask).buffered(ASK_AT_ONCE).collect().await;
        fates.into_iter().collect()
    }
}

async fn submit(
    http: reqwest::Client,
    url: String,
    envelope: SealedEnvelope,
    node: usize,
    due_us: u64,
) -> Sent {
    let SealedEnvelope { id, bytes } = envelope;
    let request = http
        .post(url)
        .header("content-type", "application/octet-stream")
        .body(bytes);
    let refused = match request.send().await {
        Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
            // Reading the receipt lets the connection be used again.
            answer.bytes().await.err().map(|error| error.to_string())
        }
        Ok(answer) => Some(
            answer
                .text()
                .await
                .unwrap_or_else(|error| error.to_string()),
        ),
        Err(error) => Some(error.to_string()),
    };
    Sent {
        id,
        node,
        due_us,
        refused,
    }
}

/// Microseconds since the Unix epoch.
fn now_us() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    elapsed.as_micros() as u64
}
