//! From queued payments to submitted envelopes.
//!
//! ```text
//! ready ≥ N, or flush time over ──▶ take ──▶ seal ──▶ record (durable) ──▶ submit until it landed
//! ```
//!
//! An envelope is recorded before it is submitted, so that a restart submits the same one again:
//! the ledger counts an envelope once, whoever submits it and how often.

use std::sync::Arc;
use std::time::Duration;

use conclave_sdk::{ClientError, Gateway, GatewayError};
use conclave_types::{Envelope, RollupId, codec, limits};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;
use crate::node::{Shutdown, stopped};
use crate::owner::{FlightEnd, Handle, RecoveredFlight, SealedGroup};
use crate::queue::Group;
use crate::{GatewayConfig, Refusal};

/// Envelopes on their way at once; their payments are bounded by the queue in any case.
const FLIGHTS_MAX: usize = 256;
/// Pause after a failure to seal or to submit; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A node lacks funds, room or the registration: the same envelope may be taken later.
const TEMPORARY: [&str; 3] = ["CV-SEQ-005", "CV-SEQ-008", "CV-SEQ-009"];

/// What the gateway's tasks share.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) rollup: RollupId,
    pub(crate) config: GatewayConfig,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) handle: Handle,
    pub(crate) metrics: Arc<Metrics>,
}

impl Sender {
    /// Seals and submits until told to stop.
    pub(crate) async fn run(self, recovered: Vec<RecoveredFlight>, mut shutdown: Shutdown) {
        let mut flights = JoinSet::new();
        for flight in recovered {
            match codec::decode::<Envelope>(&flight.envelope, limits::ENVELOPE_BYTES_MAX) {
                Ok(envelope) => {
                    flights.spawn(self.clone().fly(envelope, flight.end, false));
                }
                // It lands by its expiry, and its payments are sealed again.
                Err(error) => tracing::error!(%error, "a recorded envelope is unreadable"),
            }
        }
        let mut ready = self.handle.ready();
        let work = async {
            loop {
                while flights.len() >= FLIGHTS_MAX {
                    flights.join_next().await;
                }
                while flights.try_join_next().is_some() {}
                if !self.wait_for_group(&mut ready).await {
                    return;
                }
                match self.seal_next().await {
                    Ok(Some((envelope, end))) => {
                        flights.spawn(self.clone().fly(envelope, end, true));
                    }
                    Ok(None) => {}
                    Err(Refusal::Stopping) => return,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stopped(&mut shutdown) => {}
        }
    }

    /// Waits until an envelope is full, or its first payment has waited long enough. `false` when
    /// the owner is gone.
    async fn wait_for_group(&self, ready: &mut watch::Receiver<usize>) -> bool {
        if ready.wait_for(|count| *count > 0).await.is_err() {
            return false;
        }
        let full = self.config.envelope_payments;
        let flush = Duration::from_millis(self.config.flush_ms);
        let filled = timeout(flush, async {
            ready.wait_for(|count| *count >= full).await.is_ok()
        });
        filled.await.unwrap_or(true)
    }

    async fn seal_next(&self) -> Result<Option<(Envelope, FlightEnd)>, Refusal> {
        let Some(group) = self.handle.take(self.config.envelope_payments).await? else {
            return Ok(None);
        };
        let id = group.id;
        let envelope = match self.seal(group).await {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(error, "payments could not be sealed; trying again");
                self.handle.unseal(id).await?;
                sleep(PAUSE_MAX.min(PAUSE * 10)).await;
                return Ok(None);
            }
        };
        let sealed = SealedGroup {
            group: id,
            id: *envelope.header.id().as_bytes(),
            envelope: codec::encode(&envelope),
            expiry: envelope.header.core.expiry.0,
        };
        let end = self.handle.sealed(sealed).await?;
        Ok(Some((envelope, end)))
    }

    /// Seals on a worker thread: encrypting and the group arithmetic take about a millisecond.
    async fn seal(&self, group: Group) -> Result<Envelope, String> {
        let (gateway, rollup) = (self.gateway.clone(), self.rollup);
        let runtime = tokio::runtime::Handle::current();
        let work = move || runtime.block_on(gateway.seal(rollup, &group.payments));
        match tokio::task::spawn_blocking(work).await {
            Ok(sealed) => sealed.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Submits an envelope again and again, until it was delivered or cannot be any more.
    async fn fly(self, envelope: Envelope, mut end: FlightEnd, mut fresh: bool) {
        let mut pause = PAUSE;
        loop {
            let wait = tokio::select! {
                // The sender is dropped when the flight has landed.
                _ = &mut end => return,
                result = self.gateway.submit(&envelope) => match result {
                    Ok(_) => {
                        fresh = false;
                        pause = PAUSE;
                        Duration::from_millis(self.config.resubmit_ms)
                    }
                    Err(error) => {
                        Metrics::add(&self.metrics.submit_failures_total, 1);
                        tracing::warn!(envelope = %envelope.header.id(), %error, "an envelope was not taken");
                        if fresh && is_final(&error) {
                            let id = *envelope.header.id().as_bytes();
                            // Only fails when the node is stopping.
                            let _ = self.handle.land(id).await;
                            return;
                        }
                        // A node that did not answer may have taken it all the same.
                        fresh = fresh && matches!(error, GatewayError::Client(ClientError::Refused { .. }));
                        pause = (pause * 2).min(PAUSE_MAX);
                        pause
                    }
                }
            };
            tokio::select! {
                _ = &mut end => return,
                () = sleep(wait) => {}
            }
        }
    }
}

/// Whether every node would refuse this envelope at any time. One that may have been taken before
/// is not given up for it: "sequence number used" is what a node says of it once it is ordered.
fn is_final(error: &GatewayError) -> bool {
    match error {
        GatewayError::Client(ClientError::Refused { error, .. }) => {
            !TEMPORARY.contains(&error.code.as_str())
        }
        _ => false,
    }
}
