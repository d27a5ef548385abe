//! The one thread that owns state, queue and database.
//!
//! ```text
//! API ─┐
//! load ┼─ Command ──▶ Owner: change the cores ──▶ commit and sync ──▶ replies
//! feed ┘                └── up to 256 commands share one commit
//! ```
//!
//! Persist, then reply: nothing is acknowledged before it is durable.
//! A failed write ends the thread with an error, and with it the node.
//! It ends when it is told to or all handles are gone, after a last snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use conclave_payments::{Account, AccountPath, FieldDigest, Payment};
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::Metrics;
use crate::queue::{Group, Projection, Queue, QueueLimits, Stage};
use crate::replica::{Delivery, Replica};
use crate::store::{Changes, FlightRecord, ResultRecord, Store};
use crate::{OutcomeKind, PaymentId, Refusal, RollupError};

/// Commands that share one commit.
const BATCH_MAX: usize = 256;
/// Commands that wait; senders wait beyond that.
const COMMANDS_MAX: usize = 1024;
/// Transactions between snapshots; a restart replays at most so many, in about half a second.
const SNAPSHOT_TRANSACTIONS: u64 = 4096;
/// How far from the tree's end the slots for newcomers stop; those above stay empty for good.
pub(crate) const RESERVED_SLOTS: u32 = 1024;

/// Which state an account is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Head,
    Settled,
}

/// How to find an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountQuery {
    pub(crate) key: FieldDigest,
    /// Required when the key holds several slots and not the lowest is meant.
    pub(crate) slot: Option<u32>,
    pub(crate) at: At,
}

/// An account as it stands in one of the two states.
#[derive(Debug, Clone)]
pub(crate) struct AccountAnswer {
    pub(crate) slot: u32,
    /// The account of zeros when the slot is empty there.
    pub(crate) account: Account,
    pub(crate) slots: Vec<u32>,
    pub(crate) height: u64,
    pub(crate) index: u64,
    /// With `At::Settled`: the root and the path to it.
    pub(crate) proof: Option<([u8; 32], AccountPath)>,
}

/// Where a payment is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PaymentAnswer {
    Pending(Stage),
    Done(ResultRecord),
    Unknown,
}

/// Where everything stands.
#[derive(Debug, Clone)]
pub(crate) struct StatusAnswer {
    pub(crate) next_height: u64,
    pub(crate) index: u64,
    pub(crate) settled_index: u64,
    pub(crate) root: [u8; 32],
    pub(crate) settled_root: [u8; 32],
    pub(crate) counts: Vec<u64>,
    pub(crate) accounts: u64,
    pub(crate) fee_pool: u64,
    pub(crate) pending: u64,
    pub(crate) flights: u64,
}

/// Senders' projections, with the executed height.
#[derive(Debug, Clone)]
pub(crate) struct Outlook {
    pub(crate) height: u64,
    pub(crate) senders: Vec<Option<Projection>>,
}

/// Bytes for the load generator's lane.
#[derive(Debug)]
pub(crate) struct Unchecked {
    pub(crate) lane: Option<u32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) intended: OutcomeKind,
}

/// A sealed group.
#[derive(Debug)]
pub(crate) struct SealedGroup {
    pub(crate) group: u64,
    pub(crate) id: [u8; 32],
    pub(crate) envelope: Vec<u8>,
    pub(crate) expiry: u64,
}

type Reply<T> = oneshot::Sender<T>;

enum Command {
    Accept(Box<Payment>, Vec<u8>, Reply<Result<PaymentId, Refusal>>),
    AcceptUnchecked(Vec<Unchecked>),
    Outlook(Vec<u32>, Reply<Outlook>),
    FreeSlot(u32, Reply<Option<u32>>),
    Take(usize, Reply<Option<Group>>),
    Sealed(SealedGroup, Reply<FlightEnd>),
    Unseal(u64),
    Land([u8; 32]),
    Deliver(Delivery, Reply<()>),
    Settle(u64, [u8; 32]),
    Account(AccountQuery, Reply<Option<AccountAnswer>>),
    Payment(PaymentId, Reply<PaymentAnswer>),
    Status(Reply<StatusAnswer>),
    Stop,
}

/// Resolves when an envelope was delivered or never will be.
pub(crate) type FlightEnd = oneshot::Receiver<()>;

