//! Small HTTP servers that stand where nodes would, each with one behaviour.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;

use crate::api::{DeliveredEnvelope, DeliveryView, ProgressView};
use crate::{Client, ClientOptions};

/// Serves a router on a port of its own; it ends with the test's runtime.
pub(super) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A client without long pauses.
pub(super) fn client(nodes: &[String]) -> Client {
    let options = ClientOptions {
        rounds: 2,
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        stream_idle: Duration::from_secs(5),
        ..ClientOptions::default()
    };
    Client::with_options(nodes.iter().cloned(), options).expect("valid URLs")
}

/// A delivery of so many transactions.
pub(super) fn delivery(height: u64, first_index: u64, count: u64) -> DeliveryView {
    let transactions = (0..count).map(|n| format!("{:04x}", first_index + n));
    DeliveryView {
        malformed_evidence: Vec::new(),
        inconsistent_evidence: vec![],
        rollup: 1,
        height,
        time_ms: height * 1_000,
        first_index,
        envelopes: vec![DeliveredEnvelope {
            id: format!("{height}"),
            payer: String::new(),
            header: String::new(),
            outcome: "opened".into(),
            opening: None,
            body: None,
            transactions: transactions.collect(),
        }],
        stream_digest: format!("{height:064x}"),
        block: None,
    }
}

#[derive(Deserialize)]
struct From {
    from_height: u64,
}

/// A node that streams these deliveries, `at_once` of them before it closes the connection, and
/// progress up to `height` in the end.
pub(super) fn streaming(deliveries: Vec<DeliveryView>, at_once: usize, height: u64) -> Router {
    let handler = move |Query(from): Query<From>| async move {
        let due = deliveries.iter().filter(|d| d.height >= from.from_height);
        let mut text = String::new();
        let mut sent = 0;
        for delivery in due.clone().take(at_once) {
            let data = serde_json::to_string(delivery).expect("plain data");
            text += &format!("event: delivery\nid: {}\ndata: {data}\n\n", delivery.height);
            sent += 1;
        }
        if sent == due.count() {
            let data = serde_json::to_string(&ProgressView { height }).expect("plain data");
            text += &format!("event: progress\nid: {height}\ndata: {data}\n\n");
        }
        ([("content-type", "text/event-stream")], text).into_response()
    };
    Router::new().route("/v1/rollups/{id}/stream", get(handler))
}

/// A node that always answers the same, and counts how often.
pub(super) fn answering(status: StatusCode, body: String) -> (Router, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let router = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let body = body.clone();
        async move { (status, body) }
    });
    (router, count)
}
