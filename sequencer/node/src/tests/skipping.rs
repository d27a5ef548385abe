//! A node that was away for longer than the others keep blocks.

use conclave_types::{ConsensusParameters, Epoch, Height, RollupId, limits};

use super::common::{Network, PATIENCE, Running, submit};
use crate::NodeError;
use crate::backend::Backend;
use crate::join::mark_behind;
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

/// Waits until a node's ledger is in an epoch, and gives its height.
async fn reaches(node: &Running, epoch: Epoch) -> Height {
    let mut progress = node.handle.progress();
    let reached = progress.wait_for(|_| node.handle.ledger().epoch() >= epoch);
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.expect("in time").expect("the node runs");
    node.handle.ledger().height()
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

/// Two epochs began while it was away. It looked for a snapshot that the first epoch's committee vouches
/// for, and could not check the blocks that come with it; and had it got them, it would have refused its
/// own memory as one of another epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_skips_epochs() {
    let mut network = Network::with(ConsensusParameters {
        heartbeat_ms: 30,
        epoch_blocks: 60,
        grace_blocks: 10,
        keygen_phase_blocks: limits::KEYGEN_PHASE_BLOCKS_MIN,
        ..ConsensusParameters::default()
    });
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ORDERED)).await;
    let (_, early) = submit(&nodes[0], network.sealed(ORDERED, &[b"early".to_vec()])).await;
    nodes[3].executed(early).await;
    let away = nodes.pop().expect("four nodes");
    let store = &away.handle.shell().store;
    // What it notes when it finds out, as the test above shows.
    store.commit(&mark_behind()).expect("is written");
    away.stop().await;
    let begun = reaches(&nodes[0], Epoch(2)).await;
    let head = Height(begun.0 + SNAPSHOT_SURE);
    for node in &nodes {
        node.executed(head).await;
    }

    let back = network.start(3).await;
    back.executed(head).await;

    // The record of the present key's generation, which would give it its shares, may be gone from the
    // ledger that it took up. The next key is finished while it follows.
    let next = back.handle.ledger().epoch().next();
    reaches(&back, next).await;
    // With one of the others gone, nothing is final without its votes, nor opened without its shares.
    nodes.remove(0).stop().await;
    network.seal_to(&back.handle.ledger().present_setup().clone());
    let envelope = network.sealed(ORDERED, &[b"with its vote".to_vec()]);
    let (_, height) = submit(&nodes[0], envelope).await;
    back.executed(height).await;
    for node in nodes.into_iter().chain([back]) {
        node.stop().await;
    }
}
