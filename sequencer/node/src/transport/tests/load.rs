//! Bulk does not hold up what matters.

use super::*;

const BULK_BYTES: usize = 4 * 1024 * 1024;
const BULK_FRAMES: u32 = 32;

/// Nobody takes the bulk, so that it fills every queue and window on the way and stands still.
#[tokio::test(flavor = "multi_thread")]
async fn consensus_passes_bulk_that_stands_still() {
    let [sender, mut receiver]: [Node; 2] = committee().await;
    let frames = (0..BULK_FRAMES).map(|number| numbered(number, BULK_BYTES));
    for frame in frames {
        // The queue holds fewer than all.
        let accepted = || {
            let sent = sender
                .handle
                .send(index(1), Class::Dispersal, frame.clone());
            sent.is_ok()
        };
        until(accepted).await;
    }
    let stuck = (bounds::DISPERSAL_INBOX_MAX + bounds::BULK_STREAMS_MAX) as u64;
    let metrics = receiver.handle.clone();
    let bulk_in = || metrics.metrics().dispersal.frames_in.get();
    until(|| bulk_in() == stuck).await;

    for number in 0..1000 {
        let (consensus, shares) = (numbered(number, 500), numbered(number, 5000));
        sender
            .handle
            .send(index(1), Class::Consensus, consensus)
            .unwrap();
        let _ = sender.handle.send(index(1), Class::Shares, shares);
        let message = next(&mut receiver.events.consensus).await;
        assert_eq!(number_of(&message.bytes), number);
        let message = next(&mut receiver.events.shares).await;
        assert_eq!(number_of(&message.bytes), number);
    }
    let largest = numbered(7, Class::Consensus.frame_bytes_max());
    sender
        .handle
        .send(index(1), Class::Consensus, largest)
        .unwrap();
    assert_eq!(
        number_of(&next(&mut receiver.events.consensus).await.bytes),
        7
    );
    let asking = sender.handle.clone();
    let asked = async move { asking.request(index(1), Bytes::new(), GUARD).await };
    let answer = tokio::spawn(asked);
    let request = next(&mut receiver.events.requests).await;
    request.responder.respond(numbered(8, BULK_BYTES));
    assert_eq!(number_of(&guarded(answer).await.unwrap().unwrap()), 8);
    assert_eq!(bulk_in(), stuck, "all of that while the bulk stood still");

    let mut numbers = Vec::new();
    for _ in 0..BULK_FRAMES {
        numbers.push(number_of(&next(&mut receiver.events.dispersal).await.bytes));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..BULK_FRAMES).collect::<Vec<_>>());
}

/// Everybody takes what comes; consensus that was sent after 60 MiB of bulk arrives before it.
#[tokio::test(flavor = "multi_thread")]
async fn consensus_overtakes_bulk_that_flows() {
    let [sender, mut receiver]: [Node; 2] = committee().await;
    let frames = 15;
    for number in 0..frames {
        let frame = numbered(number, BULK_BYTES);
        sender
            .handle
            .send(index(1), Class::Dispersal, frame)
            .unwrap();
    }
    for number in 0..100 {
        let frame = numbered(number, 500);
        sender
            .handle
            .send(index(1), Class::Consensus, frame)
            .unwrap();
    }
    let (mut consensus, mut bulk, mut bulk_before_the_last) = (0, 0, 0);
    while consensus < 100 || bulk < frames {
        tokio::select! {
            biased;
            message = next(&mut receiver.events.dispersal) => {
                assert_eq!(message.bytes.len(), BULK_BYTES);
                bulk += 1;
            }
            message = next(&mut receiver.events.consensus) => {
                assert_eq!(number_of(&message.bytes), consensus);
                consensus += 1;
                bulk_before_the_last = bulk;
            }
        }
    }
    assert!(
        bulk_before_the_last < frames,
        "consensus waited for all the bulk"
    );
}

/// A flood of one peer does not keep another's messages out.
#[tokio::test(flavor = "multi_thread")]
async fn a_flooding_peer_does_not_starve_another() {
    let [flooder, quiet, mut receiver]: [Node; 3] = committee().await;
    let flood = || {
        flooder
            .handle
            .send(index(2), Class::Consensus, numbered(0, 100))
    };
    // Nobody reads, so that the receiver's inbox is full of one peer's messages.
    until(|| {
        flood().unwrap();
        flooder.handle.metrics().consensus.dropped.get() > 0
    })
    .await;
    quiet
        .handle
        .send(index(2), Class::Consensus, numbered(1, 100))
        .unwrap();
    until(|| quiet.handle.metrics().consensus.frames_out.get() > 0).await;
    let mut before = 0;
    while next(&mut receiver.events.consensus).await.from != index(1) {
        flood().unwrap();
        before += 1;
    }
    // The inbox, and a few that were let in while the quiet one's message crossed the wire.
    assert!(
        before <= 2 * bounds::CONSENSUS_INBOX_MAX,
        "{before} came first"
    );
}