/// A flight found on disk at the start.
pub(crate) struct RecoveredFlight {
    pub(crate) envelope: Vec<u8>,
    pub(crate) end: FlightEnd,
}

/// Talks to the owner. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    /// Payments that could be sealed now, counted up to one envelope's.
    ready: watch::Receiver<usize>,
}

/// Settings of the owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnerOptions {
    pub(crate) limits: QueueLimits,
    /// One envelope's payments.
    pub(crate) envelope_payments: usize,
}

/// State, queue and database; see the module.
pub(crate) struct Owner {
    store: Store,
    replica: Replica,
    queue: Queue,
    options: OwnerOptions,
    metrics: Arc<Metrics>,
    commands: mpsc::Receiver<Command>,
    ready: watch::Sender<usize>,
    changes: Changes,
    replies: Vec<Box<dyn FnOnce() + Send>>,
    flight_ends: BTreeMap<[u8; 32], oneshot::Sender<()>>,
    /// The newest settled index and root the ledger showed, when execution is behind it.
    settle_target: Option<(u64, [u8; 32])>,
    snapshot_index: u64,
    stopping: bool,
}

impl Owner {
    /// Recovers from disk. The flights must be submitted again.
    pub(crate) fn new(
        store: Store,
        genesis: &conclave_payments::State,
        options: OwnerOptions,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Handle, Vec<RecoveredFlight>), RollupError> {
        let recovered = store.recover()?;
        let snapshot_index = recovered.head.as_ref().map_or(0, |head| head.index);
        let replica = match recovered.cursor {
            None => Replica::genesis(genesis),
            Some(cursor) => {
                let log = |from, to| store.log(from, to);
                Replica::resume(genesis, cursor, recovered.head, recovered.settled, log)?
            }
        };
        let queue = Queue::recover(recovered.pending, &recovered.flights);
        let mut flight_ends = BTreeMap::new();
        let mut flights = Vec::new();
        for (id, record) in recovered.flights {
            let (sender, end) = oneshot::channel();
            flight_ends.insert(id, sender);
            flights.push(RecoveredFlight {
                envelope: record.envelope,
                end,
            });
        }
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (ready, ready_seen) = watch::channel(queue.ready(options.envelope_payments));
        let owner = Self {
            store,
            replica,
            queue,
            options,
            metrics,
            commands,
            ready,
            changes: Changes::default(),
            replies: Vec::new(),
            flight_ends,
            settle_target: None,
            snapshot_index,
            stopping: false,
        };
        owner.measure();
        let handle = Handle {
            commands: sender,
            ready: ready_seen,
        };
        Ok((owner, handle, flights))
    }

    /// The height and index to follow the stream from.
    pub(crate) fn position(&self) -> (u64, u64) {
        let cursor = self.replica.cursor();
        (cursor.height, cursor.index)
    }

    /// Works until it is told to stop, or all handles are gone. Blocks.
    pub(crate) fn run(mut self) -> Result<(), RollupError> {
        while let Some(first) = self.commands.blocking_recv() {
            let started = Instant::now();
            self.handle(first)?;
            for _ in 1..BATCH_MAX {
                match self.commands.try_recv() {
                    Ok(command) => self.handle(command)?,
                    Err(_) => break,
                }
            }
            self.snapshot_if_due()?;
            self.flush()?;
            self.measure();
            let micros = started.elapsed().as_micros() as u64;
            Metrics::add(&self.metrics.owner_busy_microseconds_total, micros);
            if self.stopping {
                break;
            }
        }
        self.snapshot()?;
        self.flush()
    }

    fn handle(&mut self, command: Command) -> Result<(), RollupError> {
        match command {
            Command::Accept(payment, bytes, reply) => {
                let answer = self.accept(&payment, bytes);
                self.reply(reply, answer);
            }
            Command::AcceptUnchecked(payments) => self.accept_unchecked(payments),
            Command::Outlook(slots, reply) => {
                let answer = self.outlook(&slots);
                self.reply(reply, answer);
            }
            Command::FreeSlot(start, reply) => {
                let answer = self.free_slot(start);
                self.reply(reply, answer);
            }
            Command::Take(count, reply) => {
                let group = self.queue.take(count);
                self.reply(reply, group);
            }
            Command::Sealed(sealed, reply) => self.sealed(sealed, reply),
            Command::Unseal(group) => self.queue.unseal(group),
            Command::Land(envelope) => self.land(&envelope),
            Command::Deliver(delivery, reply) => {
                self.deliver(&delivery)?;
                self.reply(reply, ());
            }
            Command::Settle(index, root) => {
                self.settle_target = Some((index, root));
                self.settle()?;
            }
            Command::Account(query, reply) => {
                let answer = self.account(&query);
                self.reply(reply, answer);
            }
            Command::Payment(id, reply) => {
                let answer = self.payment(id)?;
                self.reply(reply, answer);
            }
            Command::Status(reply) => {
                let answer = self.status();
                self.reply(reply, answer);
            }
            Command::Stop => self.stopping = true,
        }
        Ok(())
    }

