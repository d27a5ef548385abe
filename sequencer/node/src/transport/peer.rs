//! One peer: what everyone may touch, and the task that keeps it connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_types::{TransportKey, ValidatorIndex};
use quinn::Connection;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::dial::{BackOff, Dialer};
use super::events::Inbox;
use super::handle::Shared;
use super::hello::{Close, Failure};
use super::queue::Queue;
use super::session::Ended;
use super::{Class, PeerConfig, Refusal, Timing, bounds};

/// Told to a peer that leaves the set, or that is in it with another key or address.
pub(super) const REMOVED: &str = "no longer a peer under this key and address";

/// What handles, the acceptor and the driver share about a peer.
pub(super) struct Peer {
    pub(super) index: ValidatorIndex,
    pub(super) key: TransportKey,
    pub(super) address: String,
    pub(super) consensus: Queue,
    pub(super) shares: Queue,
    pub(super) dispersal: Queue,
    /// The live connection.
    pub(super) link: watch::Sender<Option<Connection>>,
    /// Our own open requests.
    pub(super) requests: Semaphore,
    /// New connections of a peer that dials us.
    pub(super) arrivals: Option<mpsc::Sender<Connection>>,
    punishments: mpsc::Sender<String>,
    removed: watch::Sender<bool>,
    cooling_until: Mutex<Option<Instant>>,
}

/// What only the driver of a peer listens to.
pub(super) struct DriverEnds {
    /// Ends at once for a peer that we dial.
    pub(super) arrivals: mpsc::Receiver<Connection>,
    pub(super) punishments: mpsc::Receiver<String>,
    pub(super) removed: watch::Receiver<bool>,
}

/// Keeps one peer connected; owns everything about it that changes.
pub(super) struct Driver {
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    /// For peers of higher index.
    pub(super) dialer: Option<Dialer>,
    pub(super) ends: DriverEnds,
    pub(super) draining: watch::Receiver<bool>,
    pub(super) timing: Timing,
    pub(super) back_off: BackOff,
    pub(super) cool_down: Duration,
    pub(super) sessions: u64,
}

impl Peer {
    /// A peer of node `own`, and what its driver needs. Of two the lower index dials.
    pub(super) fn new(own: ValidatorIndex, config: PeerConfig) -> (Self, DriverEnds) {
        let (arrivals, arriving) = mpsc::channel(1);
        // One that waits is as good as many.
        let (punishments, punished) = mpsc::channel(1);
        let removed = watch::Sender::new(false);
        let ends = DriverEnds {
            arrivals: arriving,
            punishments: punished,
            removed: removed.subscribe(),
        };
        let peer = Self {
            index: config.index,
            key: config.key,
            address: config.address,
            consensus: Queue::new(Class::Consensus),
            shares: Queue::new(Class::Shares),
            dispersal: Queue::new(Class::Dispersal),
            link: watch::Sender::new(None),
            requests: Semaphore::new(bounds::REQUESTS_OPEN_MAX),
            arrivals: (config.index < own).then_some(arrivals),
            punishments,
            removed,
            cooling_until: Mutex::default(),
        };
        (peer, ends)
    }

    /// Whether this is the peer that the configuration speaks of.
    pub(super) fn is(&self, config: &PeerConfig) -> bool {
        self.index == config.index && self.key == config.key && self.address == config.address
    }

    /// Ends the driver. What waits in the queues goes with the peer.
    pub(super) fn remove(&self) {
        self.removed.send_replace(true);
    }

    pub(super) fn is_removed(&self) -> bool {
        *self.removed.borrow()
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
    /// Runs until the transport drains or the peer is removed, once the driver that had the seat
    /// before has ended. Gives the peer back.
    pub(super) async fn run(mut self, seat: Arc<tokio::sync::Mutex<()>>) -> Arc<Peer> {
        let seated = tokio::select! {
            seated = seat.lock_owned() => Some(seated),
            () = raised(&mut self.ends.removed) => None,
            () = raised(&mut self.draining) => None,
        };
        if seated.is_some() {
            self.keep_connected().await;
        }
        if self.peer.is_removed() {
            self.turn_away().await;
        }
        self.peer
    }

    async fn keep_connected(&mut self) {
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

    /// Closes connections that were on their way in. Those that come later find nobody here.
    async fn turn_away(&mut self) {
        self.ends.arrivals.close();
        while let Some(connection) = self.ends.arrivals.recv().await {
            Close::Removed.end(&connection, REMOVED);
        }
    }

    /// The next connection, or `None` when the transport drains or the peer is removed.
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
                () = raised(&mut self.draining) => return None,
                () = raised(&mut self.ends.removed) => return None,
                Some(reason) = self.ends.punishments.recv() => self.punish(&reason),
                Some(connection) = self.ends.arrivals.recv() => {
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

/// Completes when the flag is raised, or whoever could raise it is gone.
pub(super) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}
