//! A follower yields every transaction once and in order, or says who did not give it.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use conclave_types::{Height, RollupId, TxIndex};

use super::nodes::{answering, client, delivery, serve, streaming};
use crate::api::{ApiError, DeliveryView, TotalsView};
use crate::{ClientError, FollowError, FollowFrom, Followed};

fn chain() -> Vec<DeliveryView> {
    vec![
        delivery(2, 0, 3),
        delivery(3, 3, 1),
        delivery(7, 4, 2),
        delivery(8, 6, 1),
    ]
}

async fn collect(nodes: &[String], from: &FollowFrom, count: usize) -> Vec<Followed> {
    let mut follow = client(nodes).follow(RollupId(1), from);
    let mut items = Vec::new();
    while items.len() < count {
        items.push(follow.next().await.expect("the stream goes on"));
    }
    items
}

fn heights(items: &[Followed]) -> Vec<u64> {
    items
        .iter()
        .filter_map(|item| match item {
            Followed::Delivery(delivery) => Some(delivery.height),
            Followed::Progress(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_where_it_was() {
    for at_once in 1..=4 {
        let node = serve(streaming(chain(), at_once, 9)).await;
        let items = collect(&[node], &FollowFrom::start(), 5).await;
        assert_eq!(heights(&items), [2, 3, 7, 8]);
        assert_eq!(items[4], Followed::Progress(Height(9)));
    }
}

#[tokio::test]
async fn a_node_that_leaves_something_out_is_left() {
    let mut with_gap = chain();
    with_gap.remove(1);
    let liar = serve(streaming(with_gap, 4, 9)).await;
    let honest = serve(streaming(chain(), 4, 9)).await;
    let items = collect(&[liar, honest], &FollowFrom::start(), 5).await;
    assert_eq!(heights(&items), [2, 3, 7, 8]);
}

#[tokio::test]
async fn a_gap_at_every_node_is_an_error_that_names_it() {
    let mut with_gap = chain();
    with_gap.remove(1);
    let node = serve(streaming(with_gap, 4, 9)).await;
    let mut follow = client(&[node]).follow(RollupId(1), &FollowFrom::start());
    follow.next().await.expect("the first delivery fits");
    let error = follow.next().await.expect_err("a transaction is missing");
    assert!(matches!(
        error,
        FollowError::Gap {
            height: Height(7),
            expected: TxIndex(3),
            found: TxIndex(4),
            ..
        }
    ));
    assert_eq!(
        follow.next_height(),
        Height(3),
        "nothing after the gap counts"
    );
}

#[tokio::test]
async fn what_was_skipped_over_by_progress_is_fetched_again_elsewhere() {
    // The first node hides heights 3 to 7, says that it progressed, and goes on with 8.
    let hidden = vec![delivery(2, 0, 3), delivery(8, 6, 1)];
    let liar = serve(streaming(hidden, 4, 9)).await;
    let honest = serve(streaming(chain(), 4, 9)).await;
    let items = collect(&[liar, honest], &FollowFrom::start(), 5).await;
    assert_eq!(heights(&items), [2, 3, 7, 8]);
}

#[tokio::test]
async fn the_start_in_the_middle_is_taken_from_the_first_delivery() {
    let node = serve(streaming(chain(), 4, 9)).await;
    let from = FollowFrom {
        height: Height(7),
        next_index: None,
        proofs: false,
    };
    let mut follow = client(&[node]).follow(RollupId(1), &from);
    follow.next().await.expect("a delivery");
    follow.next().await.expect("a delivery");
    assert_eq!(follow.next_index(), Some(TxIndex(7)));
}

#[tokio::test]
async fn dead_and_broken_nodes_are_passed_over() {
    let dead = "http://127.0.0.1:1".to_owned();
    let (broken, _) = answering(StatusCode::SERVICE_UNAVAILABLE, "busy".into());
    let broken = serve(broken).await;
    let honest = serve(streaming(chain(), 4, 9)).await;
    let items = collect(&[dead.clone(), broken, honest], &FollowFrom::start(), 5).await;
    assert_eq!(heights(&items), [2, 3, 7, 8]);
    let mut follow = client(&[dead]).follow(RollupId(1), &FollowFrom::start());
    let error = follow.next().await.expect_err("nobody answers");
    assert!(matches!(
        error,
        FollowError::Client(ClientError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_a_failure_goes_to_the_next_node() {
    let error = ApiError {
        code: "CV-SEQ-007".into(),
        message: "used".into(),
        remedy: "take another".into(),
    };
    let text = serde_json::to_string(&error).expect("plain data");
    let totals = TotalsView {
        balances: 1,
        fee_accounts: 2,
        bonds: 3,
        funds: 4,
        pool: 5,
        other: 6,
        total: 21,
    };
    let (refusing, refusals) = answering(StatusCode::CONFLICT, text);
    let (failing, failures) = answering(StatusCode::INTERNAL_SERVER_ERROR, "broken".into());
    let (serving, served) = answering(
        StatusCode::OK,
        serde_json::to_string(&totals).expect("plain data"),
    );
    let (refusing, failing) = (serve(refusing).await, serve(failing).await);
    let serving = serve(serving).await;

    let refused = client(&[refusing, serving.clone()]).totals().await;
    assert_eq!(
        refused.expect_err("refused").refusal_code(),
        Some("CV-SEQ-007")
    );
    assert_eq!(served.load(Ordering::Relaxed), 0, "a refusal is final");
    assert_eq!(refusals.load(Ordering::Relaxed), 1);

    let both = client(&[failing, serving]);
    assert_eq!(both.totals().await.expect("served"), totals);
    assert_eq!(both.totals().await.expect("served"), totals);
    assert_eq!(
        failures.load(Ordering::Relaxed),
        1,
        "the node that served is asked first"
    );
}
