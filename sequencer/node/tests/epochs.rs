//! Real nodes that pass from one epoch to the next, each with a key that the nodes made themselves.

mod common;

use common::{NEWCOMER, Network, PATIENCE, Running, delivered, settled, submit};
use conclave_node::backend::Backend;
use conclave_sdk::{leave_validator, register_validator};
use conclave_types::{ConsensusParameters, Epoch, Height, RollupId, ValidatorIndex, limits};

const ROLLUP: RollupId = RollupId(5);
const GRACE_BLOCKS: u64 = 10;
/// So many blocks after any height there is a snapshot of a later one.
const SNAPSHOT_SURE: u64 = 40;

fn short_epochs() -> Network {
    Network::with(ConsensusParameters {
        heartbeat_ms: 30,
        epoch_blocks: 60,
        grace_blocks: GRACE_BLOCKS,
        keygen_phase_blocks: limits::KEYGEN_PHASE_BLOCKS_MIN,
        ..ConsensusParameters::default()
    })
}

/// Waits until a node's ledger is in an epoch.
async fn reaches(node: &Running, epoch: Epoch) {
    let mut progress = node.handle.progress();
    let reached = progress.wait_for(|_| node.handle.ledger().epoch() >= epoch);
    tokio::time::timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("epoch {epoch} in time"))
        .expect("the node runs");
}

/// Nothing that a payer was promised may depend on when an epoch ends: what is sealed to the key
/// before is ordered for a while, what is sealed to the new key opens, and after a restart of all
/// nodes both are still so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_follow_each_other_and_each_key_opens_what_was_sealed_to_it() {
    let mut network = short_epochs();
    let nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    submit(&nodes[0], network.sealed(ROLLUP, &[b"first".to_vec()])).await;

    reaches(&nodes[0], Epoch(1)).await;
    let setup = nodes[0].handle.ledger().present_setup().clone();
    assert_ne!(setup.sealing.key, network.genesis.sealing.key);
    // What the shares were made from gave them again, and one more was left once they were made.
    let secrets = network.secrets(0);
    assert!(!secrets.iter().any(|name| name == "seed-1"), "{secrets:?}");
    network.seal_to(&setup);
    submit(&nodes[1], network.sealed(ROLLUP, &[b"second".to_vec()])).await;

    // A restart of all of them in the middle of the epoch: the shares come from their files.
    for node in nodes {
        node.stop().await;
    }
    let nodes = network.start_all().await;
    let (_, height) = submit(&nodes[2], network.sealed(ROLLUP, &[b"third".to_vec()])).await;
    let expected = ["first", "second", "third"].map(hex::encode);
    for node in &nodes {
        node.executed(height).await;
        assert_eq!(delivered(node, ROLLUP, height), expected);
        let agreed = node.handle.ledger().epoch_setup(setup.epoch).cloned();
        assert_eq!(agreed.as_ref(), Some(&setup));
    }

    reaches(&nodes[3], Epoch(2)).await;
    let next = nodes[3].handle.ledger().present_setup().clone();
    assert_ne!(next.sealing.key, setup.sealing.key);
    network.seal_to(&next);
    let (_, height) = submit(&nodes[3], network.sealed(ROLLUP, &[b"fourth".to_vec()])).await;
    nodes[0].executed(height).await;
    let last = delivered(&nodes[0], ROLLUP, height);
    assert_eq!(last.last(), Some(&hex::encode("fourth")));

    // With the grace over, nobody holds a share of the first two keys any more.
    nodes[0].executed(Height(height.0 + GRACE_BLOCKS + 1)).await;
    let secrets = network.secrets(0);
    assert!(
        !secrets.iter().any(|name| name == "shares-1"),
        "{secrets:?}"
    );
    assert!(secrets.iter().any(|name| name == "shares-2"), "{secrets:?}");
    for node in nodes {
        node.stop().await;
    }
}

/// A client that has not heard of the new epoch is served for a while, and then told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_sealed_to_the_key_before_is_ordered_within_the_grace_and_refused_after() {
    let mut network = short_epochs();
    let nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    reaches(&nodes[0], Epoch(1)).await;
    let first = nodes[0].handle.ledger().height();

    let late = network.sealed(ROLLUP, &[b"late".to_vec()]);
    let id = late.header.id();
    match nodes[0].handle.submit(late).await {
        // The test itself may have been late on a busy machine; then the other half is what it shows.
        Ok(_) => {
            let height = settled(&nodes[0], id).await;
            assert_eq!(delivered(&nodes[0], ROLLUP, height), [hex::encode("late")]);
        }
        Err(refusal) => assert!(
            nodes[0].handle.ledger().height().0 >= first.0 + GRACE_BLOCKS - 2,
            "{refusal}"
        ),
    }
    nodes[0].executed(Height(first.0 + GRACE_BLOCKS + 2)).await;
    let refusal = nodes[0]
        .handle
        .submit(network.sealed(ROLLUP, &[b"too late".to_vec()]))
        .await
        .expect_err("the grace is over");
    assert!(refusal.to_string().contains("epoch 1"), "{refusal}");
    for node in nodes {
        node.stop().await;
    }
}

