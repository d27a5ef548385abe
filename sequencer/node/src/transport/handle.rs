//! The owner of the transport, and the handles that talk to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_types::{TransportKey, ValidatorIndex};
use quinn::{ClientConfig, Endpoint, ServerConfig, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::accept::Acceptor;
use super::dial::{BackOff, Dialer};
use super::events;
use super::peer::{Driver, Peer};
use super::queue::Pushed;
use super::quic::TrackedRuntime;
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
    tasks: JoinSet<()>,
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
    peers: BTreeMap<ValidatorIndex, Arc<Peer>>,
    keys: BTreeMap<TransportKey, ValidatorIndex>,
    draining: watch::Sender<bool>,
}

impl Transport {
    /// Binds the socket and starts connecting to all peers. Needs a tokio runtime.
    pub fn start(config: TransportConfig) -> Result<(Self, TransportEvents), TransportError> {
        let own = OwnCertificate::new(&config.seed)?;
        check_peers(&config, own.public)?;
        let TransportConfig {
            seed,
            listen,
            peers,
            timing,
            ..
        } = config;
        let quic = Arc::new(quic::transport_config(&timing));
        let mut server =
            ServerConfig::with_crypto(Arc::new(own.server(peers.iter().map(|p| p.key).collect())?));
        server.transport_config(Arc::clone(&quic));
        let (alive, ended) = mpsc::channel(1);
        let endpoint = Endpoint::new(
            quic::endpoint_config(&seed),
            Some(server),
            quic::bind(listen)?,
            Arc::new(TrackedRuntime(alive)),
        )
        .map_err(|error| TransportError::Listen {
            listen,
            reason: error.to_string(),
        })?;

        let (inbox, events) = events::channels();
        let (shared, punishments) = Shared::new(&peers);
        let mut tasks = JoinSet::new();
        let mut arrivals = BTreeMap::new();
        for (peer, punishments) in peers.iter().zip(punishments) {
            let (arrival, arriving) = mpsc::channel(1);
            let dialer = if config.own < peer.index {
                let mut client = ClientConfig::new(Arc::new(own.client(peer.key)?));
                client.transport_config(Arc::clone(&quic));
                Some(Dialer {
                    endpoint: endpoint.clone(),
                    client,
                    chain: config.chain,
                    handshake: timing.handshake,
                    reaches_ipv6: listen.is_ipv6(),
                })
            } else {
                arrivals.insert(peer.index, arrival);
                None
            };
            let driver = Driver {
                peer: Arc::clone(&shared.peers[&peer.index]),
                shared: Arc::clone(&shared),
                inbox: inbox.clone(),
                dialer,
                arrivals: arriving,
                punishments,
                draining: shared.draining.subscribe(),
                back_off: BackOff::new(&timing),
                cool_down: timing.cool_down,
                timing: timing.clone(),
                sessions: 0,
            };
            tasks.spawn(driver.run());
        }
        let acceptor = Acceptor {
            shared: Arc::clone(&shared),
            inbox,
            chain: config.chain,
            handshake: timing.handshake,
            arrivals,
        };
        tasks.spawn(acceptor.run(endpoint.clone()));
        let transport = Self {
            shared,
            endpoint,
            tasks,
            ended,
            flush: timing.flush,
        };
        Ok((transport, events))
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
        // The acceptor ends with the endpoint; the drivers, all but that one task, by themselves.
        let drivers =
            async { while self.tasks.len() > 1 && self.tasks.join_next().await.is_some() {} };
        let _ = timeout(self.flush + CLOSE_WAIT, drivers).await;
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
            Some(peer) => self.push(peer, class, bytes),
            None => Err(SendError::UnknownPeer { peer: to }),
        }
    }

    /// Queues a message for every peer; never waits. Returns how many queues took it.
    #[expect(clippy::needless_pass_by_value, reason = "as `send` takes it")]
    pub fn broadcast(&self, class: Class, bytes: Bytes) -> Result<usize, SendError> {
        self.check(class, &bytes)?;
        let peers = self.shared.peers.values();
        let taken = peers.filter(|peer| self.push(peer, class, bytes.clone()).is_ok());
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
        self.shared.peers.values().map(status).collect()
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
    /// The peers, and the receiver of each one's punishments in the same order.
    fn new(configs: &[PeerConfig]) -> (Arc<Self>, Vec<mpsc::Receiver<String>>) {
        let (mut peers, mut punishments) = (BTreeMap::new(), Vec::new());
        for config in configs {
            let (peer, receiver) = Peer::new(config.index, config.address.clone());
            peers.insert(config.index, Arc::new(peer));
            punishments.push(receiver);
        }
        let shared = Self {
            metrics: Metrics::default(),
            peers,
            keys: configs.iter().map(|peer| (peer.key, peer.index)).collect(),
            draining: watch::Sender::new(false),
        };
        (Arc::new(shared), punishments)
    }

    pub(super) fn peer(&self, index: ValidatorIndex) -> Option<&Arc<Peer>> {
        self.peers.get(&index)
    }

    pub(super) fn peer_of_key(&self, key: TransportKey) -> Option<&Arc<Peer>> {
        self.keys.get(&key).and_then(|index| self.peer(*index))
    }
}

fn check_peers(config: &TransportConfig, own: TransportKey) -> Result<(), TransportError> {
    let (mut indices, mut keys) = (BTreeSet::from([config.own]), BTreeSet::from([own]));
    for peer in &config.peers {
        let reason = match (indices.insert(peer.index), keys.insert(peer.key)) {
            (true, true) => continue,
            (false, _) => "its index is that of another peer or of this node",
            (true, false) => "its key is that of another peer or of this node",
        };
        return Err(TransportError::Peers {
            peer: peer.index,
            reason,
        });
    }
    Ok(())
}
