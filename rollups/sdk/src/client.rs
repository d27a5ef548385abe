//! Requests to several nodes: the next one is asked when one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::api::ApiError;
use crate::{ClientError, NodeFailure};

/// Bytes of one answer; the largest is a page of contents with proofs, a few batches of 4 MiB in
/// hexadecimal.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long to wait for nodes, and how often to ask.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For a connection to one node.
    pub connect_timeout: Duration,
    /// For one whole answer of one node; streams have no such limit.
    pub request_timeout: Duration,
    /// How often all nodes are tried before giving up, at least once.
    pub rounds: u32,
    /// Pause after the first round in vain; doubles with each.
    pub backoff: Duration,
    /// The most the pause grows to.
    pub backoff_max: Duration,
    /// After how long a silent stream is taken to be dead. Nodes report progress at every block,
    /// so this is many heartbeats.
    pub stream_idle: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(20),
            rounds: 4,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            stream_idle: Duration::from_secs(15),
        }
    }
}

/// A client of one or more nodes. Cheap to clone; clones share connections and the preference for
/// the node that answered last.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    nodes: Arc<[String]>,
    preferred: Arc<AtomicUsize>,
    options: ClientOptions,
}

/// What one node said.
enum Attempt<T> {
    Done(T),
    /// Another node may do better.
    Failed(String),
    /// Every node would say so.
    Refused(ClientError),
}

impl Client {
    /// A client of the nodes at these base URLs, tried in this order at first.
    pub fn new<S: Into<String>>(nodes: impl IntoIterator<Item = S>) -> Result<Self, ClientError> {
        Self::with_options(nodes, ClientOptions::default())
    }

    /// A client with its own timeouts.
    pub fn with_options<S: Into<String>>(
        nodes: impl IntoIterator<Item = S>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let refuse = |reason| ClientError::Nodes { reason };
        let mut checked = Vec::new();
        for node in nodes {
            let node = node.into().trim_end_matches('/').to_owned();
            match reqwest::Url::parse(&node) {
                Ok(url) if url.scheme() == "http" && url.has_host() => checked.push(node),
                _ => return Err(refuse(format!("{node:?} is not the base URL of a node"))),
            }
        }
        if checked.is_empty() {
            return Err(refuse("no node was named".into()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .no_proxy()
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            http,
            nodes: checked.into(),
            preferred: Arc::new(AtomicUsize::new(0)),
            options,
        })
    }

    /// The base URLs, in the order they were given.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// A client of one of this client's nodes only; `None` past the end.
    pub fn only(&self, node: usize) -> Option<Self> {
        Some(Self {
            nodes: Arc::new([self.nodes.get(node)?.clone()]),
            preferred: Arc::new(AtomicUsize::new(0)),
            ..self.clone()
        })
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(crate) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed) % self.nodes.len()
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.request(Method::GET, path, query, None).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.request(Method::POST, path, &[], Some(body)).await
    }

    /// Opens a stream at one node; no failover, which is the follower's business.
    pub(crate) async fn open_stream(
        &self,
        node: usize,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<reqwest::Response, String> {
        let request = self
            .http
            .get(format!("{}{path}", self.nodes[node % self.nodes.len()]))
            .query(query)
            .header("accept", "text/event-stream");
        let answer = tokio::time::timeout(self.options.request_timeout, request.send()).await;
        let response = answer
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| reason(&error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(match read(response).await {
                Ok(bytes) => describe(&refusal(&bytes, status)),
                Err(reason) => format!("status {status}: {reason}"),
            }),
        }
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<T, ClientError> {
        let body = body.map(bytes::Bytes::from);
        let mut failures = Vec::new();
        let mut pause = self.options.backoff;
        for round in 0..self.options.rounds.max(1) {
            if round > 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(self.options.backoff_max);
            }
            failures.clear();
            let first = self.preferred();
            for node in (0..self.nodes.len()).map(|step| (first + step) % self.nodes.len()) {
                let request = self
                    .http
                    .request(method.clone(), format!("{}{path}", self.nodes[node]))
                    .query(query)
                    .timeout(self.options.request_timeout);
                let request = match &body {
                    Some(body) => request
                        .header("content-type", "application/octet-stream")
                        .body(body.clone()),
                    None => request,
                };
                match self.attempt(node, request).await {
                    Attempt::Done(answer) => {
                        self.preferred.store(node, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Attempt::Refused(error) => return Err(error),
                    Attempt::Failed(reason) => failures.push(NodeFailure {
                        node: self.nodes[node].clone(),
                        reason,
                    }),
                }
            }
        }
        Err(ClientError::Unavailable { failures })
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        node: usize,
        request: reqwest::RequestBuilder,
    ) -> Attempt<T> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Failed(reason(&error)),
        };
        let status = response.status();
        let bytes = match read(response).await {
            Ok(bytes) => bytes,
            Err(reason) => return Attempt::Failed(reason),
        };
        if status.is_success() {
            return match serde_json::from_slice(&bytes) {
                Ok(answer) => Attempt::Done(answer),
                Err(error) => Attempt::Failed(format!("unreadable answer: {error}")),
            };
        }
        let error = refusal(&bytes, status);
        // A full, starting or broken node is not the end: another may have room.
        let elsewhere = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT;
        if elsewhere {
            return Attempt::Failed(describe(&error));
        }
        Attempt::Refused(ClientError::Refused {
            node: self.nodes[node].clone(),
            status: status.as_u16(),
            error,
        })
    }
}

/// The whole body, up to the bound.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!(
                "the answer is longer than {ANSWER_BYTES_MAX} bytes"
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The node's error, or one made up from the status when the body is not one.
fn refusal(bytes: &[u8], status: StatusCode) -> ApiError {
    serde_json::from_slice(bytes).unwrap_or_else(|_| ApiError {
        code: format!("HTTP-{}", status.as_u16()),
        message: String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned(),
        remedy: "check that the URL is a node's".into(),
    })
}

fn describe(error: &ApiError) -> String {
    format!("[{}] {}", error.code, error.message)
}

/// The innermost cause, which says more than "error sending request".
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() {
        return "no answer in time".into();
    }
    cause.to_string()
}
