//! What happens when too much waits.

use super::super::queue::{Pushed, Queue};
use super::*;

#[test]
fn consensus_drops_the_oldest_by_number() {
    let queue = Queue::new(Class::Consensus);
    for number in 0..bounds::CONSENSUS_QUEUE_FRAMES_MAX as u32 {
        assert_eq!(
            queue.push(numbered(number, 4)),
            Pushed::Queued { dropped: 0 }
        );
    }
    assert_eq!(queue.push(numbered(9999, 4)), Pushed::Queued { dropped: 1 });
    assert_eq!(number_of(&queue.try_pop().unwrap()), 1);
}

#[test]
fn shares_drop_the_oldest_by_bytes() {
    let queue = Queue::new(Class::Shares);
    let frame = |number| numbered(number, bounds::SHARES_FRAME_BYTES_MAX);
    let fit = (bounds::SHARES_QUEUE_BYTES_MAX / bounds::SHARES_FRAME_BYTES_MAX) as u32;
    for number in 0..fit {
        assert_eq!(queue.push(frame(number)), Pushed::Queued { dropped: 0 });
    }
    assert_eq!(queue.push(numbered(77, 4)), Pushed::Queued { dropped: 1 });
    for number in 1..fit {
        assert_eq!(number_of(&queue.try_pop().unwrap()), number);
    }
    assert_eq!(number_of(&queue.try_pop().unwrap()), 77);
    assert_eq!(queue.try_pop(), None);
    assert_eq!(queue.push(frame(5)), Pushed::Queued { dropped: 0 });
}

#[test]
fn dispersal_refuses_the_newest() {
    let queue = Queue::new(Class::Dispersal);
    let frame = numbered(1, bounds::DISPERSAL_QUEUE_BYTES_MAX / 16);
    for _ in 0..16 {
        assert_eq!(queue.push(frame.clone()), Pushed::Queued { dropped: 0 });
    }
    assert_eq!(queue.push(numbered(2, 4)), Pushed::Refused);
    queue.try_pop().unwrap();
    assert_eq!(queue.push(numbered(2, 4)), Pushed::Queued { dropped: 0 });
}

/// The newest messages to a peer that is away reach it when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_peer_is_counted_and_delivered() {
    let listener = Node::start(config(1, any_port(), vec![peer(0, any_port())]));
    let full = bounds::CONSENSUS_QUEUE_FRAMES_MAX as u32;
    for number in 0..full + 10 {
        let sent = listener
            .handle
            .send(index(0), Class::Consensus, numbered(number, 4));
        sent.unwrap();
    }
    assert_eq!(listener.handle.metrics().consensus.dropped.get(), 10);
    let mut refused = 0;
    while listener.handle.metrics().dispersal.dropped.get() == 0 {
        let frame = numbered(0, Class::Dispersal.frame_bytes_max());
        match listener.handle.send(index(0), Class::Dispersal, frame) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, SendError::Full { peer: index(0) });
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
    let asked = listener.handle.request(index(0), Bytes::new(), GUARD).await;
    assert_eq!(asked, Err(RequestError::NotConnected { peer: index(0) }));

    let mut dialer = Node::start(config(0, any_port(), vec![peer(1, listener.address())]));
    for number in 10..full + 10 {
        let message = next(&mut dialer.events.consensus).await;
        assert_eq!(number_of(&message.bytes), number);
    }
}
