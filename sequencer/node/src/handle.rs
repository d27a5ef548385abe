//! The node as its HTTP API, and an embedding program, see it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_crypto::InconsistentBatch;
use conclave_ledger::Ledger;
use conclave_sdk::api::{
    DeliveredEnvelope, DeliveryView, EnvelopeStage, EnvelopeView, EventView, ProofView, StatusView,
    SyncingView,
};
use conclave_sequencer::{
    DeliveryRecord, FateRecord, OpeningRecord, OutcomeRecord, ProofRecord, Refusal,
};
use conclave_types::{
    AccountId, Batch, BatchId, BlockHeader, Envelope, EnvelopeHeader, EnvelopeId, Epoch,
    EpochChange, Genesis, Height, LaneKind, ProofSystem, Receipt, RollupId, Signers, StreamOutcome,
    TxIndex, codec,
};
use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::{oneshot, watch};

use crate::archive::{ArchiveError, History, HistoryError};
use crate::backend::{Backend, CertifiedBlock, NamedLedger, Progress, ProverRecord, StoredLink};
use crate::describe;
use crate::records::{self, BlockRecord, RECORD_BYTES_MAX};
use crate::replica::Event;
use crate::shell::{Shell, Stage, lock};
use crate::store::{KeyRange, Row, Snapshot, StoreError, Table, keys};

/// Headers followed at most to find the certificate that covers a block: a chain of uncertified
/// blocks is as long as the views in a row that lost their commit votes.
const TAIL_MAX: u64 = 1024;
/// Outcomes read at a time when looking for events.
const EVENTS_PAGE: usize = 256;
/// How many blocks a node may be behind what it knows to be final and still call itself ready.
const READY_LAG_MAX: u64 = 32;

/// A handle to a running node; cheap to share.
pub struct NodeHandle {
    shell: Arc<Shell>,
    ingress: Sender<Event>,
    tickets: AtomicU64,
}

impl NodeHandle {
    pub(crate) fn new(shell: Arc<Shell>, ingress: Sender<Event>) -> Self {
        Self {
            shell,
            ingress,
            tickets: AtomicU64::new(0),
        }
    }

    /// The node behind it.
    #[cfg(test)]
    pub(crate) fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// Reads the store; a store that cannot be read any more stops the node.
    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<Option<T>, StoreError>) -> Option<T> {
        match self
            .shell
            .store
            .snapshot()
            .and_then(|snapshot| read(&snapshot))
        {
            Ok(found) => found,
            Err(error) => {
                self.shell.stop(error.to_string());
                None
            }
        }
    }

    /// Reads history, from the archive what the store no longer holds. An archive that fails is the
    /// reader's trouble, not the node's.
    fn history<T>(
        &self,
        read: impl FnOnce(&History<'_>) -> Result<Option<T>, HistoryError>,
    ) -> Result<Option<T>, ArchiveError> {
        let mut failed = None;
        let found =
            self.read(
                |snapshot| match read(&History::new(snapshot, &self.shell.archive)) {
                    Ok(found) => Ok(found),
                    Err(HistoryError::Store(error)) => Err(error),
                    Err(HistoryError::Archive(error)) => {
                        failed = Some(error);
                        Ok(None)
                    }
                },
            );
        match failed {
            Some(error) => {
                tracing::warn!(%error, "history cannot be read");
                Err(error)
            }
            None => Ok(found),
        }
    }

    fn fate(&self, id: EnvelopeId) -> Option<FateRecord> {
        self.read(|snapshot| snapshot.get_value(Table::EnvelopeStatus, id.as_bytes()))
    }

    fn outcome(&self, height: Height) -> Result<Option<OutcomeRecord>, ArchiveError> {
        let key = keys::height(height);
        self.history(|history| history.value(Table::Events, &key, height))
    }

    /// The first or last height of a rollup's deliveries in a range: each has a link, which stays.
    fn delivery_height(&self, range: &KeyRange, last: bool) -> Option<Height> {
        let row = self.read(|snapshot| match last {
            true => snapshot.last(Table::StreamLinks, range),
            false => snapshot.first(Table::StreamLinks, range),
        });
        keys::parse_rollup_height(&row?.0)
    }

    fn connected(&self) -> Signers {
        let mut connected = Signers::default();
        connected.insert(self.shell.own);
        for peer in self.shell.transport.peers() {
            if peer.connected.is_some() {
                connected.insert(peer.index);
            }
        }
        connected
    }
}

