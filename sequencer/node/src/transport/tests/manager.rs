//! The task that owns the drivers, when things go wrong around it.

use super::super::events;
use super::super::hello::Close;
use super::super::peer::Peer;
use super::refuse::closed_with;
use super::*;

/// A listener for peer 0, and a way to its receiver of events about peers.
fn listener() -> (Node, events::Inbox) {
    let (inbox, events) = events::channels();
    let config = config(1, any_port(), vec![peer(0, any_port())]);
    let (manager, ended) = Transport::prepare(config, inbox.clone()).unwrap();
    let transport = Transport::run(manager, ended);
    let node = Node {
        handle: transport.handle(),
        transport,
        events,
    };
    (node, inbox)
}

fn fill(inbox: &events::Inbox) {
    while inbox.peers.capacity() > 0 {
        inbox.refused(None, Refusal::UnexpectedPeer);
    }
}

#[tokio::test]
async fn a_panic_of_a_driver_is_a_failure_of_the_transport() {
    let (inbox, _events) = events::channels();
    let config = config(0, any_port(), Vec::new());
    let (mut manager, ended) = Transport::prepare(config, inbox).unwrap();
    manager.drivers.spawn(async { panic!("a bug in a driver") });
    let mut transport = Transport::run(manager, ended);
    let text = guarded(transport.failed()).await;
    assert!(text.contains("a bug in a driver"), "{text}");
    guarded(transport.shutdown()).await;
}

#[tokio::test]
async fn a_driver_that_ends_by_itself_is_a_failure_of_the_transport() {
    let (inbox, _events) = events::channels();
    let (peer, _ends) = Peer::new(index(0), peer(1, any_port()));
    let config = config(0, any_port(), Vec::new());
    let (mut manager, ended) = Transport::prepare(config, inbox).unwrap();
    manager.drivers.spawn(async { peer.into() });
    let mut transport = Transport::run(manager, ended);
    let text = guarded(transport.failed()).await;
    assert!(text.contains("ended by itself"), "{text}");
}

/// The driver waits for room to tell of the connection, and must not wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_goes_although_nobody_heard_that_it_came() {
    let (mut node, inbox) = listener();
    fill(&inbox);
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    let connected = || node.handle.metrics().connected.get() == 1;
    until(connected).await;
    node.handle.set_peers(Vec::new()).await.unwrap();
    assert_eq!(closed_with(&connection).await, Close::Removed as u64);

    let again = vec![peer(0, any_port())];
    node.handle.set_peers(again).await.unwrap();
    let (_endpoint, _connection) = raw::greeted(0, 1, node.address()).await;
    assert_eq!(node.peer_event().await, PeerEvent::Connected(index(0)));
}

/// Two drivers of one index: the second serves nobody before the end of the first was told.
#[tokio::test(flavor = "multi_thread")]
async fn comings_and_goings_of_an_index_are_told_in_order() {
    let (mut node, inbox) = listener();
    let (endpoint, first) = raw::greeted(0, 1, node.address()).await;
    node.connected_to(0).await;
    fill(&inbox);
    let mut dialers = vec![(endpoint, first)];
    for port in 1..=3 {
        let moved = peer(0, (Ipv4Addr::LOCALHOST, port).into());
        node.handle.set_peers(vec![moved]).await.unwrap();
        let (_, connection) = dialers.last().unwrap();
        assert_eq!(closed_with(connection).await, Close::Removed as u64);
        dialers.push(raw::greeted(0, 1, node.address()).await);
    }
    let gone = PeerEvent::Disconnected(index(0), Disconnect::Removed);
    assert_eq!(node.peer_event().await, gone);
    assert_eq!(node.peer_event().await, PeerEvent::Connected(index(0)));
    let status = node.handle.peers();
    assert!(status[0].connected.is_some());
    assert_eq!(node.handle.metrics().connected.get(), 2);
}
