//! A node that was away for longer than the others keep blocks.

use conclave_consensus::SafetyState;
use conclave_types::{ConsensusParameters, Height, RollupId};

use super::common::{Network, Running, delivered, submit};
use crate::NodeError;
use crate::backend::Backend;
use crate::store::{KeyRange, Row, Table, WriteBatch, keys};

const ORDERED: RollupId = RollupId(5);
/// So many blocks after any height there is a snapshot of a later one.
const SNAPSHOT_SURE: u64 = 40;

/// Takes blocks away, as pruning would; a chain long enough for that takes too long here.
fn take_blocks(node: &Running, last: Height) -> Vec<Row> {
    let store = &node.handle.shell().store;
    let range = KeyRange::through(&keys::height(Height(1)), &keys::height(last));
    let snapshot = store.snapshot().expect("is open");
    let taken = snapshot.range(Table::Blocks, &range, usize::MAX);
    let mut batch = WriteBatch::new();
    batch.delete_range(Table::Blocks, range);
    store.commit(&batch).expect("is written");
    taken.expect("can be read")
}

/// Those before a snapshot are never pruned, and in a short chain these are all.
fn put_back(node: &Running, blocks: Vec<Row>) {
    let mut batch = WriteBatch::new();
    for (key, value) in blocks {
        batch.put(Table::Blocks, key, value);
    }
    node.handle
        .shell()
        .store
        .commit(&batch)
        .expect("is written");
}

fn safety(node: &Running) -> SafetyState {
    let snapshot = node.handle.shell().store.snapshot().expect("is open");
    let state = snapshot.get_value(Table::Safety, keys::SAFETY);
    state.expect("can be read").expect("has one")
}

/// It once asked for the blocks after its own for ever. It finds out, stops, and goes on from a snapshot,
/// with its memory of what it signed, and with the history that it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_on_from_a_snapshot_when_nobody_has_its_blocks() {
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
    let mut taken = Vec::new();
    for node in &nodes {
        node.executed(head).await;
        taken.push(take_blocks(node, missed));
    }

    let back = network.start(3).await;
    let before = safety(&back);
    let ended = back.ended().await;
    assert!(matches!(ended, Err(NodeError::Behind { .. })), "{ended:?}");

    for (node, blocks) in nodes.iter().zip(taken) {
        put_back(node, blocks);
    }
    let back = network.start(3).await;
    let (_, height) = submit(&nodes[0], network.sealed(ORDERED, &[b"after".to_vec()])).await;
    back.executed(height).await;
    let stream = |node: &Running| {
        node.handle
            .ledger()
            .stream(ORDERED)
            .map(|found| found.digest)
    };
    assert_eq!(stream(&back), stream(&nodes[0]));
    let texts = ["early", "after"].map(hex::encode);
    assert_eq!(
        delivered(&back, ORDERED, height),
        texts,
        "what it had and what came since: it took a snapshot and not the blocks in between"
    );
    assert_eq!(back.handle.gap(Height(1), early), None);
    let (first, last) = back
        .handle
        .gap(Height(1), height)
        .expect("it knows what it lacks");
    assert!(
        early < first && missed <= last && last < height,
        "{first} to {last}"
    );
    let after = safety(&back);
    assert!(after.view() > before.view());
    assert_eq!(
        after.abstain_through, before.abstain_through,
        "it forgot nothing"
    );

    // It votes: with one of the others gone nothing is final without it.
    nodes.remove(0).stop().await;
    let with_its_vote = network.sealed(ORDERED, &[b"with its vote".to_vec()]);
    let (_, height) = submit(&nodes[0], with_its_vote).await;
    back.executed(height).await;
    // And it starts again as any other does.
    back.stop().await;
    let back = network.start(3).await;
    let (_, height) = submit(&nodes[0], network.sealed(ORDERED, &[b"again".to_vec()])).await;
    back.executed(height).await;
    for node in nodes.into_iter().chain([back]) {
        node.stop().await;
    }
}
