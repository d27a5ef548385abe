//! What goes in on one side comes out on the others.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_exchange_every_class() {
    let mut nodes: [Node; 3] = committee().await;
    for (own, node) in nodes.iter().enumerate() {
        for class in Class::ALL {
            let text = Bytes::from(format!("{class:?} of {own}"));
            assert_eq!(node.handle.broadcast(class, text), Ok(2));
        }
    }
    for (own, node) in nodes.iter_mut().enumerate() {
        let events = &mut node.events;
        let receivers = [
            &mut events.consensus,
            &mut events.shares,
            &mut events.dispersal,
        ];
        for (class, receiver) in Class::ALL.into_iter().zip(receivers) {
            let mut from = Vec::new();
            for _ in 0..2 {
                let message = next(receiver).await;
                assert_eq!(message.bytes, format!("{class:?} of {}", message.from));
                from.push(usize::from(message.from.0));
            }
            from.sort_unstable();
            let others: Vec<usize> = (0..3).filter(|other| *other != own).collect();
            assert_eq!(from, others);
        }
    }
    let status = nodes[1].handle.peers();
    assert_eq!(status.len(), 2);
    assert!(status.iter().all(|peer| peer.connected.is_some()));
    let metrics = nodes[0].handle.metrics();
    assert_eq!(metrics.consensus.frames_out.get(), 2);
    assert_eq!(
        metrics.consensus.bytes_in.get(),
        2 * "Consensus of 1".len() as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_class_keep_their_order_and_size() {
    let mut nodes: [Node; 2] = committee().await;
    let lengths = [4, 100, Class::Consensus.frame_bytes_max(), 5, 70_000];
    for (number, length) in lengths.into_iter().enumerate() {
        let bytes = numbered(number as u32, length);
        nodes[1]
            .handle
            .send(index(0), Class::Consensus, bytes)
            .unwrap();
    }
    for (number, length) in lengths.into_iter().enumerate() {
        let message = next(&mut nodes[0].events.consensus).await;
        assert_eq!(message.from, index(1));
        assert_eq!(message.bytes.len(), length);
        assert_eq!(number_of(&message.bytes), number as u32);
    }
    let largest = numbered(1, Class::Dispersal.frame_bytes_max());
    let sent = nodes[0]
        .handle
        .send(index(1), Class::Dispersal, largest.clone());
    sent.unwrap();
    assert_eq!(next(&mut nodes[1].events.dispersal).await.bytes, largest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_sent_is_refused_here() {
    let nodes: [Node; 2] = committee().await;
    let handle = &nodes[0].handle;
    for class in Class::ALL {
        let bytes = Bytes::from(vec![0; class.frame_bytes_max() + 1]);
        let refused = handle.send(index(1), class, bytes);
        assert!(matches!(refused, Err(SendError::TooLong { .. })));
    }
    for nobody in [0, 7] {
        let refused = handle.send(index(nobody), Class::Consensus, Bytes::new());
        let peer = index(nobody);
        assert_eq!(refused, Err(SendError::UnknownPeer { peer }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_declined_or_time_out() {
    let [asking, mut answering]: [Node; 2] = committee().await;
    let ask = |text: &'static str, within: Duration| {
        let handle = asking.handle.clone();
        tokio::spawn(async move { handle.request(index(1), Bytes::from(text), within).await })
    };

    let answer = ask("four?", GUARD);
    let request = next(&mut answering.events.requests).await;
    assert_eq!(
        (request.from, request.bytes),
        (index(0), Bytes::from("four?"))
    );
    let largest = numbered(4, bounds::RESPONSE_BYTES_MAX);
    request.responder.respond(largest.clone());
    assert_eq!(guarded(answer).await.unwrap(), Ok(largest));

    let answer = ask("no?", GUARD);
    drop(next(&mut answering.events.requests).await);
    let declined = RequestError::Declined { peer: index(1) };
    assert_eq!(guarded(answer).await.unwrap(), Err(declined.clone()));

    let answer = ask("too much?", GUARD);
    let request = next(&mut answering.events.requests).await;
    let over = Bytes::from(vec![0; bounds::RESPONSE_BYTES_MAX + 1]);
    request.responder.respond(over);
    assert_eq!(guarded(answer).await.unwrap(), Err(declined));

    let answer = ask("later?", Duration::from_millis(1));
    let late = guarded(answer).await.unwrap();
    assert!(matches!(late, Err(RequestError::TimedOut { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_bounded() {
    let [asking, mut answering]: [Node; 2] = committee().await;
    let mut open = Vec::new();
    for _ in 0..bounds::REQUESTS_OPEN_MAX {
        let handle = asking.handle.clone();
        let asked = async move { handle.request(index(1), Bytes::new(), GUARD).await };
        open.push(tokio::spawn(asked));
    }
    let mut requests = Vec::new();
    for _ in 0..bounds::REQUESTS_OPEN_MAX {
        requests.push(next(&mut answering.events.requests).await);
    }
    let busy = asking.handle.request(index(1), Bytes::new(), GUARD).await;
    assert_eq!(busy, Err(RequestError::Busy { peer: index(1) }));
    for request in requests {
        request.responder.respond(Bytes::from("yes"));
    }
    for answer in open {
        assert_eq!(guarded(answer).await.unwrap(), Ok(Bytes::from("yes")));
    }
    let long = Bytes::from(vec![0; bounds::REQUEST_BYTES_MAX + 1]);
    let refused = asking.handle.request(index(1), long, GUARD).await;
    assert!(matches!(refused, Err(RequestError::TooLong { .. })));
    let refused = asking.handle.request(index(0), Bytes::new(), GUARD).await;
    assert!(matches!(refused, Err(RequestError::UnknownPeer { .. })));
}
