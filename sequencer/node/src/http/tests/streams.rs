//! A follower gets every delivery once, in order, whatever breaks in between.

use conclave_sdk::api::{DeliveryView, ProgressView};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::chain::Chain;
use super::server::{PATIENCE, Server, assert_refused};
use crate::http::HttpLimits;

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Delivery(Box<DeliveryView>),
    Progress(u64),
}

/// Reads the events of one connection, as a browser would.
struct Reader {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
}

impl Reader {
    async fn open(server: &Server, path: &str, last: Option<u64>) -> Self {
        let mut request = server.request("GET", path);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response
            .bytes_stream()
            .map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Self {
            bytes: bytes.boxed(),
            text: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let parsed = parse(event);
                self.text = rest.to_owned();
                match parsed {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next())
                .await
                .expect("in time")?;
            let chunk = chunk.ok()?;
            self.text
                .push_str(&String::from_utf8(chunk).expect("text is ASCII"));
        }
    }

    async fn events(&mut self, until: u64) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event| covered(event) < until) {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

fn covered(event: &Event) -> u64 {
    match event {
        Event::Delivery(delivery) => delivery.height,
        Event::Progress(height) => *height,
    }
}

fn parse(event: &str) -> Option<Event> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?;
    let parsed = match field("event: ").expect("a named event") {
        "delivery" => Event::Delivery(serde_json::from_str(data).expect("a delivery")),
        "progress" => {
            let progress: ProgressView = serde_json::from_str(data).expect("progress");
            Event::Progress(progress.height)
        }
        other => panic!("unknown event {other}"),
    };
    assert_eq!(field("id: ").expect("an id"), covered(&parsed).to_string());
    Some(parsed)
}

fn deliveries(events: &[Event]) -> Vec<(u64, u64)> {
    let delivered = events.iter().filter_map(|event| match event {
        Event::Delivery(delivery) => Some((delivery.height, delivery.first_index)),
        Event::Progress(_) => None,
    });
    delivered.collect()
}

#[tokio::test]
async fn history_comes_first_then_what_happens() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream", None).await;
    assert_eq!(deliveries(&reader.events(6).await), [(2, 0), (6, 2)]);
    server.chain.commit(&[]);
    assert_eq!(reader.next().await, Some(Event::Progress(7)));
    server.chain.commit(&[server.chain.contents(&[b"five"])]);
    assert_eq!(deliveries(&reader.events(8).await), [(8, 4)]);
}

#[tokio::test]
async fn a_stream_starts_at_the_height_asked_for() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream?from_height=3", None).await;
    assert_eq!(deliveries(&reader.events(6).await), [(6, 2)]);
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream?from_height=9", None).await;
    for _ in 7..=9 {
        server.chain.commit(&[server.chain.contents(&[b"more"])]);
    }
    assert_eq!(deliveries(&reader.events(9).await), [(9, 6)]);
}

#[tokio::test]
async fn the_system_rollup_can_be_followed() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/0/stream", None).await;
    let heights: Vec<_> = deliveries(&reader.events(6).await)
        .iter()
        .map(|(height, _)| *height)
        .collect();
    assert_eq!(heights, [1, 3, 5]);
}

#[tokio::test]
async fn resuming_after_any_event_leaves_no_gap_and_repeats_nothing() {
    let server = Server::start(Chain::with_market()).await;
    for round in 0..12 {
        let some: [&[u8]; 1] = [b"x"];
        let entries = if round % 3 == 0 {
            vec![]
        } else {
            vec![server.chain.contents(&some)]
        };
        server.chain.commit(&entries);
    }
    let path = "/v1/rollups/7/stream?from_height=1";
    let whole = deliveries(&Reader::open(&server, path, None).await.events(18).await);
    assert!(whole.len() >= 8);
    for cut in 0..=18 {
        let mut before = match cut {
            0 => vec![],
            _ => Reader::open(&server, path, None).await.events(cut).await,
        };
        let last = before.last().map(covered);
        if last != Some(18) {
            // The header goes before `from_height`, which browsers repeat.
            before.extend(Reader::open(&server, path, last).await.events(18).await);
        }
        assert_eq!(deliveries(&before), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn blocks_that_come_while_a_reader_is_away_are_not_missed() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream", None).await;
    let mut seen = reader.events(6).await;
    drop(reader);
    for _ in 7..=20 {
        server.chain.commit(&[server.chain.contents(&[b"x", b"y"])]);
    }
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream", Some(6)).await;
    seen.extend(reader.events(20).await);
    let indices: Vec<_> = deliveries(&seen).iter().map(|(_, index)| *index).collect();
    assert_eq!(indices, (0..32).step_by(2).collect::<Vec<_>>());
}

#[tokio::test]
async fn with_proofs_every_height_comes_with_its_block() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(
        &server,
        "/v1/rollups/7/stream?from_height=4&proofs=true",
        None,
    )
    .await;
    let mut events = reader.events(6).await;
    server.chain.commit(&[]);
    events.extend(reader.events(7).await);
    let heights: Vec<_> = deliveries(&events);
    assert_eq!(heights, [(4, 2), (5, 2), (6, 2), (7, 4)]);
    for event in &events {
        let Event::Delivery(delivery) = event else {
            panic!("every height is delivered");
        };
        assert_eq!(
            delivery.block.as_ref().map(|block| block.height),
            Some(delivery.height)
        );
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_falls_behind_and_then_gets_everything() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream", None).await;
    // More than the socket buffers hold, so that the stream has to wait for its reader.
    let large = vec![7_u8; 64 * 1024];
    for _ in 7..=206 {
        server.chain.commit(&[server.chain.contents(&[&large])]);
    }
    let events = reader.events(206).await;
    let indices: Vec<_> = deliveries(&events)
        .iter()
        .map(|(_, index)| *index)
        .collect();
    let expected: Vec<_> = [0, 2].into_iter().chain(4..204).collect();
    assert_eq!(indices, expected);
}

#[tokio::test]
async fn a_closing_node_ends_its_streams() {
    let server = Server::start(Chain::with_market()).await;
    let mut reader = Reader::open(&server, "/v1/rollups/7/stream", None).await;
    reader.events(6).await;
    server.closing.send_replace(true);
    assert_eq!(reader.next().await, None);
    server.task.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn streams_are_bounded_and_their_places_come_back() {
    let limits = HttpLimits {
        streams: 1,
        ..HttpLimits::default()
    };
    let server = Server::with_limits(Chain::with_market(), limits).await;
    let mut first = Reader::open(&server, "/v1/rollups/7/stream", None).await;
    first.events(6).await;
    let response = server.get("/v1/rollups/7/stream").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_refused(response, 503, "CV-API-012").await;
    drop(first);
    // The node notices the closed connection on its own time.
    let again = async {
        loop {
            server.chain.commit(&[]);
            if server.get("/v1/rollups/7/stream").await.status() == 200 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("the place comes back");
}

#[tokio::test]
async fn a_last_event_id_that_is_no_height_is_refused() {
    let server = Server::start(Chain::with_market()).await;
    for value in ["x", "-1", "", "18446744073709551616"] {
        let request = server
            .request("GET", "/v1/rollups/7/stream")
            .header("last-event-id", value);
        assert_refused(request.send().await.expect("an answer"), 400, "CV-API-004").await;
    }
}
