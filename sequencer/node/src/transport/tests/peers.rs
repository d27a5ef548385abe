//! Validators join, leave, move and change keys while the transport runs.

use super::super::hello::{self, Close, Failure};
use super::refuse::closed_with;
use super::*;

async fn passes(from: &Node, to: &mut Node, sender: u16, receiver: u16, number: u32) {
    let sent = from
        .handle
        .send(index(receiver), Class::Consensus, numbered(number, 4));
    sent.unwrap();
    let message = next(&mut to.events.consensus).await;
    assert_eq!(message.from, index(sender));
    assert_eq!(number_of(&message.bytes), number);
}

fn with_seed(own: u16, seed_of: u16, peers: Vec<PeerConfig>) -> Node {
    let mut config = config(own, any_port(), peers);
    config.seed = Zeroizing::new(seed(seed_of));
    Node::start(config)
}

fn with_key(key_of: u16, config: PeerConfig) -> PeerConfig {
    PeerConfig {
        key: key(key_of),
        ..config
    }
}

/// Its index is between the two, so that one dials it and it dials the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_added_to_a_running_pair() {
    let mut high = Node::start(config(5, any_port(), vec![peer(0, any_port())]));
    let high_at = high.address();
    let mut low = Node::start(config(0, any_port(), vec![peer(5, high_at)]));
    low.connected_to(5).await;
    high.connected_to(0).await;
    let unknown = low.handle.send(index(1), Class::Consensus, Bytes::new());
    assert_eq!(unknown, Err(SendError::UnknownPeer { peer: index(1) }));

    let both = vec![peer(0, any_port()), peer(5, high_at)];
    let mut added = Node::start(config(1, any_port(), both));
    let known_by_low = vec![peer(1, added.address()), peer(5, high_at)];
    let known_by_high = vec![peer(0, any_port()), peer(1, any_port())];
    low.handle.set_peers(known_by_low).await.unwrap();
    high.handle.set_peers(known_by_high).await.unwrap();

    assert_eq!(low.peer_event().await, PeerEvent::Connected(index(1)));
    assert_eq!(high.peer_event().await, PeerEvent::Connected(index(1)));
    passes(&low, &mut added, 0, 1, 1).await;
    passes(&high, &mut added, 5, 1, 2).await;
    passes(&added, &mut low, 1, 0, 3).await;
    passes(&added, &mut high, 1, 5, 4).await;
    passes(&low, &mut high, 0, 5, 5).await;
    assert_eq!(low.handle.broadcast(Class::Shares, Bytes::new()), Ok(2));
    for node in [low, high] {
        assert_eq!(node.handle.metrics().connected.get(), 2);
        assert_eq!(node.handle.metrics().reconnected.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_is_disconnected_and_refused() {
    let [mut gone, mut node, mut third]: [Node; 3] = committee().await;
    let rest = vec![peer(2, third.address())];
    node.handle.set_peers(rest).await.unwrap();

    assert_eq!(node.disconnected_from(0).await, Disconnect::Removed);
    let told = gone.disconnected_from(1).await;
    assert!(matches!(told, Disconnect::ByPeer { .. }), "{told:?}");
    // It dials again, and its key opens no door.
    let (who, reason) = node.refusal().await;
    assert_eq!(who, None);
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
    let (who, reason) = gone.refusal().await;
    assert_eq!(who, Some(index(1)));
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
    assert_eq!(node.handle.metrics().connected.get(), 2);

    let peer = index(0);
    let sent = node.handle.send(peer, Class::Consensus, Bytes::new());
    assert_eq!(sent, Err(SendError::UnknownPeer { peer }));
    let asked = node.handle.request(peer, Bytes::new(), GUARD).await;
    assert_eq!(asked, Err(RequestError::UnknownPeer { peer }));
    assert_eq!(node.handle.broadcast(Class::Shares, Bytes::new()), Ok(1));
    assert_eq!(node.handle.peers().len(), 1);
    // Those that stay have the connections they had.
    passes(&node, &mut third, 1, 2, 1).await;
    passes(&gone, &mut third, 0, 2, 2).await;
    assert_eq!(third.handle.metrics().connected.get(), 2);
}

/// The side that dials removes.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_is_not_dialled_again() {
    let [mut dialer, mut gone]: [Node; 2] = committee().await;
    dialer.handle.set_peers(Vec::new()).await.unwrap();
    assert_eq!(dialer.disconnected_from(1).await, Disconnect::Removed);
    let told = gone.disconnected_from(0).await;
    assert!(matches!(told, Disconnect::ByPeer { .. }), "{told:?}");
    // Nobody is left that could dial: the drivers have ended, and the queues went with them.
    assert!(dialer.handle.peers().is_empty());

    let again = vec![peer(1, gone.address())];
    dialer.handle.set_peers(again).await.unwrap();
    dialer.connected_to(1).await;
    gone.connected_to(0).await;
    passes(&dialer, &mut gone, 0, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_removed_peer_is_dropped() {
    let node = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let old = numbered(1, 4);
    node.handle.send(index(0), Class::Consensus, old).unwrap();
    node.handle.set_peers(Vec::new()).await.unwrap();
    let again = vec![peer(0, any_port())];
    node.handle.set_peers(again).await.unwrap();
    let mut dialer = Node::start(config(0, any_port(), vec![peer(1, node.address())]));
    passes(&node, &mut dialer, 1, 0, 2).await;
}

/// It proved its key while that was one of a peer, and says Hello when it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_under_way_ends_with_the_peer() {
    let mut node = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let (_endpoint, connection) = raw::connect(0, 1, node.address()).await;
    node.handle.set_peers(Vec::new()).await.unwrap();
    let refused = guarded(hello::greet(&connection, chain())).await;
    assert_eq!(refused, Err(Failure::Refused(Refusal::UnexpectedPeer)));
    assert_eq!(closed_with(&connection).await, Close::UnexpectedPeer as u64);
    assert_eq!(node.refusal().await.1, Refusal::UnexpectedPeer);
    assert_eq!(node.handle.metrics().connected.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dials_rotates_its_key() {
    let [mut old, mut node]: [Node; 2] = committee().await;
    let rotated = with_key(70, peer(0, any_port()));
    node.handle.set_peers(vec![rotated]).await.unwrap();
    assert_eq!(node.disconnected_from(0).await, Disconnect::Removed);
    let (who, reason) = old.refusal().await;
    assert_eq!(who, Some(index(1)));
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");

    let mut new = with_seed(0, 70, vec![peer(1, node.address())]);
    node.connected_to(0).await;
    passes(&new, &mut node, 0, 1, 1).await;
    passes(&node, &mut new, 1, 0, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_listens_rotates_its_key() {
    let [mut node, mut old]: [Node; 2] = committee().await;
    let mut new = with_seed(1, 70, vec![peer(0, any_port())]);
    let rotated = with_key(70, peer(1, new.address()));
    node.handle.set_peers(vec![rotated]).await.unwrap();
    assert_eq!(node.disconnected_from(1).await, Disconnect::Removed);
    node.connected_to(1).await;
    passes(&node, &mut new, 0, 1, 1).await;
    let told = old.disconnected_from(0).await;
    assert!(matches!(told, Disconnect::ByPeer { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_moves_to_another_address() {
    let [mut node, mut here]: [Node; 2] = committee().await;
    let mut there = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let moved = vec![peer(1, there.address())];
    node.handle.set_peers(moved).await.unwrap();
    assert_eq!(node.disconnected_from(1).await, Disconnect::Removed);
    node.connected_to(1).await;
    passes(&node, &mut there, 0, 1, 1).await;
    passes(&there, &mut node, 1, 0, 2).await;
    let told = here.disconnected_from(0).await;
    assert!(matches!(told, Disconnect::ByPeer { .. }), "{told:?}");
    let status = node.handle.peers();
    let at = status[0].connected.map(|(address, _)| address);
    assert_eq!(at, Some(there.address()));
}

/// Two validators swap their slots: each key is at once the other index's.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_moves_to_another_index() {
    let mut node = Node::start(config(2, any_port(), vec![peer(0, any_port())]));
    let (_endpoint, connection) = raw::greeted(0, 2, node.address()).await;
    node.connected_to(0).await;
    let other_slot = with_key(0, peer(1, any_port()));
    node.handle.set_peers(vec![other_slot]).await.unwrap();
    assert_eq!(closed_with(&connection).await, Close::Removed as u64);
    let (_endpoint, _connection) = raw::greeted(0, 2, node.address()).await;
    node.connected_to(1).await;
}

/// One is connected, one is kept out, and one is away while a message waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_peer_keeps_connection_cool_down_and_queue() {
    let set: Vec<_> = (0..3).map(|number| peer(number, any_port())).collect();
    let mut strict = config(3, any_port(), set.clone());
    strict.timing.cool_down = GUARD * 10;
    let mut node = Node::start(strict);
    let (_endpoint, connection) = raw::greeted(0, 3, node.address()).await;
    node.connected_to(0).await;
    node.handle.punish(index(1), "it sent a wrong share");
    until(|| node.handle.metrics().punished.get() == 1).await;
    let waiting = numbered(1, 4);
    node.handle
        .send(index(2), Class::Consensus, waiting)
        .unwrap();

    for added in [4, 5] {
        let mut more = set.clone();
        more.push(peer(added, any_port()));
        node.handle.set_peers(more).await.unwrap();
    }
    node.handle.set_peers(set).await.unwrap();

    let (_endpoint, kept_out) = raw::connect(1, 3, node.address()).await;
    assert_eq!(closed_with(&kept_out).await, Close::CoolingDown as u64);
    let mut away = Node::start(config(2, any_port(), vec![peer(3, node.address())]));
    assert_eq!(
        number_of(&next(&mut away.events.consensus).await.bytes),
        1,
        "what waited has come"
    );
    let mut stream = connection.open_uni().await.unwrap();
    let frame = [&[Class::Consensus.tag(), 4, 0, 0, 0][..], &[9, 0, 0, 0]].concat();
    stream.write_all(&frame).await.unwrap();
    let message = next(&mut node.events.consensus).await;
    assert_eq!((message.from, number_of(&message.bytes)), (index(0), 9));
    assert!(connection.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradictory_set_is_refused_and_changes_nothing() {
    let [node, mut other]: [Node; 2] = committee().await;
    let same = peer(1, other.address());
    for set in [
        vec![same.clone(), same.clone()],
        vec![same.clone(), with_key(1, peer(2, any_port()))],
        vec![peer(0, any_port())],
        vec![same.clone(), with_key(0, peer(2, any_port()))],
    ] {
        let refused = node.handle.set_peers(set).await;
        assert!(matches!(refused, Err(TransportError::Peers { .. })));
    }
    let text = node.handle.set_peers(vec![same.clone(), same]).await;
    let text = text.unwrap_err().to_string();
    assert!(text.starts_with("[CV-NET-003]"), "{text}");
    passes(&node, &mut other, 0, 1, 1).await;
    assert_eq!(node.handle.peers().len(), 1);
    assert_eq!(node.handle.metrics().connected.get(), 1);
}
