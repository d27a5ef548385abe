//! A node that was away for longer than the others keep blocks.

use conclave_types::{ConsensusParameters, Height, RollupId};

use super::common::{Network, Running, submit};
use crate::NodeError;
use crate::store::{KeyRange, Table, WriteBatch, keys};

const ORDERED: RollupId = RollupId(5);
/// So many blocks after any height there is a snapshot of a later one.
const SNAPSHOT_SURE: u64 = 40;

/// Takes blocks away, as pruning would; a chain long enough for that takes too long here.
fn take_blocks(node: &Running, last: Height) {
    let range = KeyRange::through(&keys::height(Height(1)), &keys::height(last));
    let mut batch = WriteBatch::new();
    batch.delete_range(Table::Blocks, range);
    let store = &node.handle.shell().store;
    store.commit(&batch).expect("is written");
}

/// It once asked for the blocks after its own for ever. It finds out, and stops to begin from a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_notices_that_nobody_has_its_blocks() {
    let mut network = Network::with(ConsensusParameters {
        heartbeat_ms: 40,
        ..ConsensusParameters::default()
    });
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ORDERED)).await;
    let (_, early) = submit(&nodes[0], network.sealed(ORDERED, &[b"early".to_vec()])).await;
    nodes[3].executed(early).await;
    let away = nodes.pop().expect("four nodes");
    away.stop().await;
    let (_, missed) = submit(&nodes[0], network.sealed(ORDERED, &[b"missed".to_vec()])).await;
    let head = Height(missed.0 + SNAPSHOT_SURE);
    for node in &nodes {
        node.executed(head).await;
        take_blocks(node, missed);
    }

    let back = network.start(3).await;
    let ended = back.ended().await;
    assert!(matches!(ended, Err(NodeError::Behind { .. })), "{ended:?}");

    for node in nodes {
        node.stop().await;
    }
}
