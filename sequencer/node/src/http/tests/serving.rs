//! Listening, stalled peers, and closing.

use std::sync::Arc;
use std::time::Duration;

use conclave_types::codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::chain::{Chain, envelope};
use super::server::{PATIENCE, Server};
use crate::http::{HttpLimits, ServeError, bind};

#[tokio::test]
async fn a_port_in_use_is_told_with_a_code_and_a_remedy() {
    let server = Server::start(Chain::new()).await;
    let error = bind(server.address).await.expect_err("the port is taken");
    assert!(matches!(error, ServeError::InUse { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("[CV-API-101]") && text.contains("choose another port"),
        "{text}"
    );
    // An address of the documentation range is none of this host's.
    let error = bind(([192, 0, 2, 1], 0).into())
        .await
        .expect_err("not our address");
    assert!(error.to_string().starts_with("[CV-API-102]"), "{error}");
}

#[tokio::test]
async fn a_peer_that_sends_nothing_is_dropped() {
    let limits = HttpLimits {
        idle_timeout: Duration::from_millis(30),
        ..HttpLimits::default()
    };
    let server = Server::with_limits(Chain::new(), limits).await;
    for sent in [&b""[..], b"GET /livez HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(sent).await.expect("sent");
        let mut answer = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        // The end may come as a reset; what counts is that it comes.
        let _ = end.expect("the node ends the connection");
        assert!(answer.is_empty());
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let limits = HttpLimits {
        connections: 1,
        ..HttpLimits::default()
    };
    let server = Server::with_limits(Chain::new(), limits).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: node\r\n\r\n";
    let mut answer = [0; 12];
    let mut first = TcpStream::connect(server.address).await.expect("connected");
    first.write_all(request).await.expect("sent");
    first.read_exact(&mut answer).await.expect("answered");
    let mut second = TcpStream::connect(server.address)
        .await
        .expect("queued by the kernel");
    second.write_all(request).await.expect("sent");
    drop(first);
    let read = tokio::time::timeout(PATIENCE, second.read_exact(&mut answer)).await;
    read.expect("in time")
        .expect("answered once the first is gone");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn closing_lets_open_requests_finish_and_takes_no_more() {
    let chain = Chain::new();
    let gate = Arc::new(Notify::new());
    *chain.gate.lock().expect("not poisoned") = Some(gate.clone());
    let server = Arc::new(Server::start(chain).await);
    let mut arrived = server.chain.submissions.subscribe();
    let body = codec::encode(&envelope(&server.chain, b"body"));
    let open = tokio::spawn({
        let server = server.clone();
        async move { server.submit(body).await.status() }
    });
    arrived
        .wait_for(|count| *count == 1)
        .await
        .expect("the chain lives");
    server.closing.send_replace(true);
    gate.notify_one();
    assert_eq!(open.await.expect("answered"), 202);
    let server = Arc::into_inner(server).expect("the only one");
    server.task.await.expect("no panic").expect("a clean end");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn closing_does_not_wait_for_a_request_that_never_ends() {
    let chain = Chain::new();
    *chain.gate.lock().expect("not poisoned") = Some(Arc::new(Notify::new()));
    let limits = HttpLimits {
        shutdown_grace: Duration::from_millis(20),
        ..HttpLimits::default()
    };
    let server = Arc::new(Server::with_limits(chain, limits).await);
    let mut arrived = server.chain.submissions.subscribe();
    let body = codec::encode(&envelope(&server.chain, b"body"));
    let request = server.request("POST", "/v1/envelopes");
    let request = request
        .header("content-type", "application/octet-stream")
        .body(body);
    let open = tokio::spawn(request.send());
    arrived
        .wait_for(|count| *count == 1)
        .await
        .expect("the chain lives");
    server.closing.send_replace(true);
    let server = Arc::into_inner(server).expect("the only one");
    server.task.await.expect("no panic").expect("a clean end");
    open.abort();
}
