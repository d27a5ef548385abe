//! A real chain verifies from its genesis; the same chain with anything changed does not.

use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use conclave_types::{
    Block, CommitCertificate, EnvelopeId, Height, Receipt, TxIndex, ValidatorIndex, codec,
};
use serde::Deserialize;

use super::chain::{Chain, ROLLUP};
use super::nodes::{client, serve};
use crate::api::{ContentsView, DeliveryView, ReceiptView};
use crate::{Auditor, RangeReport, RangeRequest, VerifyError, verify_receipt};

/// Three blocks: two envelopes, none, one.
fn chain() -> (Chain, Vec<DeliveryView>) {
    let mut chain = Chain::new();
    let a: &[&[u8]] = &[b"one", b"two"];
    let b: &[&[u8]] = &[b"three"];
    let c: &[&[u8]] = &[b"four"];
    let first = [(chain.envelope(a), a), (chain.envelope(b), b)];
    let last = [(chain.envelope(c), c)];
    let deliveries = vec![chain.extend(&first), chain.extend(&[]), chain.extend(&last)];
    (chain, deliveries)
}

#[derive(Deserialize)]
struct Wanted {
    from_height: u64,
    to_height: u64,
}

/// Verifies what a node that serves these deliveries, two at a time, says.
async fn audit(
    auditor: &Arc<Auditor>,
    deliveries: Vec<DeliveryView>,
    from: u64,
) -> Result<RangeReport, VerifyError> {
    let to = deliveries.len() as u64;
    let contents = move |Query(wanted): Query<Wanted>| async move {
        let inside = deliveries
            .iter()
            .filter(|d| (wanted.from_height..=wanted.to_height).contains(&d.height));
        let deliveries: Vec<_> = inside.take(2).cloned().collect();
        axum::Json(ContentsView {
            rollup: ROLLUP.0,
            from_height: wanted.from_height,
            to_height: deliveries.last().map_or(0, |last| last.height),
            deliveries,
        })
    };
    let router = Router::new()
        .route("/v1/rollups/{id}/contents", get(contents))
        .route("/v1/proofs", get(|| async { axum::Json(Vec::<()>::new()) }));
    let node = serve(router).await;
    let request = RangeRequest {
        rollup: ROLLUP,
        from: Height(from),
        to: Height(to),
        anchor: None,
        programs: vec![],
    };
    auditor.range(&client(&[node]), &request).await
}

#[tokio::test]
async fn an_honest_chain_verifies() {
    let (chain, deliveries) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let report = audit(&auditor, deliveries.clone(), 1)
        .await
        .expect("honest");
    assert_eq!((report.blocks, report.envelopes), (3, 3));
    assert_eq!(
        (report.first_index, report.next_index),
        (TxIndex(0), TxIndex(4))
    );
    assert_eq!(report.outcomes.get("opened"), Some(&3));
    let tail = audit(&auditor, deliveries, 2).await.expect("honest");
    assert_eq!((tail.first_index, tail.transactions()), (TxIndex(3), 1));
}

