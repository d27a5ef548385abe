//! Every refusal is JSON with its code, whatever is sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use conclave_types::{Height, codec, limits};
use tokio::sync::Notify;

use super::chain::{Chain, envelope};
use super::server::{Server, assert_refused};
use crate::backend::{ArchiveError, Backend, Refusal};
use crate::http::{ErrorCode, HttpLimits};

#[test]
fn codes_are_distinct_and_documented() {
    let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    let documentation = include_str!("../../../../../docs/api.md");
    assert!(
        documentation.contains(&ErrorCode::table()),
        "paste this into docs/api.md:\n{}",
        ErrorCode::table()
    );
}

#[tokio::test]
async fn bad_ids_are_refused() {
    let server = Server::start(Chain::with_market()).await;
    let short = "0".repeat(63);
    let bad = "z".repeat(64);
    for path in [
        &format!("/v1/envelopes/{short}"),
        &format!("/v1/envelopes/{bad}"),
        "/v1/envelopes/%FF",
        "/v1/blocks/-1",
        "/v1/blocks/18446744073709551616",
        "/v1/rollups/4294967296",
        "/v1/rollups/x/contents",
        "/v1/rollups/x/stream",
        "/v1/auctions/one",
        &format!("/v1/provers/{short}"),
        "/v1/proofs/1.5",
        &format!("/v1/accounts/{bad}"),
    ] {
        server.refused("GET", path, 400, "CV-API-001").await;
    }
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let server = Server::start(Chain::with_market()).await;
    let zero = "0".repeat(64);
    for path in [
        &format!("/v1/envelopes/{zero}"),
        "/v1/blocks/0",
        "/v1/blocks/7",
        "/v1/blocks/18446744073709551615",
        "/v1/rollups/8",
        "/v1/rollups/0",
        "/v1/rollups/8/contents",
        "/v1/rollups/8/stream",
        "/v1/auctions/3",
        &format!("/v1/provers/{zero}"),
        "/v1/proofs/2",
        "/v1/proofs?rollup=8",
    ] {
        server.refused("GET", path, 404, "CV-API-009").await;
    }
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let server = Server::start(Chain::with_market()).await;
    for path in [
        "/v1/fees",
        "/v1/fees?rollup=1&body_bytes=-1",
        "/v1/fees?rollup=1&body_bytes=524289",
        "/v1/fees?body_bytes=1168",
        "/v1/fees?rollup=1&body_bytes=1168&payer=me",
        "/v1/blocks?from=x",
        "/v1/blocks?limit=0",
        "/v1/blocks?limit=101",
        "/v1/rollups?limit=1001",
        "/v1/rollups/7/contents?from_height=5&to_height=4",
        "/v1/rollups/7/contents?proofs=yes",
        "/v1/rollups/7/stream?from_height=",
        "/v1/intents?rollup=x",
        "/v1/auctions?state=lost",
        "/v1/auctions?limit=99999999999999999999",
        "/v1/provers?after=00",
        "/v1/proofs",
        "/v1/proofs?rollup=7&limit=0",
        "/v1/events?limit=1001",
    ] {
        server.refused("GET", path, 400, "CV-API-002").await;
    }
}

