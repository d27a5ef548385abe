//! What a node says that envelopes came to counts only if the ledger holds it, under a root that a
//! final header names. Each lie is told twice: carelessly, and with every digest made to fit it.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_types::{Digest, Height, RollupId, StateRoot, StreamOutcome, TxIndex, codec};

use super::audit::Node;
use super::chain::{Chain, ROLLUP};
use crate::api::DeliveryView;
use crate::{Auditor, VerifyError};

/// 1: the rollup is registered. 2: two paid envelopes. 3: one unpaid, one of a used sequence
/// number, one paid. 4: nothing. 5: one paid. 6: a block that names the ledger of 5.
fn chain() -> (Chain, Node) {
    let mut chain = Chain::with_rollup();
    // The first block, which is no delivery to the rollup yet.
    let mut deliveries = vec![first_block(&chain)];
    let sent = vec![
        chain.envelope(&[b"one", b"two"]),
        chain.envelope(&[b"three"]),
    ];
    deliveries.push(chain.extend(sent));
    let sent = vec![
        chain.sealed(&chain.poor, 1, &[b"unpaid"]),
        chain.sealed(&chain.payer, 2, &[b"again"]),
        chain.envelope(&[b"four"]),
    ];
    deliveries.push(chain.extend(sent));
    deliveries.push(chain.extend(vec![]));
    let sent = vec![chain.envelope(&[b"five"])];
    deliveries.push(chain.extend(sent));
    deliveries.push(chain.extend(vec![]));
    let node = Node::of(&chain, deliveries);
    (chain, node)
}

fn first_block(chain: &Chain) -> DeliveryView {
    DeliveryView {
        malformed_evidence: Vec::new(),
        inconsistent_evidence: vec![],
        rollup: ROLLUP.0,
        height: 1,
        time_ms: 1,
        first_index: 0,
        envelopes: vec![],
        stream_digest: Digest::ZERO.to_string(),
        // The ledger of the genesis knows the system's stream only.
        block: Some(chain.proof(RollupId::SYSTEM).block),
    }
}

fn auditor(chain: &Chain) -> Arc<Auditor> {
    Auditor::new(&chain.genesis).expect("a valid genesis")
}

/// Tells a lie about one envelope and expects the careless form to be named by one code, and the
/// form with fitting digests by another.
async fn refused(what: &str, change: impl Fn(&mut Node), careless: &str, fitting: &str) {
    let (chain, honest) = chain();
    let auditor = auditor(&chain);
    let mut node = honest;
    change(&mut node);
    let error = node.clone().audit(&auditor, 1, None).await.expect_err(what);
    assert!(error.to_string().contains(careless), "{what}: {error}");
    node.restate(&auditor);
    let error = node.audit(&auditor, 1, None).await.expect_err(what);
    assert!(error.to_string().contains(fitting), "{what}: {error}");
}

#[tokio::test]
async fn every_outcome_of_an_honest_node_is_proven() {
    let (chain, node) = chain();
    let report = node.audit(&auditor(&chain), 1, None).await.expect("honest");
    // The registration's own block and the ones that the ledger does not cover are left out.
    assert_eq!((report.from, report.to), (Height(2), Height(5)));
    assert_eq!(report.ledger.height, Height(5));
    assert_eq!(report.ledger.named_by, Height(6));
    let outcomes = [("duplicate", 1), ("opened", 4), ("unpaid", 1)];
    let outcomes = outcomes.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(report.outcomes, BTreeMap::from(outcomes));
    let settled = report.ledger.settled.expect("the genesis root");
    assert_eq!(settled.root, StateRoot(Digest([9; 32])));
}

#[tokio::test]
async fn a_part_of_the_stream_is_proven_by_the_digests_after_it() {
    let (chain, node) = chain();
    let auditor = auditor(&chain);
    for (from, to, transactions) in [(2, 3, 4), (3, 3, 1), (4, 4, 0), (3, 5, 2), (5, 5, 1)] {
        let report = node.clone().audit(&auditor, from, Some(to)).await;
        let report = report.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        assert_eq!(report.transactions, transactions, "{from} to {to}");
    }
}

#[tokio::test]
async fn a_paid_envelope_cannot_be_called_anything_else() {
    for name in [
        "unpaid",
        "duplicate",
        "void",
        "sequence_too_old",
        "expiry_too_far",
        "wrong_epoch",
        "held",
    ] {
        let change = |node: &mut Node| {
            let envelope = &mut node.deliveries[1].envelopes[1];
            envelope.outcome = name.into();
            envelope.transactions.clear();
            (envelope.opening, envelope.body) = (None, None);
            // The numbers of what follows move up.
            node.deliveries[2..]
                .iter_mut()
                .for_each(|d| d.first_index -= 1);
        };
        refused(name, change, "CV-SDK-048", "CV-SDK-049").await;
    }
}

