//! The network between the validators: every packet from one to another passes here.
//!
//! ```text
//! validator i ──▶ front(i,j) ── Link i>j ──▶ back ──▶ validator j
//! validator i ◀── front(i,j) ── Link j>i ◀── back ◀── validator j
//! ```
//!
//! Of two validators the one with the lower index dials, so each pair has one front, at which the
//! lower one believes the other to be, and one back, from which the higher one is spoken to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use conclave_tests::chaos::{Condition, FaultId, Link};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::places::Places;

/// The largest UDP payload.
const PACKET_BYTES_MAX: usize = 65_536;
/// Packets that one direction holds back at most; more are lost, as in a router.
const HELD_MAX: usize = 65_536;

/// The running relay. Dropping it ends it.
pub(super) struct Relay {
    start: Instant,
    links: BTreeMap<(u16, u16), Arc<Mutex<Link>>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Opens all links; those of a twin's second instance too, which dials all but its first.
    pub(super) async fn start(
        places: &Places,
        (validators, twin): (u16, bool),
        seed: u64,
    ) -> anyhow::Result<Self> {
        let start = Instant::now();
        let mut links = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let twin = twin.then(|| (places.twin(), 1));
        for (low, first) in (0..validators).map(|low| (low, low + 1)).chain(twin) {
            for high in first..validators {
                let front = Arc::new(bind(places.front(low, high)).await?);
                let back = Arc::new(bind(places.back(high)).await?);
                for (from, to, source, target) in
                    [(low, high, &front, &back), (high, low, &back, &front)]
                {
                    let link = Arc::new(Mutex::new(Link::new(seed, from, to)));
                    links.insert((from, to), link.clone());
                    let direction = Direction {
                        start,
                        link,
                        source: source.clone(),
                        target: target.clone(),
                        to: places.peer(to),
                        held: BinaryHeap::new(),
                        count: 0,
                    };
                    tasks.spawn(direction.run());
                }
            }
        }
        Ok(Self {
            start,
            links,
            _tasks: tasks,
        })
    }

    /// A condition begins on some links.
    pub(super) fn begin(
        &self,
        fault: FaultId,
        links: &[(u16, u16)],
        condition: impl Fn(u64) -> Condition,
    ) {
        let condition = condition(self.start.elapsed().as_millis() as u64);
        for link in links.iter().filter_map(|link| self.links.get(link)) {
            lock(link).begin(fault, condition);
        }
    }

    /// A fault ends, wherever it was.
    pub(super) fn end(&self, fault: FaultId) {
        self.links.values().for_each(|link| lock(link).end(fault));
    }
}

/// One direction of one link.
struct Direction {
    start: Instant,
    link: Arc<Mutex<Link>>,
    source: Arc<UdpSocket>,
    target: Arc<UdpSocket>,
    to: SocketAddr,
    /// What is delayed: when it is due, in which order it came, and the packet.
    held: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    count: u64,
}

impl Direction {
    async fn run(mut self) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            let due = self.held.peek().map(|Reverse((at, _, _))| *at);
            tokio::select! {
                received = self.source.recv_from(&mut buffer) => {
                    // An error is about a packet that somebody did not want; it is lost.
                    if let Ok((length, _)) = received {
                        self.pass(&buffer[..length]).await;
                    }
                }
                () = sleep_until(due.unwrap_or(self.start)), if due.is_some() => self.release().await,
            }
        }
    }

    async fn pass(&mut self, packet: &[u8]) {
        let now = Instant::now();
        let copies = lock(&self.link).fate((now - self.start).as_millis() as u64);
        for delay_ms in copies {
            if delay_ms == 0 {
                self.send(packet).await;
            } else if self.held.len() < HELD_MAX {
                self.count += 1;
                let due = now + Duration::from_millis(delay_ms);
                self.held.push(Reverse((due, self.count, packet.to_vec())));
            }
        }
    }

    async fn release(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, _, _))) = self.held.peek() {
            if *due > now {
                return;
            }
            if let Some(Reverse((_, _, packet))) = self.held.pop() {
                self.send(&packet).await;
            }
        }
    }

    async fn send(&self, packet: &[u8]) {
        // A validator that does not run takes nothing; that is what is tried out here.
        let _ = self.target.send_to(packet, self.to).await;
    }
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn bind(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    UdpSocket::bind(address).await.with_context(|| {
        format!("[CV-CLI-123] the relay cannot listen at {address}; stop what uses it, or choose another --base-port")
    })
}
