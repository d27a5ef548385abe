//! A validator: its threads, its tasks, and their end.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use conclave_consensus::{Engine, EngineConfig};
use conclave_crypto::{
    BlsCommittee, BlsCommitteeError, BlsSecret, Coder, Committee, CommitteeError, EdSecret,
};
use conclave_ledger::{BlsCommittees, Ledger, VoteKeys};
use conclave_light::EpochKeys;
use conclave_market::Verifier;
use conclave_seal::{KeyError, KeyShares, SealScheme, Tdh2};
use conclave_sequencer::{self as sequencing, OutcomeRecord, Sequencer, Tools};
use conclave_types::{Genesis, Height, ValidatorIndex, codec};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rand_core::{OsRng, RngCore};
use tokio::sync::{mpsc, watch};

use crate::backend::Progress;
use crate::begin::{self, Beginning};
use crate::committees::Committees;
use crate::contents::StoredContents;
use crate::epochs::{EngineFactory, SetupOf, Succession};
use crate::handle::NodeHandle;
use crate::http::{self, HttpLimits, ServeError};
use crate::metrics::Metrics;
use crate::provable::Provable;
use crate::records::RECORD_BYTES_MAX;
use crate::recovery::{self, RecoveryError};
use crate::replica::{Effect, Event, PeerMessage, Replica};
use crate::reports::Reporter;
use crate::serve::{self, Request};
use crate::shell::{Shell, count, lock};
use crate::store::{Identity, KeyRange, Snapshot, StoreError, StoreWriter, Table, keys};
use crate::transport::{
    self, IncomingRequest, PeerConfig, PeerEvent, Timing, Transport, TransportConfig,
    TransportError, TransportEvents, bounds,
};
use crate::workers::Workers;

/// Events from outside that may wait for the core; then peers and clients wait in turn.
const INGRESS_MAX: usize = 1024;
/// Bytes that may wait for the disk before no more batches are taken in.
const STORE_PENDING_BYTES: usize = 32 * 1024 * 1024;
/// Requests of peers answered at the same time.
const REQUESTS_AT_ONCE: usize = 8;
/// How long a stopping node waits for others to let go of its store.
const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// A validator's secrets.
pub struct NodeKeys {
    pub bls: BlsSecret,
    pub transport: EdSecret,
    pub shares: KeyShares,
    /// Pays for reporting misbehaviour of other validators; without it they are only logged.
    pub account: Option<EdSecret>,
}

/// What a validator runs with.
pub struct NodeConfig {
    pub genesis: Genesis,
    pub keys: NodeKeys,
    pub data_dir: PathBuf,
    /// Where peers reach it (UDP).
    pub listen: SocketAddr,
    /// Where clients reach it.
    pub api_listen: SocketAddr,
    /// Other addresses of peers than those in the genesis, by the validator's name.
    pub peers: BTreeMap<String, String>,
    /// Verifies the proofs of the programs that this node knows.
    pub verifier: Arc<dyn Verifier + Send + Sync>,
}

