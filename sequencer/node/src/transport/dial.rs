//! Connecting to a peer of higher index.

use std::sync::Arc;
use std::time::Duration;

use conclave_types::ChainId;
use quinn::{ClientConfig, Connection, Endpoint};
use rand::Rng;
use tokio::time::timeout;

use super::hello::{self, Failure};
use super::peer::Peer;
use super::{Timing, tls};

/// Addresses of one name that one attempt tries.
const ADDRESSES_MAX: usize = 8;

#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) client: ClientConfig,
    pub(super) chain: ChainId,
    pub(super) handshake: Duration,
    /// An IPv4 socket reaches no IPv6 address.
    pub(super) reaches_ipv6: bool,
}

impl Dialer {
    /// Resolves the peer's name and tries its addresses in turn.
    pub(super) async fn dial(&self, peer: &Arc<Peer>) -> Result<Connection, Failure> {
        let resolved = tokio::net::lookup_host(&peer.address).await;
        let addresses = resolved.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let mut last = Failure::Unreachable("the name has no address that we reach".to_owned());
        let reachable = |address: &std::net::SocketAddr| address.is_ipv4() || self.reaches_ipv6;
        for address in addresses.filter(reachable).take(ADDRESSES_MAX) {
            match timeout(self.handshake, self.attempt(address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::Unreachable(format!("no answer from {address}")),
            }
        }
        Err(last)
    }

    async fn attempt(&self, address: std::net::SocketAddr) -> Result<Connection, Failure> {
        let connecting = self
            .endpoint
            .connect_with(self.client.clone(), address, tls::SERVER_NAME)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        let connection = connecting.await.map_err(|error| Failure::of(&error))?;
        hello::greet(&connection, self.chain).await?;
        Ok(connection)
    }
}

/// How long to wait before the next attempt.
pub(super) struct BackOff {
    first: Duration,
    max: Duration,
    /// `None` when the last connection held: the next attempt is made at once.
    next: Option<Duration>,
}

impl BackOff {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            first: timing.back_off,
            max: timing.back_off_max,
            next: None,
        }
    }

    /// The wait before this attempt, drawn from the upper half, so that many nodes that lost one
    /// peer do not come back in step.
    pub(super) fn wait(&mut self) -> Duration {
        let Some(now) = self.next.replace(self.first) else {
            return Duration::ZERO;
        };
        self.next = Some((now * 2).min(self.max));
        rand::thread_rng().gen_range(now / 2..=now)
    }

    /// The connection held for as long as the longest wait.
    pub(super) fn reset_after(&mut self, held: Duration) {
        if held >= self.max {
            self.next = None;
        }
    }
}
