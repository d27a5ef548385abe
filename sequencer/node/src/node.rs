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
use conclave_crypto::{BlsCommittee, BlsSecret, Coder, Committee, CommitteeError, EdSecret};
use conclave_ledger::{BlsCommittees, Ledger, VoteKeys};
use conclave_light::EpochKeys;
use conclave_market::Verifier;
use conclave_sequencer::{self as sequencing, OutcomeRecord, Sequencer, Tools};
use conclave_types::{Genesis, Height, codec};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use tokio::sync::{mpsc, watch};

use crate::archive::{Archive, ArchiveError, ArchivePlace, History};
use crate::backend::Progress;
use crate::begin::{self, Beginning};
use crate::committees::Committees;
#[cfg(feature = "conduct")]
use crate::conduct::Bend;
use crate::conduct::Conduct;
use crate::contents::StoredContents;
use crate::epochs::{self, EngineFactory, SetupOf, Succession};
use crate::handle::NodeHandle;
use crate::http::{self, HttpLimits, ServeError};
use crate::membership::{self, Membership};
use crate::metrics::Metrics;
use crate::operator::Operator;
use crate::provable::Provable;
use crate::records::RECORD_BYTES_MAX;
use crate::recovery::{self, RecoveryError};
use crate::replica::{Effect, Event, PeerMessage, Replica};
use crate::retention;
use crate::secrets::{GenesisShares, Secrets, SecretsError};
use crate::serve::{self, Request};
use crate::shell::{Shell, count, lock};
use crate::store::{Identity, KeyRange, Snapshot, StoreError, StoreWriter, Table, keys};
use crate::transport::{
    self, IncomingRequest, PeerEvent, Timing, Transport, TransportConfig, TransportError,
    TransportEvents, bounds,
};
use crate::vault::Vault;
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
    /// For votes; while one takes the place of another, both.
    pub bls: Vec<BlsSecret>,
    pub transport: EdSecret,
    /// Of the genesis key, as long as that is not retired.
    pub shares: Option<GenesisShares>,
    /// Where the secrets of later epochs live. They are destroyed in time, so this must not be
    /// backed up.
    pub directory: PathBuf,
    /// Pays for reporting misbehaviour of other validators, which is only logged without it, and for
    /// taking part in key generations, which is not possible without it.
    pub account: Option<EdSecret>,
}

/// What a validator runs with.
pub struct NodeConfig {
    pub genesis: Genesis,
    pub keys: NodeKeys,
    pub data_dir: PathBuf,
    /// Executed heights that stay in the data directory; `None` keeps all. What the protocol needs
    /// stays whatever this is; [`limits::RETENTION_BLOCKS_MIN`](conclave_types::limits) and more
    /// leave room for peers that were away.
    pub retention_blocks: Option<u64>,
    /// Where older ones go and are read from; a folder in the data directory when `None`.
    pub archive: Option<ArchivePlace>,
    /// Where peers reach it (UDP).
    pub listen: SocketAddr,
    /// Where clients reach it.
    pub api_listen: SocketAddr,
    /// Other addresses of peers than those in the genesis, by the validator's name.
    pub peers: BTreeMap<String, String>,
    /// Of a validator that joined after the genesis.
    pub membership: Option<Membership>,
    /// Verifies the proofs of the programs that this node knows.
    pub verifier: Arc<dyn Verifier + Send + Sync>,
}