/// A validator that did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis has no valid committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// Its keys are not valid, or ours is not among them.
    #[error(transparent)]
    Keys(#[from] BlsCommitteeError),
    /// The shares of the sealing key do not fit.
    #[error(transparent)]
    Shares(#[from] KeyError),
    /// The transport key is no validator's.
    #[error(
        "[CV-NODE-002] this node's transport key is not in the genesis; point it at the key directory that the genesis was drafted from"
    )]
    Stranger,
    /// A peer address names nobody.
    #[error(
        "[CV-NODE-003] the peer address for {name} is for no validator of the genesis; correct the name"
    )]
    UnknownPeer { name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The data directory cannot be made.
    #[error("[CV-NODE-004] cannot use {}: {source}; check its owner and its rights", path.display())]
    DataDir {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The system gives no threads.
    #[error("[CV-NODE-005] cannot start a thread: {source}; raise the limit of processes")]
    Thread { source: std::io::Error },
    /// The node stopped itself.
    #[error("{reason}")]
    Stopped { reason: String },
}

/// A running validator. [`Node::run`] ends it; dropping it aborts it.
pub struct Node {
    shell: Arc<Shell>,
    transport: Transport,
    api: tokio::task::JoinHandle<Result<(), ServeError>>,
    closing: watch::Sender<bool>,
    stop_core: Sender<()>,
    core: JoinHandle<()>,
    stopped: watch::Receiver<Option<String>>,
    ended: tokio::sync::oneshot::Receiver<()>,
    released: tokio::sync::oneshot::Receiver<()>,
    handle: Arc<NodeHandle>,
    api_address: SocketAddr,
}

impl Node {
    /// Starts everything; on an error nothing is left running.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let genesis = config.genesis;
        let committee = Committee::from_genesis(&genesis)?;
        let own = committee
            .by_transport_key(&config.keys.transport.transport_key())
            .ok_or(NodeError::Stranger)?;
        let bls = config.keys.bls;
        let signatures = Arc::new(BlsCommittee::signer(&genesis.validators, bls.clone())?);
        let weights: Vec<u16> = committee
            .members()
            .iter()
            .map(|member| member.weight)
            .collect();
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let seal: Arc<dyn SealScheme> = Arc::new(Tdh2::new(
            &genesis.sealing,
            &weights,
            Some((own, config.keys.shares)),
            seed,
        )?);
        let peers = peers(&genesis, own, &config.peers)?;

        // First what may be taken by another process, so that a mistake changes nothing.
        let listener = http::bind(config.api_listen).await?;
        let api_address = listener
            .local_addr()
            .map_err(|source| ServeError::Stopped { source })?;
        let (transport, transport_events) = Transport::start(TransportConfig {
            chain: genesis.chain_id(),
            own,
            seed: config.keys.transport.to_seed(),
            listen: config.listen,
            peers,
            timing: Timing::default(),
        })?;
        std::fs::create_dir_all(&config.data_dir).map_err(|source| NodeError::DataDir {
            path: config.data_dir.clone(),
            source,
        })?;
        let identity = Identity {
            chain: genesis.chain_id(),
            validator: own,
        };
        let data_dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || begin::open(&data_dir, identity));
        let opened = opened.await.map_err(|error| NodeError::Stopped {
            reason: error.to_string(),
        })??;
        let store = opened.store.clone();
        let snapshot = store.snapshot()?;
        let recovered = recovery::recover(&snapshot, &genesis)?;

        let clock = Clock::start();
        let (events, inner) = unbounded();
        let (ingress, outer) = bounded(INGRESS_MAX);
        let (writer, mut failure) = StoreWriter::start(store.clone())?;
        let contents = Arc::new(StoredContents::new(store.clone()));
        let tools = Tools {
            seal,
            verifier: config.verifier,
            contents: contents.clone(),
            committee: Arc::new(committee.clone()),
            votes: VoteKeys {
                chain: genesis.chain_id(),
                committees: Arc::new(BlsCommittees),
            },
            coder: Coder::default(),
        };
        let thread_error = |source| NodeError::Thread { source };
        let (stop, stopped) = watch::channel(None);
        let workers = Workers::start(&tools, &events, &stop).map_err(thread_error)?;
        let committed = recovered.sequencing.committed;
        let (progress, _) = watch::channel(Progress {
            committed,
            executed: recovered.sequencing.height,
        });
        let (release, released) = tokio::sync::oneshot::channel();
        let (closing, closed) = watch::channel(false);
        let ledger = recovered.sequencing.ledger.clone();
        let provers = prover_records(&snapshot, ledger.height())?;
        let newest = recovered.newest;
        let first = EpochKeys {
            committee: committee.clone(),
            signatures: signatures.clone(),
            origin: genesis.origin(),
        };
        let beginning = Beginning::new(opened, recovered);
        let shell = Arc::new(Shell {
            own,
            store,
            writer,
            transport: transport.handle(),
            runtime: tokio::runtime::Handle::current(),
            events,
            workers,
            metrics: Metrics::default(),
            answers: Mutex::new(HashMap::new()),
            stages: Mutex::new(HashMap::new()),
            timeline: Mutex::default(),
            ledger: Mutex::new(ledger.clone()),
            provable: Mutex::new(Provable::new(ledger)),
            progress,
            provers: Mutex::new(provers),
            stop,
            outstanding: AtomicUsize::new(0),
            committed: AtomicU64::new(committed.0),
            fetching: Mutex::default(),
            committees: Committees::new(genesis.chain_id(), first, newest),
            syncing: Mutex::default(),
            joining: AtomicBool::new(beginning.joins()),
            closing: closed.clone(),
            genesis,
            _released: release,
        });
        contents.attach(&shell);
        let keys = (bls, config.keys.transport, config.keys.account);
        let (stop_core, stop_signal) = bounded(1);
        let (end, ended) = tokio::sync::oneshot::channel();
        let spawned = {
            let shell = shell.clone();
            thread::Builder::new()
                .name("conclave-core".into())
                .spawn(move || {
                    if let Some(recovered) = beginning.finish(&shell, &stop_signal) {
                        match core(&shell, keys, recovered, clock) {
                            Ok(run) => run(&shell, &inner, &outer, &stop_signal),
                            Err(reason) => {
                                shell.stop(reason);
                                // The owner ends the node; until then there is nothing to do.
                                let _ = stop_signal.recv();
                            }
                        }
                    }
                    // Nobody waits any more once the node was dropped.
                    let _ = end.send(());
                })
        };
        let core = spawned.map_err(thread_error)?;
        receive(&shell, transport_events, &ingress).map_err(thread_error)?;
        {
            let stop = shell.stop.clone();
            tokio::spawn(async move {
                if let Ok(error) = (&mut failure).await {
                    stop.send_replace(Some(error.to_string()));
                }
            });
        }
        let handle = Arc::new(NodeHandle::new(shell.clone(), ingress));
        let limits = HttpLimits::default();
        let router = http::router(handle.clone(), limits.clone(), closed.clone());
        let api = tokio::spawn(async move { http::serve(listener, router, &limits, closed).await });
        Ok(Self {
            shell,
            transport,
            api,
            closing,
            stop_core,
            core,
            stopped,
            ended,
            released,
            handle,
            api_address,
        })
    }

    /// The node as its API sees it.
    pub fn handle(&self) -> Arc<NodeHandle> {
        self.handle.clone()
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Runs until `shutdown` resolves or the node has to stop; then stops taking in, lets what is
    /// promised become durable, and ends every thread and task.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        let reason = tokio::select! {
            () = shutdown => None,
            changed = self.stopped.changed() => {
                changed.ok().and_then(|()| self.stopped.borrow().clone())
            }
            failed = self.transport.failed() => Some(failed),
            _ = &mut self.ended => Some("[CV-NODE-006] the core ended unexpectedly; see the log".into()),
            served = &mut self.api => {
                let error = served.map_err(|error| error.to_string());
                Some(match error {
                    Ok(Ok(())) => "the API ended".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error,
                })
            }
        };
        self.closing.send_replace(true);
        // The core may have ended by itself; then there is nobody to tell.
        let _ = self.stop_core.try_send(());
        let core = self.core;
        let joined = tokio::task::spawn_blocking(move || core.join()).await;
        self.transport.shutdown().await;
        // Everything that was queued is durable once this is.
        let flushed = self
            .shell
            .writer
            .persist(crate::store::WriteBatch::new())
            .await;
        if !self.api.is_finished() {
            // It ends by itself: it was told to, and bounds how long open requests may take.
            let _ = (&mut self.api).await;
        }
        drop((self.shell, self.handle));
        // Readers that an embedding program still holds keep the store's file open.
        let _ = tokio::time::timeout(RELEASE_WAIT, self.released).await;
        match (reason, joined, flushed) {
            (Some(reason), _, _) => Err(NodeError::Stopped { reason }),
            (None, Ok(Ok(())), Ok(())) => Ok(()),
            (None, Ok(Ok(())), Err(error)) => Err(error.into()),
            (None, _, _) => {
                let reason = "[CV-NODE-006] the core ended unexpectedly; see the log".into();
                Err(NodeError::Stopped { reason })
            }
        }
    }
}

