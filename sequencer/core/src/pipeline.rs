//! The sequencer: one state machine for the way of an envelope through a validator.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use conclave_crypto::{Committee, Signatures};
use conclave_ledger::{Disposition, FeeLedger, Ledger, OrderedBlock, OrderedEnvelope};
use conclave_seal::ShareContext;
use conclave_types::{
    Batch, BatchHeader, BatchId, BatchRef, Block, BlockHeader, BlockId, BlockTime, ChainId,
    CommitCertificate, Digest, EdSignature, Envelope, EnvelopeId, Epoch, Height, Point, Receipt,
    ReleaseRule, RollupId, ShareBundle, ShareLane, Signers, Stored, ValidatorIndex, View, limits,
};

use crate::admission;
use crate::availability::Availability;
use crate::execution::{ExecuteJob, ExecuteResult, PlacedEnvelope};
use crate::mempool::Mempool;
use crate::message::{Action, FateRecord, Fetch, Input, Message, OpeningRecord, Published, Write};
use crate::opening::Openings;
use crate::proposer::{self, LedgerReference, PendingCheck, Slot, slot};
use crate::refusal::Refusal;
use crate::work::{Done, Work};

/// Own batches on their way to a certificate at once. Two keep the line busy; more would only cut
/// what waits into smaller batches.
const BATCHES_IN_FLIGHT_MAX: usize = 2;
/// Envelopes that are worth a second batch while the first is on its way. Each batch costs every
/// validator a signature, a certificate's check and a write, however little it holds.
const BATCH_WORTHWHILE: usize = 32;
/// After this long without a certificate a batch is sent again to those that did not answer.
const BATCH_REPEAT_MS: u64 = 500;
/// Between looks at what does not move.
const TICK_MS: u64 = 100;
/// Blocks between ledger snapshots; what lies between is executed again after a restart.
const SNAPSHOT_BLOCKS: u64 = 32;
/// Ledger roots remembered: any that a proposal may name, with room for a restart.
pub const ROOTS_KEPT: u64 = 4 * limits::LEDGER_LAG_BLOCKS_MAX;
/// Batches kept in memory that no committed block refers to yet.
const BATCHES_HELD_MAX: usize = 512;
/// Batches of one author that wait for their check: twice what an honest one has on its way.
const CHECKS_PER_AUTHOR_MAX: usize = 2 * BATCHES_IN_FLIGHT_MAX;
/// Submissions checked together at most; the check's cost per envelope falls with their number.
const CHECK_TOGETHER_MAX: usize = 256;

/// Who this validator is, and among whom.
pub struct Config {
    pub chain: ChainId,
    pub epoch: Epoch,
    pub index: ValidatorIndex,
    pub committee: Committee,
    /// Blocks within which an acknowledged envelope is to be ordered.
    pub order_deadline_blocks: u64,
    pub signatures: Arc<dyn Signatures>,
    /// Signs receipts with the transport key.
    pub receipts: Box<dyn Fn(&Digest) -> EdSignature + Send>,
}

/// What was durable when the node stopped.
pub struct Recovered {
    pub ledger: Arc<Ledger>,
    /// The height the ledger belongs to. Committed blocks after it are given again as
    /// [`Input::Committed`].
    pub height: Height,
    /// Sealed bids that the ledger holds.
    pub held: Vec<Arc<Envelope>>,
    /// Acknowledged envelopes that are not ordered.
    pub mempool: Vec<Envelope>,
    /// Sequence numbers of the batches ordered up to `height`, by author, as in
    /// [`Write::Snapshot`].
    pub ordered: Vec<(ValidatorIndex, Vec<u64>)>,
    /// Batches that are not ordered.
    pub batches: Vec<Arc<Batch>>,
    /// Certificates of some of them.
    pub certificates: Vec<BatchRef>,
    /// Ledger roots of heights before it, as many as proposals may name.
    pub roots: Vec<(Height, Digest)>,
    /// What the header at `height` says of the ledger: height and root.
    pub tip: LedgerReference,
    /// The last committed height in the store.
    pub committed: Height,
}

/// A committed block on its way to being executed.
struct Pending {
    block: Arc<Block>,
    id: BlockId,
    committed_ms: u64,
    opened_ms: u64,
    missing: BTreeSet<BatchId>,
    ordered: Option<Vec<(PlacedEnvelope, Disposition)>>,
    executing: bool,
}

/// The state machine. Feed it [`Input`]s with the time in milliseconds; carry out its
/// [`Action`]s in order.
pub struct Sequencer {
    config: Config,
    mempool: Mempool,
    unchecked: Vec<(u64, Box<Envelope>)>,
    checking: bool,
    availability: Availability,
    batches: BTreeMap<BatchId, Arc<Batch>>,
    batch_arrivals: VecDeque<BatchId>,
    /// With their authors.
    checking_batches: BTreeMap<BatchId, ValidatorIndex>,
    points: BTreeMap<EnvelopeId, Vec<Point>>,
    batch_sequence: u64,
    openings: Openings,
    held: BTreeMap<EnvelopeId, Arc<Envelope>>,
    /// Runs ahead of execution, by headers alone.
    fees: FeeLedger,
    ledger: Arc<Ledger>,
    roots: BTreeMap<Height, Digest>,
    queue: VecDeque<Pending>,
    committed: Height,
    executed: Height,
    recovered_to: Height,
    /// What the last committed header says of the ledger.
    tip: LedgerReference,
    /// Batches of the blocks on the way to being final, as far as agreement told.
    uncommitted: Vec<Slot>,
    /// With this executed, a payload was last refused because opening lags. It would be again.
    held_back: Option<Height>,
    checks: Vec<PendingCheck>,
    payload_pending: bool,
}