#[tokio::test]
async fn anything_changed_is_found_and_named() {
    let (chain, honest) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    type Change = (&'static str, fn(&mut Vec<DeliveryView>), &'static str);
    let changes: [Change; 13] = [
        (
            "an envelope is left out",
            |d| drop(d[0].envelopes.pop()),
            "CV-LIGHT-011",
        ),
        (
            "two envelopes are swapped",
            |d| d[0].envelopes.swap(0, 1),
            "CV-LIGHT-012",
        ),
        (
            "an envelope is added",
            |d| {
                let copy = d[0].envelopes[0].clone();
                d[1].envelopes.push(copy);
            },
            "CV-LIGHT-011",
        ),
        (
            "a header is changed",
            |d| {
                let header = &mut d[2].envelopes[0].header;
                let last = header.len() - 140;
                let digit = if header.as_bytes()[last] == b'0' {
                    "1"
                } else {
                    "0"
                };
                header.replace_range(last..=last, digit);
            },
            "CV-LIGHT-012",
        ),
        (
            "a transaction is changed",
            |d| {
                d[0].envelopes[0].transactions[1] = hex::encode(b"TWO");
            },
            "CV-SDK-043",
        ),
        (
            "a transaction is left out",
            |d| drop(d[0].envelopes[0].transactions.pop()),
            "CV-SDK-043",
        ),
        (
            "a body is changed",
            |d| {
                let body = d[0].envelopes[1].body.as_mut().expect("opened");
                body.replace_range(0..2, if body.starts_with("00") { "11" } else { "00" });
            },
            "CV-SDK-043",
        ),
        (
            "another envelope's opening is given",
            |d| {
                d[0].envelopes[0].opening = d[2].envelopes[0].opening.clone();
            },
            "CV-SDK-043",
        ),
        (
            "a readable envelope is called malformed",
            |d| {
                d[2].envelopes[0].outcome = "malformed".into();
                d[2].envelopes[0].transactions.clear();
            },
            "CV-SDK-043",
        ),
        (
            "an envelope in time is called expired",
            |d| {
                let envelope = &mut d[2].envelopes[0];
                envelope.outcome = "expired".into();
                envelope.transactions.clear();
                (envelope.opening, envelope.body) = (None, None);
            },
            "CV-SDK-043",
        ),
        ("a height is left out", |d| drop(d.remove(1)), "CV-SDK-04"),
        (
            "an index is shifted",
            |d| d[2].first_index += 1,
            "CV-SDK-044",
        ),
        (
            "the certificate is of another block",
            |d| {
                let other = d[0].block.as_ref().expect("a block").certificate.clone();
                d[2].block.as_mut().expect("a block").certificate = other;
            },
            "CV-LIGHT-007",
        ),
    ];
    for (what, change, code) in changes {
        let mut deliveries = honest.clone();
        change(&mut deliveries);
        let result = audit(&auditor, deliveries, 1).await;
        let error = result.expect_err(what).to_string();
        assert!(error.contains(code), "{what}: {error}");
    }
}

#[test]
fn a_block_without_a_quorum_is_not_final() {
    let (chain, deliveries) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let mut view = deliveries[0].block.clone().expect("a block");
    let bytes = hex::decode(&view.certificate).expect("hexadecimal");
    let mut certificate: CommitCertificate = codec::decode(&bytes, 4096).expect("own encoding");
    certificate.aggregate.signers = Default::default();
    certificate.aggregate.signers.insert(ValidatorIndex(0));
    view.certificate = hex::encode(codec::encode(&certificate));
    assert!(matches!(
        auditor.block(&view),
        Err(VerifyError::Certificate { .. })
    ));
}

#[test]
fn a_block_with_another_body_is_not_verified() {
    let (chain, mut deliveries) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let view = deliveries.remove(0);
    let final_block = auditor
        .block(view.block.as_ref().expect("a block"))
        .expect("honest");
    let stripped = Block {
        batches: vec![],
        ..final_block.block
    };
    let mut empty = view;
    empty.envelopes.clear();
    let error = auditor
        .delivery(ROLLUP, &stripped, &empty)
        .expect_err("no batches");
    assert!(error.to_string().contains("CV-LIGHT-009"), "{error}");
}

#[test]
fn another_chains_genesis_verifies_nothing() {
    let (_, deliveries) = chain();
    let stranger = Auditor::new(&Chain::new().genesis).expect("a valid genesis");
    let view = deliveries[0].block.as_ref().expect("a block");
    assert!(matches!(
        stranger.block(view),
        Err(VerifyError::WrongBlock { .. })
    ));
}

#[test]
fn a_receipt_counts_only_with_its_validators_signature() {
    let chain = Chain::new();
    let id = chain.genesis.chain_id();
    let envelope: EnvelopeId = "11".repeat(32).parse().expect("32 bytes");
    let mut receipt = Receipt {
        chain: id,
        envelope,
        validator: ValidatorIndex(2),
        height: Height(5),
        deadline: Height(205),
        signature: conclave_types::EdSignature([0; 64]),
    };
    receipt.signature = chain.transport(2).sign(&receipt.message());
    let view = ReceiptView {
        chain: id.to_string(),
        envelope: envelope.to_string(),
        validator: 2,
        height: 5,
        deadline: 205,
        signature: receipt.signature.to_string(),
    };
    let verify = |view: &ReceiptView| verify_receipt(&chain.genesis, id, envelope, view);
    assert_eq!(verify(&view).expect("signed"), receipt);
    let changes: [fn(&mut ReceiptView); 5] = [
        |view| view.validator = 1,
        |view| view.validator = 9,
        |view| view.deadline = 206,
        |view| view.envelope = "22".repeat(32),
        |view| view.signature.replace_range(0..2, "zz"),
    ];
    for change in changes {
        let mut changed = view.clone();
        change(&mut changed);
        assert!(verify(&changed).is_err(), "{changed:?}");
    }
}