/// The wall clock, taken once and moved on by the monotonic one, so that it never goes back.
#[derive(Clone, Copy)]
struct Clock {
    wall_ms: u64,
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall_ms: wall.as_millis() as u64,
            start: Instant::now(),
        }
    }

    fn now(self) -> u64 {
        self.wall_ms + self.start.elapsed().as_millis() as u64
    }

    fn until(self, at: u64) -> Instant {
        self.start + Duration::from_millis(at.saturating_sub(self.wall_ms))
    }
}

fn peers(
    genesis: &Genesis,
    own: ValidatorIndex,
    overrides: &BTreeMap<String, String>,
) -> Result<Vec<PeerConfig>, NodeError> {
    if let Some(name) = overrides
        .keys()
        .find(|name| !genesis.validators.iter().any(|v| v.name == **name))
    {
        return Err(NodeError::UnknownPeer { name: name.clone() });
    }
    let others = genesis
        .validators
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != usize::from(own.0));
    let config = others.map(|(index, validator)| PeerConfig {
        index: ValidatorIndex(index as u16),
        key: validator.transport_key,
        address: overrides
            .get(&validator.name)
            .unwrap_or(&validator.address)
            .clone(),
    });
    Ok(config.collect())
}

/// Counts up to the ledger's height; what is executed again is counted then.
fn prover_records(
    snapshot: &Snapshot,
    height: Height,
) -> Result<BTreeMap<conclave_types::AccountId, crate::backend::ProverRecord>, NodeError> {
    let mut records = BTreeMap::new();
    let last = keys::height(height);
    let mut range = KeyRange::through(&keys::height(Height(0)), &last);
    loop {
        let page = snapshot.range(Table::Events, &range, 1024)?;
        let Some((key, _)) = page.last() else {
            return Ok(records);
        };
        range = KeyRange::after(key).up_to(&last);
        for (_, value) in &page {
            let outcome: OutcomeRecord =
                codec::decode(value, RECORD_BYTES_MAX).map_err(|error| RecoveryError::Damaged {
                    what: format!("an outcome: {error}"),
                })?;
            outcome
                .events
                .iter()
                .for_each(|event| count(&mut records, event));
        }
    }
}

