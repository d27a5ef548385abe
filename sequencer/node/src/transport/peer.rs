//! One peer: what everyone may touch, and the task that keeps it connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_types::ValidatorIndex;
use quinn::Connection;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::dial::{BackOff, Dialer};
use super::events::Inbox;
use super::handle::Shared;
use super::hello::{Close, Failure};
use super::queue::Queue;
use super::session::Ended;
use super::{Class, Refusal, Timing, bounds};

/// What handles, the acceptor and the driver share about a peer.
pub(super) struct Peer {
    pub(super) index: ValidatorIndex,
    pub(super) address: String,
    pub(super) consensus: Queue,
    pub(super) shares: Queue,
    pub(super) dispersal: Queue,
    /// The live connection.
    pub(super) link: watch::Sender<Option<Connection>>,
    /// Our own open requests.
    pub(super) requests: Semaphore,
    punishments: mpsc::Sender<String>,
    cooling_until: Mutex<Option<Instant>>,
}

/// Keeps one peer connected; owns everything about it that changes.
pub(super) struct Driver {
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    /// For peers of higher index.
    pub(super) dialer: Option<Dialer>,
    /// From peers of lower index.
    pub(super) arrivals: mpsc::Receiver<Connection>,
    pub(super) punishments: mpsc::Receiver<String>,
    pub(super) draining: watch::Receiver<bool>,
    pub(super) timing: Timing,
    pub(super) back_off: BackOff,
    pub(super) cool_down: Duration,
    pub(super) sessions: u64,
}

impl Peer {
    /// A peer and the receiver of its punishments.
    pub(super) fn new(index: ValidatorIndex, address: String) -> (Self, mpsc::Receiver<String>) {
        // One that waits is as good as many.
        let (punishments, receiver) = mpsc::channel(1);
        let peer = Self {
            index,
            address,
            consensus: Queue::new(Class::Consensus),
            shares: Queue::new(Class::Shares),
            dispersal: Queue::new(Class::Dispersal),
            link: watch::Sender::new(None),
            requests: Semaphore::new(bounds::REQUESTS_OPEN_MAX),
            punishments,
            cooling_until: Mutex::default(),
        };
        (peer, receiver)
    }

    pub(super) fn queue(&self, class: Class) -> &Queue {
        match class {
            Class::Consensus => &self.consensus,
            Class::Shares => &self.shares,
            Class::Dispersal => &self.dispersal,
        }
    }

    /// Asks the driver to cut the peer off.
    pub(super) fn punish(&self, reason: &str) {
        let _ = self.punishments.try_send(reason.to_owned());
    }

    /// Whether the peer is kept out now.
    pub(super) fn is_cooling_down(&self) -> bool {
        self.cooling_until()
            .is_some_and(|until| until > Instant::now())
    }

    fn cooling_until(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.cooling_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    /// Runs until the transport drains.
    pub(super) async fn run(mut self) {
        let mut next = None;
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => match self.connect().await {
                    Some(connection) => connection,
                    None => return,
                },
            };
            match self.serve(connection).await {
                Ended::Replaced(newer) => next = Some(newer),
                Ended::Over => {}
                Ended::Stopped => return,
            }
        }
    }

    /// The next connection, or `None` when the transport drains.
    async fn connect(&mut self) -> Option<Connection> {
        loop {
            let until = self.peer.cooling_until();
            let cooling = until.is_some_and(|until| until > Instant::now());
            // What `dial` borrows must not be what the other branches change.
            let (peer, dialer) = (Arc::clone(&self.peer), self.dialer.clone());
            let wait = match cooling {
                true => Duration::ZERO,
                false => self.back_off.wait(),
            };
            tokio::select! {
                () = drained(&mut self.draining) => return None,
                Some(reason) = self.punishments.recv() => self.punish(&reason),
                Some(connection) = self.arrivals.recv() => {
                    // Asked anew: the acceptor may have let it in right at the end.
                    if !self.peer.is_cooling_down() {
                        return Some(connection);
                    }
                    Close::CoolingDown.end(&connection, &Refusal::CoolingDown.to_string());
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if cooling => {}
                dialled = dial(&peer, dialer, wait), if !cooling => match dialled {
                    Ok(connection) => return Some(connection),
                    Err(failure) => self.not_connected(failure),
                },
            }
        }
    }

    fn not_connected(&self, failure: Failure) {
        match failure {
            Failure::Refused(reason) => {
                self.shared.metrics.refused.add(1);
                self.inbox.refused(Some(self.peer.index), reason);
            }
            Failure::Unreachable(reason) => {
                tracing::debug!(peer = %self.peer.index, reason, "peer not reached");
            }
        }
    }

    /// Starts a cool-down, twice as long as the one before unless the peer behaved since.
    pub(super) fn punish(&mut self, reason: &str) {
        tracing::warn!(peer = %self.peer.index, reason, "peer cut off");
        self.shared.metrics.punished.add(1);
        let now = Instant::now();
        let mut cooling = self.peer.lock();
        if cooling.is_some_and(|until| until + self.timing.cool_down_max < now) {
            self.cool_down = self.timing.cool_down;
        }
        *cooling = Some(now + self.cool_down);
        drop(cooling);
        self.cool_down = (self.cool_down * 2).min(self.timing.cool_down_max);
    }
}

/// Dials after the wait; for ever pending when it is the peer that dials.
async fn dial(
    peer: &Arc<Peer>,
    dialer: Option<Dialer>,
    wait: Duration,
) -> Result<Connection, Failure> {
    let Some(dialer) = dialer else {
        return std::future::pending().await;
    };
    if !wait.is_zero() {
        sleep(wait).await;
    }
    dialer.dial(peer).await
}

/// Completes when the transport drains, or is gone.
pub(super) async fn drained(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}