#[tokio::test]
async fn an_envelope_without_effect_keeps_its_reason() {
    for (at, name) in [(0, "duplicate"), (0, "void"), (1, "unpaid"), (1, "void")] {
        let change = |node: &mut Node| node.deliveries[2].envelopes[at].outcome = name.into();
        refused(name, change, "CV-SDK-048", "CV-SDK-049").await;
    }
    for name in ["opened", "accepted", "", "Unpaid"] {
        let change = |node: &mut Node| node.deliveries[2].envelopes[0].outcome = name.into();
        refused(name, change, "CV-SDK-043", "CV-SDK-043").await;
    }
}

#[tokio::test]
async fn envelopes_are_neither_dropped_nor_moved() {
    let drop_one = |node: &mut Node| {
        node.deliveries[2].envelopes.remove(1);
    };
    refused("dropped", drop_one, "CV-LIGHT-011", "CV-LIGHT-011").await;
    let swap = |node: &mut Node| node.deliveries[2].envelopes.swap(0, 1);
    refused("moved", swap, "CV-LIGHT-012", "CV-LIGHT-012").await;
}

#[tokio::test]
async fn the_chain_of_digests_has_no_gap_and_no_addition() {
    let (chain, honest) = chain();
    let auditor = auditor(&chain);
    type Change = (&'static str, fn(&mut Node), &'static str);
    let changes: [Change; 6] = [
        (
            "a link is left out",
            |node| node.links.truncate(2),
            "CV-SDK-049",
        ),
        (
            "a link is of other entries",
            |node| node.links[2].0.entries = Digest([1; 32]),
            "CV-SDK-049",
        ),
        (
            "a link is of another height",
            |node| node.links[2].0.height = Height(4),
            "CV-SDK-049",
        ),
        (
            "a link is added",
            |node| {
                let mut added = node.links[2];
                added.0.height = Height(4);
                node.links.insert(2, added);
            },
            "CV-SDK-049",
        ),
        (
            "links go back",
            |node| {
                let mut added = node.links[2];
                added.0.height = Height(4);
                node.links.push(added);
            },
            "CV-SDK-040",
        ),
        (
            "the digest before the range is another",
            |node| node.links[0].1 = Digest([1; 32]),
            "CV-SDK-048",
        ),
    ];
    for (what, change, code) in changes {
        let mut node = honest.clone();
        change(&mut node);
        let error = node.audit(&auditor, 3, Some(3)).await.expect_err(what);
        assert!(error.to_string().contains(code), "{what}: {error}");
    }
}

#[tokio::test]
async fn only_a_root_that_a_final_header_names_counts() {
    let (chain, honest) = chain();
    let auditor = auditor(&chain);
    // A ledger of the node's own making: the same but for what became of the envelopes.
    let mut other = Chain::with_rollup();
    let sent = vec![other.sealed(&other.poor, 1, &[b"x"])];
    other.extend(sent);
    other.extend(vec![]);

    let mut forged = honest.clone();
    forged.proof = chain.proof_from(&other.named, ROLLUP);
    let error = forged.clone().audit(&auditor, 1, None).await;
    let error = error.expect_err("another ledger's entry").to_string();
    assert!(error.contains("CV-LIGHT-014"), "{error}");

    // With a header that names it, the block is no final one.
    let bytes = hex::decode(&forged.proof.block.block).expect("hexadecimal");
    let mut block: conclave_types::Block = codec::decode(&bytes, 1 << 20).expect("a block");
    block.header.ledger_root = other.named.root();
    forged.proof.block.block = hex::encode(codec::encode(&block));
    let error = forged.audit(&auditor, 1, None).await;
    let error = error.expect_err("a header nobody signed").to_string();
    assert!(error.contains("CV-LIGHT-007"), "{error}");

    // The other chain's own blocks are not this chain's.
    let mut foreign = honest.clone();
    foreign.proof = other.proof(ROLLUP);
    let error = foreign.audit(&auditor, 1, None).await;
    assert!(matches!(error, Err(VerifyError::WrongBlock { .. })));

    // An entry that is not the ledger's.
    let mut changed = honest;
    let bytes = hex::decode(&changed.proof.stream.value).expect("hexadecimal");
    let mut stream: conclave_types::Stream = codec::decode(&bytes, 256).expect("a stream");
    stream.digest = Digest([1; 32]);
    changed.proof.stream.value = hex::encode(codec::encode(&stream));
    let error = changed.audit(&auditor, 1, None).await;
    let error = error.expect_err("another value").to_string();
    assert!(error.contains("CV-LIGHT-014"), "{error}");
}

