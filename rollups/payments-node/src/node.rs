//! The node: its tasks, and how they start and stop.
//!
//! | task | talks to | ends |
//! | --- | --- | --- |
//! | owner (a thread) | everybody, by commands | when all handles are gone |
//! | api | owner, faucet | on shutdown, after its open requests |
//! | feed | nodes, owner | on shutdown, or when the stream cannot be followed |
//! | settled, treasury | nodes, owner | on shutdown |
//! | sender | owner, nodes | on shutdown; what is not delivered stays on disk |
//! | load, faucet wallet | owner | on shutdown |

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use conclave_crypto::{EdSecret, load_key};
use conclave_payments::PaymentContext;
use conclave_sdk::{Client, ClientOptions, Gateway, GatewayError, GatewayOptions};
use conclave_types::{Genesis, StateRoot};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::{self, ApiState};
use crate::faucet::Faucet;
use crate::feed::{Feed, watch_settled};
use crate::gateway::Sender;
use crate::load::run_load;
use crate::metrics::Metrics;
use crate::owner::{Handle, Owner, OwnerOptions, RecoveredFlight};
use crate::queue::QueueLimits;
use crate::store::{Identity, Store};
use crate::{RollupError, RollupGenesis, RollupNodeConfig, files, prepare_genesis, register};

/// Pause before the next attempt to reach the ledger.
const PAUSE: Duration = Duration::from_secs(1);
/// How long open requests and tasks may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// A chain's genesis file: 256 validators and 10,000 allocations are about 2 MB.
const CHAIN_GENESIS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// `true` once the node stops.
pub(crate) type Shutdown = watch::Receiver<bool>;

/// Resolves when the node stops.
pub(crate) async fn stopped(shutdown: &mut Shutdown) {
    // An error means that the node is gone, which is a stop too.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// How far the start has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reaching the ledger, or registering there.
    Registering(String),
    /// Executing what was ordered while the node was away.
    CatchingUp,
    /// Serving.
    Ready,
    /// Stopping.
    Stopping,
}

/// The present phase.
pub(crate) struct Phases(watch::Sender<Phase>);

impl Phases {
    pub(crate) fn new() -> Self {
        let first = Phase::Registering("connecting to the ledger".into());
        Self(watch::Sender::new(first))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let moves = *now != phase && *now != Phase::Stopping;
            if moves {
                tracing::info!(?phase, "rollup node");
                *now = phase;
            }
            moves
        });
    }

    pub(crate) fn now(&self) -> Phase {
        self.0.borrow().clone()
    }

    async fn reached(&self, phase: &Phase) {
        // The sender is this value's own, so waiting never fails.
        let _ = self.0.subscribe().wait_for(|now| now == phase).await;
    }
}

/// A rollup node.
pub struct RollupNode;

/// What the tasks that talk to the ledger share.
struct Parts {
    config: RollupNodeConfig,
    chain_genesis: Arc<Genesis>,
    genesis_root: StateRoot,
    context: PaymentContext,
    handle: Handle,
    metrics: Arc<Metrics>,
    phases: Arc<Phases>,
    faucet: Option<Faucet>,
    /// Height and index that the stream is followed from.
    position: (u64, u64),
    flights: Vec<RecoveredFlight>,
}

type Tasks = JoinSet<Result<(), RollupError>>;
type OwnerEnd = oneshot::Receiver<Result<(), RollupError>>;

impl RollupNode {
    /// Runs a node until `shutdown` resolves, or until it cannot go on.
    ///
    /// Everything acknowledged is durable: a node that is killed goes on where it was. Cancelling
    /// the returned future is like killing it.
    pub async fn run(
        config: RollupNodeConfig,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RollupError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| RollupError::Listen {
            address: address.to_string(),
            source,
        })?;
        Self::run_on(listener, config, shutdown).await
    }

    /// Runs a node whose API is served on a listener that is bound already.
    pub async fn run_on(
        listener: TcpListener,
        config: RollupNodeConfig,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RollupError> {
        let (parts, api, mut owner_end) = open(config).await?;
        let (handle, phases) = (parts.handle.clone(), parts.phases.clone());
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Tasks::new();
        tasks.spawn(api::serve(listener, api, stopping.clone()));
        tasks.spawn(work(parts, stopping));

        // Whatever ends first decides: only a shutdown is no failure.
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            ended = tasks.join_next() => Err(failure(ended)),
            ended = &mut owner_end => return Err(failure(Some(Ok(ended.unwrap_or_else(|_| gone("state")))))),
        };
        phases.enter(Phase::Stopping);
        stop.send_replace(true);
        let drain = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, drain).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        // The queue is quiet now; the owner writes its last snapshot.
        handle.stop().await;
        let owner = owner_end.await.unwrap_or_else(|_| gone("state"));
        ended.and(owner)
    }
}

