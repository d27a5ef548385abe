//! Every route gives what it promises, and the document is exactly the routes.

use std::collections::BTreeSet;

use conclave_sdk::api::*;
use conclave_types::{EpochSetup, codec, limits};
use serde_json::Value;

use super::chain::{Chain, PAYER, PROVER, envelope};
use super::server::Server;

/// Every route with valid parameters.
const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "/v1/envelopes", "/v1/envelopes"),
    ("GET", "/v1/envelopes/{id}", "/v1/envelopes/ENVELOPE"),
    ("GET", "/v1/fees", "/v1/fees?rollup=7&body_bytes=1168"),
    ("GET", "/v1/committee", "/v1/committee"),
    ("GET", "/v1/status", "/v1/status"),
    ("GET", "/v1/blocks", "/v1/blocks?from=1&limit=3"),
    ("GET", "/v1/blocks/{height}", "/v1/blocks/2"),
    ("GET", "/v1/epochs/{epoch}/handoff", "/v1/epochs/1/handoff"),
    ("GET", "/v1/rollups", "/v1/rollups?from=0&limit=10"),
    ("GET", "/v1/rollups/{id}", "/v1/rollups/7"),
    (
        "GET",
        "/v1/rollups/{id}/contents",
        "/v1/rollups/7/contents?from_height=1&to_height=6&proofs=true",
    ),
    (
        "GET",
        "/v1/rollups/{id}/ledger-proof",
        "/v1/rollups/7/ledger-proof",
    ),
    (
        "GET",
        "/v1/rollups/{id}/links",
        "/v1/rollups/7/links?from_height=1&limit=5",
    ),
    (
        "GET",
        "/v1/rollups/{id}/stream",
        "/v1/rollups/7/stream?from_height=1&proofs=false",
    ),
    ("GET", "/v1/validators", "/v1/validators"),
    ("GET", "/v1/epochs/{epoch}", "/v1/epochs/0"),
    ("GET", "/v1/intents", "/v1/intents?rollup=7"),
    (
        "GET",
        "/v1/auctions",
        "/v1/auctions?rollup=7&state=settled&before=9&limit=5",
    ),
    ("GET", "/v1/auctions/{id}", "/v1/auctions/1"),
    ("GET", "/v1/provers", "/v1/provers?limit=5"),
    ("GET", "/v1/provers/{account}", "/v1/provers/PROVER"),
    (
        "GET",
        "/v1/proofs",
        "/v1/proofs?rollup=7&from_index=0&limit=5",
    ),
    ("GET", "/v1/proofs/{auction}", "/v1/proofs/1"),
    ("GET", "/v1/accounts/{account}", "/v1/accounts/PAYER"),
    ("GET", "/v1/totals", "/v1/totals"),
    ("GET", "/v1/events", "/v1/events?from_height=1&limit=50"),
    ("GET", "/v1/openapi.json", "/v1/openapi.json"),
    ("GET", "/livez", "/livez"),
    ("GET", "/readyz", "/readyz"),
    ("GET", "/metrics", "/metrics"),
];

async fn market() -> Server {
    Server::start(Chain::with_market()).await
}

/// A valid request of a route; submissions carry a valid envelope.
async fn ask(server: &Server, method: &str, example: &str) -> reqwest::Response {
    if method == "POST" {
        return server
            .submit(codec::encode(&envelope(&server.chain, b"body")))
            .await;
    }
    let delivery: DeliveryView = server
        .json::<ContentsView>("/v1/rollups/7/contents")
        .await
        .deliveries
        .remove(0);
    let path = example
        .replace("ENVELOPE", &delivery.envelopes[0].id)
        .replace("PROVER", &PROVER.to_string())
        .replace("PAYER", &PAYER.to_string());
    server.get(&path).await
}

#[tokio::test]
async fn the_document_lists_exactly_the_mounted_routes() {
    let server = market().await;
    let document: Value = server.json("/v1/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let expected: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, _)| ((*method).into(), (*path).into()))
        .collect();
    assert_eq!(documented, expected);
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let error = &operation["responses"]["default"]["content"]["application/json"]["schema"];
            assert_eq!(
                error["$ref"], "#/components/schemas/ApiError",
                "{method} {path}"
            );
        }
    }
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for name in named {
        assert!(
            schemas.contains_key(&name),
            "{name} is referred to and not there"
        );
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_documented_route_answers_and_takes_no_other_method() {
    let server = market().await;
    for (method, path, example) in ROUTES {
        let status = ask(&server, method, example).await.status();
        assert!(status.is_success(), "{method} {path}: {status}");
        for other in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if !ROUTES
                .iter()
                .any(|(method, route, _)| (method, route) == (&other, path))
            {
                server.refused(other, example, 405, "CV-API-008").await;
            }
        }
    }
}

