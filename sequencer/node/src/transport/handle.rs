//! The owner of the transport, and the handles that talk to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use conclave_types::ValidatorIndex;
use quinn::{Endpoint, VarInt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::accept::Acceptor;
use super::events::{self, Inbox};
use super::manager::{Change, Manager};
use super::peer::Peer;
use super::queue::Pushed;
use super::quic::TrackedRuntime;
use super::roster::Roster;
use super::tls::OwnCertificate;
use super::{
    Class, Metrics, PeerConfig, RequestError, SendError, TransportConfig, TransportError,
    TransportEvents, quic, request,
};

/// How long a shutdown waits for the other side to hear of it.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The running transport. Dropping it ends all its tasks and connections at once.
pub struct Transport {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    /// The acceptor and the manager.
    tasks: JoinSet<()>,
    manager: AbortHandle,
    /// Closes when quinn's tasks have ended.
    ended: mpsc::Receiver<()>,
    flush: Duration,
}

/// Sends messages and requests. Clones are cheap; none of them keeps the transport running.
#[derive(Clone)]
pub struct TransportHandle {
    shared: Arc<Shared>,
}

/// How things stand with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    pub index: ValidatorIndex,
    /// Where it is and the current round-trip time, while connected.
    pub connected: Option<(SocketAddr, Duration)>,
}

/// What everyone may touch.
pub(super) struct Shared {
    pub(super) metrics: Metrics,
    pub(super) draining: watch::Sender<bool>,
    /// Locked only to take or replace it.
    roster: RwLock<Arc<Roster>>,
    changes: mpsc::Sender<Change>,
}

impl Transport {
    /// Binds the socket and starts connecting to all peers. Needs a tokio runtime.
    pub fn start(config: TransportConfig) -> Result<(Self, TransportEvents), TransportError> {
        let (inbox, events) = events::channels();
        let (manager, ended) = Self::prepare(config, inbox)?;
        Ok((Self::run(manager, ended), events))
    }

    /// The manager with all drivers under way, and what closes when quinn's tasks have ended.
    pub(super) fn prepare(
        config: TransportConfig,
        inbox: Inbox,
    ) -> Result<(Manager, mpsc::Receiver<()>), TransportError> {
        let (alive, ended) = mpsc::channel(1);
        // It lets nobody in before the manager pins the peers' keys.
        let endpoint = Endpoint::new(
            quic::endpoint_config(&config.seed),
            None,
            quic::bind(config.listen)?,
            Arc::new(TrackedRuntime(alive)),
        )
        .map_err(|error| TransportError::Listen {
            listen: config.listen,
            reason: error.to_string(),
        })?;
        let (changes, changing) = mpsc::channel(1);
        let mut manager = Manager {
            own: config.own,
            certificate: OwnCertificate::new(&config.seed)?,
            chain: config.chain,
            quic: Arc::new(quic::transport_config(&config.timing)),
            timing: config.timing,
            endpoint,
            reaches_ipv6: config.listen.is_ipv6(),
            shared: Arc::new(Shared::new(changes)),
            inbox,
            changes: changing,
            drivers: JoinSet::new(),
            seats: BTreeMap::new(),
        };
        manager.set_peers(config.peers)?;
        Ok((manager, ended))
    }

    /// Spawns the tasks.
    pub(super) fn run(manager: Manager, ended: mpsc::Receiver<()>) -> Self {
        let (shared, endpoint) = (Arc::clone(&manager.shared), manager.endpoint.clone());
        let acceptor = Acceptor {
            shared: Arc::clone(&shared),
            inbox: manager.inbox.clone(),
            chain: manager.chain,
            handshake: manager.timing.handshake,
        };
        let flush = manager.timing.flush;
        let mut tasks = JoinSet::new();
        tasks.spawn(acceptor.run(endpoint.clone()));
        let manager = tasks.spawn(manager.run());
        Self {
            shared,
            endpoint,
            tasks,
            manager,
            ended,
            flush,
        }
    }

    /// A handle to send with.
    pub fn handle(&self) -> TransportHandle {
        TransportHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Where it listens.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Completes only when a task died, which is a bug of the transport: the node must stop. The
    /// text says what happened. Cancelling loses nothing.
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Err(error)) => format!("a transport task died: {error}"),
            Some(Ok(())) | None => "a transport task ended by itself".to_owned(),
        }
    }

    /// Takes no more messages, sends the queued ones of consensus and shares within the bound of
    /// [`Timing::flush`](super::Timing), tells the peers, and ends.
    /// When it returns the port is free, unless a peer could not be told.
    pub async fn shutdown(mut self) {
        self.shared.draining.send_replace(true);
        // The acceptor ends with the endpoint; the manager with its drivers, by themselves.
        let managed = async {
            while !self.manager.is_finished() && self.tasks.join_next().await.is_some() {}
        };
        let _ = timeout(self.flush + CLOSE_WAIT, managed).await;
        self.close();
        self.tasks.shutdown().await;
        let _ = timeout(CLOSE_WAIT, self.endpoint.wait_idle()).await;
        let mut ended = std::mem::replace(&mut self.ended, mpsc::channel(1).1);
        drop(self);
        let _ = timeout(CLOSE_WAIT, ended.recv()).await;
    }

    fn close(&self) {
        self.shared.draining.send_replace(true);
        self.endpoint.close(VarInt::from_u32(0), b"shutting down");
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.close();
    }
}