fn gone(part: &'static str) -> Result<(), RollupError> {
    Err(RollupError::Part {
        part,
        reason: "it panicked; see the log".into(),
    })
}

/// A task that ended before it was told to.
fn failure(ended: Option<Result<Result<(), RollupError>, tokio::task::JoinError>>) -> RollupError {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => RollupError::Part {
            part: "task",
            reason: error.to_string(),
        },
        Some(Ok(Ok(()))) | None => RollupError::Part {
            part: "task",
            reason: "it ended early".into(),
        },
    }
}

/// Reads files and database, and starts the owner.
async fn open(config: RollupNodeConfig) -> Result<(Parts, ApiState, OwnerEnd), RollupError> {
    config.check()?;
    let metrics = Arc::new(Metrics::default());
    let phases = Arc::new(Phases::new());
    let opened = tokio::task::spawn_blocking({
        let (config, metrics) = (config.clone(), metrics.clone());
        move || open_files(&config, metrics)
    });
    let opened = opened.await.map_err(|error| RollupError::Part {
        part: "start",
        reason: error.to_string(),
    })??;
    let position = opened.owner.position();
    let owner_end = start_owner(opened.owner)?;
    let context = PaymentContext {
        chain: opened.chain_genesis.chain_id().0.0,
        rollup: config.rollup.0,
    };
    let handle = opened.handle;
    let faucet = config
        .devnet
        .as_ref()
        .and_then(|devnet| Faucet::new(devnet, context, handle.clone(), metrics.clone()));
    let api = ApiState {
        genesis: Arc::new(opened.genesis),
        genesis_root: opened.genesis_root,
        context,
        handle: handle.clone(),
        faucet: faucet.clone(),
        metrics: metrics.clone(),
        phases: phases.clone(),
    };
    let parts = Parts {
        config,
        chain_genesis: Arc::new(opened.chain_genesis),
        genesis_root: opened.genesis_root,
        context,
        handle,
        metrics,
        phases,
        faucet,
        position,
        flights: opened.flights,
    };
    Ok((parts, api, owner_end))
}

struct OpenedFiles {
    chain_genesis: Genesis,
    genesis: RollupGenesis,
    genesis_root: StateRoot,
    owner: Owner,
    handle: Handle,
    flights: Vec<RecoveredFlight>,
}

fn open_files(
    config: &RollupNodeConfig,
    metrics: Arc<Metrics>,
) -> Result<OpenedFiles, RollupError> {
    std::fs::create_dir_all(&config.data).map_err(RollupError::file(&config.data))?;
    let chain_genesis = load_chain_genesis(&config.chain_genesis)?;
    let genesis = prepare_genesis(config)?;
    let state = genesis.state()?;
    let identity = Identity {
        chain: chain_genesis.chain_id().0.0,
        rollup: config.rollup.0,
        genesis_root: state.root(),
    };
    let store = Store::open(&config.data.join("rollup.redb"), &identity)?;
    let options = OwnerOptions {
        limits: QueueLimits {
            pending_max: config.gateway.pending_max,
            pending_sender_max: config.gateway.pending_sender_max,
        },
        envelope_payments: config.gateway.envelope_payments,
    };
    let (owner, handle, flights) = Owner::new(store, &state, options, metrics)?;
    Ok(OpenedFiles {
        chain_genesis,
        genesis_root: genesis.root()?,
        genesis,
        owner,
        handle,
        flights,
    })
}

fn load_chain_genesis(path: &std::path::Path) -> Result<Genesis, RollupError> {
    let text = files::read_bounded(path, CHAIN_GENESIS_BYTES_MAX)?;
    let refuse = |reason: String| RollupError::GenesisFile {
        path: path.into(),
        reason,
    };
    let genesis: Genesis = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    genesis.check().map_err(|error| refuse(error.to_string()))?;
    Ok(genesis)
}

fn start_owner(owner: Owner) -> Result<OwnerEnd, RollupError> {
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name("rollup-state".into());
    let spawned = thread.spawn(move || {
        let result = owner.run();
        if let Err(error) = &result {
            tracing::error!(%error, "the rollup's state is lost to this process");
        }
        // The node may be gone already.
        let _ = ended.send(result);
    });
    match spawned {
        Ok(_) => Ok(end),
        Err(error) => Err(RollupError::Part {
            part: "state",
            reason: error.to_string(),
        }),
    }
}

