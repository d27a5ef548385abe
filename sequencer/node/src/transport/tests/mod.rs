//! Does the transport carry what it may, refuse what it must, and end when it is told to? Real
//! QUIC on loopback throughout.

mod exchange;
mod load;
mod manager;
mod misbehave;
mod peers;
mod queues;
mod raw;
mod refuse;
mod restart;
mod stop;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use conclave_types::{ChainId, Digest, TransportKey, ValidatorIndex};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::tls::OwnCertificate;
use super::*;

/// Longer than anything here takes; a test that gets there has failed.
const GUARD: Duration = Duration::from_secs(60);

/// A running node of a test.
struct Node {
    transport: Transport,
    handle: TransportHandle,
    events: TransportEvents,
}

fn index(number: u16) -> ValidatorIndex {
    ValidatorIndex(number)
}

fn seed(number: u16) -> [u8; 32] {
    let [low, high] = number.to_le_bytes();
    let mut seed = [9; 32];
    (seed[0], seed[1]) = (low, high);
    seed
}

fn key(number: u16) -> TransportKey {
    OwnCertificate::new(&seed(number)).unwrap().public
}

fn chain() -> ChainId {
    ChainId(Digest([3; 32]))
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn quick() -> Timing {
    Timing {
        back_off: Duration::from_millis(5),
        back_off_max: Duration::from_millis(50),
        cool_down: Duration::from_millis(50),
        ..Timing::default()
    }
}

fn peer(number: u16, address: SocketAddr) -> PeerConfig {
    PeerConfig {
        index: index(number),
        key: key(number),
        address: address.to_string(),
    }
}

fn config(own: u16, listen: SocketAddr, peers: Vec<PeerConfig>) -> TransportConfig {
    TransportConfig {
        chain: chain(),
        own: index(own),
        seed: Zeroizing::new(seed(own)),
        listen,
        peers,
        timing: quick(),
    }
}

impl Node {
    fn start(config: TransportConfig) -> Self {
        let (transport, events) = Transport::start(config).unwrap();
        Self {
            handle: transport.handle(),
            transport,
            events,
        }
    }

    fn address(&self) -> SocketAddr {
        self.transport.local_address().unwrap()
    }

    /// The next event about peers that is not a refusal.
    async fn peer_event(&mut self) -> PeerEvent {
        guarded(async {
            loop {
                match next(&mut self.events.peers).await {
                    PeerEvent::Refused { .. } => {}
                    event => return event,
                }
            }
        })
        .await
    }

    async fn connected_to(&mut self, number: u16) {
        while self.peer_event().await != PeerEvent::Connected(index(number)) {}
    }

    async fn disconnected_from(&mut self, number: u16) -> Disconnect {
        loop {
            match self.peer_event().await {
                PeerEvent::Disconnected(peer, reason) if peer == index(number) => return reason,
                _ => {}
            }
        }
    }

    async fn refusal(&mut self) -> (Option<ValidatorIndex>, Refusal) {
        loop {
            if let PeerEvent::Refused { peer, reason } = next(&mut self.events.peers).await {
                return (peer, reason);
            }
        }
    }
}

/// A committee of connected nodes. Only lower indices dial, so the higher ones start first.
async fn committee<const N: usize>() -> [Node; N] {
    let mut nodes: Vec<Node> = Vec::new();
    for own in (0..N as u16).rev() {
        let peers = (0..N as u16).filter(|number| *number != own).map(|number| {
            // Those started are in `nodes`, the highest first.
            let started = nodes.get(N - 1 - usize::from(number));
            peer(number, started.map_or_else(any_port, Node::address))
        });
        let peers = peers.collect();
        nodes.push(Node::start(config(own, any_port(), peers)));
    }
    nodes.reverse();
    for node in &mut nodes {
        for _ in 1..N {
            assert!(matches!(node.peer_event().await, PeerEvent::Connected(_)));
        }
    }
    nodes.try_into().ok().unwrap()
}

async fn next<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    let next = tokio::time::timeout(GUARD, receiver.recv()).await;
    next.expect("nothing came").expect("the transport ended")
}

async fn guarded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future)
        .await
        .expect("it took too long")
}

/// Waits for something that has no event of its own.
async fn until(condition: impl Fn() -> bool) {
    guarded(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn numbered(number: u32, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn number_of(bytes: &Bytes) -> u32 {
    u32::from_le_bytes(*bytes.first_chunk().unwrap())
}
