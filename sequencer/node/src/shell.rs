//! Carries out what the replica asks for: writes, messages, work, fetches, answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conclave_consensus as agreement;

use conclave_ledger::{Ledger, LedgerEvent};
use conclave_sequencer::{self as sequencing, Fetch, OpeningRecord, Refusal, Work};
use conclave_types::{
    AccountId, BlockId, EnvelopeId, Genesis, Height, Manifest, Receipt, ShareLane, ValidatorIndex,
    codec,
};
use tokio::sync::{oneshot, watch};

use crate::archive::Archive;
use crate::backend::{Progress, ProverRecord};
use crate::committees::Committees;
use crate::download::Syncing;
use crate::metrics::Metrics;
use crate::provable::Provable;
use crate::records;
use crate::replica::{Effect, Event, PeerMessage, Record};
use crate::secrets::Secrets;
use crate::serve::{Request, Response};
use crate::store::{Store, StoreWriter, Table, WriteBatch, keys};
use crate::timeline::{self, Timeline};
use crate::transport::{Class, TransportHandle, bounds};

/// How long one peer may take to answer a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// An own submission on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Batched,
    Ordered(Height),
}

/// Everything that carrying out effects needs; shared by the core's thread, the writer's callbacks
/// and the fetching tasks.
pub(crate) struct Shell {
    pub(crate) genesis: Genesis,
    pub(crate) own: ValidatorIndex,
    pub(crate) store: Store,
    pub(crate) writer: StoreWriter,
    /// What was pruned from the store.
    pub(crate) archive: Arc<Archive>,
    pub(crate) transport: TransportHandle,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) events: crossbeam_channel::Sender<Event>,
    pub(crate) workers: crate::workers::Workers,
    pub(crate) metrics: Metrics,
    pub(crate) answers: Mutex<HashMap<u64, oneshot::Sender<Result<Receipt, Refusal>>>>,
    pub(crate) stages: Mutex<HashMap<EnvelopeId, Stage>>,
    pub(crate) timeline: Mutex<Timeline>,
    pub(crate) ledger: Mutex<Arc<Ledger>>,
    pub(crate) provable: Mutex<Provable>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) provers: Mutex<BTreeMap<AccountId, ProverRecord>>,
    pub(crate) stop: watch::Sender<Option<String>>,
    /// Batches of writes that are not durable yet.
    pub(crate) outstanding: AtomicUsize,
    /// The last final height, for asking what comes after it.
    pub(crate) committed: AtomicU64,
    pub(crate) fetching: Mutex<BTreeSet<Vec<u8>>>,
    pub(crate) secrets: Mutex<Secrets>,
    pub(crate) committees: Committees,
    /// How far joining or catching up is, while it is going on.
    pub(crate) syncing: Mutex<Option<Syncing>>,
    /// Set until a node without a safety state knows what to begin from.
    pub(crate) joining: AtomicBool,
    /// Set when the node stops to go on from a snapshot.
    pub(crate) behind: AtomicBool,
    /// Whether the node is being stopped.
    pub(crate) closing: watch::Receiver<bool>,
    /// Dropped last, so that its receiver knows when the store's file is released.
    pub(crate) _released: oneshot::Sender<()>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shell {
    /// Carries out one effect. [`Effect::WakeAt`] is the caller's.
    pub(crate) fn perform(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Durable { records, then } => self.persist(&records, then),
            Effect::Send { to, message } if to == self.own => {
                self.give(Event::Peer { from: to, message });
            }
            Effect::Send { to, message } => {
                let bytes = Bytes::from(codec::encode(&message));
                if let Err(error) = self.transport.send(to, class_of(&message), bytes) {
                    tracing::debug!(to = to.0, %error, "message not sent; it will be repeated");
                }
            }
            Effect::Broadcast(message) => self.broadcast(&message),
            Effect::Answer { ticket, answer } => self.answer(ticket, answer),
            Effect::Work(work) => self.work(work),
            Effect::Fetch(fetch) => self.fetch(&fetch),
            Effect::FetchBlock { block, from } => self.fetch_block(block, from),
            Effect::Sync { height, .. } => self.sync(height),
            Effect::Committed { blocks, .. } => {
                let mut provable = lock(&self.provable);
                blocks
                    .iter()
                    .for_each(|block| provable.committed(&block.header));
                drop(provable);
                if let Some(last) = blocks.last() {
                    let height = last.header.height;
                    self.committed.store(height.0, Ordering::Relaxed);
                    self.metrics.committed(last, blocks.len());
                    self.progress
                        .send_modify(|progress| progress.committed = height);
                }
            }
            Effect::Batched(manifest) => self.batched(&manifest),
            Effect::Executed(published) => self.executed(*published),
            Effect::Retired(epoch) => {
                if let Err(error) = lock(&self.secrets).retire(epoch) {
                    self.stop(error.to_string());
                }
            }
            Effect::Finalised { height, envelopes } => self.finalised(height, &envelopes),
            Effect::Misbehaviour {
                validator, what, ..
            } => {
                tracing::warn!(validator = validator.0, what, "a peer broke the protocol");
                self.metrics.misbehaviour();
                self.transport.punish(validator, &what);
            }
            Effect::EpochBegan(change) => {
                let (epoch, height) = (change.setup.epoch.0, change.last.height.0);
                tracing::info!(epoch, height, "the next epoch has begun");
                if let Err(error) = self.committees.began(&change) {
                    self.stop(error.to_string());
                }
            }
            Effect::Stop { reason } => self.stop(reason),
            Effect::WakeAt(_) => {}
        }
    }

    /// Ends the node, loudly.
    pub(crate) fn stop(&self, reason: String) {
        tracing::error!(reason, "the node stops");
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(reason);
            }
            first
        });
    }

    pub(crate) fn give(&self, event: Event) {
        // The core ends only with the node.
        let _ = self.events.send(event);
    }

    fn persist(self: &Arc<Self>, records: &[Record], then: Vec<Effect>) {
        if records.is_empty() && self.outstanding.load(Ordering::Acquire) == 0 {
            then.into_iter().for_each(|effect| self.perform(effect));
            return;
        }
        let mut batch = WriteBatch::new();
        let mut ended = Vec::new();
        for record in records {
            records::put(&mut batch, record);
            if let Record::Sequencing(write) = record
                && let sequencing::Write::Fate(id, _) = write.as_ref()
            {
                ended.push(*id);
            }
        }
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        let shell = Arc::clone(self);
        let queued = self.writer.enqueue(batch, move |result| {
            match result {
                Ok(()) => {
                    if !ended.is_empty() {
                        let mut stages = lock(&shell.stages);
                        for id in &ended {
                            stages.remove(id);
                        }
                        drop(stages);
                        let now = timeline::now_us();
                        let mut times = lock(&shell.timeline);
                        ended.iter().for_each(|id| times.opened(id, now));
                    }
                    then.into_iter().for_each(|effect| shell.perform(effect));
                }
                // What was not written stays outstanding: nothing may overtake it to the network.
                Err(error) => return shell.stop(error.to_string()),
            }
            shell.outstanding.fetch_sub(1, Ordering::AcqRel);
        });
        if let Err(error) = queued {
            self.stop(error.to_string());
        }
    }

    fn batched(&self, manifest: &Manifest) {
        let mut stages = lock(&self.stages);
        let now = timeline::now_us();
        let mut times = lock(&self.timeline);
        for envelope in &manifest.envelopes {
            let id = envelope.id();
            stages.insert(id, Stage::Batched);
            times.of(id).batched_us = Some(now);
        }
    }

    fn broadcast(&self, message: &PeerMessage) {
        let bytes = Bytes::from(codec::encode(message));
        if let Err(error) = self.transport.broadcast(class_of(message), bytes) {
            tracing::debug!(%error, "message not sent; it will be repeated");
        }
    }

    fn answer(&self, ticket: u64, answer: Result<Receipt, Refusal>) {
        match &answer {
            Ok(receipt) => {
                self.metrics.admitted();
                lock(&self.stages)
                    .entry(receipt.envelope)
                    .or_insert(Stage::Pending);
                lock(&self.timeline).of(receipt.envelope).acknowledged_us =
                    Some(timeline::now_us());
            }
            Err(_) => self.metrics.refused(),
        }
        if let Some(waiting) = lock(&self.answers).remove(&ticket) {
            // A client that has left does not need its receipt.
            let _ = waiting.send(answer);
        }
    }

    fn work(&self, work: Work) {
        self.workers.submit(work);
    }

    fn finalised(&self, height: Height, envelopes: &[(EnvelopeId, u64)]) {
        let now = timeline::now_us();
        let mut stages = lock(&self.stages);
        let mut times = lock(&self.timeline);
        for (id, latency_ms) in envelopes {
            stages.insert(*id, Stage::Ordered(height));
            times.of(*id).ordered_us = Some(now);
            self.metrics.finality(*latency_ms);
        }
    }

    fn executed(&self, published: sequencing::Published) {
        self.metrics.executed(&published);
        let mut provers = lock(&self.provers);
        published
            .executed
            .events
            .iter()
            .for_each(|event| count(&mut provers, event));
        drop(provers);
        lock(&self.provable).executed(published.ledger.clone());
        *lock(&self.ledger) = published.ledger;
        self.progress
            .send_modify(|progress| progress.executed = published.height);
    }

    // ---- fetching ---------------------------------------------------------------------------

    /// Runs a fetch unless the same one runs already. What it found is given to the core after its
    /// end, since the core may ask for the same again at once.
    fn once<F>(self: &Arc<Self>, key: Vec<u8>, task: F)
    where
        F: Future<Output = Option<Event>> + Send + 'static,
    {
        if !lock(&self.fetching).insert(key.clone()) {
            return;
        }
        let shell = Arc::clone(self);
        self.runtime.spawn(async move {
            let found = task.await;
            lock(&shell.fetching).remove(&key);
            if let Some(event) = found {
                shell.give(event);
            }
        });
    }

    fn fetch(self: &Arc<Self>, fetch: &Fetch) {
        let shell = Arc::clone(self);
        match *fetch {
            Fetch::Manifest { id, holders } => {
                let mut key = b"manifest".to_vec();
                key.extend(id.as_bytes());
                self.once(key, async move { shell.fetch_manifest(id, holders).await });
            }
            Fetch::Body {
                id,
                epoch,
                holders,
                needed,
            } => {
                let mut key = b"body".to_vec();
                key.extend(id.as_bytes());
                let fetch = async move { shell.fetch_body((id, epoch), holders, needed).await };
                self.once(key, fetch);
            }
            Fetch::Openings { height, lane } => shell.reopen(height, lane),
            Fetch::Shares { height, lane } => {
                let mut key = b"shares".to_vec();
                key.extend(keys::height_lane(height, lane));
                self.once(key, async move {
                    shell.fetch_shares(height, lane).await;
                    None
                });
            }
        }
    }

    fn reopen(&self, height: Height, lane: ShareLane) {
        let record = self.store.snapshot().and_then(|snapshot| {
            snapshot.get_value::<OpeningRecord>(Table::Openings, keys::height_lane(height, lane))
        });
        match record {
            Ok(Some(record)) => {
                let input = sequencing::Input::Reopened {
                    height,
                    lane,
                    record: Box::new(record),
                };
                self.give(Event::Sequencing(input));
            }
            Ok(None) => {
                let input = sequencing::Input::NotReopened { height, lane };
                self.give(Event::Sequencing(input));
            }
            Err(error) => self.stop(error.to_string()),
        }
    }

    async fn fetch_shares(&self, height: Height, lane: ShareLane) {
        let asks = self.connected_peers().into_iter().map(|peer| async move {
            let answer = self.ask(peer, Request::Shares { height, lane }).await;
            let Some(Response::Shares(bundles)) = answer else {
                return;
            };
            for bundle in bundles {
                let message = PeerMessage::Sequencing(sequencing::Message::Shares(bundle));
                self.give(Event::Peer {
                    from: peer,
                    message,
                });
            }
        });
        futures::future::join_all(asks).await;
    }

    fn fetch_block(self: &Arc<Self>, block: BlockId, from: ValidatorIndex) {
        let shell = Arc::clone(self);
        let mut key = block.as_bytes().to_vec();
        key.extend(from.0.to_be_bytes());
        self.once(key, async move {
            match shell.ask(from, Request::Block(block)).await {
                Some(Response::Block(Some(block))) => {
                    let input = agreement::Input::Block { from, block };
                    Some(Event::Agreement(Box::new(input)))
                }
                _ => None,
            }
        });
    }

    /// Asks for blocks after ours; agreement asks again while it needs more.
    fn sync(self: &Arc<Self>, height: Height) {
        let shell = Arc::clone(self);
        self.once(b"sync".to_vec(), async move {
            shell.catch_up(height).await;
            None
        });
    }

    pub(crate) async fn ask(&self, peer: ValidatorIndex, request: Request) -> Option<Response> {
        self.ask_within(peer, request, REQUEST_TIMEOUT).await
    }

    /// Asks a peer; `None` when no answer comes in time, or one that is none.
    pub(crate) async fn ask_within(
        &self,
        peer: ValidatorIndex,
        request: Request,
        within: Duration,
    ) -> Option<Response> {
        let bytes = Bytes::from(codec::encode(&request));
        let answer = self.transport.request(peer, bytes, within).await.ok()?;
        match codec::decode(&answer, bounds::RESPONSE_BYTES_MAX) {
            Ok(response) => Some(response),
            Err(error) => {
                self.transport.punish(peer, &error.to_string());
                None
            }
        }
    }
}

/// Counts what the ledger keeps no history of.
pub(crate) fn count(provers: &mut BTreeMap<AccountId, ProverRecord>, event: &LedgerEvent) {
    match event {
        LedgerEvent::Paid { payment, .. } => {
            provers.entry(payment.prover).or_default().settled += 1;
        }
        LedgerEvent::DeadlineMissed { prover, .. } => {
            provers.entry(*prover).or_default().missed += 1;
        }
        _ => {}
    }
}

/// Votes never wait behind bulk.
fn class_of(message: &PeerMessage) -> Class {
    match message {
        PeerMessage::Agreement(_)
        | PeerMessage::Sequencing(
            sequencing::Message::Stored(_)
            | sequencing::Message::Certified(_)
            | sequencing::Message::Waiting(_),
        ) => Class::Consensus,
        PeerMessage::Sequencing(
            sequencing::Message::Shares(_) | sequencing::Message::Openings(_),
        ) => Class::Shares,
        PeerMessage::Sequencing(sequencing::Message::Dispersal(_)) => Class::Dispersal,
    }
}
