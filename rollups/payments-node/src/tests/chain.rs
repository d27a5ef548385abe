//! A chain in miniature: one validator that orders what it is sent at once, opens it with a key it
//! knows, executes the rollup, and settles on demand. It speaks the nodes' HTTP API.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use conclave_crypto::{BlsSecret, EdSecret};
use conclave_payments::{PaymentContext, execute};
use conclave_sdk::api::{
    AccountView, ApiError, CommitteeView, DeliveredEnvelope, DeliveryView, EnvelopeStage,
    EnvelopeView, FeeQuote, ProgressView, ReceiptView, RollupView,
};
use conclave_seal::{SealScheme, Tdh2};
use conclave_types::{
    AccountId, BlockTime, Digest, EdSignature, Envelope, EnvelopeId, Genesis, Height, Payload,
    Point, Receipt, RollupConfig, SealingKey, SystemOp, ValidatorIndex, ValidatorInfo, codec,
    decode_transactions, limits,
};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::scalar::Scalar;
use futures::stream;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

const SECRET: u64 = 123_456_789;

#[derive(Default)]
struct Ledger {
    registered: Option<RollupConfig>,
    fees: u64,
    fund: u64,
    /// Whether envelopes are taken.
    open: bool,
    deliveries: Vec<DeliveryView>,
    ordered: Vec<EnvelopeId>,
    /// Root and index that are settled.
    settled: (String, u64),
    state: Option<conclave_payments::State>,
    /// How often each kind of operation took effect.
    registrations: u32,
}

#[derive(Clone)]
pub(super) struct Chain {
    pub(super) genesis: Arc<Genesis>,
    pub(super) url: String,
    transport: Arc<EdSecret>,
    scheme: Arc<Tdh2>,
    ledger: Arc<Mutex<Ledger>>,
    height: watch::Sender<u64>,
}

fn genesis(transport: &EdSecret) -> Genesis {
    let key = (RISTRETTO_BASEPOINT_POINT * Scalar::from(SECRET)).compress();
    let bls = BlsSecret::from_seed(&[9; 32]);
    Genesis {
        name: "miniature".into(),
        time: BlockTime(0),
        validators: vec![ValidatorInfo {
            name: "one".into(),
            weight: 1,
            bls_key: bls.public(),
            bls_possession: bls.prove_possession(),
            transport_key: transport.transport_key(),
            account: transport.account(),
            address: "127.0.0.1:1".into(),
            api: "http://127.0.0.1:1".into(),
        }],
        sealing: SealingKey {
            key: Point(key.0),
            shares: vec![Point(key.0)],
            transcript: Digest::ZERO,
        },
        allocations: Vec::new(),
        consensus: Default::default(),
        fees: Default::default(),
        market: Default::default(),
    }
}

