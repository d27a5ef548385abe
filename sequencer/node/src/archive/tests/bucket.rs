//! The S3 side against a server that speaks as much of S3 as the archive uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use conclave_types::Height;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::{owner, segment};
use crate::archive::{Archive, ArchiveError, ArchivePlace};
use crate::shell::lock;

/// Objects by bucket and key.
type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn read(State(objects): State<Objects>, Path(name): Path<String>) -> Response {
    match lock(&objects).get(&name) {
        Some(object) => {
            let headers = [
                ("etag", "\"1\""),
                ("last-modified", "Fri, 27 Nov 2026 12:00:00 GMT"),
            ];
            (headers, object.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(
    State(objects): State<Objects>,
    Path(name): Path<String>,
    headers: HeaderMap,
    object: Bytes,
) -> Response {
    let signature = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|value| value.contains("Credential=operator/")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    lock(&objects).insert(name, object);
    [("etag", "\"1\"")].into_response()
}

async fn serve() -> (String, Objects) {
    let objects = Objects::default();
    let router = Router::new()
        .route("/{*name}", get(read).put(write))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(objects.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, objects)
}

fn bucket(endpoint: &str, key: &str, plain: bool) -> Archive {
    let environment = [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_REGION", "test"),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ALLOW_HTTP", if plain { "true" } else { "false" }),
        ("HOME", "/root"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let place = ArchivePlace::parse("s3://archive/mainland", environment.into_iter());
    Archive::open(&place.expect("a bucket"), owner(3), Handle::current()).expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_keeps_segments() {
    let (endpoint, objects) = serve().await;
    let written = segment(owner(3), 1, 256);
    let reference = bucket(&endpoint, "operator", true).write(&written).await;
    let reference = reference.expect("is taken");
    let name = lock(&objects).keys().next().cloned().expect("one object");
    let folder = format!("archive/mainland/{}/validator-3/", owner(3).chain);
    assert!(name.starts_with(&folder), "{name}");
    let fresh = bucket(&endpoint, "operator", true);
    assert_eq!(
        *fresh.read(Height(1), &reference).expect("is there"),
        written
    );
    lock(&objects).clear();
    let missing = bucket(&endpoint, "operator", true).read(Height(1), &reference);
    assert!(
        matches!(missing, Err(ArchiveError::Missing { .. })),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_is_an_error() {
    let (endpoint, objects) = serve().await;
    let refused = bucket(&endpoint, "stranger", true)
        .write(&segment(owner(3), 1, 2))
        .await;
    assert!(
        matches!(refused, Err(ArchiveError::Unreachable { .. })),
        "{refused:?}"
    );
    // Credentials never travel without TLS unless the operator said so.
    let refused = bucket(&endpoint, "operator", false)
        .write(&segment(owner(3), 1, 2))
        .await;
    assert!(
        matches!(refused, Err(ArchiveError::Unreachable { .. })),
        "{refused:?}"
    );
    assert!(lock(&objects).is_empty());
}