impl Sequencer {
    /// Starts from what was durable.
    pub fn new(config: Config, recovered: Recovered, now: u64) -> (Self, Vec<Action>) {
        let mut roots: BTreeMap<Height, Digest> = recovered.roots.into_iter().collect();
        roots.insert(recovered.height, recovered.ledger.root());
        let mut sequencer = Self {
            mempool: Mempool::default(),
            unchecked: Vec::new(),
            checking: false,
            availability: Availability::default(),
            batches: BTreeMap::new(),
            batch_arrivals: VecDeque::new(),
            checking_batches: BTreeMap::new(),
            points: BTreeMap::new(),
            batch_sequence: 0,
            openings: Openings::default(),
            held: recovered
                .held
                .into_iter()
                .map(|e| (e.header.id(), e))
                .collect(),
            fees: recovered.ledger.fees().clone(),
            ledger: recovered.ledger,
            roots,
            queue: VecDeque::new(),
            committed: recovered.height,
            executed: recovered.height,
            recovered_to: recovered.committed,
            tip: recovered.tip,
            uncommitted: Vec::new(),
            held_back: None,
            checks: Vec::new(),
            payload_pending: false,
            config,
        };
        for envelope in recovered.mempool {
            let fee = sequencer.fees.quote(envelope.header.body_bytes);
            sequencer.mempool.insert(envelope, fee, now);
        }
        sequencer.availability.recover(recovered.ordered);
        let mut actions = Vec::new();
        for batch in recovered.batches {
            sequencer.recover_batch(batch, now, &mut actions);
        }
        for reference in recovered.certificates {
            sequencer
                .availability
                .certify(reference.header.id(), reference, now);
        }
        sequencer.settle(now, &mut actions);
        actions.push(Action::WakeAt(now + TICK_MS));
        (sequencer, actions)
    }

    fn recover_batch(&mut self, batch: Arc<Batch>, now: u64, actions: &mut Vec<Action>) {
        let id = batch.header.id();
        let ordered = self.availability.is_ordered(&batch.header);
        if batch.header.author == self.config.index && !ordered {
            self.batch_sequence = self.batch_sequence.max(batch.header.sequence);
            for envelope in &batch.envelopes {
                self.mempool.mark_batched(envelope.header.id());
            }
            self.availability.collect(id, batch.clone(), now);
            let own = true;
            let from = self.config.index;
            self.checking_batches.insert(id, from);
            actions.push(Action::Work(Work::CheckBatch {
                from,
                batch: batch.clone(),
                own,
            }));
        }
        self.keep_batch(id, batch);
    }

    /// The ledger after the last executed block.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The last final height known here.
    pub fn committed(&self) -> Height {
        self.committed
    }

    /// The last executed height.
    pub fn executed(&self) -> Height {
        self.executed
    }

    /// Envelopes acknowledged here and not ordered yet.
    pub fn mempool_len(&self) -> usize {
        self.mempool.len()
    }

    /// Whether an envelope of ours waits, and whether a batch holds it.
    pub fn waiting(&self, id: EnvelopeId) -> Option<bool> {
        self.mempool
            .contains(id)
            .then(|| self.mempool.is_batched(id))
    }

