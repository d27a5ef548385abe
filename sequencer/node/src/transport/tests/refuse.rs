//! Who is not of this committee, or not of this chain, does not get in.

use super::super::hello::{Close, PROTOCOL_VERSION};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_by_the_listener() {
    let mut listener = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let mut stranger = config(0, any_port(), vec![peer(1, listener.address())]);
    stranger.seed = Zeroizing::new(seed(66));
    let mut stranger = Node::start(stranger);

    let (who, reason) = listener.refusal().await;
    assert_eq!(who, None);
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
    let (who, reason) = stranger.refusal().await;
    assert_eq!(who, Some(index(1)));
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
    assert_eq!(listener.handle.metrics().connected.get(), 0);
    assert!(listener.handle.metrics().refused.get() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_with_an_unknown_key_is_refused_by_the_dialer() {
    let mut impostor = config(1, any_port(), vec![peer(0, any_port())]);
    impostor.seed = Zeroizing::new(seed(66));
    let impostor = Node::start(impostor);
    let mut dialer = Node::start(config(0, any_port(), vec![peer(1, impostor.address())]));
    let (who, reason) = dialer.refusal().await;
    assert_eq!(who, Some(index(1)));
    assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
    assert_eq!(dialer.handle.metrics().connected.get(), 0);
}

/// Another member of the committee at the address of the one that is dialled.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_cannot_stand_in_for_another() {
    let other = Node::start(config(2, any_port(), vec![peer(0, any_port())]));
    let peers = vec![peer(1, other.address()), peer(2, other.address())];
    let mut dialer = Node::start(config(0, any_port(), peers));
    // In either order.
    let (mut refused, mut connected) = (false, false);
    while !refused || !connected {
        match next(&mut dialer.events.peers).await {
            PeerEvent::Refused { peer, reason } => {
                assert_eq!(peer, Some(index(1)));
                assert!(matches!(reason, Refusal::Tls { .. }), "{reason}");
                refused = true;
            }
            event => {
                assert_eq!(event, PeerEvent::Connected(index(2)));
                connected = true;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused_on_both_sides() {
    let mut listener = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let mut elsewhere = config(0, any_port(), vec![peer(1, listener.address())]);
    elsewhere.chain = ChainId(Digest([4; 32]));
    let mut elsewhere = Node::start(elsewhere);
    assert_eq!(
        listener.refusal().await,
        (Some(index(0)), Refusal::WrongChain)
    );
    assert_eq!(
        elsewhere.refusal().await,
        (Some(index(1)), Refusal::WrongChain)
    );
    assert_eq!(listener.handle.metrics().connected.get(), 0);
    assert_eq!(elsewhere.handle.metrics().connected.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_or_no_hello_is_refused() {
    let mut listener = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let newer = conclave_types::codec::encode(&(PROTOCOL_VERSION + 1, chain()));
    for (hello, close) in [
        (newer, Close::WrongVersion),
        (vec![1; 34], Close::WrongVersion),
        (vec![1; 3], Close::BadHello),
    ] {
        let (_endpoint, connection) = raw::connect(0, 1, listener.address()).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&hello).await.unwrap();
        send.finish().unwrap();
        assert_eq!(closed_with(&connection).await, close as u64);
        assert_eq!(listener.refusal().await.0, Some(index(0)));
    }
    assert_eq!(listener.handle.metrics().connected.get(), 0);
}

/// A higher index dials us although it should wait for us to dial.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_should_not_dial_is_refused() {
    let mut node = Node::start(config(0, any_port(), vec![peer(1, any_port())]));
    let (_endpoint, connection) = raw::connect(1, 0, node.address()).await;
    assert_eq!(closed_with(&connection).await, Close::UnexpectedPeer as u64);
    while node.refusal().await != (Some(index(1)), Refusal::UnexpectedPeer) {}
}

#[test]
fn a_contradictory_configuration_is_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let twice = |number| PeerConfig {
        index: index(number),
        ..peer(1, any_port())
    };
    for peers in [
        vec![twice(1), twice(1)],
        vec![twice(1), twice(2)],
        vec![twice(0)],
        vec![peer(0, any_port())],
    ] {
        let refused = Transport::start(config(0, any_port(), peers));
        assert!(matches!(refused, Err(TransportError::Peers { .. })));
    }
}

#[tokio::test]
async fn a_port_in_use_has_its_code() {
    let first = Node::start(config(0, any_port(), Vec::new()));
    let refused = Transport::start(config(1, first.address(), Vec::new()));
    let Err(error) = refused else {
        panic!("two transports share a port");
    };
    let text = error.to_string();
    assert!(text.starts_with("[CV-NET-001] port in use"), "{text}");
}

pub(super) async fn closed_with(connection: &quinn::Connection) -> u64 {
    match guarded(connection.closed()).await {
        quinn::ConnectionError::ApplicationClosed(closed) => closed.error_code.into_inner(),
        other => panic!("closed otherwise: {other}"),
    }
}
