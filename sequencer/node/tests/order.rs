//! Real nodes on loopback: real sockets, files, signatures and sealing.

mod common;

use common::{Network, PATIENCE, Running, delivered, settled, submit};
use conclave_consensus::Message;
use conclave_node::PeerMessage;
use conclave_node::backend::Backend;
use conclave_node::transport::{Class, PeerEvent};
use conclave_types::{
    Amount, BlockId, CommitVote, Digest, Epoch, Height, RollupId, ValidatorIndex, View, VoteKind,
    codec,
};

const ROLLUP: RollupId = RollupId(5);

/// Whose keys sign a contradiction.
const GUILTY: usize = 3;
const GUILTY_INDEX: ValidatorIndex = ValidatorIndex(3);

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
    let mut last = Height(0);
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
    // It read 0 for ever once: nobody wrote it any more.
    for node in &nodes {
        let metrics = node.handle.metrics();
        assert!(metrics.contains("\nconclave_tariff_max 1\n"), "{metrics}");
    }
    for node in nodes {
        node.stop().await;
    }
}

async fn settled_registration(node: &Running) {
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
    let mut last = Height(0);
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

/// Three nodes go on while the fourth validator's keys vote twice in one view.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_vote_ends_as_a_slash_on_every_node() {
    let network = Network::new();
    let mut nodes = Vec::new();
    for index in 0..GUILTY {
        nodes.push(network.start(index).await);
    }
    let (key, transport, mut events) = network.impostor(GUILTY);
    let handle = transport.handle();
    // The victim: it alone sees both votes, and what it reports convicts on all nodes.
    let victim = ValidatorIndex(0);
    let connected = async {
        while let Some(event) = events.peers.recv().await {
            if event == PeerEvent::Connected(victim) {
                return;
            }
        }
        panic!("the transport ended");
    };
    tokio::time::timeout(PATIENCE, connected)
        .await
        .expect("connects in time");

    // Of a view that comes soon, and that nobody has left when the votes arrive.
    let reached = nodes[0].handle.progress().borrow().committed;
    let vote = |block: u8| {
        let (view, height) = (View(reached.0 + 5), Height(reached.0 + 5));
        let block = BlockId(Digest([block; 32]));
        let chain = network.genesis.chain_id();
        let message = VoteKind::Commit.message(chain, Epoch(0), view, height, block);
        CommitVote {
            epoch: Epoch(0),
            view,
            height,
            block,
            signer: GUILTY_INDEX,
            signature: key.sign(&message),
        }
    };
    for block in [1, 2] {
        let message = PeerMessage::Agreement(Message::CommitVote(vote(block)));
        let bytes = codec::encode(&message).into();
        handle
            .send(victim, Class::Consensus, bytes)
            .expect("is queued");
    }

    let mut heights = Vec::new();
    for node in &nodes {
        heights.push(forfeited(node).await);
    }
    assert!(heights.windows(2).all(|pair| pair[0] == pair[1]));
    for node in &nodes {
        let bond = |index| {
            let bond = node.handle.ledger().validator_bond(ValidatorIndex(index));
            bond.expect("a validator").amount
        };
        assert_eq!(bond(3), Amount::ZERO);
        assert!((0..3).all(|index| bond(index) == network.genesis.consensus.validator_bond));
    }
    // The ledgers are the same wherever they stand at the same height.
    let same = async {
        loop {
            let ledgers: Vec<_> = nodes.iter().map(|node| node.handle.ledger()).collect();
            let behind = (0..GUILTY).min_by_key(|index| ledgers[*index].height());
            let highest = ledgers.iter().map(|ledger| ledger.height()).max();
            let behind = behind.expect("three");
            if Some(ledgers[behind].height()) == highest {
                return ledgers
                    .iter()
                    .map(|ledger| ledger.root())
                    .collect::<Vec<_>>();
            }
            let mut progress = nodes[behind].handle.progress();
            progress.changed().await.expect("the node runs");
        }
    };
    let roots = tokio::time::timeout(PATIENCE, same)
        .await
        .expect("meet in time");
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    transport.shutdown().await;
    for node in nodes {
        node.stop().await;
    }
}

/// Waits until the guilty validator's bond is gone; the height at which it went.
async fn forfeited(node: &Running) -> Height {
    let mut progress = node.handle.progress();
    let wait = async {
        loop {
            let bond = node.handle.ledger().validator_bond(GUILTY_INDEX);
            if let Some(height) = bond.expect("a validator").forfeited {
                return height;
            }
            progress.changed().await.expect("the node runs");
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("is slashed in time")
}
