//! The API on a loopback port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conclave_sdk::api::ApiError;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::chain::Chain;
use crate::http::{HttpLimits, ServeError, bind, router, serve};

/// More than any answer here takes; a test that waits longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Server {
    pub(super) chain: Arc<Chain>,
    pub(super) address: SocketAddr,
    pub(super) closing: watch::Sender<bool>,
    pub(super) task: JoinHandle<Result<(), ServeError>>,
    http: reqwest::Client,
}

impl Server {
    pub(super) async fn start(chain: Arc<Chain>) -> Self {
        Self::with_limits(chain, HttpLimits::default()).await
    }

    pub(super) async fn with_limits(chain: Arc<Chain>, limits: HttpLimits) -> Self {
        let closing = watch::Sender::new(false);
        let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = router(chain.clone(), limits.clone(), closing.subscribe());
        let closed = closing.subscribe();
        let task = tokio::spawn(async move { serve(listener, router, &limits, closed).await });
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Self {
            chain,
            address,
            closing,
            task,
            http,
        }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http
            .request(method, format!("http://{}{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Response {
        self.request("GET", path).send().await.expect("an answer")
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    pub(super) async fn submit(&self, body: Vec<u8>) -> reqwest::Response {
        let request = self.request("POST", "/v1/envelopes");
        let request = request
            .header("content-type", "application/octet-stream")
            .body(body);
        request.send().await.expect("an answer")
    }

    /// Asserts that a request is refused with this status and code, as JSON with a remedy.
    pub(super) async fn refused(&self, method: &str, path: &str, status: u16, code: &str) {
        let response = self.request(method, path).send().await.expect("an answer");
        assert_refused(response, status, code).await;
    }
}

pub(super) async fn assert_refused(
    response: reqwest::Response,
    status: u16,
    code: &str,
) -> ApiError {
    let what = response.url().to_string();
    let found = response.status().as_u16();
    let json = response
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind == "application/json");
    let text = response.text().await.expect("a body");
    assert_eq!((found, json), (status, true), "{what}: {text}");
    let error: ApiError = serde_json::from_str(&text).expect("an API error");
    assert_eq!(error.code, code, "{what}: {text}");
    assert!(
        !error.message.is_empty() && !error.remedy.is_empty(),
        "{what}"
    );
    error
}
