//! The task that owns the roster: it starts and ends the drivers of the peers.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use conclave_types::{ChainId, ValidatorIndex};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::dial::{BackOff, Dialer};
use super::events::Inbox;
use super::handle::Shared;
use super::peer::{Driver, DriverEnds, Peer, raised};
use super::tls::OwnCertificate;
use super::{PeerConfig, Timing, TransportError, roster};

/// Another set of peers, asked for by a handle.
pub(super) struct Change {
    pub(super) set: Vec<PeerConfig>,
    /// Hears when it is in force, or why it is not.
    pub(super) done: oneshot::Sender<Result<(), TransportError>>,
}

/// Owns the drivers. No one else changes the roster.
pub(super) struct Manager {
    pub(super) own: ValidatorIndex,
    pub(super) certificate: OwnCertificate,
    pub(super) chain: ChainId,
    pub(super) timing: Timing,
    pub(super) quic: Arc<quinn::TransportConfig>,
    pub(super) endpoint: Endpoint,
    /// An IPv4 socket reaches no IPv6 address.
    pub(super) reaches_ipv6: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) drivers: JoinSet<Arc<Peer>>,
    /// Of two drivers of one index the later waits for the earlier to end, so that events about
    /// an index come in order. One for each index that there ever was: validators keep their
    /// index, and those of former ones are given again.
    pub(super) seats: BTreeMap<ValidatorIndex, Arc<Mutex<()>>>,
}

impl Manager {
    /// Runs until the transport drains and all drivers have ended. Panics with a driver's panic,
    /// and ends early when a driver ended for no reason: both are bugs, and must show.
    pub(super) async fn run(mut self) {
        let mut draining = self.shared.draining.subscribe();
        loop {
            tokio::select! {
                () = raised(&mut draining) => break,
                Some(Change { set, done }) = self.changes.recv() => {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(self.set_peers(set));
                }
                Some(end) = self.drivers.join_next() => {
                    if !self.had_reason_to_end(end) {
                        return;
                    }
                }
            }
        }
        // Changes that still wait hear that the transport has stopped.
        drop(self.changes);
        while self.drivers.join_next().await.is_some() {}
    }

    /// Puts a set of peers in force: all of it, or on an error nothing.
    pub(super) fn set_peers(&mut self, set: Vec<PeerConfig>) -> Result<(), TransportError> {
        roster::check(self.own, self.certificate.public, &set)?;
        let server = self.server(&set)?;
        let succession = self.shared.roster().followed_by(self.own, set);
        let joining = succession.joining.into_iter();
        let drivers = joining.map(|(peer, ends)| self.driver(peer, ends));
        let drivers = drivers.collect::<Result<Vec<_>, _>>()?;

        // From here on a key that left passes TLS no more, and a handshake that did so before
        // finds no peer in the roster at its end.
        self.endpoint.set_server_config(Some(server));
        self.shared.set_roster(succession.roster);
        for peer in succession.leaving {
            tracing::info!(peer = %peer.index, "peer removed");
            peer.remove();
        }
        for driver in drivers {
            tracing::info!(peer = %driver.peer.index, address = driver.peer.address, "peer added");
            let seat = Arc::clone(self.seats.entry(driver.peer.index).or_default());
            self.drivers.spawn(driver.run(seat));
        }
        Ok(())
    }

    fn server(&self, set: &[PeerConfig]) -> Result<ServerConfig, TransportError> {
        let keys = set.iter().map(|peer| peer.key).collect();
        let mut server = ServerConfig::with_crypto(Arc::new(self.certificate.server(keys)?));
        server.transport_config(Arc::clone(&self.quic));
        Ok(server)
    }

    fn driver(&self, peer: Arc<Peer>, ends: DriverEnds) -> Result<Driver, TransportError> {
        let dialer = match self.own < peer.index {
            true => Some(self.dialer(&peer)?),
            false => None,
        };
        Ok(Driver {
            peer,
            shared: Arc::clone(&self.shared),
            inbox: self.inbox.clone(),
            dialer,
            ends,
            draining: self.shared.draining.subscribe(),
            back_off: BackOff::new(&self.timing),
            cool_down: self.timing.cool_down,
            timing: self.timing.clone(),
            sessions: 0,
        })
    }

    fn dialer(&self, peer: &Peer) -> Result<Dialer, TransportError> {
        let mut client = ClientConfig::new(Arc::new(self.certificate.client(peer.key)?));
        client.transport_config(Arc::clone(&self.quic));
        Ok(Dialer {
            endpoint: self.endpoint.clone(),
            client,
            chain: self.chain,
            handshake: self.timing.handshake,
            reaches_ipv6: self.reaches_ipv6,
        })
    }

    fn had_reason_to_end(&self, end: Result<Arc<Peer>, JoinError>) -> bool {
        match end.map_err(JoinError::try_into_panic) {
            Ok(peer) => peer.is_removed() || *self.shared.draining.borrow(),
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => false,
        }
    }
}
