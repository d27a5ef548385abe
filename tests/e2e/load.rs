//! Envelopes of our own, submitted at each validator all the time; every receipt is remembered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_crypto::{EdSecret, load_key};
use conclave_sdk::{Client, Gateway, GatewayOptions, verify_receipt};
use conclave_types::{EnvelopeId, RollupId};
use rand_core::{OsRng, RngCore};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::network::{Network, ROLLUP, VALIDATORS};

/// Between two envelopes at one validator.
const EVERY: Duration = Duration::from_secs(4);
/// Bytes of one transaction; no payment looks like it, so provers exclude it.
const TRANSACTION_BYTES: usize = 100;

/// A receipt that must be honoured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) by: u16,
    pub(crate) envelope: EnvelopeId,
}

/// The running load.
pub(crate) struct Load {
    sender: Sender,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Sender {
    gateway: Arc<Gateway>,
    nodes: Arc<Vec<Client>>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
}

impl Load {
    /// Begins to submit.
    pub(crate) async fn start(network: &Network) -> Self {
        let key = load_key(&network.path("user.key")).expect("the user's key");
        let sequence = network.path("user.key.sequence");
        // Expiry is not what is tested here.
        let options = GatewayOptions {
            expiry_blocks: 20_000,
            ..GatewayOptions::default()
        };
        let gateway = Gateway::open(
            Client::new(network.urls()).expect("a client"),
            network.genesis().clone(),
            EdSecret::from_seed(&key),
            &sequence,
            options,
        );
        let sender = Sender {
            gateway: Arc::new(gateway.await.expect("a gateway")),
            nodes: Arc::new(
                (0..VALIDATORS)
                    .map(|node| network.node(node).clone())
                    .collect(),
            ),
            acknowledged: Arc::default(),
        };
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for node in 0..VALIDATORS as u16 {
            tasks.spawn(sender.clone().run(node, stopped.clone()));
        }
        Self {
            sender,
            stop,
            tasks,
        }
    }

    /// Submits several at one validator, which must take them, one right after the other.
    pub(crate) async fn burst(&self, node: u16, count: usize) {
        for _ in 0..count {
            let submitted = self.sender.submit(node).await;
            assert!(submitted, "validator {node} refused an envelope");
        }
    }

    /// How many receipts there are so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.sender.acknowledged.lock().expect("receipts").len()
    }

    /// Ends the load and returns all receipts, in the order in which they came.
    pub(crate) async fn end(mut self) -> Vec<Acknowledged> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a load task failed");
        }
        self.sender.acknowledged.lock().expect("receipts").clone()
    }
}

impl Sender {
    async fn run(self, node: u16, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => {}
            }
            // What is not acknowledged is nobody's promise.
            self.submit(node).await;
        }
    }

    /// Submits one envelope; whether it was acknowledged.
    async fn submit(&self, node: u16) -> bool {
        let mut transaction = vec![0; TRANSACTION_BYTES];
        OsRng.fill_bytes(&mut transaction);
        let Ok(envelope) = self.gateway.seal(RollupId(ROLLUP), &[transaction]).await else {
            return false;
        };
        let id = envelope.header.id();
        let Ok(view) = self.nodes[usize::from(node)].submit(&envelope).await else {
            return false;
        };
        let (genesis, chain) = (self.gateway.genesis(), self.gateway.chain());
        let receipt =
            verify_receipt(&genesis.first_epoch(), chain, id, &view).expect("a valid receipt");
        assert_eq!(receipt.validator.0, node);
        let acknowledged = Acknowledged {
            by: node,
            envelope: id,
        };
        self.acknowledged
            .lock()
            .expect("receipts")
            .push(acknowledged);
        true
    }
}
