//! Peers that go and come back.

use super::super::hello::Close;
use super::refuse::closed_with;
use super::*;

async fn both_ways(low: &mut Node, high: &mut Node) {
    low.handle
        .send(index(1), Class::Consensus, numbered(1, 4))
        .unwrap();
    high.handle
        .send(index(0), Class::Consensus, numbered(2, 4))
        .unwrap();
    while number_of(&next(&mut high.events.consensus).await.bytes) != 1 {}
    while number_of(&next(&mut low.events.consensus).await.bytes) != 2 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_restart() {
    let [mut low, mut high]: [Node; 2] = committee().await;
    let (low_at, high_at) = (low.address(), high.address());
    both_ways(&mut low, &mut high).await;

    high.transport.shutdown().await;
    assert!(matches!(
        low.disconnected_from(1).await,
        Disconnect::ByPeer { .. }
    ));
    let mut high = Node::start(config(1, high_at, vec![peer(0, low_at)]));
    low.connected_to(1).await;
    both_ways(&mut low, &mut high).await;
    assert_eq!(low.handle.metrics().reconnected.get(), 1);

    low.transport.shutdown().await;
    assert!(matches!(
        high.disconnected_from(0).await,
        Disconnect::ByPeer { .. }
    ));
    let mut low = Node::start(config(0, low_at, vec![peer(1, high_at)]));
    high.connected_to(0).await;
    both_ways(&mut low, &mut high).await;
}

const CHILD: &str = "CONCLAVE_TRANSPORT_CHILD";

/// Node 1 in a process of its own, to be killed. Without the variable there is nothing to do: it
/// is the test below that starts it.
#[tokio::test(flavor = "multi_thread")]
async fn child_listens_until_killed() {
    let Ok(listen) = std::env::var(CHILD) else {
        return;
    };
    let listen = listen.parse().unwrap();
    let _node = Node::start(config(1, listen, vec![peer(0, any_port())]));
    std::future::pending::<()>().await;
}

/// With an idle time-out of hours only the stateless reset, by a key that survives the restart,
/// can tell the dialer that its connection is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_listener_is_noticed_when_it_is_back() {
    let high_at = free_port();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "transport::tests::restart::child_listens_until_killed",
        ])
        .env(CHILD, high_at.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut low = config(0, any_port(), vec![peer(1, high_at)]);
    low.timing.idle = Duration::from_secs(36_000);
    low.timing.keep_alive = Duration::from_millis(20);
    low.timing.handshake = Duration::from_millis(500);
    let mut low = Node::start(low);
    low.connected_to(1).await;

    child.kill().unwrap();
    child.wait().unwrap();
    let mut high = Node::start(config(1, high_at, vec![peer(0, low.address())]));
    let reason = "reset by peer".to_owned();
    assert_eq!(low.disconnected_from(1).await, Disconnect::Lost { reason });
    low.connected_to(1).await;
    both_ways(&mut low, &mut high).await;
}

fn free_port() -> SocketAddr {
    let socket = std::net::UdpSocket::bind(any_port()).unwrap();
    socket.local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_replaces_the_older() {
    let mut node = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let (_endpoint, first) = raw::greeted(0, 1, node.address()).await;
    node.connected_to(0).await;
    let (_other, second) = raw::greeted(0, 1, node.address()).await;
    assert_eq!(closed_with(&first).await, Close::Replaced as u64);
    assert_eq!(node.disconnected_from(0).await, Disconnect::Replaced);
    node.connected_to(0).await;
    assert!(second.close_reason().is_none());
}

/// Nobody listens yet at the address, and the name is looked up at each attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_later_is_found_by_name() {
    let port = free_port().port();
    let by_name = PeerConfig {
        address: format!("localhost:{port}"),
        ..peer(1, any_port())
    };
    let mut low = config(0, any_port(), vec![by_name]);
    low.timing.handshake = Duration::from_millis(100);
    let mut low = Node::start(low);
    let high_at = (Ipv4Addr::LOCALHOST, port).into();
    let mut high = Node::start(config(1, high_at, vec![peer(0, low.address())]));
    low.connected_to(1).await;
    high.connected_to(0).await;
    both_ways(&mut low, &mut high).await;
}