    /// One step: same state, same input, same time, same actions.
    pub fn handle(&mut self, now: u64, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Submit { ticket, envelope } => self.submit(ticket, envelope, &mut actions),
            Input::Message { from, message } => self.message(now, from, message, &mut actions),
            Input::Fetched(batch) => self.fetched(batch, &mut actions),
            Input::Reopened {
                height,
                lane,
                record,
            } => {
                self.reopened(height, lane, *record, &mut actions);
            }
            Input::NotReopened { height, lane } => self.release(height, lane, &mut actions),
            Input::PayloadWanted {
                view,
                parent_time,
                ancestors,
                due,
            } => {
                actions.push(self.payload(now, view, parent_time, &ancestors, due));
            }
            Input::Check { block, ancestors } => {
                self.uncommitted = proposer::slots_of(&ancestors);
                let own = block.batches.iter().map(|batch| slot(&batch.header));
                self.uncommitted.extend(own);
                self.checks.push(PendingCheck { block, ancestors });
            }
            Input::Committed {
                blocks,
                certificate,
            } => {
                self.commit(now, blocks, &certificate, &mut actions);
            }
            Input::Done(done) => self.done(now, *done, &mut actions),
            Input::Tick => self.tick(now, &mut actions),
        }
        self.settle(now, &mut actions);
        actions
    }

    /// Everything that may have become possible.
    fn settle(&mut self, now: u64, actions: &mut Vec<Action>) {
        self.advance(now, actions);
        self.check_submissions(actions);
        self.pack(now, actions);
        self.answer_checks(actions);
        self.announce(now, actions);
    }

    // ---- submissions ------------------------------------------------------------------------

    fn submit(&mut self, ticket: u64, envelope: Box<Envelope>, actions: &mut Vec<Action>) {
        match self.admissible(&envelope) {
            Ok(()) => self.unchecked.push((ticket, envelope)),
            Err(refusal) => actions.push(Action::Answer {
                ticket,
                answer: Err(refusal),
            }),
        }
    }

    /// The checks that are cheap or may change between now and the signature's check.
    fn admissible(&self, envelope: &Envelope) -> Result<(), Refusal> {
        admission::check_shape(self.config.chain, envelope)?;
        let core = &envelope.header.core;
        if core.epoch != self.config.epoch {
            return Err(Refusal::epoch(format!(
                "the envelope is sealed to the key of epoch {}, the key of epoch {} is in use",
                core.epoch, self.config.epoch
            )));
        }
        if core.rollup != RollupId::SYSTEM && self.ledger.rollup(core.rollup).is_none() {
            return Err(Refusal::rollup(format!(
                "rollup {} is not registered",
                core.rollup
            )));
        }
        let latest = self.committed.0 + limits::EXPIRY_AHEAD_BLOCKS_MAX;
        if core.expiry <= self.committed || core.expiry.0 > latest {
            return Err(Refusal::expiry(format!(
                "expiry {} is not within {} and {latest}",
                core.expiry,
                self.committed.next()
            )));
        }
        let preview = self
            .fees
            .preview(&envelope.header, self.committed.next(), core.epoch);
        let used = matches!(
            preview,
            Disposition::Duplicate | Disposition::SequenceTooOld
        );
        if used || self.mempool.uses(core.payer, core.sequence) {
            return Err(Refusal::sequence(format!(
                "sequence {} cannot be used",
                core.sequence
            )));
        }
        let fee = self.fees.quote(envelope.header.body_bytes);
        let owed = self.mempool.owed(core.payer).checked_add(fee);
        let available = self.fees.balance(&core.payer);
        if owed.is_none_or(|owed| owed > available) {
            return Err(Refusal::funds(format!(
                "the fee account holds {available} and the envelope costs {fee}"
            )));
        }
        if !self.mempool.has_room(envelope.body.len()) {
            return Err(Refusal::full("the mempool is full"));
        }
        Ok(())
    }

    /// One check runs at a time, over all that came meanwhile.
    fn check_submissions(&mut self, actions: &mut Vec<Action>) {
        if self.checking || self.unchecked.is_empty() {
            return;
        }
        self.checking = true;
        let rest = self
            .unchecked
            .split_off(self.unchecked.len().min(CHECK_TOGETHER_MAX));
        let together = std::mem::replace(&mut self.unchecked, rest);
        actions.push(Action::Work(Work::CheckEnvelopes(together)));
    }

    fn admit(
        &mut self,
        now: u64,
        checked: Vec<(u64, Box<Envelope>, bool)>,
        actions: &mut Vec<Action>,
    ) {
        self.checking = false;
        let mut writes = Vec::new();
        let mut answers = Vec::new();
        for (ticket, envelope, valid) in checked {
            let verdict = if valid {
                self.admissible(&envelope)
            } else {
                Err(Refusal::seal(
                    "the payer's signature or the seal does not verify",
                ))
            };
            let answer = verdict.map(|()| {
                let id = envelope.header.id();
                let fee = self.fees.quote(envelope.header.body_bytes);
                self.mempool.insert((*envelope).clone(), fee, now);
                writes.push(Write::Admit(id, envelope));
                self.receipt(id)
            });
            answers.push(Action::Answer { ticket, answer });
        }
        actions.push(Action::Durable {
            writes,
            then: answers,
        });
    }

    fn receipt(&self, envelope: EnvelopeId) -> Receipt {
        let mut receipt = Receipt {
            chain: self.config.chain,
            envelope,
            validator: self.config.index,
            height: self.committed,
            deadline: Height(self.committed.0 + self.config.order_deadline_blocks),
            signature: EdSignature([0; 64]),
        };
        receipt.signature = (self.config.receipts)(&receipt.message());
        receipt
    }

    // ---- batches ----------------------------------------------------------------------------

    /// Packs what waits into a batch of ours.
    fn pack(&mut self, now: u64, actions: &mut Vec<Action>) {
        while self.mempool.waiting() > 0 && self.may_pack() {
            let envelopes = self.mempool.take();
            if envelopes.is_empty() {
                return;
            }
            // Never one that was used before a crash: the clock moves on even if the disk lost
            // what was not yet durable.
            self.batch_sequence = (self.batch_sequence + 1).max(now << 8);
            let header = BatchHeader {
                chain: self.config.chain,
                epoch: self.config.epoch,
                author: self.config.index,
                sequence: self.batch_sequence,
                contents: admission::contents_of(&envelopes),
            };
            let id = header.id();
            let batch = Arc::new(Batch { header, envelopes });
            self.availability.collect(id, batch.clone(), now);
            self.keep_batch(id, batch.clone());
            actions.push(Action::Broadcast(Message::Batch(batch.clone())));
            let from = self.config.index;
            self.checking_batches.insert(id, from);
            actions.push(Action::Work(Work::CheckBatch {
                from,
                batch,
                own: true,
            }));
        }
    }

    /// Whether one more batch of ours may leave now.
    fn may_pack(&self) -> bool {
        match self.availability.collecting() {
            0 => true,
            1..BATCHES_IN_FLIGHT_MAX => self.mempool.waiting() >= BATCH_WORTHWHILE,
            _ => false,
        }
    }

    fn keep_batch(&mut self, id: BatchId, batch: Arc<Batch>) {
        if self.batches.insert(id, batch).is_none() {
            self.batch_arrivals.push_back(id);
        }
        // A batch that is needed again after it was dropped here is fetched from the store.
        while self.batch_arrivals.len() > BATCHES_HELD_MAX {
            if let Some(oldest) = self.batch_arrivals.pop_front()
                && !self
                    .queue
                    .iter()
                    .any(|p| p.block.batches.iter().any(|b| b.header.id() == oldest))
            {
                self.drop_batch(oldest);
            }
        }
    }

    fn drop_batch(&mut self, id: BatchId) {
        if let Some(batch) = self.batches.remove(&id) {
            for envelope in &batch.envelopes {
                self.points.remove(&envelope.header.id());
            }
        }
    }

    fn message(
        &mut self,
        now: u64,
        from: ValidatorIndex,
        message: Message,
        actions: &mut Vec<Action>,
    ) {
        let misbehaviour = |what| Action::Misbehaviour {
            validator: from,
            what,
        };
        match message {
            Message::Batch(batch) => {
                let id = batch.header.id();
                if self.availability.is_ordered(&batch.header) {
                    // Too late to certify; a block that waits for it fetches it.
                    self.fetched(batch, actions);
                    return;
                }
                let checking = self.checking_batches.contains_key(&id);
                let kept = self.batches.get(&id).filter(|_| !checking).cloned();
                if let Some(kept) = kept.filter(|_| batch.header.author == from) {
                    // Sent again because our signature was lost. What was checked is our own copy:
                    // the id says nothing of the envelopes that came with it this time.
                    actions.push(self.store_and_sign(id, kept));
                    return;
                }
                let shaped = batch.header.author == from
                    && admission::check_batch_shape(self.config.chain, self.config.epoch, &batch);
                if !shaped {
                    actions.push(misbehaviour("a batch that is not well formed"));
                } else if self.may_check(from) && !checking {
                    self.checking_batches.insert(id, from);
                    actions.push(Action::Work(Work::CheckBatch {
                        from,
                        batch,
                        own: false,
                    }));
                }
            }
            Message::Stored(stored) if stored.signer == from => self.stored(now, &stored, actions),
            Message::Certified(reference) => {
                if !self.certified(now, reference, actions) {
                    actions.push(misbehaviour("a certificate that does not verify"));
                }
            }
            Message::Shares(bundle) if bundle.signer == from => self.shares(bundle, actions),
            Message::Stored(_) | Message::Shares(_) => {
                actions.push(misbehaviour("a message in another validator's name"));
            }
        }
    }

    /// Whether one more batch of this author may wait for its check; it is sent again if not.
    fn may_check(&self, author: ValidatorIndex) -> bool {
        let authors = self.checking_batches.values();
        authors.filter(|checking| **checking == author).count() < CHECKS_PER_AUTHOR_MAX
    }

    fn batch_checked(
        &mut self,
        from: ValidatorIndex,
        id: BatchId,
        batch: Arc<Batch>,
        valid: bool,
        points: Vec<Option<Vec<Point>>>,
        actions: &mut Vec<Action>,
    ) {
        self.checking_batches.remove(&id);
        if !valid {
            let what = "a batch with an invalid envelope";
            actions.push(Action::Misbehaviour {
                validator: from,
                what,
            });
            return;
        }
        if self.availability.is_ordered(&batch.header) {
            // Others certified it meanwhile; it must not come back as one that waits for that.
            self.keep_ordered(id, batch, actions);
            return;
        }
        for (envelope, points) in batch.envelopes.iter().zip(points) {
            if let Some(points) = points {
                self.points.insert(envelope.header.id(), points);
            }
        }
        self.keep_batch(id, batch.clone());
        self.arrived(id);
        actions.push(self.store_and_sign(id, batch));
    }

    /// "Stored" leaves, or counts, only once the batch is durable.
    fn store_and_sign(&self, id: BatchId, batch: Arc<Batch>) -> Action {
        let message = Stored::message(self.config.chain, id);
        let signer = self.config.index;
        let stored = Stored {
            batch: id,
            signer,
            signature: self.config.signatures.sign(&message),
        };
        let to = batch.header.author;
        // The host gives a message to ourselves back as an input.
        let then = vec![Action::Send {
            to,
            message: Message::Stored(stored),
        }];
        Action::Durable {
            writes: vec![Write::Batch(id, batch)],
            then,
        }
    }

    fn stored(&mut self, now: u64, stored: &Stored, actions: &mut Vec<Action>) {
        let Config {
            chain,
            committee,
            signatures,
            ..
        } = &self.config;
        let (certificate, liars) =
            self.availability
                .stored(*chain, committee, signatures.as_ref(), stored);
        for validator in liars {
            let what = "a wrong signature on a batch";
            actions.push(Action::Misbehaviour { validator, what });
        }
        if let Some(reference) = certificate {
            actions.push(Action::Broadcast(Message::Certified(reference.clone())));
            self.keep_certificate(now, reference, actions);
        }
    }

    fn keep_certificate(&mut self, now: u64, reference: BatchRef, actions: &mut Vec<Action>) {
        let id = reference.header.id();
        if self.availability.certify(id, reference.clone(), now) {
            let writes = vec![Write::Certificate(id, reference)];
            actions.push(Action::Durable {
                writes,
                then: Vec::new(),
            });
        }
    }

    fn certified(&mut self, now: u64, reference: BatchRef, actions: &mut Vec<Action>) -> bool {
        let id = reference.header.id();
        if self.availability.knows(id, &reference)
            || self.availability.is_ordered(&reference.header)
        {
            return true;
        }
        let valid = self.verify_reference(&reference);
        if valid {
            self.keep_certificate(now, reference, actions);
        }
        valid
    }

    fn verify_reference(&self, reference: &BatchRef) -> bool {
        let Config {
            chain,
            epoch,
            committee,
            signatures,
            ..
        } = &self.config;
        let aggregate = &reference.stored;
        let message = Stored::message(*chain, reference.header.id());
        admission::check_batch_header(*chain, *epoch, &reference.header)
            && committee.has_quorum(&aggregate.signers)
            && signatures.verify_aggregate(&[(message, aggregate.signers)], &aggregate.signature)
    }

    // ---- proposals --------------------------------------------------------------------------

    fn payload(
        &mut self,
        now: u64,
        view: View,
        parent_time: BlockTime,
        ancestors: &[Arc<Block>],
        due: bool,
    ) -> Action {
        let parent = ancestors
            .last()
            .map_or(self.tip, |block| LedgerReference::of(&block.header));
        let height = ancestors
            .last()
            .map_or(self.committed, |block| block.header.height)
            .next();
        let ledger = proposer::ledger_reference(&self.roots, parent);
        let max = if proposer::lags(height, ledger.height) {
            0
        } else {
            limits::BLOCK_BATCHES_MAX
        };
        self.held_back = (max == 0).then_some(self.executed);
        self.uncommitted = proposer::slots_of(ancestors);
        let batches = self.availability.orderable(&self.uncommitted, max);
        if batches.is_empty() && !due && !self.timers_due(now) {
            self.payload_pending = false;
            return Action::PayloadPending(false);
        }
        self.uncommitted
            .extend(batches.iter().map(|batch| slot(&batch.header)));
        let time = BlockTime(now.max(parent_time.0 + 1));
        Action::Payload {
            view,
            batches,
            time,
            ledger_height: ledger.height,
            ledger_root: ledger.root,
        }
    }

    /// Whether the ledger waits for a block, with or without anything to order.
    fn timers_due(&self, now: u64) -> bool {
        self.fees.has_queued() || self.ledger.next_due().is_some_and(|due| due.0 <= now)
    }

    /// Answers proposals whose ledger root is known here by now.
    fn answer_checks(&mut self, actions: &mut Vec<Action>) {
        let checks = std::mem::take(&mut self.checks);
        for check in checks {
            if check.block.header.height <= self.committed {
                continue;
            }
            if check.block.header.ledger_height > self.executed {
                self.checks.push(check);
                continue;
            }
            let valid = self.payload_is_valid(&check);
            actions.push(Action::Checked {
                block: check.block.id(),
                valid,
            });
        }
        // Views move on; only the newest proposals can still get votes.
        let surplus = self.checks.len().saturating_sub(proposer::CHECKS_MAX);
        self.checks.drain(..surplus);
    }

    fn payload_is_valid(&mut self, check: &PendingCheck) -> bool {
        let header = &check.block.header;
        let parent = check
            .ancestors
            .last()
            .map_or(self.tip, |block| LedgerReference::of(&block.header));
        let known = self.roots.get(&header.ledger_height);
        if !check.is_well_formed(parent) || known != Some(&header.ledger_root) {
            return false;
        }
        check.block.batches.iter().all(|reference| {
            let id = reference.header.id();
            let known = self.availability.knows(id, reference);
            !self.availability.is_ordered(&reference.header)
                && (known || self.verify_reference(reference))
        })
    }

    /// Tells agreement when there begins or ceases to be something to propose.
    fn announce(&mut self, now: u64, actions: &mut Vec<Action>) {
        let ledger = proposer::ledger_reference(&self.roots, self.tip);
        let lagging = proposer::lags(self.committed.next(), ledger.height)
            || self.held_back == Some(self.executed);
        let orderable = !lagging && self.availability.has_orderable(&self.uncommitted);
        let pending = orderable || self.timers_due(now);
        if pending != self.payload_pending {
            self.payload_pending = pending;
            actions.push(Action::PayloadPending(pending));
        }
    }

    // ---- committed blocks -------------------------------------------------------------------

    fn commit(
        &mut self,
        now: u64,
        blocks: Vec<Arc<Block>>,
        certificate: &CommitCertificate,
        actions: &mut Vec<Action>,
    ) {
        let mut writes = Vec::new();
        for block in blocks {
            // After a restart agreement repeats what we may have executed already.
            if block.header.height != self.committed.next() {
                continue;
            }
            self.committed = block.header.height;
            self.tip = LedgerReference::of(&block.header);
            for reference in &block.batches {
                let id = reference.header.id();
                let ended = self.availability.order(reference);
                writes.push(Write::Ordered(id));
                let others = ended.into_iter().filter(|other| *other != id);
                writes.extend(others.map(Write::Ordered));
            }
            if self.committed > self.recovered_to {
                writes.push(Write::Block(block.clone(), certificate.clone()));
            }
            let missing = self.missing(&block, actions);
            self.queue.push_back(Pending {
                id: block.id(),
                block,
                committed_ms: now,
                opened_ms: 0,
                missing,
                ordered: None,
                executing: false,
            });
        }
        if !writes.is_empty() {
            actions.push(Action::Durable {
                writes,
                then: Vec::new(),
            });
        }
    }

    fn missing(&self, block: &Block, actions: &mut Vec<Action>) -> BTreeSet<BatchId> {
        let mut missing = BTreeSet::new();
        for reference in &block.batches {
            let id = reference.header.id();
            if !self.batches.contains_key(&id) {
                missing.insert(id);
                let holders: Signers = reference.stored.signers;
                actions.push(Action::Fetch(Fetch::Batch { id, holders }));
            }
        }
        missing
    }

    /// A fetched batch is what its id says; the certificate vouches for its envelopes.
    fn fetched(&mut self, batch: Arc<Batch>, actions: &mut Vec<Action>) {
        let id = batch.header.id();
        if self.is_missing(id)
            && admission::check_batch_shape(self.config.chain, self.config.epoch, &batch)
        {
            self.keep_ordered(id, batch, actions);
        }
    }

    fn is_missing(&self, id: BatchId) -> bool {
        let mut pending = self.queue.iter();
        pending.any(|pending| pending.missing.contains(&id))
    }

    /// Keeps the body of an ordered batch, which readers and peers will ask for.
    fn keep_ordered(&mut self, id: BatchId, batch: Arc<Batch>, actions: &mut Vec<Action>) {
        if self.is_missing(id) {
            self.keep_batch(id, batch.clone());
            self.arrived(id);
        }
        actions.push(Action::Durable {
            writes: vec![Write::Batch(id, batch), Write::Ordered(id)],
            then: Vec::new(),
        });
    }

    fn arrived(&mut self, id: BatchId) {
        for pending in &mut self.queue {
            pending.missing.remove(&id);
        }
    }

    fn advance(&mut self, now: u64, actions: &mut Vec<Action>) {
        while self.order_next(now, actions) {}
        self.execute_next(now, actions);
    }

    /// Decides, from headers alone, which envelopes of the next block count; then opens them.
    fn order_next(&mut self, now: u64, actions: &mut Vec<Action>) -> bool {
        let executed = self.executed;
        let Some(at) = self
            .queue
            .iter()
            .position(|pending| pending.ordered.is_none())
        else {
            return false;
        };
        let pending = &self.queue[at];
        if !pending.missing.is_empty() || pending.block.header.ledger_height > executed {
            return false;
        }
        let absent = self.missing(&pending.block, actions);
        if !absent.is_empty() {
            self.queue[at].missing = absent;
            return false;
        }
        let placed = self.placed(&self.queue[at].block);
        let header = &self.queue[at].block.header;
        let block = OrderedBlock {
            height: header.height,
            epoch: header.epoch,
            time: header.time,
            proposer: header.proposer,
            ledger_height: header.ledger_height,
        };
        let envelopes: Vec<OrderedEnvelope<'_>> = placed
            .iter()
            .map(|p| OrderedEnvelope {
                header: &p.envelope.header,
                author: p.author,
            })
            .collect();
        let dispositions = match self.fees.order(&block, &envelopes) {
            Ok(dispositions) => dispositions,
            Err(error) => {
                actions.push(Action::Stop {
                    reason: error.to_string(),
                });
                return false;
            }
        };
        let context = ShareContext {
            block: self.queue[at].id,
            height: header.height,
            lane: ShareLane::OnCommit,
        };
        let mut finalised = Vec::new();
        let mut writes = Vec::new();
        for placed in &placed {
            let id = placed.envelope.header.id();
            if let Some(admitted) = self.mempool.remove(id) {
                finalised.push((id, now.saturating_sub(admitted)));
                writes.push(Write::Discharge(id));
            }
        }
        if !writes.is_empty() {
            let then = vec![Action::Finalised {
                height: context.height,
                envelopes: finalised,
            }];
            actions.push(Action::Durable { writes, then });
        }
        let opening = placed
            .iter()
            .zip(&dispositions)
            .filter(|(placed, disposition)| {
                disposition.is_accepted()
                    && placed.envelope.header.is_sealed()
                    && placed.envelope.header.core.release == ReleaseRule::OnCommit
            });
        let opening: Vec<Arc<Envelope>> = opening.map(|(p, _)| p.envelope.clone()).collect();
        for (placed, disposition) in placed.iter().zip(&dispositions) {
            if disposition.is_accepted()
                && matches!(placed.envelope.header.core.release, ReleaseRule::AtClose(_))
            {
                self.held
                    .insert(placed.envelope.header.id(), placed.envelope.clone());
            }
        }
        self.queue[at].ordered = Some(placed.into_iter().zip(dispositions).collect());
        self.start_lane(context, opening, now, actions);
        true
    }

    /// The block's envelopes in order, each with its place.
    fn placed(&self, block: &Block) -> Vec<PlacedEnvelope> {
        let mut placed = Vec::new();
        for reference in &block.batches {
            let id = reference.header.id();
            let Some(batch) = self.batches.get(&id) else {
                continue;
            };
            for (position, envelope) in batch.envelopes.iter().enumerate() {
                placed.push(PlacedEnvelope {
                    envelope: Arc::new(envelope.clone()),
                    author: reference.header.author,
                    batch: id,
                    position: position as u32,
                });
            }
        }
        placed
    }

    fn start_lane(
        &mut self,
        context: ShareContext,
        envelopes: Vec<Arc<Envelope>>,
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        let (height, lane) = (context.height, context.lane);
        let empty = envelopes.is_empty();
        self.openings.start(context, envelopes, now);
        if empty {
            let result = conclave_seal::OpenResult {
                verdicts: Some(Vec::new()),
                liars: Vec::new(),
            };
            self.openings.finish(context, result, Vec::new(), None, 0);
        } else if height <= self.recovered_to {
            actions.push(Action::Fetch(Fetch::Openings { height, lane }));
        } else {
            self.release(height, lane, actions);
        }
    }

    /// Makes our shares; the block is committed, so they may leave.
    fn release(&mut self, height: Height, lane: ShareLane, actions: &mut Vec<Action>) {
        let Some(envelopes) = self.openings.envelopes((height, lane)) else {
            return;
        };
        let Some(block) = self.queue.iter().find(|p| p.block.header.height == height) else {
            return;
        };
        let context = ShareContext {
            block: block.id,
            height,
            lane,
        };
        let envelopes = envelopes.to_vec();
        let points = envelopes
            .iter()
            .map(|e| self.points.remove(&e.header.id()))
            .collect();
        actions.push(Action::Work(Work::Bundle {
            context,
            envelopes,
            points,
        }));
        self.attempt(height, lane, actions);
    }

    fn reopened(
        &mut self,
        height: Height,
        lane: ShareLane,
        record: OpeningRecord,
        actions: &mut Vec<Action>,
    ) {
        let Some(envelopes) = self.openings.envelopes((height, lane)) else {
            return;
        };
        let envelopes = envelopes.to_vec();
        let block = self.queue.iter().find(|p| p.block.header.height == height);
        let (Some(block), Some(bundle)) = (block, record.bundle) else {
            return self.release(height, lane, actions);
        };
        if envelopes.len() != record.verdicts.len() {
            return self.release(height, lane, actions);
        }
        let context = ShareContext {
            block: block.id,
            height,
            lane,
        };
        self.openings.reopen(bundle, record.evidence);
        let verdicts = record.verdicts;
        actions.push(Action::Work(Work::Decrypt {
            context,
            envelopes,
            verdicts,
        }));
    }

    fn shares(&mut self, bundle: ShareBundle, actions: &mut Vec<Action>) {
        let (height, lane) = (bundle.height, bundle.lane);
        self.openings.add(bundle, self.executed);
        self.attempt(height, lane, actions);
    }

    fn attempt(&mut self, height: Height, lane: ShareLane, actions: &mut Vec<Action>) {
        if let Some(work) = self
            .openings
            .attempt((height, lane), &self.config.committee)
        {
            actions.push(Action::Work(work));
        }
    }

    /// Executes the next block once everything it needs can be read.
    fn execute_next(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Some(front) = self.queue.front() else {
            return;
        };
        let header = front.block.header.clone();
        let on_commit = (header.height, ShareLane::OnCommit);
        if front.executing || front.ordered.is_none() || self.openings.opened(on_commit).is_none() {
            return;
        }
        let at_close = (header.height, ShareLane::AtClose);
        let context = ShareContext {
            block: front.id,
            height: header.height,
            lane: ShareLane::AtClose,
        };
        if !self.openings.is_started(at_close) {
            let bids = self.closing_bids(&header);
            self.start_lane(context, bids, now, actions);
        }
        let (Some(opened), Some(bids)) = (
            self.openings.opened(on_commit).cloned(),
            self.openings.opened(at_close).cloned(),
        ) else {
            return;
        };
        // Everybody can check an opening; that there is none takes a certificate.
        let malformed = (header.height, ShareLane::Malformed);
        if !self.openings.is_started(malformed) {
            let context = ShareContext {
                lane: ShareLane::Malformed,
                ..context
            };
            let envelopes = opened.malformed().chain(bids.malformed()).collect();
            self.start_lane(context, envelopes, now, actions);
        }
        let Some(malformed) = self.openings.opened(malformed).cloned() else {
            return;
        };
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        front.executing = true;
        front.opened_ms = now;
        let job = ExecuteJob {
            ledger: self.ledger.clone(),
            header,
            envelopes: front.ordered.clone().unwrap_or_default(),
            opened,
            bids,
            malformed,
        };
        actions.push(Action::Work(Work::Execute(Box::new(job))));
    }

    /// The bids of the auctions that this block closes, in the ledger's order.
    fn closing_bids(&self, header: &BlockHeader) -> Vec<Arc<Envelope>> {
        let closing = self
            .ledger
            .closing(header.time, header.height, header.proposer);
        let bids = closing
            .into_iter()
            .flat_map(|auction| self.ledger.held_bids(auction));
        bids.filter_map(|bid| self.held.get(&bid.id()).cloned())
            .collect()
    }

    fn executed_block(&mut self, result: ExecuteResult, actions: &mut Vec<Action>) {
        let done = match result.outcome {
            Ok(done) => *done,
            // A committed block that cannot be executed here means that this node's store is not
            // what it should be; guessing on would fork the ledger.
            Err(error) => {
                let reason = format!("block {} cannot be executed: {error}", result.height);
                actions.push(Action::Stop { reason });
                return;
            }
        };
        let Some(pending) = self.queue.pop_front() else {
            return;
        };
        let height = result.height;
        self.executed = height;
        self.ledger = done.ledger;
        self.fees.queue(height, done.executed.fee_changes.clone());
        self.roots.insert(height, done.root);
        while self.roots.len() as u64 > ROOTS_KEPT {
            self.roots.pop_first();
        }
        self.openings.forget(height);
        for reference in &pending.block.batches {
            self.drop_batch(reference.header.id());
        }
        self.forget_bids(height);
        let mut writes = done.writes;
        if height.0.is_multiple_of(SNAPSHOT_BLOCKS) {
            let held = self.held.values().cloned().collect();
            writes.push(Write::Snapshot {
                height,
                ledger: self.ledger.clone(),
                held,
                ordered: self.availability.ordered(),
            });
        }
        let published = Published {
            height,
            time: pending.block.header.time,
            ledger: self.ledger.clone(),
            executed: done.executed,
            opening_ms: pending.opened_ms.saturating_sub(pending.committed_ms),
            envelopes: done.envelopes,
            transactions: done.transactions,
        };
        let then = vec![Action::Executed(Box::new(published))];
        actions.push(Action::Durable { writes, then });
    }

    /// Forgets the bids of blocks up to `height` that the ledger holds no more, or never took.
    fn forget_bids(&mut self, height: Height) {
        if self.held.is_empty() {
            return;
        }
        let ahead = self.queue.iter().filter(|p| p.block.header.height > height);
        let ahead = ahead.filter_map(|p| p.ordered.as_ref()).flatten();
        let mut kept: BTreeSet<EnvelopeId> = ahead.map(|(p, _)| p.envelope.header.id()).collect();
        for auction in self.ledger.auctions() {
            let bids = self.ledger.held_bids(auction.id);
            kept.extend(bids.iter().map(|bid| bid.id()));
        }
        self.held.retain(|id, _| kept.contains(id));
    }

    // ---- the rest ---------------------------------------------------------------------------

    fn done(&mut self, now: u64, done: Done, actions: &mut Vec<Action>) {
        match done {
            Done::EnvelopesChecked(checked) => self.admit(now, checked, actions),
            Done::BatchChecked {
                from,
                id,
                batch,
                valid,
                points,
            } => {
                self.batch_checked(from, id, batch, valid, points, actions);
            }
            Done::Bundled { context, bundle } => {
                if let Some(bundle) = bundle {
                    self.openings.own(bundle.clone());
                    actions.push(after_writes(vec![Action::Broadcast(Message::Shares(
                        bundle,
                    ))]));
                }
                self.attempt(context.height, context.lane, actions);
            }
            Done::Opened {
                context,
                result,
                plaintexts,
                evidence,
                bundles,
            } => {
                let finished = self
                    .openings
                    .finish(context, result, plaintexts, evidence, bundles);
                for validator in finished {
                    let what = "a share that its proof does not support";
                    actions.push(Action::Misbehaviour { validator, what });
                }
                self.attempt(context.height, context.lane, actions);
            }
            Done::Executed(result) => self.executed_block(*result, actions),
        }
    }

    fn tick(&mut self, now: u64, actions: &mut Vec<Action>) {
        let repeated = self.openings.repeat(now);
        if !repeated.is_empty() {
            actions.push(after_writes(repeated));
        }
        for (batch, signed) in self.availability.overdue(now, BATCH_REPEAT_MS) {
            for to in self.config.committee.indices() {
                if to != self.config.index && !signed.contains(to) {
                    actions.push(Action::Send {
                        to,
                        message: Message::Batch(batch.clone()),
                    });
                }
            }
        }
        for reference in self
            .availability
            .unordered(self.config.index, now, BATCH_REPEAT_MS)
        {
            actions.push(Action::Broadcast(Message::Certified(reference)));
        }
        for pending in &self.queue {
            let references = pending.block.batches.iter();
            for reference in references.filter(|r| pending.missing.contains(&r.header.id())) {
                let (id, holders) = (reference.header.id(), reference.stored.signers);
                actions.push(Action::Fetch(Fetch::Batch { id, holders }));
            }
        }
        // What a final block may hold that is not read yet has not expired.
        let mut unread = self.queue.iter().filter(|p| p.ordered.is_none());
        let read_to = unread.next().map_or(self.committed, |p| {
            Height(p.block.header.height.0.saturating_sub(1))
        });
        let expired = self.mempool.expire(read_to);
        if !expired.is_empty() {
            let height = self.committed;
            let writes = expired.iter().flat_map(|id| {
                let fate = FateRecord {
                    height,
                    outcome: None,
                };
                [Write::Discharge(*id), Write::Fate(*id, fate)]
            });
            actions.push(Action::Durable {
                writes: writes.collect(),
                then: Vec::new(),
            });
        }
        actions.push(Action::WakeAt(now + TICK_MS));
    }
}

/// For what must not leave before all writes so far are durable: shares speak of a final block, and
/// the certificate that makes it so may rest on a vote of ours that is still on its way to the disk.
fn after_writes(then: Vec<Action>) -> Action {
    Action::Durable {
        writes: Vec::new(),
        then,
    }
}
