//! Real nodes on loopback: real sockets, files, signatures and sealing.

mod common;

use common::{Network, delivered, settled, submit};
use conclave_node::backend::Backend;
use conclave_types::RollupId;

const ROLLUP: RollupId = RollupId(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_order_open_and_deliver_the_same() {
    let mut network = Network::new();
    let nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    let mut ids = Vec::new();
    for index in 0..20_u8 {
        let envelope = network.sealed(ROLLUP, &[vec![index; 512], vec![index; 3]]);
        ids.push(envelope.header.id());
        let node = &nodes[usize::from(index) % 4];
        // A node may not have executed the registration that the first one has.
        settled_registration(node).await;
        node.handle.submit(envelope).await.expect("is admitted");
    }
    let mut last = conclave_types::Height(0);
    for id in &ids {
        for node in &nodes {
            let mut progress = node.handle.progress();
            while node.handle.envelope(*id).is_none() {
                progress.changed().await.expect("runs");
            }
            last = last.max(settled(node, *id).await);
        }
    }
    for node in &nodes {
        node.executed(last).await;
    }
    let first = delivered(&nodes[0], ROLLUP, last);
    assert_eq!(first.len(), 40);
    for node in &nodes[1..] {
        assert_eq!(delivered(node, ROLLUP, last), first);
    }
    for node in nodes {
        node.stop().await;
    }
}

async fn settled_registration(node: &common::Running) {
    let mut progress = node.handle.progress();
    while node.handle.ledger().rollup(ROLLUP).is_none() {
        progress.changed().await.expect("runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_final_is_there_after_all_restart() {
    let mut network = Network::new();
    let nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    let (_, height) = submit(&nodes[0], network.sealed(ROLLUP, &[b"before".to_vec()])).await;
    let before = delivered(&nodes[0], ROLLUP, height);
    for node in nodes {
        node.stop().await;
    }
    let nodes = network.start_all().await;
    let (_, height) = submit(&nodes[2], network.sealed(ROLLUP, &[b"after".to_vec()])).await;
    let mut expected = before;
    expected.push(hex::encode(b"after"));
    assert_eq!(delivered(&nodes[2], ROLLUP, height), expected);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_go_on_without_the_fourth_and_it_catches_up() {
    let mut network = Network::new();
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    nodes.pop().expect("four nodes").stop().await;
    let mut last = conclave_types::Height(0);
    for index in 0..10_u8 {
        let (_, height) = submit(&nodes[0], network.sealed(ROLLUP, &[vec![index]])).await;
        last = last.max(height);
    }
    let returned = network.start(3).await;
    returned.executed(last).await;
    assert_eq!(
        delivered(&returned, ROLLUP, last),
        delivered(&nodes[0], ROLLUP, last)
    );
    nodes.push(returned);
    for node in nodes {
        node.stop().await;
    }
}
