//! The load: envelopes at their times at every validator in turn, whatever the validators do; every
//! receipt is checked and remembered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_crypto::{EdSecret, load_key};
use conclave_sdk::{Client, ClientOptions, Gateway, GatewayOptions, verify_receipt};
use conclave_tests::chaos::Acknowledged;
use conclave_types::{
    Amount, Digest, EnvelopeId, ProgramVersion, ProofPolicy, RollupConfig, RollupId, StateRoot,
    SystemOp,
};
use rand_core::{OsRng, RngCore};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::network::{LOOK, Network, PATIENCE};

/// The rollup that the load is for; its contents need no proof.
pub(super) const LOAD: RollupId = RollupId(900);
/// Bytes of one transaction.
const TRANSACTION_BYTES: usize = 100;
/// How long a submission may take before it counts as refused.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(3);
/// Blocks until an envelope expires: more than any scenario has, so that what is acknowledged must
/// be delivered.
const EXPIRY_BLOCKS: u64 = 90_000;

/// The running load.
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Shared {
    honest: Vec<u16>,
    gateway: Gateway,
    nodes: Vec<Client>,
    start: Instant,
    acknowledged: Mutex<Vec<Acknowledged>>,
    refused: AtomicU64,
}

/// What the load remembers.
pub(super) struct Receipts {
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) refused: u64,
}

impl Load {
    /// Registers the load's rollup and begins to submit. Times count from `start`; what is
    /// submitted before has time 0.
    pub(super) async fn start(
        network: &Network<'_>,
        per_second: f64,
        start: Instant,
    ) -> anyhow::Result<Self> {
        let key = load_key(&network.file("user.key"))?;
        let options = ClientOptions {
            connect_timeout: SUBMIT_PATIENCE,
            request_timeout: SUBMIT_PATIENCE,
            rounds: 1,
            ..ClientOptions::default()
        };
        let sequence = network.file("user.key.sequence");
        let gateway = Gateway::open(
            Client::with_options(network.urls(0), options)?,
            network.genesis().clone(),
            EdSecret::from_seed(&key),
            &sequence,
            GatewayOptions {
                expiry_blocks: EXPIRY_BLOCKS,
                ..GatewayOptions::default()
            },
        );
        let gateway = gateway.await?;
        gateway.perform(&registration(&gateway), PATIENCE).await?;
        let (honest, mut nodes) = (network.honest(), Vec::new());
        for index in 0..network.validators() {
            let client = network.client(index, SUBMIT_PATIENCE)?;
            // Each validator admits for the rollup once it has executed the registration itself.
            while honest.contains(&index)
                && let Err(error) = client.rollup(LOAD).await
            {
                if !error.is_not_found() {
                    return Err(error.into());
                }
                sleep(LOOK).await;
            }
            nodes.push(client);
        }
        let shared = Arc::new(Shared {
            honest,
            gateway,
            nodes,
            start,
            acknowledged: Mutex::default(),
            refused: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(shared.clone(), per_second, stopped));
        Ok(Self { shared, stop, task })
    }

    /// How an observer learns what was acknowledged last.
    pub(super) fn newest(&self) -> impl Fn() -> Option<EnvelopeId> + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.lock().last().map(|receipt| receipt.envelope)
    }

    /// Ends the load, waits for the last answers and returns all receipts.
    pub(super) async fn end(self) -> anyhow::Result<Receipts> {
        self.stop.send_replace(true);
        self.task.await?;
        Ok(Receipts {
            acknowledged: self.shared.lock().clone(),
            refused: self.shared.refused.load(Ordering::Relaxed),
        })
    }
}

async fn run(shared: Arc<Shared>, per_second: f64, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut submissions = JoinSet::new();
    for turn in 0.. {
        tokio::select! {
            // An error means that nobody can stop it any more, which is the same.
            _ = stop.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => {}
        }
        submissions.spawn(shared.clone().submit(turn % shared.nodes.len()));
        while submissions.try_join_next().is_some() {}
    }
    submissions.join_all().await;
}

impl Shared {
    async fn submit(self: Arc<Self>, node: usize) {
        if self.try_submit(node).await.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Submits one envelope; `None` if nobody owes anything for it. Validators that lie get their
    /// part of the load, but their receipt is worth their bond and not an order.
    async fn try_submit(&self, node: usize) -> Option<()> {
        let mut transaction = vec![0; TRANSACTION_BYTES];
        OsRng.fill_bytes(&mut transaction);
        let envelope = self.gateway.seal(LOAD, &[transaction]).await.ok()?;
        let id = envelope.header.id();
        let view = self.nodes[node].submit(&envelope).await.ok()?;
        let (genesis, chain) = (self.gateway.genesis(), self.gateway.chain());
        let receipt = verify_receipt(&genesis.first_epoch(), chain, id, &view).ok()?;
        if !self.honest.contains(&receipt.validator.0) {
            return None;
        }
        let at_ms = Instant::now()
            .saturating_duration_since(self.start)
            .as_millis() as u64;
        self.lock().push(Acknowledged {
            envelope: id,
            by: receipt.validator.0,
            at_ms,
        });
        Some(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Acknowledged>> {
        self.acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn registration(gateway: &Gateway) -> SystemOp {
    SystemOp::RegisterRollup {
        rollup: LOAD,
        config: RollupConfig {
            name: "chaos-load".into(),
            owner: gateway.account(),
            program: ProgramVersion(Digest::ZERO),
            genesis_root: StateRoot(Digest::ZERO),
            policy: ProofPolicy::None,
            reserve_price: Amount::ZERO,
            reserve_price_max: Amount::ZERO,
            range_transactions: 1024,
            range_age_ms: 60_000,
            deadline_ms: 60_000,
            bond_percent: 100,
            fee_share_percent: 20,
        },
    }
}
