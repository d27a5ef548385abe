//! The whole node against the chain in miniature: registering, paying, settling, being killed.

use std::path::Path;
use std::time::Duration;

use conclave_crypto::save_key;
use conclave_payments::Payment;
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::chain::Chain;
use super::fixture::Fixture;
use crate::{
    PaymentState, PaymentView, RollupAccountView, RollupError, RollupNode, RollupNodeConfig,
    RollupStatusView,
};

struct Node {
    base: String,
    http: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RollupError>>,
}

impl Node {
    async fn start(config: &RollupNodeConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopping) = oneshot::channel();
        let shutdown = async {
            let _ = stopping.await;
        };
        let run = RollupNode::run_on(listener, config.clone(), shutdown);
        Self {
            base,
            http: Client::builder().no_proxy().build().expect("client"),
            stop,
            task: tokio::spawn(run),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.http.get(format!("{}{path}", self.base)).send().await;
        response.expect("an answer").json().await.expect("a view")
    }

    /// Asks until the answer fits; the node reaches it by itself or the test hangs and fails.
    async fn until<T: DeserializeOwned>(&self, path: &str, fits: impl Fn(&T) -> bool) -> T {
        let ask = async {
            loop {
                let response = self.http.get(format!("{}{path}", self.base)).send().await;
                if let Ok(response) = response
                    && response.status() == StatusCode::OK
                    && let Ok(view) = response.json().await
                    && fits(&view)
                {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, ask)
            .await
            .unwrap_or_else(|_| panic!("{path}"))
    }

    async fn ready(&self) {
        self.until::<serde_json::Value>("/readyz", |_| true).await;
    }

    async fn submit(&self, payment: &Payment) -> PaymentView {
        let request = self.http.post(format!("{}/v1/payments", self.base));
        let request = request.header("content-type", "application/octet-stream");
        let response = request
            .body(payment.encode())
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        response.json().await.expect("a view")
    }

    async fn stop(self) -> Result<(), RollupError> {
        let _ = self.stop.send(());
        self.task.await.expect("no panic")
    }
}

/// A rollup on a chain that does not know it yet.
async fn launch() -> (Fixture, Chain) {
    let mut fixture = Fixture::new(2);
    let chain = Chain::start(fixture.state()).await;
    fixture.context.chain = chain.genesis.chain_id().0.0;
    fixture.config.nodes = vec![chain.url.clone()];
    let text = toml::to_string(&*chain.genesis).expect("TOML");
    std::fs::write(&fixture.config.chain_genesis, text).expect("written");
    save_key(&fixture.config.operator_key, &[6; 32]).expect("a key");
    (fixture, chain)
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), target).expect("copied");
            }
        }
    }
}

fn is_applied(view: &PaymentView) -> bool {
    view.status == PaymentState::Ordered && view.outcome.as_deref() == Some("applied")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_goes_from_the_gateway_to_a_settled_proof() {
    let (fixture, chain) = launch().await;
    let node = Node::start(&fixture.config).await;
    node.ready().await;
    let mut purse = fixture.purse(2);
    for nonce in 0..3 {
        let payment = fixture.pay(&mut purse, nonce, 3, 7);
        let view = node.submit(&payment).await;
        node.until(&format!("/v1/payments/{}", view.id), is_applied)
            .await;
    }
    let root = chain.settle();
    node.until::<RollupStatusView>("/v1/status", |status| status.settled_index == 3)
        .await;
    let path = format!("/v1/accounts/{}?at=settled", fixture.address(3).key);
    let account: RollupAccountView = node.get(&path).await;
    assert_eq!(account.balance, 1_000_000_021);
    account.verify(&root).expect("under the settled root");
    node.stop().await.expect("an orderly end");

    // A second start registers nothing again and knows everything.
    let node = Node::start(&fixture.config).await;
    node.ready().await;
    let status = node
        .until::<RollupStatusView>("/v1/status", |status| status.settled_index == 3)
        .await;
    assert_eq!(status.outcomes["applied"], 3);
    assert_eq!(chain.registrations(), 1);
    node.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_with_acknowledged_payments_delivers_them_after_its_restart() {
    let (fixture, chain) = launch().await;
    let node = Node::start(&fixture.config).await;
    node.ready().await;
    chain.set_open(false);
    let mut purse = fixture.purse(2);
    let payment = fixture.pay(&mut purse, 0, 3, 7);
    let id = node.submit(&payment).await.id;
    let path = format!("/v1/payments/{id}");
    let sealed = |view: &PaymentView| view.status == PaymentState::Sealed;
    let before: PaymentView = node.until(&path, sealed).await;
    // What `kill -9` leaves: the files as they are now.
    let mut config = fixture.config.clone();
    config.data = fixture.folder.path().join("after");
    copy_folder(&fixture.config.data, &config.data);
    node.task.abort();
    assert!(node.task.await.is_err(), "the node was cut off");

    chain.set_open(true);
    let node = Node::start(&config).await;
    let after: PaymentView = node.until(&path, is_applied).await;
    assert_eq!(before.id, after.id);
    assert_eq!(after.index, Some(0));
    node.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_runs_and_comes_to_what_was_intended() {
    let (mut fixture, _chain) = launch().await;
    let devnet = fixture.config.devnet.as_mut().expect("a devnet");
    devnet.load_tps = 60.0;
    devnet.load_invalid_percent = 30;
    devnet.load_newcomer_every = 20;
    devnet.load_newcomers_max = 1;
    let node = Node::start(&fixture.config).await;
    let enough = |status: &RollupStatusView| {
        let kinds = status.outcomes.values().filter(|count| **count > 0).count();
        kinds == 9 && status.outcomes["applied"] > 60
    };
    let status: RollupStatusView = node.until("/v1/status", enough).await;
    assert_eq!(
        status.accounts, 5,
        "fee account, faucet, two accounts, one newcomer"
    );
    let metrics = node.http.get(format!("{}/metrics", node.base)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    assert!(
        metrics.contains("conclave_rollup_load_unintended_total 0\n"),
        "{metrics}"
    );
    node.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_somebody_else_is_an_error() {
    let (fixture, chain) = launch().await;
    let node = Node::start(&fixture.config).await;
    node.ready().await;
    node.stop().await.expect("an orderly end");

    let (mut other, _) = launch().await;
    other.config.nodes = vec![chain.url.clone()];
    std::fs::remove_file(&other.config.operator_key).expect("removed");
    save_key(&other.config.operator_key, &[66; 32]).expect("a key");
    let node = Node::start(&other.config).await;
    let error = node.task.await.expect("no panic");
    assert!(matches!(
        error,
        Err(RollupError::ForeignRegistration { what: "owner", .. })
    ));
}