#[tokio::test]
async fn a_proof_of_another_rollup_or_height_does_not_count() {
    let (mut chain, honest) = chain();
    let auditor = auditor(&chain);
    let refused = async |proof, code: &str| {
        let node = Node {
            proof,
            ..honest.clone()
        };
        let error = node.audit(&auditor, 1, None).await.expect_err(code);
        assert!(error.to_string().contains(code), "{error}");
    };
    let own = chain.proof(ROLLUP);

    // The system's stream, and its lack of a settled root.
    let mut system = chain.proof(RollupId::SYSTEM);
    system.settled = own.settled.clone();
    refused(system, "CV-LIGHT-014").await;
    let mut hidden = own.clone();
    hidden.settled = None;
    refused(hidden, "CV-SDK-040").await;

    // Another ledger than the one that the header names, older or newer.
    refused(chain.proof_from(&chain.ledger, ROLLUP), "CV-LIGHT-014").await;

    // Another rollup's entries, which happen to be the same but for their key.
    let register = chain.register(RollupId(8));
    chain.extend(vec![register]);
    chain.extend(vec![]);
    let mut other = chain.proof(ROLLUP);
    other.settled = chain.proof(RollupId(8)).settled;
    refused(other, "CV-LIGHT-014").await;
    refused(chain.proof(RollupId(8)), "CV-LIGHT-014").await;

    // An old ledger is right as far as it goes, and proves nothing later.
    let old = honest.clone();
    assert!(old.audit(&auditor, 1, Some(5)).await.is_ok());
    let error = honest.clone().audit(&auditor, 1, Some(6)).await;
    let error = error.expect_err("not covered");
    assert!(matches!(
        error,
        VerifyError::Unproven {
            wanted: Height(6),
            proven: Height(5)
        }
    ));
}

/// Anybody can send an envelope for a rollup that does not exist yet. The block that ordered it
/// lists it for the rollup's id, the ledger has no stream to put it in, and so a rollup's history
/// could not be verified from its first height once somebody had done that. A stream therefore
/// starts after the block of the registration, and says so.
#[tokio::test]
async fn envelopes_before_the_registration_are_not_the_rollups() {
    let mut chain = Chain::new();
    let early = vec![chain.envelope(&[b"early"])];
    let mut deliveries = vec![chain.extend(early)];
    let (register, same_block) = (chain.register(ROLLUP), chain.envelope(&[b"same block"]));
    deliveries.push(chain.extend(vec![register, same_block]));
    let sent = vec![chain.envelope(&[b"one"])];
    deliveries.push(chain.extend(sent));
    deliveries.push(chain.extend(vec![]));
    let node = Node::of(&chain, deliveries);
    let auditor = auditor(&chain);
    let report = node.clone().audit(&auditor, 1, None).await.expect("honest");
    assert_eq!((report.from, report.to), (Height(3), Height(3)));
    assert_eq!((report.envelopes, report.transactions), (1, 1));
    let error = node.audit(&auditor, 1, Some(2)).await;
    assert!(matches!(error, Err(VerifyError::Early { .. })));
}

#[tokio::test]
async fn an_impossible_index_is_refused() {
    let (chain, mut node) = chain();
    node.deliveries[2].first_index = u64::MAX;
    let error = node.audit(&auditor(&chain), 3, None).await;
    let error = error.expect_err("no such index").to_string();
    assert!(error.contains("CV-SDK-040"), "{error}");
}

/// A height that orders nothing adds nothing to the stream, and so no digest covers where in it the
/// height lies. A node could say any index there, and the report repeated it as verified.
#[tokio::test]
async fn an_index_that_nothing_proves_is_not_reported() {
    let (chain, mut node) = chain();
    let auditor = auditor(&chain);
    node.deliveries[3].first_index = 77;
    let report = node.clone().audit(&auditor, 4, Some(4)).await;
    let report = report.expect("nothing was ordered");
    assert_eq!((report.first_index, report.next_index()), (None, None));

    // Where the stream ends, the ledger says which index it is.
    let (mut chain, mut node) = self::chain();
    let auditor = self::auditor(&chain);
    node.deliveries.push(chain.extend(vec![]));
    node.proof = chain.proof(ROLLUP);
    let report = node.clone().audit(&auditor, 6, Some(6)).await;
    let report = report.expect("honest");
    assert_eq!(report.first_index, Some(TxIndex(5)));
    node.deliveries[5].first_index = 77;
    let error = node.audit(&auditor, 6, Some(6)).await;
    assert!(matches!(error, Err(VerifyError::Index { .. })));
}

/// A page of contents could go on past the heights asked for: the report then spoke of heights that
/// nobody had asked about, and of more than its ledger was known to cover.
#[tokio::test]
async fn deliveries_past_the_heights_asked_for_are_refused() {
    let (chain, honest) = chain();
    let auditor = auditor(&chain);
    let node = Node { past: 1, ..honest };
    // Pages are of two heights, so the second one ends with a height too many.
    let error = node.audit(&auditor, 2, Some(4)).await;
    let error = error.expect_err("a height too many");
    assert!(matches!(
        error,
        VerifyError::Malformed {
            height: Height(5),
            ..
        }
    ));
}

#[test]
fn every_outcome_has_one_name() {
    let opened = StreamOutcome::Opened {
        first: Default::default(),
        transactions: 1,
    };
    assert_eq!(StreamOutcome::named(opened.name()), None);
    for name in ["unpaid", "void", "done", "failed", "malformed", "expired"] {
        assert_eq!(StreamOutcome::named(name).map(|o| o.name()), Some(name));
    }
}