    fn accept(&mut self, payment: &Payment, bytes: Vec<u8>) -> Result<PaymentId, Refusal> {
        let id = PaymentId::of(&bytes);
        let height = self.executed_height();
        let state = self.replica.head();
        let limits = self.options.limits;
        let admitted = self.queue.admit(state, height, limits, payment, bytes)?;
        if let Some((id, record)) = admitted {
            self.changes.pending.push((id, Some(record)));
        }
        Ok(id)
    }

    fn accept_unchecked(&mut self, payments: Vec<Unchecked>) {
        for Unchecked {
            lane,
            bytes,
            intended,
        } in payments
        {
            let limits = self.options.limits;
            match self.queue.admit_unchecked(limits, lane, bytes, intended) {
                Ok(Some((id, record))) => self.changes.pending.push((id, Some(record))),
                Ok(None) => {}
                Err(_) => Metrics::add(&self.metrics.load_skipped_total, 1),
            }
        }
    }

    fn outlook(&self, slots: &[u32]) -> Outlook {
        let project = |slot: &u32| self.queue.project(self.replica.head(), *slot);
        Outlook {
            height: self.executed_height(),
            senders: slots.iter().map(project).collect(),
        }
    }

    /// A slot that is empty and that no pending payment names, from `start` on.
    fn free_slot(&self, start: u32) -> Option<u32> {
        let end = conclave_payments::SLOTS - RESERVED_SLOTS;
        let claimed = self.queue.claimed_slots();
        let mut from = start % end;
        for _ in 0..=claimed.len() {
            let slot = self.replica.head().free_slot(from)?;
            match slot < end && !claimed.contains(&slot) {
                true => return Some(slot),
                false => from = (slot + 1) % end,
            }
        }
        None
    }

    fn sealed(&mut self, sealed: SealedGroup, reply: Reply<FlightEnd>) {
        let (sender, end) = oneshot::channel();
        // A group is unknown only when the sealer answers twice; the end then resolves at once.
        if let Some(payments) = self.queue.sealed(sealed.group, sealed.id, sealed.expiry) {
            let record = FlightRecord {
                envelope: sealed.envelope,
                expiry: sealed.expiry,
                payments,
            };
            self.changes.flights.push((sealed.id, Some(record)));
            self.flight_ends.insert(sealed.id, sender);
            Metrics::add(&self.metrics.envelopes_sealed_total, 1);
        }
        self.reply(reply, end);
    }

    fn land(&mut self, envelope: &[u8; 32]) {
        if self.queue.land(envelope) {
            self.changes.flights.push((*envelope, None));
        }
        // Dropping the sender resolves the end.
        self.flight_ends.remove(envelope);
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), RollupError> {
        let entries = self.replica.execute(delivery)?;
        for (transaction, (index, entry)) in delivery.transactions.iter().zip(entries) {
            let record = ResultRecord {
                outcome: entry.outcome,
                height: transaction.height,
                index,
                ordered: true,
            };
            self.finish(transaction.id, record);
            self.changes.log.push((index, entry));
        }
        for envelope in &delivery.envelopes {
            self.land(envelope);
        }
        let executed = self.executed_height();
        for envelope in self.queue.expired_flights(executed) {
            Metrics::add(&self.metrics.envelopes_lost_total, 1);
            self.land(&envelope);
        }
        self.give_up(executed);
        // Heights without contents are not worth a sync: a restart follows them again.
        if !delivery.envelopes.is_empty() {
            self.changes.cursor = Some(self.replica.cursor().clone());
        }
        self.settle()
    }

    /// Gives up payments that were not ordered while they were valid.
    fn give_up(&mut self, executed: u64) {
        for id in self.queue.expired_payments(executed) {
            Metrics::add(&self.metrics.payments_expired_total, 1);
            let record = ResultRecord {
                outcome: OutcomeKind::Expired,
                height: executed,
                index: self.replica.cursor().index,
                ordered: false,
            };
            self.finish(id, record);
        }
    }

