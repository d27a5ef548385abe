//! Connections from peers of lower index: proving who they are before anything else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conclave_types::{ChainId, ValidatorIndex};
use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
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
    /// To the drivers of the peers that dial us.
    pub(super) arrivals: BTreeMap<ValidatorIndex, mpsc::Sender<Connection>>,
}

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

    async fn admit(&self, incoming: Incoming) -> Result<(), (Option<ValidatorIndex>, Failure)> {
        let connection = incoming
            .await
            .map_err(|error| (None, Failure::of(&error)))?;
        let peer = self.identify(&connection);
        let index = peer.map(|peer| peer.index);
        let refuse = |close: Close, refusal: Refusal| {
            close.end(&connection, &refusal.to_string());
            (index, Failure::Refused(refusal))
        };
        let arrivals = index.and_then(|index| self.arrivals.get(&index));
        let (Some(peer), Some(arrivals)) = (peer, arrivals) else {
            return Err(refuse(Close::UnexpectedPeer, Refusal::UnexpectedPeer));
        };
        if peer.is_cooling_down() {
            return Err(refuse(Close::CoolingDown, Refusal::CoolingDown));
        }
        hello::welcome(&connection, self.chain)
            .await
            .map_err(|failure| (index, failure))?;
        // The driver is gone only when the transport is.
        let _ = arrivals.send(connection).await;
        Ok(())
    }

    /// The peer whose pinned key this connection proved to hold.
    fn identify(&self, connection: &Connection) -> Option<&Arc<Peer>> {
        let identity = connection.peer_identity()?;
        let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
        self.shared.peer_of_key(tls::key_of(chain.first()?)?)
    }
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