/// Everything that talks to the ledger: registers, then follows and submits.
async fn work(parts: Parts, mut stopping: Shutdown) -> Result<(), RollupError> {
    let gateway = tokio::select! {
        gateway = connect(&parts) => Arc::new(gateway?),
        () = stopped(&mut stopping) => return Ok(()),
    };
    parts.phases.enter(Phase::CatchingUp);
    let client = gateway.client().clone();
    let mut tasks = Tasks::new();
    let feed = Feed {
        client: client.clone(),
        rollup: parts.config.rollup,
        context: parts.context,
        handle: parts.handle.clone(),
        phases: parts.phases.clone(),
    };
    tasks.spawn(feed.run(parts.position, stopping.clone()));
    let settled = watch_settled(
        client,
        parts.config.rollup,
        parts.handle.clone(),
        stopping.clone(),
    );
    tasks.spawn(endless(settled));
    let sender = Sender {
        rollup: parts.config.rollup,
        config: parts.config.gateway.clone(),
        gateway: gateway.clone(),
        handle: parts.handle.clone(),
        metrics: parts.metrics.clone(),
    };
    let sender = sender.run(parts.flights, stopping.clone());
    tasks.spawn(endless(sender));
    let treasury = register::run_treasury(gateway, parts.config.clone(), stopping.clone());
    tasks.spawn(endless(treasury));
    let devnet = Devnet {
        config: parts.config,
        context: parts.context,
        handle: parts.handle,
        metrics: parts.metrics,
        phases: parts.phases,
        faucet: parts.faucet,
    };
    tasks.spawn(devnet.run(stopping.clone()));

    let ended = tasks.join_next().await;
    if *stopping.borrow() {
        while tasks.join_next().await.is_some() {}
        return Ok(());
    }
    Err(failure(ended))
}

/// Work that has no failure of its own.
async fn endless(work: impl Future<Output = ()> + Send) -> Result<(), RollupError> {
    work.await;
    Ok(())
}

/// Opens the operator's gateway and registers, as long as it takes: nodes may start later. Only a
/// registration that belongs to somebody else, and files that cannot be used, are final.
async fn connect(parts: &Parts) -> Result<Gateway, RollupError> {
    let config = &parts.config;
    let nodes = config.nodes.clone();
    let client = Client::with_options(nodes, ClientOptions::default());
    let client = client.map_err(|error| RollupError::Sequencer(error.to_string()))?;
    let sequence_file = config.data.join("operator.sequence");
    loop {
        let secret = EdSecret::from_seed(&*load_key(&config.operator_key)?);
        let options = GatewayOptions {
            expiry_blocks: config.gateway.expiry_blocks,
            ..GatewayOptions::default()
        };
        let chain = parts.chain_genesis.clone();
        let opened = Gateway::open(client.clone(), chain, secret, &sequence_file, options).await;
        let reason = match opened {
            Ok(gateway) => {
                match register::ensure_registered(&gateway, config, parts.genesis_root).await {
                    Ok(()) => return Ok(gateway),
                    Err(error @ RollupError::ForeignRegistration { .. }) => return Err(error),
                    Err(error) => error.to_string(),
                }
            }
            Err(error @ (GatewayError::Chain { .. } | GatewayError::Sequence(_))) => {
                return Err(RollupError::Sequencer(error.to_string()));
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(reason, "not registered yet; trying again");
        parts.phases.enter(Phase::Registering(reason));
        sleep(PAUSE).await;
    }
}

/// The parts that hold keys of their own.
struct Devnet {
    config: RollupNodeConfig,
    context: PaymentContext,
    handle: Handle,
    metrics: Arc<Metrics>,
    phases: Arc<Phases>,
    faucet: Option<Faucet>,
}

impl Devnet {
    /// Once the node has caught up: opens the faucet's wallet, then makes load. A failure here
    /// ends these parts only.
    async fn run(self, mut stopping: Shutdown) -> Result<(), RollupError> {
        let stop = stopping.clone();
        tokio::select! {
            result = self.open_and_load(stop) => {
                if let Err(error) = result {
                    tracing::error!(%error, "faucet or load generator stopped");
                }
            }
            () = stopped(&mut stopping) => {}
        }
        stopped(&mut stopping).await;
        Ok(())
    }

    async fn open_and_load(self, stopping: Shutdown) -> Result<(), RollupError> {
        self.phases.reached(&Phase::Ready).await;
        if let Some(faucet) = &self.faucet {
            faucet.open(&self.config).await?;
        }
        match &self.config.devnet {
            Some(devnet) if devnet.load_tps > 0.0 => {
                run_load(
                    self.config,
                    self.context,
                    self.handle,
                    self.metrics,
                    stopping,
                )
                .await
            }
            _ => Ok(()),
        }
    }
}
