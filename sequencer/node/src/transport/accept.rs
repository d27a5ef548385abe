//! Connections from peers of lower index: proving who they are before anything else.

use std::sync::Arc;
use std::time::Duration;

use conclave_types::{ChainId, ValidatorIndex};
use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::events::Inbox;
use super::handle::Shared;
use super::hello::{self, Close, Failure};
use super::peer::Peer;
use super::{Refusal, bounds, tls};

pub(super) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    pub(super) chain: ChainId,
    pub(super) handshake: Duration,
}

/// To the driver of a peer that dials us.
type Arrivals = mpsc::Sender<Connection>;

/// Who was not let in, if that is known, and why.
type Rejected = (Option<ValidatorIndex>, Failure);

impl Acceptor {
    /// Runs until the endpoint closes.
    pub(super) async fn run(self, endpoint: Endpoint) {
        let this = Arc::new(self);
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => {
                    let Some(incoming) = incoming else { return };
                    if let Some(incoming) = screen(incoming, handshakes.len()) {
                        handshakes.spawn(Arc::clone(&this).shake_hands(incoming));
                    }
                }
                Some(_) = handshakes.join_next() => {}
            }
        }
    }

    async fn shake_hands(self: Arc<Self>, incoming: Incoming) {
        let admitted = timeout(self.handshake, self.admit(incoming)).await;
        let (peer, failure) = match admitted {
            Ok(Ok(())) => return,
            Ok(Err(refused)) => refused,
            Err(_) => (None, Failure::Unreachable("it took too long".to_owned())),
        };
        self.shared.metrics.refused.add(1);
        let reason = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Unreachable(reason) => Refusal::Hello { reason },
        };
        self.inbox.refused(peer, reason);
    }

    async fn admit(&self, incoming: Incoming) -> Result<(), Rejected> {
        let connection = incoming
            .await
            .map_err(|error| (None, Failure::of(&error)))?;
        let (peer, _) = self.expected(&connection)?;
        hello::welcome(&connection, self.chain)
            .await
            .map_err(|failure| (Some(peer.index), failure))?;
        // Asked anew: the peers may have changed during the Hello.
        let (peer, arrivals) = self.expected(&connection)?;
        match arrivals.send(connection).await {
            Err(SendError(connection)) if peer.is_removed() => {
                let index = Some(peer.index);
                Err(reject(&connection, index, Refusal::UnexpectedPeer))
            }
            // Otherwise the driver is gone only when the transport is.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Who is at the other end and the way to its driver, if it is a peer that dials us and is not
    /// kept out now.
    fn expected(&self, connection: &Connection) -> Result<(Arc<Peer>, Arrivals), Rejected> {
        let peer = self.identify(connection);
        let index = peer.as_ref().map(|peer| peer.index);
        let unexpected = || reject(connection, index, Refusal::UnexpectedPeer);
        let peer = peer.ok_or_else(unexpected)?;
        let arrivals = peer.arrivals.clone().ok_or_else(unexpected)?;
        match peer.is_cooling_down() {
            true => Err(reject(connection, index, Refusal::CoolingDown)),
            false => Ok((peer, arrivals)),
        }
    }

    /// The peer whose pinned key this connection proved to hold, if it is one still.
    fn identify(&self, connection: &Connection) -> Option<Arc<Peer>> {
        let identity = connection.peer_identity()?;
        let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
        let key = tls::key_of(chain.first()?)?;
        self.shared.roster().peer_of_key(key).cloned()
    }
}

fn reject(connection: &Connection, peer: Option<ValidatorIndex>, refusal: Refusal) -> Rejected {
    let close = match refusal {
        Refusal::CoolingDown => Close::CoolingDown,
        _ => Close::UnexpectedPeer,
    };
    close.end(connection, &refusal.to_string());
    (peer, Failure::Refused(refusal))
}

/// Keeps strangers from occupying all handshakes: beyond some, an address must be proven.
fn screen(incoming: Incoming, under_way: usize) -> Option<Incoming> {
    if under_way >= bounds::HANDSHAKES_MAX {
        incoming.refuse();
        return None;
    }
    if under_way >= bounds::HANDSHAKES_UNPROVEN_MAX && !incoming.remote_address_validated() {
        // It may always retry when its address is not validated.
        let _ = incoming.retry();
        return None;
    }
    Some(incoming)
}