#[tokio::test]
async fn every_route_refuses_unknown_and_repeated_parameters() {
    let server = market().await;
    for (method, _, example) in ROUTES {
        let separator = if example.contains('?') { '&' } else { '?' };
        let example = example
            .replace("ENVELOPE", &"0".repeat(64))
            .replace("PROVER", &PROVER.to_string())
            .replace("PAYER", &PAYER.to_string());
        server
            .refused(
                method,
                &format!("{example}{separator}surprise=1"),
                400,
                "CV-API-002",
            )
            .await;
        if let Some((_, parameters)) = example.split_once('?') {
            server
                .refused(
                    method,
                    &format!("{example}&{parameters}"),
                    400,
                    "CV-API-002",
                )
                .await;
        }
    }
}

#[tokio::test]
async fn a_submission_is_answered_with_its_receipt() {
    let server = market().await;
    let envelope = envelope(&server.chain, b"body");
    let response = server.submit(codec::encode(&envelope)).await;
    assert_eq!(response.status(), 202);
    let receipt: ReceiptView = response.json().await.expect("a receipt");
    assert_eq!(receipt.envelope, envelope.header.id().to_string());
    assert_eq!((receipt.height, receipt.deadline), (6, 500));
}

#[tokio::test]
async fn an_envelope_is_found_where_it_was_ordered() {
    let server = market().await;
    let contents: ContentsView = server.json("/v1/rollups/7/contents").await;
    let id = &contents.deliveries[0].envelopes[0].id;
    let view: EnvelopeView = server.json(&format!("/v1/envelopes/{id}")).await;
    assert_eq!((view.status, view.height), (EnvelopeStage::Opened, Some(2)));
}

#[tokio::test]
async fn fees_follow_the_genesis() {
    let server = market().await;
    let quote: FeeQuote = server.json("/v1/fees?rollup=7&body_bytes=1168").await;
    assert_eq!(
        (quote.body_bytes, quote.fee, quote.tariff),
        (1168, 120, limits::TARIFF_BASE)
    );
    assert_eq!(quote.malformed_surcharge, 500);
}

#[tokio::test]
async fn the_committee_and_the_status_are_told() {
    let server = market().await;
    let committee: CommitteeView = server.json("/v1/committee").await;
    assert_eq!(
        (committee.total_weight, committee.quorum, committee.height),
        (4, 3, 6)
    );
    assert_eq!(committee.validators[3].name, "validator-3");
    assert_eq!(committee.sealing_key, "01".repeat(32));
    let status: StatusView = server.json("/v1/status").await;
    assert_eq!((status.chain, status.executed_height), (committee.chain, 6));
}