#[tokio::test]
async fn extreme_heights_are_served() {
    let server = Server::start(Chain::with_market()).await;
    let max = u64::MAX;
    for path in [
        format!("/v1/blocks?from={max}"),
        format!("/v1/rollups/7/contents?from_height={max}"),
        format!("/v1/rollups/7/contents?from_height={max}&to_height={max}&proofs=true"),
        format!("/v1/rollups/7/contents?from_height=0&to_height={max}"),
        format!("/v1/events?from_height={max}"),
        format!("/v1/proofs?rollup=7&from_index={max}"),
        format!("/v1/auctions?before={max}"),
        "/v1/rollups/0/contents".to_owned(),
    ] {
        assert_eq!(server.get(&path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn unknown_routes_are_not_found() {
    let server = Server::start(Chain::new()).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/status",
        "/v1/blocks/",
        "/v1/rollups/7/streams",
        "/v1/%00",
    ] {
        server.refused("GET", path, 404, "CV-API-007").await;
        server.refused("POST", path, 404, "CV-API-007").await;
    }
}

#[tokio::test]
async fn bodies_that_are_no_envelope_are_refused() {
    let server = Server::start(Chain::new()).await;
    let valid = codec::encode(&envelope(&server.chain, b"body"));
    let mut trailing = valid.clone();
    trailing.push(0);
    for body in [
        vec![],
        vec![0xff; 300],
        valid[..valid.len() - 1].to_vec(),
        trailing,
    ] {
        assert_refused(server.submit(body).await, 400, "CV-API-003").await;
    }
    let largest = vec![0; limits::ENVELOPE_BYTES_MAX];
    assert_refused(server.submit(largest).await, 400, "CV-API-003").await;
    let too_large = vec![0; limits::ENVELOPE_BYTES_MAX + 1];
    assert_refused(server.submit(too_large).await, 413, "CV-API-005").await;
    let request = server
        .request("POST", "/v1/envelopes")
        .header("content-type", "application/json");
    let response = request.body(valid.clone()).send().await.expect("an answer");
    assert_refused(response, 415, "CV-API-006").await;
    let response = server
        .request("POST", "/v1/envelopes")
        .body(valid)
        .send()
        .await;
    assert_refused(response.expect("an answer"), 415, "CV-API-006").await;
}

#[tokio::test]
async fn refusals_keep_the_sequencers_code_and_get_its_status() {
    let server = Server::start(Chain::new()).await;
    let body = codec::encode(&envelope(&server.chain, b"body"));
    for (code, retry, status) in [
        ("CV-SEQ-002", false, 422),
        ("CV-SEQ-005", true, 422),
        ("CV-SEQ-007", false, 409),
        ("CV-SEQ-008", true, 402),
        ("CV-SEQ-009", true, 503),
    ] {
        *server.chain.refusal.lock().expect("not poisoned") = Some(Refusal {
            code,
            reason: "reason".into(),
            remedy: "remedy",
            retry,
        });
        let response = server.submit(body.clone()).await;
        let later = response.headers().contains_key("retry-after");
        assert_eq!(later, status == 503, "{code}");
        let error = assert_refused(response, status, code).await;
        assert_eq!(
            (error.message.as_str(), error.remedy.as_str()),
            ("reason", "remedy")
        );
    }
}

#[tokio::test]
async fn too_many_requests_are_turned_away_and_probes_still_answer() {
    let chain = Chain::new();
    let gate = Arc::new(Notify::new());
    *chain.gate.lock().expect("not poisoned") = Some(gate.clone());
    let limits = HttpLimits {
        requests: 1,
        ..HttpLimits::default()
    };
    let server = Arc::new(Server::with_limits(chain, limits).await);
    let mut arrived = server.chain.submissions.subscribe();
    let body = codec::encode(&envelope(&server.chain, b"body"));
    let first = tokio::spawn({
        let server = server.clone();
        async move { server.submit(body).await.status() }
    });
    arrived
        .wait_for(|count| *count == 1)
        .await
        .expect("the chain lives");
    let response = server.get("/v1/status").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_refused(response, 503, "CV-API-011").await;
    assert_eq!(server.get("/livez").await.status(), 200);
    assert_eq!(server.get("/metrics").await.status(), 200);
    gate.notify_one();
    assert_eq!(first.await.expect("answered"), 202);
    assert_eq!(server.get("/v1/status").await.status(), 200);
}

#[tokio::test]
async fn a_request_without_an_answer_times_out() {
    let chain = Chain::new();
    *chain.gate.lock().expect("not poisoned") = Some(Arc::new(Notify::new()));
    let limits = HttpLimits {
        request_timeout: Duration::from_millis(20),
        ..HttpLimits::default()
    };
    let server = Server::with_limits(chain, limits).await;
    let body = codec::encode(&envelope(&server.chain, b"body"));
    assert_refused(server.submit(body).await, 504, "CV-API-010").await;
}

/// What is only in the archive, and cannot be read there, is an error and never an empty answer.
#[tokio::test]
async fn history_that_the_archive_does_not_give_is_refused() {
    let chain = Chain::with_market();
    let last = chain.ledger().height();
    let damaged = ArchiveError::Damaged {
        first: Height(1),
        last,
        object: "segment".into(),
        reason: "its checksum is wrong".into(),
    };
    *chain.lost.lock().expect("not poisoned") = Some((last, damaged));
    let server = Server::start(chain).await;
    for path in [
        "/v1/blocks/1",
        "/v1/blocks?from=1",
        "/v1/events",
        "/v1/rollups/7/contents",
        "/v1/rollups/7/contents?proofs=true",
    ] {
        server.refused("GET", path, 503, "CV-API-015").await;
    }
}

/// A node that joined by a snapshot once answered for the heights before it that nothing was ordered.
#[tokio::test]
async fn heights_from_before_the_node_joined_are_refused() {
    let chain = Chain::with_market();
    chain.commit(&[]);
    let joined = chain.ledger().height();
    chain.commit(&[]);
    *chain.gap.lock().expect("not poisoned") = Some((Height(1), joined));
    let server = Server::start(chain.clone()).await;
    for path in [
        "/v1/rollups/7/contents",
        "/v1/rollups/7/contents?proofs=true",
        "/v1/rollups/7/links",
    ] {
        server.refused("GET", path, 503, "CV-API-016").await;
    }
    // What comes later it can tell, but not yet where the stream stands without it.
    let later = joined.next();
    let after = format!("/v1/rollups/7/contents?from_height={later}");
    let answer = server.request("GET", &after).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let with_digest = format!("{after}&proofs=true");
    server.refused("GET", &with_digest, 503, "CV-API-016").await;
    let links = format!("/v1/rollups/7/links?from_height={later}");
    server.refused("GET", &links, 503, "CV-API-016").await;
}