impl Chain {
    pub(super) async fn start(state: conclave_payments::State) -> Self {
        let transport = EdSecret::from_seed(&[8; 32]);
        let genesis = genesis(&transport);
        let scheme = Tdh2::new(&genesis.sealing, &[1], None, [3; 32]).expect("a key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let ledger = Ledger {
            open: true,
            settled: (hex::encode(state.root()), 0),
            state: Some(state),
            ..Ledger::default()
        };
        let chain = Self {
            genesis: Arc::new(genesis),
            url: format!("http://{}", listener.local_addr().expect("an address")),
            transport: Arc::new(transport),
            scheme: Arc::new(scheme),
            ledger: Arc::new(Mutex::new(ledger)),
            height: watch::Sender::new(1),
        };
        let router = Router::new()
            .route("/v1/committee", get(committee))
            .route("/v1/fees", get(fees))
            .route("/v1/accounts/{id}", get(account))
            .route("/v1/envelopes", post(submit))
            .route("/v1/envelopes/{id}", get(envelope))
            .route("/v1/rollups/{id}", get(rollup))
            .route("/v1/rollups/{id}/stream", get(follow))
            .with_state(chain.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        chain
    }

    /// Takes envelopes, or refuses them for now.
    pub(super) fn set_open(&self, open: bool) {
        self.ledger.lock().expect("lock").open = open;
    }

    /// Settles everything ordered; the root is this chain's own execution.
    pub(super) fn settle(&self) -> [u8; 32] {
        let mut ledger = self.ledger.lock().expect("lock");
        let root = ledger.state.as_ref().expect("a state").root();
        let index = next_index(&ledger);
        ledger.settled = (hex::encode(root), index);
        root
    }

    pub(super) fn registrations(&self) -> u32 {
        self.ledger.lock().expect("lock").registrations
    }

    /// The M of an envelope, by the secret key itself.
    fn open(&self, envelope: &Envelope) -> Vec<Vec<u8>> {
        let Payload::Sealed(sealed) = &envelope.header.payload else {
            panic!("a rollup's envelopes are sealed");
        };
        let point = |point: &Point| CompressedRistretto(point.0).decompress().expect("a point");
        let m = point(&sealed.d) - point(&sealed.c) * Scalar::from(SECRET);
        let m = Point(m.compress().0);
        assert!(self.scheme.verify_opening(&envelope.header, &m));
        let plaintext = self.scheme.decrypt(envelope, &m).expect("readable");
        decode_transactions(&plaintext).expect("transactions")
    }

    fn order(&self, envelope: &Envelope) {
        let mut ledger = self.ledger.lock().expect("lock");
        let id = envelope.header.id();
        if ledger.ordered.contains(&id) {
            return;
        }
        // Sealed for twice the price, the gateway's headroom covers it.
        let (body_bytes, tariff) = (envelope.header.body_bytes, 2 * limits::TARIFF_BASE);
        let fee = self.genesis.fees.fee(body_bytes, tariff);
        assert!(envelope.header.core.fee_max >= fee, "it would not pay");
        ledger.ordered.push(id);
        let height = *self.height.borrow() + 1;
        match envelope.header.payload {
            Payload::Plain => {
                let op = codec::decode(&envelope.body, limits::PLAIN_BODY_BYTES_MAX);
                match op.expect("an operation") {
                    SystemOp::DepositFees { amount, .. } => ledger.fees += amount.0,
                    SystemOp::FundRollup { amount, .. } => ledger.fund += amount.0,
                    SystemOp::RegisterRollup { config, .. } => {
                        ledger.registrations += 1;
                        ledger.registered = Some(config);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Payload::Sealed(_) => {
                let delivery = self.deliver(&mut ledger, envelope, height);
                ledger.deliveries.push(delivery);
            }
        }
        drop(ledger);
        self.height.send_replace(height);
    }

    fn deliver(&self, ledger: &mut Ledger, envelope: &Envelope, height: u64) -> DeliveryView {
        let core = &envelope.header.core;
        let transactions = self.open(envelope);
        let context = PaymentContext {
            chain: core.chain.0.0,
            rollup: core.rollup.0,
        };
        let contents: Vec<_> = transactions
            .iter()
            .map(|bytes| (height, bytes.clone()))
            .collect();
        execute(ledger.state.as_mut().expect("a state"), &context, &contents);
        DeliveryView {
            malformed_evidence: Vec::new(),
            inconsistent_evidence: vec![],
            rollup: core.rollup.0,
            height,
            time_ms: height,
            first_index: next_index(ledger),
            envelopes: vec![DeliveredEnvelope {
                id: envelope.header.id().to_string(),
                payer: core.payer.to_string(),
                header: hex::encode(codec::encode(&envelope.header)),
                outcome: "opened".into(),
                opening: None,
                body: None,
                transactions: transactions.iter().map(hex::encode).collect(),
            }],
            stream_digest: format!("{height:064x}"),
            block: None,
        }
    }
}

fn next_index(ledger: &Ledger) -> u64 {
    ledger.deliveries.last().map_or(0, |delivery| {
        let counts = delivery
            .envelopes
            .iter()
            .map(|envelope| envelope.transactions.len());
        delivery.first_index + counts.sum::<usize>() as u64
    })
}

fn missing() -> Response {
    let error = ApiError {
        code: "CV-API-404".into(),
        message: "there is no such thing".into(),
        remedy: "ask for another".into(),
    };
    (StatusCode::NOT_FOUND, Json(error)).into_response()
}

#[derive(Deserialize)]
struct FeeParams {
    body_bytes: u32,
}

async fn fees(State(chain): State<Chain>, Query(params): Query<FeeParams>) -> Json<FeeQuote> {
    let tariff = limits::TARIFF_BASE;
    Json(FeeQuote {
        body_bytes: params.body_bytes.into(),
        fee: chain.genesis.fees.fee(params.body_bytes, tariff).0,
        tariff,
        malformed_surcharge: 0,
    })
}

async fn committee(State(chain): State<Chain>) -> Json<CommitteeView> {
    Json(CommitteeView {
        chain: chain.genesis.chain_id().to_string(),
        epoch: 0,
        total_weight: 1,
        quorum: 1,
        sealing_key: chain.genesis.sealing.key.to_string(),
        validators: Vec::new(),
        height: *chain.height.borrow(),
    })
}

async fn account(State(chain): State<Chain>, Path(id): Path<AccountId>) -> Json<AccountView> {
    Json(AccountView {
        account: id.to_string(),
        balance: 10_000_000_000,
        fees: chain.ledger.lock().expect("lock").fees,
        sequence: None,
    })
}

async fn submit(State(chain): State<Chain>, body: Bytes) -> Response {
    if !chain.ledger.lock().expect("lock").open {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let envelope: Envelope = codec::decode(&body, limits::ENVELOPE_BYTES_MAX).expect("an envelope");
    chain.order(&envelope);
    let mut receipt = Receipt {
        chain: chain.genesis.chain_id(),
        envelope: envelope.header.id(),
        validator: ValidatorIndex(0),
        height: Height(1),
        deadline: Height(1_000),
        signature: EdSignature([0; 64]),
    };
    receipt.signature = chain.transport.sign(&receipt.message());
    let view = ReceiptView {
        chain: receipt.chain.to_string(),
        envelope: receipt.envelope.to_string(),
        validator: 0,
        height: 1,
        deadline: 1_000,
        signature: receipt.signature.to_string(),
    };
    (StatusCode::ACCEPTED, Json(view)).into_response()
}

async fn envelope(State(chain): State<Chain>, Path(id): Path<EnvelopeId>) -> Response {
    if !chain.ledger.lock().expect("lock").ordered.contains(&id) {
        return missing();
    }
    Json(EnvelopeView {
        id: id.to_string(),
        status: EnvelopeStage::Opened,
        height: Some(2),
        code: None,
        reason: None,
        times: None,
    })
    .into_response()
}

async fn rollup(State(chain): State<Chain>, Path(id): Path<u32>) -> Response {
    let ledger = chain.ledger.lock().expect("lock");
    let Some(config) = &ledger.registered else {
        return missing();
    };
    Json(RollupView {
        id,
        name: config.name.clone(),
        owner: config.owner.to_string(),
        program: config.program.to_string(),
        proof_systems: vec!["winterfell".into()],
        proofs_required: 1,
        genesis_root: config.genesis_root.to_string(),
        settled_root: ledger.settled.0.clone(),
        ordered_index: next_index(&ledger),
        intended_index: ledger.settled.1,
        settled_index: ledger.settled.1,
        ordered_height: 0,
        settled_height: 0,
        fund: ledger.fund,
        reserve_price: 0,
        reserve_price_max: 0,
        range_transactions: 0,
        range_age_ms: 0,
        deadline_ms: 0,
        bond_percent: 0,
        stream_digest: String::new(),
    })
    .into_response()
}

#[derive(Deserialize)]
struct FollowParams {
    from_height: u64,
}

async fn follow(
    State(chain): State<Chain>,
    Path(_): Path<u32>,
    Query(params): Query<FollowParams>,
) -> Response {
    let heights = chain.height.subscribe();
    let start = (chain, heights, params.from_height);
    let events = stream::unfold(start, |(chain, mut heights, from)| async move {
        let height = *heights.wait_for(|height| *height >= from).await.ok()?;
        let mut text = String::new();
        for delivery in &chain.ledger.lock().expect("lock").deliveries {
            if (from..=height).contains(&delivery.height) {
                let json = serde_json::to_string(delivery).expect("JSON");
                text += &format!("event: delivery\ndata: {json}\n\n");
            }
        }
        let json = serde_json::to_string(&ProgressView { height }).expect("JSON");
        text += &format!("event: progress\ndata: {json}\n\n");
        Some((Ok::<_, Infallible>(text), (chain, heights, height + 1)))
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(events),
    )
        .into_response()
}