#[tokio::test]
async fn blocks_are_listed_ascending_from_a_height_or_up_to_the_last() {
    let server = market().await;
    let heights = |blocks: Vec<BlockView>| blocks.iter().map(|b| b.height).collect::<Vec<_>>();
    assert_eq!(heights(server.json("/v1/blocks?limit=2").await), [5, 6]);
    assert_eq!(
        heights(server.json("/v1/blocks?from=2&limit=3").await),
        [2, 3, 4]
    );
    assert_eq!(
        heights(server.json("/v1/blocks?from=0").await),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(heights(server.json("/v1/blocks?from=7").await), [0; 0]);
    let block: BlockView = server.json("/v1/blocks/2").await;
    assert_eq!((block.batches.len(), block.batches[0].envelopes), (1, 1));
    let bytes = hex::decode(&block.block).expect("hex");
    let decoded: conclave_types::Block = codec::decode(&bytes, 1 << 20).expect("a block");
    assert_eq!(decoded.id().to_string(), block.id);
}

#[tokio::test]
async fn a_rollup_shows_how_far_it_is() {
    let server = market().await;
    let rollup: RollupView = server.json("/v1/rollups/7").await;
    assert_eq!(
        (
            rollup.ordered_index,
            rollup.intended_index,
            rollup.settled_index
        ),
        (4, 4, 2)
    );
    assert_eq!((rollup.ordered_height, rollup.settled_height), (6, 2));
    assert_eq!(rollup.settled_root, "08".repeat(32));
    assert_eq!(
        (rollup.proof_systems.as_slice(), rollup.proofs_required),
        (["winterfell".to_owned()].as_slice(), 1)
    );
    let all: Vec<RollupView> = server.json("/v1/rollups").await;
    assert_eq!(all, [rollup]);
    let none: Vec<RollupView> = server.json("/v1/rollups?from=8").await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn contents_are_in_order_and_say_how_far_they_go() {
    let server = market().await;
    let all: ContentsView = server.json("/v1/rollups/7/contents").await;
    assert_eq!((all.from_height, all.to_height), (1, 6));
    let heights: Vec<_> = all
        .deliveries
        .iter()
        .map(|d| (d.height, d.first_index))
        .collect();
    assert_eq!(heights, [(2, 0), (6, 2)]);
    assert_eq!(
        all.deliveries[1].envelopes[0].transactions,
        [hex::encode("three"), hex::encode("four")]
    );
    assert!(all.deliveries[0].block.is_none());

    let part: ContentsView = server
        .json("/v1/rollups/7/contents?from_height=3&to_height=5")
        .await;
    assert_eq!((part.to_height, part.deliveries.len()), (5, 0));
    let ahead: ContentsView = server
        .json("/v1/rollups/7/contents?from_height=40&to_height=50")
        .await;
    assert_eq!(
        (ahead.from_height, ahead.to_height, ahead.deliveries.len()),
        (40, 39, 0)
    );
}

#[tokio::test]
async fn contents_with_proofs_cover_every_height_with_its_block() {
    let server = market().await;
    let plain: ContentsView = server.json("/v1/rollups/7/contents").await;
    let (second, sixth) = (&plain.deliveries[0], &plain.deliveries[1]);
    for from in 1..=6 {
        let path = format!("/v1/rollups/7/contents?from_height={from}&proofs=true");
        let proven: ContentsView = server.json(&path).await;
        let heights: Vec<_> = proven.deliveries.iter().map(|d| d.height).collect();
        assert_eq!(heights, (from..=6).collect::<Vec<_>>());
        for delivery in &proven.deliveries {
            let block = delivery.block.as_ref().expect("proofs were asked for");
            assert_eq!(
                (block.height, block.time_ms),
                (delivery.height, delivery.time_ms)
            );
            let (index, digest) = match delivery.height {
                1 => (0, "0".repeat(64)),
                2 => (0, second.stream_digest.clone()),
                6 => (2, sixth.stream_digest.clone()),
                _ => (2, second.stream_digest.clone()),
            };
            assert_eq!(
                (delivery.first_index, &delivery.stream_digest),
                (index, &digest),
                "{}",
                delivery.height
            );
        }
    }
}

#[tokio::test]
async fn the_market_is_shown_from_intent_to_payment() {
    let server = market().await;
    let settled: AuctionView = server.json("/v1/auctions/1").await;
    assert_eq!(
        (settled.state.as_str(), settled.round, settled.sealed_bids),
        ("settled", 1, 1)
    );
    assert_eq!(
        (settled.from_index, settled.to_index, settled.price_max),
        (0, 2, 200)
    );
    assert_eq!(
        (settled.winner.as_deref(), settled.price),
        (Some(PROVER.to_string().as_str()), Some(150))
    );
    assert_eq!(
        (settled.settled_by.clone(), settled.paid),
        (settled.winner.clone(), Some(150))
    );
    assert_eq!((settled.bids.len(), settled.bids[0].rank), (1, Some(1)));
    assert_eq!(settled.closes_ms - settled.opened_ms, 500);

    let open: Vec<AuctionView> = server.json("/v1/intents").await;
    assert_eq!(
        (open.len(), open[0].id, open[0].state.as_str()),
        (1, 2, "bidding")
    );
    let other: Vec<AuctionView> = server.json("/v1/intents?rollup=8").await;
    assert!(other.is_empty());
    let ids = |list: Vec<AuctionView>| list.iter().map(|auction| auction.id).collect::<Vec<_>>();
    assert_eq!(ids(server.json("/v1/auctions").await), [2, 1]);
    assert_eq!(ids(server.json("/v1/auctions?limit=1").await), [2]);
    assert_eq!(ids(server.json("/v1/auctions?before=2").await), [1]);
    assert_eq!(ids(server.json("/v1/auctions?state=settled").await), [1]);
    assert_eq!(ids(server.json("/v1/auctions?rollup=8").await), [0; 0]);

    let proofs: Vec<ProofView> = server.json("/v1/proofs?rollup=7").await;
    assert_eq!(
        (
            proofs.len(),
            proofs[0].proof.is_none(),
            proofs[0].proof_bytes
        ),
        (1, true, 100)
    );
    let later: Vec<ProofView> = server.json("/v1/proofs?rollup=7&from_index=1").await;
    assert!(later.is_empty());
    let proof: ProofView = server.json("/v1/proofs/1").await;
    assert_eq!(proof.proof.map(|hex| hex.len()), Some(200));
}

#[tokio::test]
async fn provers_and_accounts_show_their_money_and_it_adds_up() {
    let server = market().await;
    let prover: ProverView = server.json(&format!("/v1/provers/{PROVER}")).await;
    assert_eq!(
        (
            prover.bond_free,
            prover.bond_locked,
            prover.slots,
            prover.jobs
        ),
        (50_000, 0, 2, 0)
    );
    assert_eq!((prover.armed, prover.settled, prover.missed), (true, 1, 0));
    let all: Vec<ProverView> = server.json("/v1/provers").await;
    assert_eq!(all.as_slice(), std::slice::from_ref(&prover));
    let after: Vec<ProverView> = server.json(&format!("/v1/provers?after={PROVER}")).await;
    assert!(after.is_empty());

    let account: AccountView = server.json(&format!("/v1/accounts/{PROVER}")).await;
    assert_eq!(account.balance, prover.balance);
    assert_eq!(account.balance, 1_000_000 - 50_000 + 150);
    assert!(account.fees < 1_000_000 && account.sequence.is_some());
    let nobody: AccountView = server
        .json(&format!("/v1/accounts/{}", "ab".repeat(32)))
        .await;
    assert_eq!((nobody.balance, nobody.fees, nobody.sequence), (0, 0, None));

    let totals: TotalsView = server.json("/v1/totals").await;
    let parts = [
        totals.balances,
        totals.fee_accounts,
        totals.bonds,
        totals.funds,
        totals.pool,
        totals.other,
    ];
    assert_eq!(parts.iter().sum::<u64>(), totals.total);
    // The prover's bond, and those of four validators.
    let bonds = 50_000 + 4 * 1_000_000;
    assert_eq!((totals.total, totals.bonds), (8_000_000, bonds));
}

#[tokio::test]
async fn validators_and_epochs_are_served_from_the_ledger() {
    let server = market().await;
    let all: ValidatorsView = server.json("/v1/validators").await;
    assert_eq!((all.epoch, all.key_generation), (0, None));
    assert_eq!(all.validators.len(), 4);
    for (slot, view) in (0..).zip(&all.validators) {
        assert_eq!(
            (view.validator.index, view.standing.as_str()),
            (slot, "serving")
        );
        assert_eq!((view.weight, view.weight_wanted), (1, 1));
        assert_eq!((view.bond, view.forfeited), (1_000_000, None));
    }
    let epoch: EpochView = server.json("/v1/epochs/0").await;
    assert_eq!((epoch.ready, epoch.first, epoch.last), (0, Some(1), None));
    let setup = hex::decode(epoch.setup.expect("serves")).expect("hexadecimal");
    let setup: EpochSetup = codec::decode(&setup, setup.len()).expect("canonical");
    let genesis = crate::backend::Backend::genesis(&*server.chain);
    assert_eq!(setup, genesis.first_epoch());
    assert_eq!(epoch.digest, setup.digest().to_string());
    assert_eq!(epoch.sealing_key, Some(setup.sealing.key.to_string()));
    assert_eq!(server.get("/v1/epochs/1").await.status(), 404);
}

#[tokio::test]
async fn events_are_whole_heights_in_order() {
    let server = market().await;
    let all: Vec<EventView> = server.json("/v1/events").await;
    assert!(all.is_sorted_by_key(|event| event.height));
    assert_eq!(
        all.first().map(|event| event.kind.as_str()),
        Some("RollupRegistered")
    );
    let one: Vec<EventView> = server.json("/v1/events?from_height=5&limit=1").await;
    let fifth: Vec<EventView> = all.into_iter().filter(|event| event.height == 5).collect();
    assert!(
        fifth.len() > 1,
        "several things happen when a range settles"
    );
    assert_eq!(one, fifth);
    let ahead: Vec<EventView> = server.json("/v1/events?from_height=7").await;
    assert!(ahead.is_empty());
}

#[tokio::test]
async fn probes_and_metrics_answer_in_their_formats() {
    let server = market().await;
    let live: ProbeView = server.json("/livez").await;
    let ready: ProbeView = server.json("/readyz").await;
    assert_eq!(
        (live.status.as_str(), ready.status.as_str()),
        ("live", "ready")
    );
    let metrics = server.get("/metrics").await;
    assert_eq!(
        metrics.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert!(
        metrics
            .text()
            .await
            .expect("text")
            .contains("conclave_height 6")
    );
    *server.chain.ready.lock().expect("not poisoned") = Err("2 of 3 peers are missing".into());
    let response = server.get("/readyz").await;
    let error = super::server::assert_refused(response, 503, "CV-API-013").await;
    assert_eq!(error.message, "2 of 3 peers are missing");
}