impl TransportHandle {
    /// Queues a message for a peer, connected or not; never waits. What happens when too much
    /// waits is up to the [`Class`], and counted.
    pub fn send(&self, to: ValidatorIndex, class: Class, bytes: Bytes) -> Result<(), SendError> {
        self.check(class, &bytes)?;
        match self.shared.peer(to) {
            Some(peer) => self.push(&peer, class, bytes),
            None => Err(SendError::UnknownPeer { peer: to }),
        }
    }

    /// Queues a message for every peer; never waits. Returns how many queues took it.
    #[expect(clippy::needless_pass_by_value, reason = "as `send` takes it")]
    pub fn broadcast(&self, class: Class, bytes: Bytes) -> Result<usize, SendError> {
        self.check(class, &bytes)?;
        let roster = self.shared.roster();
        let taken = roster
            .peers()
            .filter(|peer| self.push(peer, class, bytes.clone()).is_ok());
        Ok(taken.count())
    }

    /// Asks a peer and waits for its answer. Does not wait for a connection.
    pub async fn request(
        &self,
        to: ValidatorIndex,
        bytes: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        request::ask(&self.shared, to, bytes, within).await
    }

    /// Cuts a peer off for what it sent. It may come back after a cool-down that doubles each
    /// time. `reason` is told to the peer.
    pub fn punish(&self, peer: ValidatorIndex, reason: &str) {
        if let Some(peer) = self.shared.peer(peer) {
            peer.punish(reason);
        }
    }

    /// All peers, ascending.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let status = |peer: &Arc<Peer>| PeerStatus {
            index: peer.index,
            connected: peer
                .link
                .borrow()
                .as_ref()
                .map(|connection| (connection.remote_address(), connection.rtt())),
        };
        self.shared.roster().peers().map(status).collect()
    }

    /// Replaces the set of peers, which is the committee without oneself. When it returns the
    /// set is in force; on an error nothing has changed.
    ///
    /// - A peer that is in both sets with the same key and address notices nothing.
    /// - One that is no longer in the set is disconnected, and what waits for it is dropped. Its
    ///   key is not let in again. What it sent before may still arrive.
    /// - One with another key or address is removed and added as a new one, which has no queued
    ///   messages and no cool-down.
    ///
    /// The own index and key are those of the start. Of calls at the same time any may be the
    /// last. A cancelled one happens entirely or not at all.
    ///
    /// # Errors
    /// [`TransportError::Peers`] when an index or a key is there twice or this node's own,
    /// [`TransportError::Tls`] when no TLS configuration can be made of a key,
    /// [`TransportError::Stopped`] once the transport stops.
    pub async fn set_peers(&self, set: Vec<PeerConfig>) -> Result<(), TransportError> {
        let (done, outcome) = oneshot::channel();
        let change = Change { set, done };
        let sent = self.shared.changes.send(change).await;
        sent.map_err(|_| TransportError::Stopped)?;
        // The manager drops what it did not do.
        outcome.await.unwrap_or(Err(TransportError::Stopped))
    }

    /// What was done so far.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    fn check(&self, class: Class, bytes: &Bytes) -> Result<(), SendError> {
        if *self.shared.draining.borrow() {
            return Err(SendError::Stopped);
        }
        let (bytes, bytes_max) = (bytes.len(), class.frame_bytes_max());
        match bytes > bytes_max {
            true => Err(SendError::TooLong { bytes, bytes_max }),
            false => Ok(()),
        }
    }

    fn push(&self, peer: &Peer, class: Class, bytes: Bytes) -> Result<(), SendError> {
        let dropped = &self.shared.metrics.class(class).dropped;
        match peer.queue(class).push(bytes) {
            Pushed::Queued { dropped: older } => {
                dropped.add(older);
                Ok(())
            }
            Pushed::Refused => {
                dropped.add(1);
                Err(SendError::Full { peer: peer.index })
            }
        }
    }
}

impl Shared {
    fn new(changes: mpsc::Sender<Change>) -> Self {
        Self {
            metrics: Metrics::default(),
            draining: watch::Sender::new(false),
            roster: RwLock::default(),
            changes,
        }
    }

    /// The peers of this moment.
    pub(super) fn roster(&self) -> Arc<Roster> {
        // No code that holds the lock can panic.
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the manager alone.
    pub(super) fn set_roster(&self, roster: Roster) {
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
    }

    pub(super) fn peer(&self, index: ValidatorIndex) -> Option<Arc<Peer>> {
        self.roster().peer(index).cloned()
    }
}
