//! Committees are followed from the genesis, each by the hand-over of the one before it.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use conclave_types::{Block, Epoch, EpochChange, EpochSetup, View, codec};

use super::chain::Chain;
use super::nodes::{client, serve};
use crate::Auditor;
use crate::api::EpochChangeView;
use crate::epochs::Epochs;

/// The validators of the genesis; from epoch 1 on the first has the last one's vote as well.
fn setup(chain: &Chain, epoch: u64) -> EpochSetup {
    let mut setup = EpochSetup {
        epoch: Epoch(epoch),
        ..chain.genesis.first_epoch()
    };
    setup.validators[0].weight = 2;
    setup.validators[3].weight = 0;
    setup
}

/// The block after another one, which ends its epoch.
fn last_block(chain: &Chain, parent: Option<&Block>) -> Block {
    let mut block = match parent {
        None => chain.block(vec![]),
        Some(parent) => first_block(chain, parent),
    };
    block.header.next_epoch = Some(setup(chain, block.header.epoch.0 + 1).digest());
    block
}

/// The first block of the epoch after the one that another block ends.
fn first_block(chain: &Chain, last: &Block) -> Block {
    let mut block = chain.block(vec![]);
    block.header.epoch = last.header.epoch.next();
    block.header.view = View(1);
    block.header.parent_view = View(0);
    block.header.parent = last.id();
    block.header.height = last.header.height.next();
    block
}

fn hand_over(chain: &Chain, last: &Block) -> EpochChangeView {
    let change = EpochChange {
        last: last.header.clone(),
        certificate: chain.certificate(last),
        setup: setup(chain, last.header.epoch.0 + 1),
    };
    EpochChangeView {
        epoch: change.setup.epoch.0,
        height: change.last.height.0,
        change: hex::encode(codec::encode(&change)),
    }
}

async fn node(changes: Vec<EpochChangeView>) -> crate::Client {
    let changes = Arc::new(changes);
    let handoff = move |Path(epoch): Path<u64>| {
        let found = changes.iter().find(|change| change.epoch == epoch).cloned();
        async move { found.map(Json).ok_or(StatusCode::NOT_FOUND) }
    };
    let router = Router::new().route("/v1/epochs/{epoch}/handoff", get(handoff));
    client(&[serve(router).await])
}

#[tokio::test]
async fn a_block_of_a_later_epoch_verifies_once_its_committee_is_shown() {
    let chain = Chain::new();
    let ends_0 = last_block(&chain, None);
    let ends_1 = last_block(&chain, Some(&ends_0));
    let block = chain.certify(&first_block(&chain, &ends_1));
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let unknown = auditor.block(&block).expect_err("nobody has shown epoch 2");
    assert!(unknown.to_string().contains("CV-LIGHT-045"), "{unknown}");

    let node = node(vec![hand_over(&chain, &ends_0), hand_over(&chain, &ends_1)]).await;
    auditor
        .follow(&node, Epoch(2))
        .await
        .expect("two hand-overs");
    assert_eq!(auditor.newest_epoch(), Epoch(2));
    let found = auditor.block(&block).expect("final");
    assert_eq!(found.block.header.epoch, Epoch(2));
    // Those of earlier epochs still do, by their own committees.
    auditor.block(&chain.certify(&ends_0)).expect("final");
    assert!(auditor.follow(&node, Epoch(3)).await.is_err(), "not begun");
}

#[tokio::test]
async fn a_committee_that_was_not_named_is_not_followed() {
    let chain = Chain::new();
    let last = last_block(&chain, None);
    let honest = hand_over(&chain, &last);
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let bytes = hex::decode(&honest.change).expect("hexadecimal");
    let mut change: EpochChange = codec::decode(&bytes, bytes.len()).expect("our own");
    change.setup.validators[1].bls_key = change.setup.validators[2].bls_key;
    let forged = EpochChangeView {
        change: hex::encode(codec::encode(&change)),
        ..honest.clone()
    };
    let refused = auditor.follow(&node(vec![forged]).await, Epoch(1)).await;
    let refused = refused.expect_err("another committee").to_string();
    assert!(refused.contains("CV-LIGHT-044"), "{refused}");
    let cut = EpochChangeView {
        change: honest.change[2..].to_owned(),
        ..honest
    };
    let refused = auditor.follow(&node(vec![cut]).await, Epoch(1)).await;
    let refused = refused.expect_err("no hand-over").to_string();
    assert!(refused.contains("CV-SDK-053"), "{refused}");
    assert_eq!(auditor.newest_epoch(), Epoch(0));
}

/// An auditor asked for ever, where a node gave it an earlier hand-over each time.
#[tokio::test]
async fn an_earlier_hand_over_is_no_answer() {
    let chain = Chain::new();
    let mut again = hand_over(&chain, &last_block(&chain, None));
    let first = again.clone();
    again.epoch = 2;
    let auditor = Auditor::new(&chain.genesis).expect("a valid genesis");
    let refused = auditor
        .follow(&node(vec![first, again]).await, Epoch(2))
        .await;
    let refused = refused.expect_err("epoch 2 was not shown").to_string();
    assert!(refused.contains("CV-SDK-053"), "{refused}");
    assert_eq!(auditor.newest_epoch(), Epoch(1));
}

/// So did a gateway, which takes no more payments meanwhile.
#[tokio::test]
async fn an_earlier_hand_over_is_no_answer_to_a_gateway() {
    let chain = Chain::new();
    let mut again = hand_over(&chain, &last_block(&chain, None));
    let first = again.clone();
    again.epoch = 2;
    let epochs = Arc::new(Epochs::new(&chain.genesis).expect("a valid genesis"));
    let node = node(vec![first, again]).await;
    let refused = epochs.follow(&node, Epoch(2)).await;
    let refused = refused.expect_err("epoch 2 was not shown").to_string();
    assert!(refused.contains("CV-SDK-054"), "{refused}");
    assert_eq!(epochs.newest().epoch, Epoch(1));
}