/// Builds the replica and returns the loop that owns it.
fn core(
    shell: &Arc<Shell>,
    (bls, transport_key, account_key): (BlsSecret, EdSecret, Option<EdSecret>),
    recovered: recovery::Recovered,
    clock: Clock,
) -> Result<
    impl FnOnce(&Arc<Shell>, &Receiver<Event>, &Receiver<Event>, &Receiver<()>) + use<>,
    String,
> {
    let genesis = &shell.genesis;
    let recovery::Recovered {
        agreement: Some(resumed),
        sequencing: recovered,
        replay,
        ..
    } = recovered
    else {
        return Err(
            "[CV-NODE-009] joining ended without a safety state; see the log and start again"
                .into(),
        );
    };
    let (chain, epoch) = (genesis.chain_id(), resumed.setup.epoch);
    let committee = Committee::of_epoch(&resumed.setup).map_err(|error| error.to_string())?;
    let make = engines(genesis, shell.own, bls);
    let setup_of: SetupOf = Box::new(|ledger: &Ledger, epoch| ledger.epoch_setup(epoch).cloned());
    let succession = Succession::new(make, setup_of, &resumed);
    let engine = succession.engine(&resumed.setup, resumed.origin, resumed.recovered)?;
    let config = sequencing::Config {
        chain,
        epoch,
        index: shell.own,
        committee,
        order_deadline_blocks: genesis.consensus.order_deadline_blocks,
        sign: Box::new(move |message| transport_key.sign(message)),
    };
    let (sequencer, initial) = Sequencer::new(config, recovered, clock.now());
    let reporter = account_key.map(|key| Reporter {
        chain,
        epoch,
        account: key.account(),
        sign: Box::new(move |message| key.sign(message)),
    });
    let mut replica = Replica::new(engine, succession, sequencer, initial, reporter);
    Ok(
        move |shell: &Arc<Shell>,
              inner: &Receiver<Event>,
              outer: &Receiver<Event>,
              stop: &Receiver<()>| {
            let mut wake = None;
            let mut step = |replica: &mut Replica, event: Event| {
                for effect in replica.handle(clock.now(), event) {
                    match effect {
                        Effect::WakeAt(at) => wake = Some(clock.until(at)),
                        effect => shell.perform(effect),
                    }
                }
                let leader = replica.leader().map_or(u64::MAX, |leader| leader.0.into());
                shell.metrics.leader.store(leader, Ordering::Relaxed);
                shell
                    .metrics
                    .view
                    .store(replica.engine().view().0, Ordering::Relaxed);
                shell
                    .metrics
                    .mempool
                    .store(replica.sequencer().mempool_len() as u64, Ordering::Relaxed);
                wake
            };
            // What was final before the stop is executed again before anything new.
            for (block, certificate) in replay {
                lock(&shell.provable).committed(&block.header);
                let input = sequencing::Input::Committed {
                    blocks: vec![block],
                    certificate,
                };
                step(&mut replica, Event::Sequencing(input));
            }
            let mut next = step(&mut replica, Event::Start);
            loop {
                let deadline = next.unwrap_or_else(|| Instant::now() + Duration::from_millis(100));
                let event = crossbeam_channel::select_biased! {
                    recv(stop) -> _ => return,
                    // Before the queues, so that no flood of messages stops the clock.
                    recv(crossbeam_channel::at(deadline)) -> _ => Some(Event::Tick),
                    recv(inner) -> event => event.ok(),
                    recv(outer) -> event => event.ok(),
                };
                let Some(event) = event else { return };
                next = step(&mut replica, event);
            }
        },
    )
}

