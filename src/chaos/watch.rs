//! Observers: what every validator says while the faults go on, with the time at which it said so.
//! Nothing is judged here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_sdk::Client;
use conclave_sdk::api::{BlockView, DeliveryView, EnvelopeStage};
use conclave_tests::chaos::Reading;
use conclave_types::{EnvelopeId, Height};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::load::LOAD;
use super::network::Network;

/// Between two questions for a validator's height: the precision of all times in the report.
const HEIGHT_EVERY: Duration = Duration::from_millis(40);
/// Between two questions for its contents.
const CONTENTS_EVERY: Duration = Duration::from_millis(500);
/// A height that is later than this says nothing about now.
const HEIGHT_PATIENCE: Duration = Duration::from_millis(800);
const CONTENTS_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) readings: Vec<Reading>,
    /// Deliveries with their blocks, as served: a validator's in the order of heights.
    pub(super) deliveries: Vec<(u16, DeliveryView)>,
    /// Who said that an envelope is open, and the block that it served for it right after.
    pub(super) open: Vec<(u16, EnvelopeId, Height, Option<BlockView>)>,
}

/// The running observers.
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Watch {
    /// Watches every honest validator. `newest` names an envelope to ask after.
    pub(super) fn start(
        network: &Network<'_>,
        start: Instant,
        newest: impl Fn() -> Option<EnvelopeId> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let newest = Arc::new(newest);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for validator in network.honest() {
            let observer = Observer {
                validator,
                client: network.client(validator, HEIGHT_PATIENCE)?,
                seen: seen.clone(),
                start,
            };
            tasks.spawn(until(stopped.clone(), observer.heights()));
            let observer = Observer {
                validator,
                client: network.client(validator, CONTENTS_PATIENCE)?,
                seen: seen.clone(),
                start,
            };
            tasks.spawn(until(stopped.clone(), observer.contents(newest.clone())));
        }
        Ok(Self { seen, stop, tasks })
    }

    /// Ends the observation and returns all that was seen.
    pub(super) async fn end(self) -> Seen {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
        std::mem::take(&mut *lock(&self.seen))
    }
}

/// Does something until it is time to stop.
async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

/// Who watches one validator.
struct Observer {
    validator: u16,
    client: Client,
    seen: Arc<Mutex<Seen>>,
    start: Instant,
}

impl Observer {
    async fn heights(self) {
        let mut ticks = interval(HEIGHT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // One that does not answer is not there; that is part of the picture.
            if let Ok(status) = self.client.status().await {
                let at_ms = self.start.elapsed().as_millis() as u64;
                lock(&self.seen).readings.push(Reading {
                    at_ms,
                    validator: self.validator,
                    committed: Height(status.committed_height),
                });
            }
        }
    }

    async fn contents(self, newest: Arc<impl Fn() -> Option<EnvelopeId>>) {
        let mut ticks = interval(CONTENTS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = Height(1);
        loop {
            ticks.tick().await;
            self.ask_for(newest()).await;
            if let Ok(status) = self.client.status().await
                && status.executed_height >= next.0
            {
                let executed = Height(status.executed_height);
                let page = self.client.contents(LOAD, next, executed, true).await;
                let Ok(page) = page else { continue };
                let mut seen = lock(&self.seen);
                for delivery in page.deliveries {
                    next = Height(delivery.height).next();
                    seen.deliveries.push((self.validator, delivery));
                }
            }
        }
    }

    /// Asks whether an envelope is open; if so, its block must be there at once.
    async fn ask_for(&self, envelope: Option<EnvelopeId>) {
        let Some(id) = envelope else { return };
        let Ok(view) = self.client.envelope(id).await else {
            return;
        };
        let (EnvelopeStage::Opened, Some(height)) = (view.status, view.height) else {
            return;
        };
        let block = match self.client.block(Height(height)).await {
            Ok(block) => Some(block),
            Err(error) if error.is_not_found() => None,
            // It was killed in between.
            Err(_) => return,
        };
        lock(&self.seen)
            .open
            .push((self.validator, id, Height(height), block));
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
