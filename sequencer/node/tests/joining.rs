//! Real nodes whose disks are lost.

mod common;

use std::fs;

use common::{Network, Running, delivered, submit};
use conclave_node::backend::Backend;
use conclave_types::{ConsensusParameters, Digest, Height, ProofPolicy, ProofSystem, RollupId};

const ORDERED: RollupId = RollupId(5);
const PROVEN: RollupId = RollupId(6);
/// So many blocks after any height there is a snapshot of a later one.
const SNAPSHOT_SURE: u64 = 40;

fn stream(node: &Running) -> Digest {
    let ledger = node.handle.ledger();
    ledger.stream(ORDERED).expect("is registered").digest
}

/// Whoever loses the disk comes back with its keys alone: it fetches a snapshot, which it can check,
/// and takes part again, for without it and another one there is no quorum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_with_an_empty_disk_joins_by_a_snapshot_and_votes() {
    let mut network = Network::with(ConsensusParameters {
        heartbeat_ms: 40,
        ..ConsensusParameters::default()
    });
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ORDERED)).await;
    // Nobody proves this one's transactions, so whoever joins must get them too.
    let policy = ProofPolicy::Any {
        systems: vec![ProofSystem::Winterfell],
        required: 1,
    };
    submit(&nodes[0], network.register_with(PROVEN, policy)).await;
    for index in 0..3_u8 {
        submit(&nodes[0], network.sealed(PROVEN, &[vec![index; 200]])).await;
        submit(&nodes[0], network.sealed(ORDERED, &[vec![index; 10]])).await;
    }
    let (_, early) = submit(&nodes[0], network.sealed(ORDERED, &[b"early".to_vec()])).await;
    nodes[0].executed(Height(early.0 + SNAPSHOT_SURE)).await;
    assert!(!nodes[0].handle.ledger().provable().is_empty());

    nodes.pop().expect("four nodes").stop().await;
    fs::remove_dir_all(network.data_dir(3)).expect("the disk is lost");
    submit(
        &nodes[0],
        network.sealed(ORDERED, &[b"while it was away".to_vec()]),
    )
    .await;

    let joined = network.start(3).await;
    let head = nodes[0].handle.ledger().height();
    joined.executed(head).await;
    let (_, height) = submit(&nodes[0], network.sealed(ORDERED, &[b"after".to_vec()])).await;
    joined.executed(height).await;
    assert_eq!(stream(&joined), stream(&nodes[0]));
    let of = |node: &Running| node.handle.delivery(ORDERED, early).expect("can be read");
    assert!(of(&nodes[0]).is_some());
    assert!(
        of(&joined).is_none(),
        "it took a snapshot of a later height"
    );
    let own = delivered(&joined, ORDERED, height);
    assert_eq!(own.last(), Some(&hex::encode(b"after")));

    // With one of the others gone, nothing is final without its votes.
    nodes.remove(0).stop().await;
    let (_, height) = submit(
        &nodes[0],
        network.sealed(ORDERED, &[b"with its vote".to_vec()]),
    )
    .await;
    joined.executed(height).await;

    // The store alone is lost; the mark of an earlier start is left.
    joined.stop().await;
    let first = network.start(0).await;
    fs::remove_file(network.data_dir(3).join("node.redb")).expect("the store is lost");
    let joined = network.start(3).await;
    let (_, height) = submit(&nodes[0], network.sealed(ORDERED, &[b"again".to_vec()])).await;
    for node in [&first, &joined] {
        node.executed(height).await;
        assert_eq!(stream(node), stream(&nodes[0]));
    }
    for node in nodes.into_iter().chain([first, joined]) {
        node.stop().await;
    }
}
