//! The owner of the transport, and the handles that talk to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_types::{TransportKey, ValidatorIndex};
use quinn::{ClientConfig, Endpoint, ServerConfig, TokioRuntime, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::accept::Acceptor;
use super::dial::{BackOff, Dialer};
use super::events::{self, Inbox};
use super::peer::{Driver, Peer};
use super::queue::Pushed;
use super::tls::OwnCertificate;
use super::{
    Class, Metrics, RequestError, SendError, TransportConfig, TransportError, TransportEvents,
    quic, request,
};

/// How long a shutdown waits for the other side to hear of it.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The running transport. Dropping it ends all its tasks and connections at once.
pub struct Transport {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    tasks: JoinSet<()>,
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
        let transport = Arc::new(quic::transport_config(&config.timing));
        let keys = config.peers.iter().map(|peer| peer.key).collect();
        let mut server = ServerConfig::with_crypto(Arc::new(own.server(keys)?));
        server.transport_config(Arc::clone(&transport));
        let endpoint = Endpoint::new(
            quic::endpoint_config(&config.seed),
            Some(server),
            quic::bind(config.listen)?,
            Arc::new(TokioRuntime),
        )
        .map_err(|error| TransportError::Listen {
            listen: config.listen,
            reason: error.to_string(),
        })?;

        let (inbox, events) = events::channels();
        let mut peers = BTreeMap::new();
        let mut punishments = BTreeMap::new();
        for peer in &config.peers {
            let (shared, receiver) = Peer::new(peer.index, peer.address.clone());
            peers.insert(peer.index, Arc::new(shared));
            punishments.insert(peer.index, receiver);
        }
        let shared = Arc::new(Shared {
            metrics: Metrics::default(),
            peers,
            keys: config
                .peers
                .iter()
                .map(|peer| (peer.key, peer.index))
                .collect(),
            draining: watch::Sender::new(false),
        });

        let mut tasks = JoinSet::new();
        let mut arrivals = BTreeMap::new();
        for peer in &config.peers {
            let Some(punishments) = punishments.remove(&peer.index) else {
                continue;
            };
            let (arrival, arriving) = mpsc::channel(1);
            let dialer = if config.own < peer.index {
                let mut client = ClientConfig::new(Arc::new(own.client(peer.key)?));
                client.transport_config(Arc::clone(&transport));
                Some(Dialer {
                    endpoint: endpoint.clone(),
                    client,
                    chain: config.chain,
                    handshake: config.timing.handshake,
                    reaches_ipv6: config.listen.is_ipv6(),
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
                back_off: BackOff::new(&config.timing),
                cool_down: config.timing.cool_down,
                timing: config.timing.clone(),
                sessions: 0,
            };
            tasks.spawn(driver.run());
        }
        tasks.spawn(acceptor(&shared, inbox, &config, arrivals).run(endpoint.clone()));
        let transport = Self {
            shared,
            endpoint,
            tasks,
            flush: config.timing.flush,
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

    /// Takes no more messages, sends the queued ones of consensus and shares within the bound of
    /// [`Timing::flush`](super::Timing), tells the peers, and ends.
    pub async fn shutdown(mut self) {
        self.shared.draining.send_replace(true);
        // The acceptor ends with the endpoint; the drivers, all but that one task, by themselves.
        let drivers =
            async { while self.tasks.len() > 1 && self.tasks.join_next().await.is_some() {} };
        let _ = timeout(self.flush + CLOSE_WAIT, drivers).await;
        self.close();
        let _ = timeout(CLOSE_WAIT, self.endpoint.wait_idle()).await;
        self.tasks.shutdown().await;
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
    pub(super) fn peer(&self, index: ValidatorIndex) -> Option<&Arc<Peer>> {
        self.peers.get(&index)
    }

    pub(super) fn peer_of_key(&self, key: TransportKey) -> Option<&Arc<Peer>> {
        self.keys.get(&key).and_then(|index| self.peer(*index))
    }
}

fn acceptor(
    shared: &Arc<Shared>,
    inbox: Inbox,
    config: &TransportConfig,
    arrivals: BTreeMap<ValidatorIndex, mpsc::Sender<quinn::Connection>>,
) -> Acceptor {
    Acceptor {
        shared: Arc::clone(shared),
        inbox,
        chain: config.chain,
        handshake: config.timing.handshake,
        arrivals,
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