    fn finish(&mut self, id: PaymentId, record: ResultRecord) {
        self.changes.results.push((id, record));
        let Some(intended) = self.queue.remove(&id) else {
            return;
        };
        self.changes.pending.push((id, None));
        match intended {
            Some(intended) if intended == record.outcome => {
                Metrics::add(&self.metrics.load_intended_total, 1);
            }
            Some(intended) => {
                Metrics::add(&self.metrics.load_unintended_total, 1);
                tracing::debug!(payment = %id, intended = intended.name(), outcome = record.outcome.name(), "a generated payment came to something else");
            }
            None => {}
        }
    }

    /// Moves the settled state as far as the ledger settled and execution has come.
    fn settle(&mut self) -> Result<(), RollupError> {
        let Some((index, root)) = self.settle_target else {
            return Ok(());
        };
        if index > self.replica.cursor().index {
            return Ok(());
        }
        self.settle_target = None;
        let from = self.replica.settled_index();
        if index < from {
            // An older node answered; what is settled stays settled.
            return Ok(());
        }
        // The log is read from disk, so what this batch delivered must be there.
        self.flush()?;
        let entries = self.store.log(from, index)?;
        self.replica.settle(index, &root, &entries)
    }

    fn account(&self, query: &AccountQuery) -> Option<AccountAnswer> {
        let slots = self.replica.slots(&query.key);
        let slot = query.slot.or_else(|| slots.first().copied())?;
        if !slots.contains(&slot) {
            return None;
        }
        let (state, index) = match query.at {
            At::Head => (self.replica.head(), self.replica.cursor().index),
            At::Settled => (self.replica.settled(), self.replica.settled_index()),
        };
        Some(AccountAnswer {
            slot,
            account: state.account(slot).copied().unwrap_or_default(),
            slots,
            height: self.executed_height(),
            index,
            proof: match query.at {
                At::Head => None,
                At::Settled => Some((state.root(), state.path(slot))),
            },
        })
    }

    fn payment(&self, id: PaymentId) -> Result<PaymentAnswer, RollupError> {
        if let Some(stage) = self.queue.stage(&id) {
            return Ok(PaymentAnswer::Pending(stage));
        }
        // Of this batch, not committed yet.
        let fresh = self
            .changes
            .results
            .iter()
            .rev()
            .find(|(other, _)| *other == id);
        let found = match fresh {
            Some((_, record)) => Some(*record),
            None => self.store.result(id)?,
        };
        Ok(found.map_or(PaymentAnswer::Unknown, PaymentAnswer::Done))
    }

    fn status(&self) -> StatusAnswer {
        let cursor = self.replica.cursor();
        let head = self.replica.head();
        StatusAnswer {
            next_height: cursor.height,
            index: cursor.index,
            settled_index: self.replica.settled_index(),
            root: head.root(),
            settled_root: self.replica.settled().root(),
            counts: cursor.counts.clone(),
            accounts: head.accounts().count() as u64,
            fee_pool: head.pool(),
            pending: self.queue.len() as u64,
            flights: self.queue.flights() as u64,
        }
    }

    fn executed_height(&self) -> u64 {
        self.replica.cursor().height.saturating_sub(1)
    }

    fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: T) {
        // Whoever asked may have gone; that is no error.
        self.replies
            .push(Box::new(move || drop(reply.send(answer))));
    }

    fn snapshot_if_due(&mut self) -> Result<(), RollupError> {
        let since = self.replica.cursor().index - self.snapshot_index;
        match since >= SNAPSHOT_TRANSACTIONS {
            true => self.snapshot(),
            false => Ok(()),
        }
    }

    /// Snapshots both states and forgets the log below them. Together with the cursor's commit,
    /// so that a snapshot is never ahead of it.
    fn snapshot(&mut self) -> Result<(), RollupError> {
        let (head, settled) = self.replica.snapshots();
        self.snapshot_index = head.index;
        self.changes.prune_log_below = Some(settled.index);
        self.changes.cursor = Some(self.replica.cursor().clone());
        self.changes.head = Some(head);
        self.changes.settled = Some(settled);
        Ok(())
    }

    /// Commits, then replies.
    fn flush(&mut self) -> Result<(), RollupError> {
        if !self.changes.is_empty() {
            self.store.commit(&self.changes)?;
            self.changes = Changes::default();
            Metrics::add(&self.metrics.store_commits_total, 1);
        }
        for reply in self.replies.drain(..) {
            reply();
        }
        let ready = self.queue.ready(self.options.envelope_payments);
        self.ready.send_replace(ready);
        Ok(())
    }

    fn measure(&self) {
        let metrics = &*self.metrics;
        let cursor = self.replica.cursor();
        Metrics::set(&metrics.executed_height, self.executed_height());
        Metrics::set(&metrics.executed_transactions, cursor.index);
        Metrics::set(&metrics.settled_transactions, self.replica.settled_index());
        Metrics::set(&metrics.pending_payments, self.queue.len() as u64);
        Metrics::set(&metrics.pending_envelopes, self.queue.flights() as u64);
        for (gauge, count) in metrics.transactions.iter().zip(&cursor.counts) {
            Metrics::set(gauge, *count);
        }
    }
}

impl Handle {
    /// Payments that could be sealed now, counted up to one envelope's.
    pub(crate) fn ready(&self) -> watch::Receiver<usize> {
        self.ready.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)
    }

    async fn tell(&self, command: Command) -> Result<(), Refusal> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| Refusal::Stopping)
    }

    /// Acknowledges a payment whose signature was checked; durable when this returns.
    pub(crate) async fn accept(
        &self,
        payment: Payment,
        bytes: Vec<u8>,
    ) -> Result<PaymentId, Refusal> {
        self.ask(|reply| Command::Accept(Box::new(payment), bytes, reply))
            .await?
    }

    /// Queues the load generator's payments.
    pub(crate) async fn accept_unchecked(&self, payments: Vec<Unchecked>) -> Result<(), Refusal> {
        self.tell(Command::AcceptUnchecked(payments)).await
    }

    /// What senders' accounts will be.
    pub(crate) async fn outlook(&self, slots: Vec<u32>) -> Result<Outlook, Refusal> {
        self.ask(|reply| Command::Outlook(slots, reply)).await
    }

    /// A free slot from `start` on, wrapping.
    pub(crate) async fn free_slot(&self, start: u32) -> Result<Option<u32>, Refusal> {
        self.ask(|reply| Command::FreeSlot(start, reply)).await
    }

    /// Takes payments for one envelope.
    pub(crate) async fn take(&self, count_max: usize) -> Result<Option<Group>, Refusal> {
        self.ask(|reply| Command::Take(count_max, reply)).await
    }

    /// Records a sealed group; durable when this returns.
    pub(crate) async fn sealed(&self, sealed: SealedGroup) -> Result<FlightEnd, Refusal> {
        self.ask(|reply| Command::Sealed(sealed, reply)).await
    }

    /// Queues a group again that could not be sealed.
    pub(crate) async fn unseal(&self, group: u64) -> Result<(), Refusal> {
        self.tell(Command::Unseal(group)).await
    }

    /// Ends a flight that no node will take.
    pub(crate) async fn land(&self, envelope: [u8; 32]) -> Result<(), Refusal> {
        self.tell(Command::Land(envelope)).await
    }

    /// Executes a part of the stream; durable when this returns.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> Result<(), Refusal> {
        self.ask(|reply| Command::Deliver(delivery, reply)).await
    }

    /// Reports what the ledger settled.
    pub(crate) async fn settle(&self, index: u64, root: [u8; 32]) -> Result<(), Refusal> {
        self.tell(Command::Settle(index, root)).await
    }

    /// Reads an account; `None` when the key holds no such slot.
    pub(crate) async fn account(
        &self,
        query: AccountQuery,
    ) -> Result<Option<AccountAnswer>, Refusal> {
        self.ask(|reply| Command::Account(query, reply)).await
    }

    /// Where a payment is.
    pub(crate) async fn payment(&self, id: PaymentId) -> Result<PaymentAnswer, Refusal> {
        self.ask(|reply| Command::Payment(id, reply)).await
    }

    /// Where everything stands.
    pub(crate) async fn status(&self) -> Result<StatusAnswer, Refusal> {
        self.ask(Command::Status).await
    }

    /// Ends the owner once everything before is done.
    pub(crate) async fn stop(&self) {
        // It may have ended already.
        let _ = self.tell(Command::Stop).await;
    }
}