/// The next key does not wait for a validator that is down, and the validator finds its way into the
/// epoch that began without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_was_away_while_an_epoch_began_comes_back_into_it() {
    let mut network = short_epochs();
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    nodes.pop().expect("four").stop().await;
    reaches(&nodes[0], Epoch(1)).await;
    let setup = nodes[0].handle.ledger().present_setup().clone();
    network.seal_to(&setup);
    submit(&nodes[0], network.sealed(ROLLUP, &[b"without it".to_vec()])).await;

    nodes.push(network.start(3).await);
    reaches(&nodes[3], Epoch(1)).await;
    reaches(&nodes[3], Epoch(2)).await;
    let next = nodes[3].handle.ledger().present_setup().clone();
    network.seal_to(&next);
    // It took part in the second key generation: without another one there is no quorum.
    nodes.remove(0).stop().await;
    let envelope = network.sealed(ROLLUP, &[b"with its shares".to_vec()]);
    let (_, height) = submit(&nodes[0], envelope).await;
    let all = delivered(&nodes[0], ROLLUP, height);
    assert_eq!(all, ["without it", "with its shares"].map(hex::encode));
    for node in nodes {
        node.stop().await;
    }
}

/// Whoever joined by a snapshot in a later epoch had the first epoch's key alone until its next start:
/// it took whatever was sealed to the present key for invalid, and the ledger that it made of it was
/// not the others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_joins_by_a_snapshot_has_the_key_of_the_epoch_it_joins_in() {
    let mut network = Network::with(ConsensusParameters {
        heartbeat_ms: 30,
        epoch_blocks: 240,
        grace_blocks: GRACE_BLOCKS,
        keygen_phase_blocks: limits::KEYGEN_PHASE_BLOCKS_MIN,
        ..ConsensusParameters::default()
    });
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    reaches(&nodes[3], Epoch(1)).await;
    let setup = nodes[3].handle.ledger().present_setup().clone();
    network.seal_to(&setup);
    nodes.pop().expect("four").stop().await;
    std::fs::remove_dir_all(network.data_dir(3)).expect("the disk is lost");
    let (_, early) = submit(&nodes[0], network.sealed(ROLLUP, &[b"before".to_vec()])).await;
    nodes[0].executed(Height(early.0 + SNAPSHOT_SURE)).await;
    let (_, away) = submit(&nodes[0], network.sealed(ROLLUP, &[b"away".to_vec()])).await;

    let joined = network.start(3).await;
    joined.executed(away).await;
    let setup = joined.handle.ledger().present_setup().clone();
    network.seal_to(&setup);
    let (_, height) = submit(&joined, network.sealed(ROLLUP, &[b"after".to_vec()])).await;
    let stream = |node: &Running| {
        node.handle
            .ledger()
            .stream(ROLLUP)
            .expect("is there")
            .digest
    };
    nodes[0].executed(height).await;
    assert_eq!(stream(&joined), stream(&nodes[0]));

    // Its shares were not on the lost disk. Without one of the others nothing opens without them.
    nodes.remove(0).stop().await;
    let setup = joined.handle.ledger().present_setup().clone();
    network.seal_to(&setup);
    submit(&joined, network.sealed(ROLLUP, &[b"with it".to_vec()])).await;
    for node in nodes.into_iter().chain([joined]) {
        node.stop().await;
    }
}

/// One operator gives up and another takes over, on a running chain: the newcomer follows before it
/// counts, takes part in the key generation, and then carries the chain together with two others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_leaves_and_one_that_the_genesis_does_not_know_takes_its_place() {
    let mut network = short_epochs();
    let mut nodes = network.start_all().await;
    submit(&nodes[0], network.register(ROLLUP)).await;
    submit(&nodes[0], network.sealed(ROLLUP, &[b"before".to_vec()])).await;
    let leave = leave_validator(ValidatorIndex(3));
    let number = 1 << 32;
    submit(&nodes[0], network.operated(3, number, &leave)).await;
    let register = register_validator(network.newcomer.clone());
    submit(&nodes[0], network.operated(NEWCOMER, number, &register)).await;
    nodes.push(network.start(NEWCOMER).await);

    let taken_in = |node: &Running| {
        let ledger = node.handle.ledger();
        let present = &ledger.present_setup().validators;
        let weights: Vec<u16> = present.iter().map(|validator| validator.weight).collect();
        weights == [1, 1, 1, 0, 1]
    };
    let mut progress = nodes[NEWCOMER].handle.progress();
    let wait = progress.wait_for(|_| taken_in(&nodes[NEWCOMER]));
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("is taken in")
        .expect("the node runs");

    // What the leaver's shares may be needed for is over; then only three of four are left.
    let begun = nodes[0].handle.ledger().height();
    nodes[0].executed(Height(begun.0 + GRACE_BLOCKS + 1)).await;
    let newcomer = nodes.pop().expect("the newcomer");
    nodes.pop().expect("the leaver").stop().await;
    nodes.remove(0).stop().await;
    let setup = newcomer.handle.ledger().present_setup().clone();
    network.seal_to(&setup);
    let envelope = network.sealed(ROLLUP, &[b"after".to_vec()]);
    let (_, height) = submit(&newcomer, envelope).await;
    nodes[0].executed(height).await;
    assert_eq!(
        delivered(&nodes[0], ROLLUP, height),
        ["before", "after"].map(hex::encode)
    );
    for node in nodes.into_iter().chain([newcomer]) {
        node.stop().await;
    }
}