/// Makes each epoch's engine, which signs if this node's slot has a vote.
fn engines(genesis: &Genesis, index: ValidatorIndex, secret: BlsSecret) -> EngineFactory {
    let (chain, parameters) = (genesis.chain_id(), genesis.consensus.clone());
    Box::new(move |setup, origin, recovered| {
        let committee = Committee::of_epoch(setup).map_err(|error| error.to_string())?;
        let validators = &setup.validators;
        let own = validators.get(usize::from(index.0));
        let votes = own.filter(|own| own.weight > 0);
        if votes.is_some_and(|own| own.bls_key != secret.public()) {
            return Err(format!(
                "[CV-NODE-014] the committee of epoch {} knows this validator by another BLS key; give \
                 the node the key that it registered",
                setup.epoch
            ));
        }
        let signatures = match votes {
            Some(_) => BlsCommittee::signer(validators, secret.clone()),
            None => BlsCommittee::verifier(validators),
        };
        let signatures = signatures.map_err(|error| error.to_string())?;
        let config = EngineConfig {
            chain,
            committee,
            index,
            parameters: parameters.clone(),
            origin,
        };
        Ok(Engine::new(config, Arc::new(signatures), Some(recovered)))
    })
}

/// Threads that decode what peers send and hand it to the core, one per class.
fn receive(
    shell: &Arc<Shell>,
    events: TransportEvents,
    ingress: &Sender<Event>,
) -> std::io::Result<()> {
    let TransportEvents {
        consensus,
        shares,
        dispersal,
        requests,
        peers,
    } = events;
    for (name, receiver) in [
        ("conclave-votes", consensus),
        ("conclave-shares", shares),
        ("conclave-batches", dispersal),
    ] {
        let (shell, ingress) = (shell.clone(), ingress.clone());
        thread::Builder::new()
            .name(name.into())
            .spawn(move || receive_class(&shell, receiver, &ingress))?;
    }
    tokio::spawn(answer_requests(shell.clone(), requests));
    tokio::spawn(watch_peers(peers));
    Ok(())
}

fn receive_class(
    shell: &Arc<Shell>,
    mut receiver: mpsc::Receiver<transport::Message>,
    ingress: &Sender<Event>,
) {
    while let Some(transport::Message { from, bytes }) = receiver.blocking_recv() {
        match codec::decode::<PeerMessage>(
            &bytes,
            bounds::SHARES_FRAME_BYTES_MAX.max(bounds::DISPERSAL_FRAME_BYTES_MAX),
        ) {
            Ok(message) => {
                let bulk = matches!(
                    message,
                    PeerMessage::Sequencing(sequencing::Message::Dispersal(_))
                );
                // What is taken in must be written; a disk that cannot follow slows the peers.
                if bulk {
                    shell.writer.wait_for_room(STORE_PENDING_BYTES);
                }
                if ingress.send(Event::Peer { from, message }).is_err() {
                    return;
                }
            }
            Err(error) => {
                shell.metrics.garbage();
                shell.transport.punish(from, &error.to_string());
            }
        }
    }
}

async fn answer_requests(shell: Arc<Shell>, mut requests: mpsc::Receiver<IncomingRequest>) {
    let permits = Arc::new(tokio::sync::Semaphore::new(REQUESTS_AT_ONCE));
    while let Some(request) = requests.recv().await {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let shell = shell.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let question: Request = match codec::decode(&request.bytes, bounds::REQUEST_BYTES_MAX) {
                Ok(question) => question,
                Err(error) => {
                    shell.metrics.garbage();
                    shell.transport.punish(request.from, &error.to_string());
                    return;
                }
            };
            let answer = shell
                .store
                .snapshot()
                .and_then(|snapshot| serve::answer(&snapshot, &question));
            match answer {
                Ok(answer) => request
                    .responder
                    .respond(Bytes::from(codec::encode(&answer))),
                Err(error) => shell.stop(error.to_string()),
            }
        });
    }
}

async fn watch_peers(mut peers: mpsc::Receiver<PeerEvent>) {
    while let Some(event) = peers.recv().await {
        match event {
            PeerEvent::Connected(peer) => tracing::info!(peer = peer.0, "connected"),
            PeerEvent::Disconnected(peer, reason) => {
                tracing::info!(peer = peer.0, ?reason, "disconnected");
            }
            PeerEvent::Refused { peer, reason } => tracing::warn!(?peer, %reason, "refused"),
        }
    }
}
