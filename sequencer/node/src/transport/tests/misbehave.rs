//! A member of the committee that keeps to no protocol is cut off, counted, and kept out a while.

use super::super::hello::Close;
use super::refuse::closed_with;
use super::*;

/// A listener that keeps misbehaving peers out for good.
fn strict() -> Node {
    let mut strict = config(1, any_port(), vec![peer(0, any_port())]);
    strict.timing.cool_down = GUARD * 10;
    Node::start(strict)
}

async fn assert_cut_off(mut node: Node, connection: &quinn::Connection) {
    assert_eq!(closed_with(connection).await, Close::Punished as u64);
    let reason = node.disconnected_from(0).await;
    assert!(matches!(reason, Disconnect::Punished { .. }), "{reason:?}");
    assert_eq!(node.handle.metrics().punished.get(), 1);
    // It is kept out while the cool-down lasts.
    let (_endpoint, connection) = raw::connect(0, 1, node.address()).await;
    assert_eq!(closed_with(&connection).await, Close::CoolingDown as u64);
    assert_eq!(node.refusal().await, (Some(index(0)), Refusal::CoolingDown));
    // And nothing of what it sent came through.
    assert!(node.events.consensus.try_recv().is_err());
    assert!(node.events.dispersal.try_recv().is_err());
}

async fn opens_stream(bytes: &[u8]) {
    let node = strict();
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    let mut stream = connection.open_uni().await.unwrap();
    // The peer may close before it read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.finish();
    assert_cut_off(node, &connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_where_a_frame_should_be() {
    opens_stream(&[Class::Consensus.tag(), 0xff, 0xff, 0xff, 0xff, 1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_one_byte_over_its_bound() {
    let mut bytes = vec![Class::Shares.tag()];
    let length = Class::Shares.frame_bytes_max() as u32 + 1;
    bytes.extend(length.to_le_bytes());
    opens_stream(&bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_frame_over_its_bound() {
    let mut bytes = vec![0; Class::Dispersal.frame_bytes_max() + 2];
    bytes[0] = Class::Dispersal.tag();
    opens_stream(&bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_unknown_class() {
    opens_stream(&[0xee]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_of_one_class() {
    let node = strict();
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    for _ in 0..2 {
        let mut stream = connection.open_uni().await.unwrap();
        let _ = stream.write_all(&[Class::Consensus.tag()]).await;
    }
    assert_cut_off(node, &connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_its_bound() {
    let node = strict();
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    let _ = send
        .write_all(&vec![0; bounds::REQUEST_BYTES_MAX + 1])
        .await;
    assert_cut_off(node, &connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_reading_consensus() {
    let node = strict();
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    let message = numbered(1, 4);
    node.handle
        .send(index(0), Class::Consensus, message.clone())
        .unwrap();
    // Consensus and shares, in whichever order they were opened.
    let mut stopped = connection.accept_uni().await.unwrap();
    let mut other = connection.accept_uni().await.unwrap();
    stopped.stop(quinn::VarInt::from_u32(0)).unwrap();
    let handle = node.handle.clone();
    let sending = async {
        // The refusal shows at a later write. One at a time: sent as fast as they go, they fill the
        // socket, which then drops the one datagram that says why the connection is closed.
        while handle.metrics().punished.get() == 0 {
            let _ = handle.broadcast(Class::Consensus, message.clone());
            let _ = handle.broadcast(Class::Shares, message.clone());
            let _ = other.read_chunk(usize::MAX, true).await;
        }
    };
    guarded(sending).await;
    assert_cut_off(node, &connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_an_answer() {
    let mut node = strict();
    let (_endpoint, connection) = raw::greeted(0, 1, node.address()).await;
    node.connected_to(0).await;
    let handle = node.handle.clone();
    let asked = async move { handle.request(index(0), Bytes::new(), GUARD).await };
    let answer = tokio::spawn(asked);
    let (mut send, _receive) = connection.accept_bi().await.unwrap();
    let _ = send
        .write_all(&vec![0; bounds::RESPONSE_BYTES_MAX + 1])
        .await;
    let refused = guarded(answer).await.unwrap();
    assert!(matches!(refused, Err(RequestError::AnswerTooLong { .. })));
    assert_cut_off(node, &connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punished_peer_comes_back_after_its_cool_down() {
    let [mut dialer, mut listener]: [Node; 2] = committee().await;
    for round in 1..=2 {
        listener.handle.punish(index(0), "it sent a wrong share");
        let reason = listener.disconnected_from(0).await;
        let expected = "it sent a wrong share".to_owned();
        assert_eq!(
            reason,
            Disconnect::Punished {
                reason: expected.clone()
            }
        );
        let reason = dialer.disconnected_from(1).await;
        assert_eq!(reason, Disconnect::ByPeer { reason: expected });
        dialer.connected_to(1).await;
        listener.connected_to(0).await;
        assert_eq!(listener.handle.metrics().punished.get(), round);
    }
    // And when it is the dialer that punishes.
    dialer.handle.punish(index(1), "it sent a wrong share");
    listener.disconnected_from(0).await;
    listener.connected_to(0).await;
    dialer.connected_to(1).await;
    assert_eq!(dialer.handle.metrics().reconnected.get(), 3);
}
