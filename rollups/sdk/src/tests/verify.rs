//! A real chain verifies from its genesis; the same chain with anything changed does not.

use conclave_types::{
    Block, CommitCertificate, EnvelopeId, Height, Receipt, TxIndex, ValidatorIndex, codec,
};

use super::audit::Node;
use super::chain::{Chain, ROLLUP};
use crate::api::{DeliveryView, ReceiptView};
use crate::{Auditor, VerifyError, verify_receipt};

/// After the registration, three blocks: two envelopes, none, one; and one that names the ledger of
/// the last.
fn chain() -> (Chain, Vec<DeliveryView>) {
    let mut chain = Chain::new();
    let register = chain.register(ROLLUP);
    let first = chain.extend(vec![register]);
    let sent = vec![
        chain.envelope(&[b"one", b"two"]),
        chain.envelope(&[b"three"]),
    ];
    let two = chain.extend(sent);
    let none = chain.extend(vec![]);
    let sent = vec![chain.envelope(&[b"four"])];
    let one = chain.extend(sent);
    let last = chain.extend(vec![]);
    (chain, vec![first, two, none, one, last])
}

#[tokio::test]
async fn an_honest_chain_verifies() {
    let (chain, deliveries) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let node = Node::of(&chain, deliveries);
    let report = node.clone().audit(&auditor, 1, None).await.expect("honest");
    assert_eq!((report.blocks, report.envelopes), (3, 3));
    assert_eq!(
        (report.first_index, report.next_index()),
        (Some(TxIndex(0)), Some(TxIndex(4)))
    );
    assert_eq!(report.outcomes.get("opened"), Some(&3));
    let tail = node.audit(&auditor, 3, None).await.expect("honest");
    assert_eq!((tail.first_index, tail.transactions), (Some(TxIndex(3)), 1));
}

#[tokio::test]
async fn anything_changed_is_found_and_named() {
    let (chain, deliveries) = chain();
    let honest = Node::of(&chain, deliveries);
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    type Change = (&'static str, fn(&mut Vec<DeliveryView>), &'static str);
    let changes: [Change; 13] = [
        (
            "an envelope is left out",
            |d| drop(d[1].envelopes.pop()),
            "CV-LIGHT-011",
        ),
        (
            "two envelopes are swapped",
            |d| d[1].envelopes.swap(0, 1),
            "CV-LIGHT-012",
        ),
        (
            "an envelope is added",
            |d| {
                let copy = d[1].envelopes[0].clone();
                d[2].envelopes.push(copy);
            },
            "CV-LIGHT-011",
        ),
        (
            "a header is changed",
            |d| {
                let header = &mut d[3].envelopes[0].header;
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
                d[1].envelopes[0].transactions[1] = hex::encode(b"TWO");
            },
            "CV-SDK-043",
        ),
        (
            "a transaction is left out",
            |d| drop(d[1].envelopes[0].transactions.pop()),
            "CV-SDK-043",
        ),
        (
            "a body is changed",
            |d| {
                let body = d[1].envelopes[1].body.as_mut().expect("opened");
                body.replace_range(0..2, if body.starts_with("00") { "11" } else { "00" });
            },
            "CV-SDK-043",
        ),
        (
            "another envelope's opening is given",
            |d| {
                d[1].envelopes[0].opening = d[3].envelopes[0].opening.clone();
            },
            "CV-SDK-043",
        ),
        (
            "a readable envelope is called malformed",
            |d| {
                d[3].envelopes[0].outcome = "malformed".into();
                d[3].envelopes[0].transactions.clear();
            },
            "CV-SDK-043",
        ),
        (
            "an envelope in time is called expired",
            |d| {
                let envelope = &mut d[3].envelopes[0];
                envelope.outcome = "expired".into();
                envelope.transactions.clear();
                (envelope.opening, envelope.body) = (None, None);
            },
            "CV-SDK-043",
        ),
        ("a height is left out", |d| drop(d.remove(2)), "CV-SDK-04"),
        (
            "an index is shifted",
            |d| d[3].first_index += 1,
            "CV-SDK-044",
        ),
        (
            "the certificate is of another block",
            |d| {
                let other = d[1].block.as_ref().expect("a block").certificate.clone();
                d[3].block.as_mut().expect("a block").certificate = other;
            },
            "CV-LIGHT-007",
        ),
    ];
    for (what, change, code) in changes {
        let mut node = honest.clone();
        change(&mut node.deliveries);
        let result = node.audit(&auditor, 1, None).await;
        let error = result.expect_err(what).to_string();
        assert!(error.contains(code), "{what}: {error}");
    }
}

#[test]
fn a_block_without_a_quorum_is_not_final() {
    let (chain, deliveries) = chain();
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let mut view = deliveries[1].block.clone().expect("a block");
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
    let view = deliveries.remove(1);
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
    let view = deliveries[1].block.as_ref().expect("a block");
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
    let verify =
        |view: &ReceiptView| verify_receipt(&chain.genesis.first_epoch(), id, envelope, view);
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
