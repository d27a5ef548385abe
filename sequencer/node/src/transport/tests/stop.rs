//! The end leaves nothing behind.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_delivers_what_was_queued() {
    let [low, mut high]: [Node; 2] = committee().await;
    for number in 0..500 {
        let sent = low
            .handle
            .send(index(1), Class::Consensus, numbered(number, 1000));
        sent.unwrap();
    }
    let Node {
        transport,
        handle,
        events: _events,
    } = low;
    let stopping = tokio::spawn(transport.shutdown());
    for number in 0..500 {
        let message = next(&mut high.events.consensus).await;
        assert_eq!(number_of(&message.bytes), number);
    }
    guarded(stopping).await.unwrap();
    let reason = high.disconnected_from(0).await;
    let reason_given = "it shut down".to_owned();
    assert_eq!(
        reason,
        Disconnect::ByPeer {
            reason: reason_given
        }
    );
    let late = handle.send(index(1), Class::Consensus, Bytes::new());
    assert_eq!(late, Err(SendError::Stopped));
    let late = handle.request(index(1), Bytes::new(), GUARD).await;
    assert_eq!(late, Err(RequestError::NotConnected { peer: index(1) }));
}

/// A peer that no longer takes anything does not keep the node from ending.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_ever() {
    let mut low = config(1, any_port(), vec![peer(0, any_port())]);
    low.timing.flush = Duration::from_millis(50);
    let mut node = Node::start(low);
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    node.connected_to(0).await;
    for number in 0..8 {
        let frame = numbered(number, Class::Consensus.frame_bytes_max());
        node.handle.send(index(0), Class::Consensus, frame).unwrap();
    }
    guarded(node.transport.shutdown()).await;
    assert_eq!(node.handle.metrics().consensus.frames_out.get(), 0);
    guarded(connection.closed()).await;
}

async fn all_receivers_end(mut events: TransportEvents) {
    guarded(async {
        while events.consensus.recv().await.is_some() {}
        while events.shares.recv().await.is_some() {}
        while events.dispersal.recv().await.is_some() {}
        while events.requests.recv().await.is_some() {}
        while events.peers.recv().await.is_some() {}
    })
    .await;
}

fn nothing_runs_after(stop: impl AsyncFnOnce(Transport)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let [low, high]: [Node; 2] = committee().await;
        let alive = || runtime.metrics().num_alive_tasks();
        assert!(alive() > 0);
        for class in Class::ALL {
            low.handle.broadcast(class, numbered(1, 100_000)).unwrap();
        }
        let handles = [low.handle, high.handle];
        stop(low.transport).await;
        all_receivers_end(low.events).await;
        drop(high.transport);
        all_receivers_end(high.events).await;
        until(|| alive() == 0).await;
        // The handles did not keep it running, and say so.
        for handle in handles {
            let late = handle.broadcast(Class::Consensus, Bytes::new());
            assert_eq!(late, Err(SendError::Stopped));
            assert!(handle.peers().iter().all(|peer| peer.connected.is_none()));
        }
    });
}

#[test]
fn nothing_runs_after_dropping() {
    nothing_runs_after(async |transport| drop(transport));
}

#[test]
fn nothing_runs_after_a_shutdown() {
    nothing_runs_after(async |transport| guarded(transport.shutdown()).await);
}

#[test]
fn nothing_runs_after_the_peers_changed() {
    nothing_runs_after(async |transport| {
        let handle = transport.handle();
        let others = vec![peer(2, any_port()), peer(3, any_port())];
        handle.set_peers(others).await.unwrap();
        guarded(transport.shutdown()).await;
    });
}

/// The change may come in time or not; either way it keeps nothing alive.
#[test]
fn nothing_runs_after_a_shutdown_during_which_the_peers_change() {
    nothing_runs_after(async |transport| {
        let handle = transport.handle();
        let others = vec![peer(1, any_port()), peer(2, any_port())];
        let changing = handle.set_peers(others.clone());
        let both = async { tokio::join!(transport.shutdown(), changing) };
        let ((), changed) = guarded(both).await;
        assert!(matches!(changed, Ok(()) | Err(TransportError::Stopped)));
        let late = handle.set_peers(others).await;
        assert!(matches!(late, Err(TransportError::Stopped)), "{late:?}");
    });
}

#[tokio::test]
async fn a_stopped_port_is_free_again() {
    let node = Node::start(config(0, any_port(), Vec::new()));
    let address = node.address();
    guarded(node.transport.shutdown()).await;
    std::net::UdpSocket::bind(address).unwrap();
}

/// Both leave at once: neither waits out its bound for the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_can_shut_down_together() {
    let [mut low, high]: [Node; 2] = committee().await;
    low.handle
        .send(index(1), Class::Consensus, numbered(1, 4))
        .unwrap();
    high.handle
        .send(index(0), Class::Consensus, numbered(2, 4))
        .unwrap();
    let together = async { tokio::join!(low.transport.shutdown(), high.transport.shutdown()) };
    guarded(together).await;
    // Whoever closed first had read everything.
    let mut events = high.events;
    let either = [
        low.events.consensus.recv().await,
        events.consensus.recv().await,
    ];
    assert!(either.iter().any(Option::is_some));
}