impl Backend for NodeHandle {
    async fn submit(&self, envelope: Envelope) -> Result<Receipt, Refusal> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.shell.answers).insert(ticket, answer);
        let event = Event::Submit {
            ticket,
            envelope: Box::new(envelope),
        };
        if let Err(error) = self.ingress.try_send(event) {
            lock(&self.shell.answers).remove(&ticket);
            return Err(match error {
                TrySendError::Full(_) => Refusal::busy("this validator has more to do than it can"),
                TrySendError::Disconnected(_) => Refusal::busy("this validator is stopping"),
            });
        }
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::busy("this validator is stopping")),
        }
    }

    fn genesis(&self) -> &Genesis {
        &self.shell.genesis
    }

    fn ledger(&self) -> Arc<Ledger> {
        lock(&self.shell.ledger).clone()
    }

    fn envelope(&self, id: EnvelopeId) -> Option<EnvelopeView> {
        let view = |status, height: Option<Height>| EnvelopeView {
            id: id.to_string(),
            status,
            height: height.map(|height| height.0),
            code: None,
            reason: None,
            times: lock(&self.shell.timeline).get(&id),
        };
        if let Some(fate) = self.fate(id) {
            let Some(outcome) = fate.outcome else {
                return Some(view(EnvelopeStage::Expired, None));
            };
            let (stage, failure) = describe::fate(&outcome);
            let mut view = view(stage, Some(fate.height));
            (view.code, view.reason) = failure.unzip();
            return Some(view);
        }
        let stage = lock(&self.shell.stages).get(&id).copied();
        if let Some(stage) = stage {
            return Some(match stage {
                Stage::Pending => view(EnvelopeStage::Pending, None),
                Stage::Batched => view(EnvelopeStage::Batched, None),
                Stage::Ordered(height) => view(EnvelopeStage::Ordered, Some(height)),
            });
        }
        // After a restart, until it is batched again.
        let waiting = self.read(|snapshot| {
            Ok(snapshot
                .contains(Table::Mempool, id.as_bytes())?
                .then_some(()))
        });
        waiting.map(|()| view(EnvelopeStage::Pending, None))
    }

    fn block(&self, height: Height) -> Result<Option<CertifiedBlock>, ArchiveError> {
        self.history(|history| {
            let read = |height: u64| -> Result<Option<BlockRecord>, HistoryError> {
                let height = Height(height);
                history.value(Table::Blocks, &keys::height(height), height)
            };
            let Some(record) = read(height.0)? else {
                return Ok(None);
            };
            let covered = record.certificate.height.0.min(height.0 + TAIL_MAX);
            let mut tail: Vec<BlockHeader> = Vec::new();
            for next in height.0 + 1..=covered {
                let Some(next) = read(next)? else {
                    return Ok(None);
                };
                tail.push(next.block.header);
            }
            let BlockRecord { block, certificate } = record;
            Ok(Some(CertifiedBlock {
                block,
                tail,
                certificate,
            }))
        })
    }

    fn epoch_change(&self, epoch: Epoch) -> Option<EpochChange> {
        self.read(|snapshot| snapshot.get_value(Table::Epochs, keys::epoch(epoch)))
    }

    fn delivery(
        &self,
        rollup: RollupId,
        height: Height,
    ) -> Result<Option<DeliveryView>, ArchiveError> {
        self.history(|history| {
            let key = keys::rollup_height(rollup, height);
            let record: Option<DeliveryRecord> = history.value(Table::Deliveries, &key, height)?;
            match record {
                Some(record) => delivery_view(history, record),
                None => Ok(None),
            }
        })
    }

    fn gap(&self, from: Height, to: Height) -> Option<(Height, Height)> {
        let up_to = KeyRange::through(&keys::height(Height(0)), &keys::height(to));
        self.read(|snapshot| {
            // As many as this node has joined.
            for (key, value) in snapshot.range(Table::Gaps, &up_to, usize::MAX)? {
                let last: Option<Height> = codec::decode(&value, RECORD_BYTES_MAX).ok();
                let gap = keys::parse_height(&key).zip(last);
                if gap.is_some_and(|(_, last)| last >= from) {
                    return Ok(gap);
                }
            }
            Ok(None)
        })
    }

    fn next_delivery(&self, rollup: RollupId, from: Height, to: Height) -> Option<Height> {
        let range = KeyRange::through(
            &keys::rollup_height(rollup, from),
            &keys::rollup_height(rollup, to),
        );
        self.delivery_height(&range, false)
    }

    fn last_delivery(&self, rollup: RollupId, to: Height) -> Option<Height> {
        let range = KeyRange::through(
            &keys::rollup_height(rollup, Height(0)),
            &keys::rollup_height(rollup, to),
        );
        self.delivery_height(&range, true)
    }

    fn named_ledger(&self) -> Option<NamedLedger> {
        lock(&self.shell.provable).newest()
    }

    fn links(&self, rollup: RollupId, from: Height, to: Height, limit: usize) -> Vec<StoredLink> {
        let range = KeyRange::through(
            &keys::rollup_height(rollup, from),
            &keys::rollup_height(rollup, to),
        );
        let found = self.read(|snapshot| {
            let rows = snapshot.range(Table::StreamLinks, &range, limit)?;
            Ok(Some(rows.iter().filter_map(stored_link).collect()))
        });
        found.unwrap_or_default()
    }

    fn last_link(&self, rollup: RollupId, to: Height) -> Option<StoredLink> {
        let range = KeyRange::through(
            &keys::rollup_height(rollup, Height(0)),
            &keys::rollup_height(rollup, to),
        );
        let row = self.read(|snapshot| snapshot.last(Table::StreamLinks, &range))?;
        stored_link(&row)
    }

    fn events(&self, height: Height) -> Result<Vec<EventView>, ArchiveError> {
        let Some(outcome) = self.outcome(height)? else {
            return Ok(Vec::new());
        };
        let event = |event| EventView {
            height: height.0,
            time_ms: outcome.time.0,
            kind: describe::event_kind(event).into(),
            text: describe::event_text(event),
        };
        Ok(outcome.events.iter().map(event).collect())
    }

    fn next_events(&self, from: Height, to: Height) -> Result<Option<Height>, ArchiveError> {
        self.history(|history| {
            let (archived, from) = archived_events(history, from, to)?;
            if archived.is_some() {
                return Ok(archived);
            }
            let snapshot = history.snapshot;
            let mut range = KeyRange::through(&keys::height(from), &keys::height(to));
            loop {
                let page = snapshot.range(Table::Events, &range, EVENTS_PAGE)?;
                let Some((last, _)) = page.last() else {
                    return Ok(None);
                };
                range = KeyRange::after(last).up_to(&keys::height(to));
                if let Some((key, _)) = page.iter().find(|row| is_eventful(row)) {
                    return Ok(keys::parse_height(key));
                }
            }
        })
    }

    fn prover_record(&self, prover: AccountId) -> ProverRecord {
        lock(&self.shell.provers)
            .get(&prover)
            .copied()
            .unwrap_or_default()
    }

    fn proofs(&self, rollup: RollupId, from_index: u64, limit: usize) -> Vec<ProofView> {
        let last = keys::rollup_index(rollup, TxIndex(u64::MAX));
        let range = KeyRange::through(&keys::rollup_index(rollup, TxIndex(from_index)), &last);
        let found = self.read(|snapshot| {
            let mut views = Vec::new();
            for (_, key) in snapshot.range(Table::ProofIndex, &range, limit)? {
                let record: Option<ProofRecord> = snapshot.get_value(Table::Proofs, &key)?;
                views.extend(record.map(|record| proof_view(&record, false)));
            }
            Ok(Some(views))
        });
        found.unwrap_or_default()
    }

    fn proof(&self, auction: u64) -> Result<Option<ProofView>, ArchiveError> {
        let key = records::proof(conclave_types::AuctionId(auction), ProofSystem::Winterfell);
        self.history(|history| {
            let record: Option<ProofRecord> = history.snapshot.get_value(Table::Proofs, key)?;
            let record = match record {
                // Only its bytes were pruned.
                Some(record) if record.submission.proof.is_empty() => {
                    let segment = history.segment(record.height)?;
                    segment.and_then(|segment| {
                        let value = segment.get(Table::Proofs, &key)?;
                        codec::decode::<ProofRecord>(value, RECORD_BYTES_MAX).ok()
                    })
                }
                record => record,
            };
            Ok(record.map(|record| proof_view(&record, true)))
        })
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.shell.progress.subscribe()
    }

    fn status(&self) -> StatusView {
        let metrics = &self.shell.metrics;
        let progress = *self.shell.progress.borrow();
        let finality = metrics.finality_percentiles();
        let opening = metrics.opening_percentiles();
        let leader = metrics.leader.load(Ordering::Relaxed);
        StatusView {
            chain: self.shell.committees.chain.to_string(),
            validator: self.shell.own.0,
            view: metrics.view.load(Ordering::Relaxed),
            leader: u16::try_from(leader).ok(),
            committed_height: progress.committed.0,
            executed_height: progress.executed.0,
            block_time_ms: metrics.block_time_ms.load(Ordering::Relaxed),
            peers_connected: self.connected().count() as u64 - 1,
            mempool_envelopes: metrics.mempool.load(Ordering::Relaxed),
            envelopes_ordered: metrics.envelopes.load(Ordering::Relaxed),
            transactions_ordered: metrics.transactions.load(Ordering::Relaxed),
            finality_ms_p50: finality.map(|(p50, _)| p50),
            finality_ms_p99: finality.map(|(_, p99)| p99),
            opening_ms_p50: opening.map(|(p50, _)| p50),
            opening_ms_p99: opening.map(|(_, p99)| p99),
            syncing: lock(&self.shell.syncing).map(|syncing| SyncingView {
                what: syncing.what.into(),
                done: syncing.progress.done,
                total: syncing.progress.total,
                per_second: syncing.progress.parts_per_1000_s as f64 / 1000.0,
                seconds_left: syncing.progress.seconds_left,
            }),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.shell.joining.load(Ordering::Acquire) {
            return Err("asking the other validators where to begin".into());
        }
        let committee = &self.shell.newest_keys().committee;
        let connected = self.connected();
        let weight: u16 = connected.iter().map(|peer| committee.weight(peer)).sum();
        if weight < committee.threshold.quorum() {
            return Err("not connected to a quorum of the committee".into());
        }
        let progress = *self.shell.progress.borrow();
        match progress.executed.0 + READY_LAG_MAX < progress.committed.0 {
            true => Err(format!(
                "executed {} of {} final blocks",
                progress.executed, progress.committed
            )),
            false => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let peers = self.connected().count() - 1;
        let pending = self.shell.writer.pending_bytes();
        let syncing = lock(&self.shell.syncing).map(|syncing| syncing.progress);
        self.shell
            .metrics
            .text(peers, pending, self.shell.transport.metrics(), syncing)
    }
}

fn stored_link((_, value): &Row) -> Option<StoredLink> {
    codec::decode(value, RECORD_BYTES_MAX).ok()
}

/// The first height with events among the archived ones of a range, and where the store goes on.
fn archived_events(
    history: &History<'_>,
    from: Height,
    to: Height,
) -> Result<(Option<Height>, Height), HistoryError> {
    let mut next = from;
    while next <= to {
        let Some(segment) = history.segment(next)? else {
            break;
        };
        let range = next..=to.min(segment.last);
        let found = segment.rows(Table::Events).iter().find(|row| {
            keys::parse_height(&row.0).is_some_and(|height| range.contains(&height))
                && is_eventful(row)
        });
        if let Some((key, _)) = found {
            return Ok((keys::parse_height(key), next));
        }
        next = segment.last.next();
    }
    Ok((None, next))
}

fn is_eventful((_, value): &Row) -> bool {
    let record = codec::decode::<OutcomeRecord>(value, RECORD_BYTES_MAX);
    record.is_ok_and(|record| !record.events.is_empty())
}

/// A batch as readers are shown it.
enum Stored {
    Whole(Batch),
    Inconsistent(InconsistentBatch),
}

impl Stored {
    fn read(history: &History<'_>, id: BatchId) -> Result<Option<Self>, HistoryError> {
        if let Some(batch) = history.of_batch(Table::Batches, id)? {
            return Ok(Some(Self::Whole(batch)));
        }
        let evidence = history.of_batch(Table::Inconsistent, id)?;
        Ok(evidence.map(Self::Inconsistent))
    }

    fn envelope(&self, position: usize) -> Option<(&EnvelopeHeader, Option<&[u8]>)> {
        match self {
            Self::Whole(batch) => {
                let envelope = batch.envelopes.get(position)?;
                Some((&envelope.header, Some(&envelope.body)))
            }
            Self::Inconsistent(evidence) => Some((evidence.envelopes.get(position)?, None)),
        }
    }
}

/// A stored delivery with the envelopes it speaks of; nothing, rather than a part of it, while a
/// body is missing.
fn delivery_view(
    history: &History<'_>,
    record: DeliveryRecord,
) -> Result<Option<DeliveryView>, HistoryError> {
    let delivery = record.delivery;
    let mut batches: Vec<(BatchId, Stored)> = Vec::new();
    let mut envelopes = Vec::with_capacity(delivery.entries.len());
    let mut malformed = BTreeSet::new();
    for (entry, placed) in delivery.entries.iter().zip(&record.placed) {
        if !batches.iter().any(|(id, _)| *id == placed.batch) {
            let batch = Stored::read(history, placed.batch)?;
            batches.extend(batch.map(|batch| (placed.batch, batch)));
        }
        let batch = batches.iter().find(|(id, _)| *id == placed.batch);
        let Some((header, body)) =
            batch.and_then(|(_, batch)| batch.envelope(placed.position as usize))
        else {
            let (rollup, height) = (delivery.rollup.0, delivery.height.0);
            tracing::error!(rollup, height, batch = %placed.batch, "a body is missing");
            return Ok(None);
        };
        if entry.outcome == StreamOutcome::Malformed {
            malformed.insert(header.core.epoch);
        }
        let transactions = match entry.outcome {
            StreamOutcome::Opened {
                first,
                transactions,
            } => {
                let start = (first.0 - delivery.first.0) as usize;
                delivery.transactions[start..start + transactions as usize].to_vec()
            }
            _ => Vec::new(),
        };
        envelopes.push(DeliveredEnvelope {
            id: entry.envelope.to_string(),
            payer: header.core.payer.to_string(),
            header: hex::encode(codec::encode(header)),
            outcome: entry.outcome.name().into(),
            opening: placed.opening.map(|m| m.to_string()),
            body: body.filter(|_| placed.opening.is_some()).map(hex::encode),
            transactions: transactions.iter().map(hex::encode).collect(),
        });
    }
    let evidence = malformed_evidence(history, delivery.height, malformed)?;
    let inconsistent = batches.iter().filter_map(|(_, batch)| match batch {
        Stored::Inconsistent(evidence) => Some(hex::encode(codec::encode(evidence))),
        Stored::Whole(_) => None,
    });
    Ok(Some(DeliveryView {
        malformed_evidence: evidence,
        inconsistent_evidence: inconsistent.collect(),
        rollup: delivery.rollup.0,
        height: delivery.height.0,
        time_ms: record.time.0,
        first_index: delivery.first.0,
        envelopes,
        stream_digest: delivery.digest.to_string(),
        block: None,
    }))
}

/// What shows the malformed envelopes of a block that are sealed to these keys.
fn malformed_evidence(
    history: &History<'_>,
    height: Height,
    sealed_to: BTreeSet<Epoch>,
) -> Result<Vec<String>, HistoryError> {
    let mut evidence = Vec::new();
    for epoch in sealed_to {
        let key = keys::height_lane(height, LaneKind::Malformed.of(epoch));
        let record: Option<OpeningRecord> = history.value(Table::Openings, &key, height)?;
        let shown = record.and_then(|record| record.evidence);
        evidence.extend(shown.map(|shown| hex::encode(codec::encode(&shown))));
    }
    Ok(evidence)
}

fn proof_view(record: &ProofRecord, with_bytes: bool) -> ProofView {
    let submission = &record.submission;
    ProofView {
        auction: submission.auction.0,
        rollup: record.range.rollup.0,
        system: describe::system(submission.system).into(),
        program: record.program.to_string(),
        prover: record.prover.to_string(),
        from_index: record.range.from.0,
        to_index: record.range.to.0,
        from_height: record.range.from_height.0,
        to_height: record.range.to_height.0,
        old_root: record.old_root.to_string(),
        new_root: submission.new_root.to_string(),
        excluded: submission.excluded.clone(),
        height: record.height.0,
        proof: with_bytes.then(|| hex::encode(&submission.proof)),
        proof_bytes: submission.proof.len() as u64,
    }
}
