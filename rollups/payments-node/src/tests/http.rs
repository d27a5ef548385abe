//! Every error is coded JSON, and views say what the state says.

use std::sync::Arc;

use conclave_sdk::api::ApiError;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use super::fixture::{Fixture, Running};
use crate::api::{self, ApiState};
use crate::faucet::Faucet;
use crate::node::{Phase, Phases};
use crate::{PaymentState, PaymentView, RollupAccountView, RollupStatusView};

struct Served {
    fixture: Fixture,
    running: Running,
    phases: Arc<Phases>,
    base: String,
    http: Client,
    faucet: Option<Faucet>,
}

impl Served {
    async fn new() -> Self {
        let fixture = Fixture::new(2);
        let running = fixture.start(&fixture.database());
        let phases = Arc::new(Phases::new());
        let handle = running.handle.clone();
        let faucet = Faucet::new(
            fixture.devnet(),
            fixture.context,
            handle,
            running.metrics.clone(),
        );
        let state = ApiState {
            genesis: Arc::new(fixture.genesis.clone()),
            genesis_root: fixture.genesis.root().expect("root"),
            context: fixture.context,
            handle: running.handle.clone(),
            faucet: faucet.clone(),
            metrics: running.metrics.clone(),
            phases: phases.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, api::router(state)).await });
        Self {
            fixture,
            running,
            phases,
            base,
            http: Client::builder().no_proxy().build().expect("client"),
            faucet,
        }
    }

    async fn error(&self, request: reqwest::RequestBuilder) -> (StatusCode, String) {
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let error: ApiError = response.json().await.expect("coded JSON");
        assert!(
            !error.message.is_empty() && !error.remedy.is_empty(),
            "{error:?}"
        );
        (status, error.code)
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    fn submit(&self, bytes: Vec<u8>) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}/v1/payments", self.base))
            .header("content-type", "application/octet-stream")
            .body(bytes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_coded_json() {
    let served = Served::new().await;
    let key = served.fixture.address(2).key;
    let expect = |found: (StatusCode, String), status: u16, code: &str| {
        assert_eq!((found.0.as_u16(), found.1.as_str()), (status, code));
    };
    expect(served.error(served.get("/readyz")).await, 503, "CV-PAY-128");
    expect(
        served.error(served.submit(vec![1])).await,
        503,
        "CV-PAY-128",
    );
    served.phases.enter(Phase::Ready);

    for path in [
        "/v1/status",
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/payments/00",
    ] {
        let path = format!("{}?surprise=1", path.replace("00", &"00".repeat(32)));
        expect(served.error(served.get(&path)).await, 400, "CV-PAY-130");
    }
    let path = format!("/v1/accounts/{key}?at=tomorrow");
    expect(served.error(served.get(&path)).await, 400, "CV-PAY-130");
    expect(
        served.error(served.get("/v1/accounts/zz")).await,
        400,
        "CV-PAY-139",
    );
    let path = format!("/v1/accounts/{}", "01".repeat(32));
    expect(served.error(served.get(&path)).await, 404, "CV-PAY-144");
    let path = format!("/v1/payments/{}", "01".repeat(32));
    expect(served.error(served.get(&path)).await, 404, "CV-PAY-145");
    expect(served.error(served.get("/v2")).await, 404, "CV-PAY-132");
    expect(
        served.error(served.get("/v1/payments")).await,
        405,
        "CV-PAY-133",
    );
    let text = served.http.post(format!("{}/v1/payments", served.base));
    expect(served.error(text.body("pay!")).await, 415, "CV-PAY-137");
    expect(
        served.error(served.submit(vec![0; 100_000])).await,
        413,
        "CV-PAY-141",
    );
    let post = |body: serde_json::Value, route: &str| {
        served
            .http
            .post(format!("{}{route}", served.base))
            .json(&body)
    };
    let wrong = post(json!({"payment": "00", "tip": 1}), "/v1/payments");
    expect(served.error(wrong).await, 400, "CV-PAY-131");
    expect(
        served.error(post(json!({"key": "00"}), "/v1/faucet")).await,
        400,
        "CV-PAY-131",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_checked_acknowledged_and_followed() {
    let served = Served::new().await;
    served.phases.enter(Phase::Ready);
    let fixture = &served.fixture;
    let mut purse = fixture.purse(2);

    assert_eq!(
        served.error(served.submit(vec![1; 9])).await.1,
        "CV-PAY-010"
    );
    let mut forged = fixture.pay(&mut purse, 0, 3, 5);
    forged.body.amount += 1;
    assert_eq!(
        served.error(served.submit(forged.encode())).await.1,
        "CV-PAY-012"
    );
    let early = fixture.pay(&mut purse, 4, 3, 5);
    assert_eq!(
        served.error(served.submit(early.encode())).await.1,
        "CV-PAY-120"
    );

    let payment = fixture.pay(&mut purse, 0, 3, 5);
    let body = json!({ "payment": hex::encode(payment.encode()) });
    let request = served
        .http
        .post(format!("{}/v1/payments", served.base))
        .json(&body);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let view: PaymentView = response.json().await.expect("a view");
    let path = format!("/v1/payments/{}", view.id);
    let find = async || -> PaymentView {
        let response = served.get(&path).send().await.expect("an answer");
        response.json().await.expect("a view")
    };
    assert_eq!(find().await.status, PaymentState::Pending);
    let delivery = fixture.delivery(0, 3, &[payment.encode()], [1; 32]);
    served
        .running
        .handle
        .deliver(delivery)
        .await
        .expect("executed");
    let found = find().await;
    assert_eq!(
        (found.status, found.height),
        (PaymentState::Ordered, Some(3))
    );
    assert_eq!(found.outcome.as_deref(), Some("applied"));

    let status: RollupStatusView = async {
        let response = served.get("/v1/status").send().await.expect("an answer");
        response.json().await.expect("a view")
    }
    .await;
    assert_eq!((status.executed_height, status.executed_index), (3, 1));
    assert_eq!(status.outcomes["applied"], 1);
    let metrics = served.get("/metrics").send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(
        metrics.contains("conclave_rollup_payments_accepted_total 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("conclave_rollup_transactions_total{outcome=\"applied\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_prove_themselves_and_the_faucet_opens_new_ones() {
    let served = Served::new().await;
    served.phases.enter(Phase::Ready);
    let fixture = &served.fixture;
    let faucet = served.faucet.as_ref().expect("a faucet");
    faucet.open(&fixture.config).await.expect("opened");

    let newcomer = conclave_payments::FieldDigest::from_bytes(&[5; 32]).expect("canonical");
    let ask = || {
        let body = json!({ "key": newcomer.to_string() });
        served
            .http
            .post(format!("{}/v1/faucet", served.base))
            .json(&body)
    };
    let response = ask().send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let grant: crate::FaucetView = response.json().await.expect("a view");
    let (status, code) = served.error(ask()).await;
    assert_eq!((status.as_u16(), code.as_str()), (429, "CV-PAY-135"));

    let group = served
        .running
        .handle
        .take(9)
        .await
        .expect("answer")
        .expect("a group");
    let delivery = fixture.delivery(0, 1, &group.payments, [1; 32]);
    served
        .running
        .handle
        .deliver(delivery)
        .await
        .expect("executed");
    let status = served.running.handle.status().await.expect("status");
    served
        .running
        .handle
        .settle(1, status.root)
        .await
        .expect("told");

    let path = format!("/v1/accounts/{newcomer}?at=settled");
    let response = served.get(&path).send().await.expect("an answer");
    let view: RollupAccountView = response.json().await.expect("a view");
    assert_eq!(
        (view.slot, view.balance, view.index),
        (grant.slot, grant.amount, 1)
    );
    assert!(view.verify(&status.root).is_ok());
    assert!(view.verify(&[1; 32]).is_err());
    let mut richer = view;
    richer.balance += 1;
    assert!(richer.verify(&status.root).is_err());
}