/// A validator that did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis has no valid committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The secrets of an epoch cannot be used.
    #[error(transparent)]
    EpochKeys(#[from] SecretsError),
    /// The transport key is no validator's.
    #[error(
        "[CV-NODE-002] this node's transport key is not in the genesis; point it at the key directory that the genesis was drafted from, or, if the validator was registered later, tell the node an API to join by"
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
    Archive(#[from] ArchiveError),
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
    /// The others have pruned the blocks that this node needs next. It has stopped in order, and the next
    /// start with the same configuration goes on from a snapshot of theirs.
    #[error(
        "[CV-NODE-046] the others no longer have the blocks after {committed}; start the node again, and it goes on from a snapshot"
    )]
    Behind { committed: Height },
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
        Self::start_as(config, Conduct::default()).await
    }

    /// Starts a validator that lies: `bend` is between its replica and the outside, and it may
    /// leave requests of peers unanswered.
    #[cfg(feature = "conduct")]
    pub async fn start_bent(
        config: NodeConfig,
        bend: Bend,
        serves: bool,
    ) -> Result<Self, NodeError> {
        let (bend, mute) = (Some(bend), !serves);
        Self::start_as(config, Conduct { bend, mute }).await
    }

    async fn start_as(config: NodeConfig, conduct: Conduct) -> Result<Self, NodeError> {
        let genesis = config.genesis;
        let committee = Committee::from_genesis(&genesis)?;
        let key = config.keys.transport.transport_key();
        let (own, peers) = membership::first(&genesis, key, config.membership, &config.peers)?;
        let vault = Vault::open(&config.keys.directory).map_err(SecretsError::from)?;
        let mut secrets = Secrets::new(own, vault, config.keys.bls, config.keys.shares);
        // Only to verify with: this validator may have had another key in the first epoch, and misses it
        // no more.
        let signatures = BlsCommittee::verifier(&genesis.first_epoch().validators)
            .map_err(SecretsError::from)?;

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
            peers: peers.clone(),
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
        let place = config
            .archive
            .unwrap_or_else(|| ArchivePlace::Folder(config.data_dir.join("archive")));
        let runtime = tokio::runtime::Handle::current();
        let archive = Arc::new(Archive::open(&place, identity, runtime.clone())?);
        let (data_dir, transcript) = (config.data_dir.clone(), genesis.sealing.transcript);
        let opened =
            tokio::task::spawn_blocking(move || begin::open(&data_dir, identity, &transcript));
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
        let contents = Arc::new(StoredContents::new(store.clone(), archive.clone()));
        let ledger = recovered.sequencing.ledger.clone();
        secrets.recover(&ledger, &recovered.changes)?;
        let share_key = EdSecret::from_seed(&config.keys.transport.to_seed());
        let tools = Tools {
            seal: secrets.keyring(),
            verifier: config.verifier,
            contents: contents.clone(),
            votes: VoteKeys {
                chain: genesis.chain_id(),
                committees: Arc::new(BlsCommittees),
            },
            coder: Coder::default(),
            sign: Arc::new(move |message| share_key.sign(message)),
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
        let provers = prover_records(&snapshot, ledger.height())?;
        let newest = recovered.newest;
        let first = EpochKeys {
            committee,
            signatures: Arc::new(signatures),
            origin: genesis.origin(),
        };
        let beginning = Beginning::new(opened, recovered)?;
        let shell = Arc::new(Shell {
            own,
            store,
            writer,
            archive,
            transport: transport.handle(),
            runtime,
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
            secrets: Mutex::new(secrets),
            committees: Committees::new(genesis.chain_id(), first, newest),
            syncing: Mutex::default(),
            joining: AtomicBool::new(beginning.joins()),
            behind: AtomicBool::new(false),
            closing: closed.clone(),
            genesis,
            _released: release,
        });
        contents.attach(&shell);
        tokio::spawn(follow_key_generations(shell.clone()));
        let registry = membership::follow_registry(shell.clone(), peers, config.peers);
        tokio::spawn(registry);
        let keys = (config.keys.transport, config.keys.account);
        let (stop_core, stop_signal) = bounded(1);
        let (end, ended) = tokio::sync::oneshot::channel();
        let serves = conduct.serves();
        let inbox = Inbox {
            inner,
            outer,
            stop: stop_signal,
        };
        let spawned = {
            let shell = shell.clone();
            thread::Builder::new()
                .name("conclave-core".into())
                .spawn(move || {
                    if let Some(recovered) = beginning.finish(&shell, &inbox.stop) {
                        match core(&shell, keys, recovered, (clock, conduct)) {
                            Ok(run) => run(&shell, &inbox),
                            Err(reason) => {
                                shell.stop(reason);
                                // The owner ends the node; until then there is nothing to do.
                                let _ = inbox.stop.recv();
                            }
                        }
                    }
                    // Nobody waits any more once the node was dropped.
                    let _ = end.send(());
                })
        };
        let core = spawned.map_err(thread_error)?;
        receive(&shell, transport_events, &ingress, serves).map_err(thread_error)?;
        {
            let stop = shell.stop.clone();
            tokio::spawn(async move {
                if let Ok(error) = (&mut failure).await {
                    stop.send_replace(Some(error.to_string()));
                }
            });
        }
        if let Some(blocks) = config.retention_blocks {
            tokio::spawn(retention::run(shell.clone(), blocks));
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
        let behind = self.shell.behind.load(Ordering::Acquire);
        let committed = Height(self.shell.committed.load(Ordering::Relaxed));
        drop((self.shell, self.handle));
        // Readers that an embedding program still holds keep the store's file open.
        let _ = tokio::time::timeout(RELEASE_WAIT, self.released).await;
        match (reason, joined, flushed) {
            (Some(_), Ok(Ok(())), Ok(())) if behind => Err(NodeError::Behind { committed }),
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

/// Counts up to the ledger's height; what is executed again is counted then.
fn prover_records(
    snapshot: &Snapshot,
    height: Height,
) -> Result<BTreeMap<conclave_types::AccountId, crate::backend::ProverRecord>, NodeError> {
    let mut records = retention::counted(snapshot)?;
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

/// What the loop that owns the replica waits for.
struct Inbox {
    /// From this node's own workers.
    inner: Receiver<Event>,
    /// From peers and clients.
    outer: Receiver<Event>,
    stop: Receiver<()>,
}

/// Builds the replica and returns the loop that owns it.
fn core(
    shell: &Arc<Shell>,
    (transport_key, account_key): (EdSecret, Option<EdSecret>),
    recovered: recovery::Recovered,
    (clock, mut conduct): (Clock, Conduct),
) -> Result<impl FnOnce(&Arc<Shell>, &Inbox) + use<>, String> {
    let genesis = &shell.genesis;
    // What was read at the start may have been nothing: whoever joined by a snapshot is in another epoch
    // since, whose keys must be on the ring before the first batch or opening is judged.
    lock(&shell.secrets)
        .recover(&recovered.sequencing.ledger, &recovered.changes)
        .map_err(|error| error.to_string())?;
    let recovery::Recovered {
        agreement: Some(resumed),
        sequencing: recovered,
        replay,
        changes,
        ..
    } = recovered
    else {
        return Err(
            "[CV-NODE-047] joining ended without a safety state; see the log and start again"
                .into(),
        );
    };
    let chain = genesis.chain_id();
    let succession = Succession::new(engines(shell), setups(shell), &resumed);
    let engine = succession.engine(&resumed.setup, resumed.origin, resumed.recovered)?;
    let (committees, epoch_first) = epochs::serving(genesis, &changes, recovered.height)?;
    let config = sequencing::Config {
        chain,
        index: shell.own,
        committees,
        epoch_first,
        grace_blocks: genesis.consensus.grace_blocks,
        order_deadline_blocks: genesis.consensus.order_deadline_blocks,
        view_timeout_ms: genesis.consensus.view_timeout_ms,
        view_timeout_ms_max: genesis.consensus.view_timeout_ms_max,
        sign: Box::new(move |message| transport_key.sign(message)),
    };
    let (sequencer, initial) = Sequencer::new(config, recovered, clock.now());
    let operator = account_key.map(|key| Operator {
        chain,
        account: key.account(),
        sign: Box::new(move |message| key.sign(message)),
    });
    shell.metrics.prices(sequencer.ledger());
    let mut replica = Replica::new(engine, succession, sequencer, initial, operator);
    Ok(
        move |shell: &Arc<Shell>, Inbox { inner, outer, stop }: &Inbox| {
            let mut wake = None;
            let mut step = |replica: &mut Replica, event: Event| {
                for effect in conduct.handle(replica, clock.now(), event) {
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
                shell
                    .metrics
                    .censoring
                    .store(replica.sequencer().censoring_proposals(), Ordering::Relaxed);
                wake
            };
            // What was final before the stop is executed again before anything new.
            for (block, _) in &replay {
                lock(&shell.provable).committed(&block.header);
            }
            for input in epochs::replayed(replay, &changes) {
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

/// Makes each epoch's engine, which signs if this node's slot has a vote and it has the key.
fn engines(shell: &Arc<Shell>) -> EngineFactory {
    let (chain, parameters) = (shell.genesis.chain_id(), shell.genesis.consensus.clone());
    let shell = shell.clone();
    Box::new(move |setup, origin, recovered| {
        let committee = Committee::of_epoch(setup).map_err(|error| error.to_string())?;
        let signatures = lock(&shell.secrets).signatures(setup);
        let config = EngineConfig {
            chain,
            committee,
            index: shell.own,
            parameters: parameters.clone(),
            origin,
        };
        let signatures = Arc::new(signatures.map_err(|error| error.to_string())?);
        Ok(Engine::new(config, signatures, Some(recovered)))
    })
}

/// Finds an epoch's setup in a ledger, and puts its sealing key on the ring before anything may be
/// sealed to it.
fn setups(shell: &Arc<Shell>) -> SetupOf {
    let shell = shell.clone();
    Box::new(move |ledger: &Ledger, epoch| {
        let setup = ledger.epoch_setup(epoch)?;
        if let Err(error) = lock(&shell.secrets).take_up(setup, ledger) {
            shell.stop(error.to_string());
            return None;
        }
        Some(setup.clone())
    })
}

/// Threads that decode what peers send and hand it to the core, one per class.
fn receive(
    shell: &Arc<Shell>,
    events: TransportEvents,
    ingress: &Sender<Event>,
    serves: bool,
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
    tokio::spawn(answer_requests(shell.clone(), requests, serves));
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
                let event = Event::Peer { from, message };
                // Nobody reads while the node joins. Were the peers made to wait, their batches would
                // stand in the way of the answers that joining needs; what counts is sent again.
                let taken = match shell.joining.load(Ordering::Acquire) {
                    true => !matches!(ingress.try_send(event), Err(TrySendError::Disconnected(_))),
                    false => ingress.send(event).is_ok(),
                };
                if !taken {
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

async fn answer_requests(
    shell: Arc<Shell>,
    mut requests: mpsc::Receiver<IncomingRequest>,
    serves: bool,
) {
    let permits = Arc::new(tokio::sync::Semaphore::new(REQUESTS_AT_ONCE));
    while let Some(request) = requests.recv().await {
        if !serves {
            continue;
        }
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
            let answer = shell.store.snapshot().and_then(|snapshot| {
                serve::answer(&History::new(&snapshot, &shell.archive), &question)
            });
            match answer {
                Ok(answer) => request
                    .responder
                    .respond(Bytes::from(codec::encode(&answer))),
                Err(error) => shell.stop(error.to_string()),
            }
        });
    }
}

/// Takes this validator's part in key generations as the ledger moves on. Ends with the node.
async fn follow_key_generations(shell: Arc<Shell>) {
    let mut progress = shell.progress.subscribe();
    let mut closing = shell.closing.clone();
    loop {
        let follower = shell.clone();
        let followed = tokio::task::spawn_blocking(move || {
            let ledger = lock(&follower.ledger).clone();
            let committed = Height(follower.committed.load(Ordering::Relaxed));
            let Some(turn) = lock(&follower.secrets).turn(&ledger, committed)? else {
                return Ok(None);
            };
            // The core waits for the secrets when a key is ready, so they are not held meanwhile.
            let post = turn.speak(&ledger);
            if post.is_some() {
                lock(&follower.secrets).spoke(&turn);
            }
            Ok::<_, SecretsError>(post)
        });
        match followed.await {
            Ok(Ok(Some(op))) => shell.give(Event::Operate(Box::new(op))),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return shell.stop(error.to_string()),
            Err(error) => return shell.stop(error.to_string()),
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return },
            _ = closing.wait_for(|closing| *closing) => return,
        }
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
