//! The sequencer: one state machine for the way of an envelope through a validator.

mod batches;
mod bodies;
#[cfg(feature = "broken-rules")]
mod broken;
mod epochs;
mod execution;
mod inclusion;
mod lanes;
mod order;
mod proposals;
mod submissions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use conclave_crypto::{Committee, InconsistentBatch, Shard, batch_contents};
use conclave_ledger::{Disposition, FeeLedger, Ledger, OrderedBlock, OrderedEnvelope};
use conclave_seal::Liar;
use conclave_types::{
    Amount, Batch, BatchHeader, BatchId, BatchRef, Block, BlockHeader, BlockId, BlockTime, ChainId,
    CommitCertificate, Digest, EdSignature, Envelope, EnvelopeHeader, EnvelopeId, Epoch,
    EpochSetup, Height, LaneKind, Manifest, Misbehaviour, Offence, Point, Receipt, ReleaseRule,
    RollupId, ShareBundle, ShareContext, ShareGroup, ShareLane, Signers, Stored, ValidatorIndex,
    View, limits,
};

use crate::admission;
use crate::availability::Availability;
use crate::bodies::{Bodies, Body};
use crate::censorship::{Patience, REPORT_MS, Refusals, left_out};
use crate::dispersal::{Dispersal, Rebuilt};
use crate::epochs::Epochs;
use crate::execution::{ExecuteJob, ExecuteResult, PlacedEnvelope};
use crate::mempool::Mempool;
use crate::message::{
    Action, FateRecord, Fetch, GroupOpenings, Input, Message, OpeningRecord, Published, Write,
};
use crate::opening::Openings;
use crate::proposer::{self, LedgerReference, PendingCheck, Slot, slot};
use crate::refusal::Refusal;
use crate::work::{BundleJob, Done, Work};

/// Own batches on their way to a certificate at once. Two keep the line busy; more would only cut
/// what waits into smaller batches.
const BATCHES_IN_FLIGHT_MAX: usize = 2;
/// Envelopes that are worth a batch before [`BATCH_PACE_MS`], or while another one is on its way.
/// Each batch costs every validator a signature, a certificate's check and writes, however little
/// it holds.
const BATCH_WORTHWHILE: usize = 32;
/// Between two small batches of ours. What comes when nothing came for this long leaves at once.
const BATCH_PACE_MS: u64 = 12;
/// How long a certified batch waits for others that are on their way to a certificate, so that one
/// block takes them all: a block costs every validator four pairings, however little it orders.
const BLOCK_GATHER_MS: u64 = 6;
/// After this long without a certificate a batch is sent again to those that did not answer.
const BATCH_REPEAT_MS: u64 = 500;
/// Between looks at what does not move.
const TICK_MS: u64 = 100;
/// Blocks between ledger snapshots; what lies between is executed again after a restart.
pub const SNAPSHOT_BLOCKS: u64 = 32;
/// Ledger roots remembered: any that a proposal may name, with room for a restart.
pub const ROOTS_KEPT: u64 = 4 * limits::LEDGER_LAG_BLOCKS_MAX;
/// Batches of one author that wait for their check: twice what an honest one has on its way.
const CHECKS_PER_AUTHOR_MAX: usize = 2 * BATCHES_IN_FLIGHT_MAX;
/// Submissions checked together at most; the check's cost per envelope falls with their number.
const CHECK_TOGETHER_MAX: usize = 256;

/// Who this validator is, and among whom.
pub struct Config {
    pub chain: ChainId,
    pub index: ValidatorIndex,
    /// Of the epoch of the next block, and of earlier epochs whose envelopes may still have to be
    /// opened; ascending.
    pub committees: Vec<Arc<Committee>>,
    /// The first height of the newest of these epochs.
    pub epoch_first: Height,
    /// For how many heights of an epoch envelopes sealed to the key before are ordered.
    pub grace_blocks: u64,
    /// Blocks within which an acknowledged envelope is to be ordered.
    pub order_deadline_blocks: u64,
    /// Agreement's timer, at its shortest and longest: by then an honest leader has what was sent.
    pub view_timeout_ms: u64,
    pub view_timeout_ms_max: u64,
    /// Signs receipts and "stored" with the transport key.
    pub sign: Box<dyn Fn(&Digest) -> EdSignature + Send>,
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
    /// Our shards of batches that are not ordered, and the whole batch as far as it is stored; of
    /// our own ones always.
    pub batches: Vec<(Arc<Dispersal>, Option<Arc<Batch>>)>,
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
    /// The lanes that were started, by kind: one for each key that its envelopes are sealed to.
    lanes: BTreeMap<LaneKind, Vec<ShareLane>>,
    executing: bool,
}

/// The state machine. Feed it [`Input`]s with the time in milliseconds; carry out its
/// [`Action`]s in order.
pub struct Sequencer {
    config: Config,
    epochs: Epochs,
    mempool: Mempool,
    unchecked: Vec<(u64, Box<Envelope>)>,
    checking: bool,
    availability: Availability,
    bodies: Bodies,
    /// Batches of ours that are being coded.
    encoding: usize,
    /// With their authors.
    checking_batches: BTreeMap<BatchId, ValidatorIndex>,
    /// Our share points of envelopes that are not ordered yet, by the key's epoch.
    points: BTreeMap<(Epoch, EnvelopeId), Vec<Point>>,
    batch_sequence: u64,
    /// When the last batch of ours left.
    packed_ms: u64,
    /// The next [`Input::Tick`] asked for.
    wake_ms: u64,
    /// The tariffs by which envelopes were last parked.
    tariffs_since: BlockTime,
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
    /// What was ordered up to each height that a snapshot will be made at.
    ordered_at: BTreeMap<Height, Vec<(ValidatorIndex, Vec<u64>)>>,
    /// What the last committed header says of the ledger.
    tip: LedgerReference,
    /// Batches of the blocks on the way to being final, as far as agreement told.
    uncommitted: Vec<Slot>,
    /// With this executed, a payload was last refused because opening lags. It would be again.
    held_back: Option<Height>,
    checks: Vec<PendingCheck>,
    /// When certificates that wait were last reported.
    reported_ms: u64,
    refusals: Refusals,
    payload_pending: bool,
    #[cfg(feature = "broken-rules")]
    early_shares: bool,
    #[cfg(feature = "broken-rules")]
    lenient: bool,
}

impl Sequencer {
    /// Starts from what was durable.
    pub fn new(config: Config, recovered: Recovered, now: u64) -> (Self, Vec<Action>) {
        let mut roots: BTreeMap<Height, Digest> = recovered.roots.into_iter().collect();
        roots.insert(recovered.height, recovered.ledger.root());
        let epochs = Epochs::new(&config);
        let mut sequencer = Self {
            epochs,
            mempool: Mempool::default(),
            unchecked: Vec::new(),
            checking: false,
            availability: Availability::default(),
            bodies: Bodies::default(),
            encoding: 0,
            checking_batches: BTreeMap::new(),
            points: BTreeMap::new(),
            batch_sequence: 0,
            packed_ms: 0,
            wake_ms: u64::MAX,
            tariffs_since: recovered.ledger.fees().tariffs_since(),
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
            ordered_at: BTreeMap::new(),
            tip: recovered.tip,
            uncommitted: Vec::new(),
            held_back: None,
            checks: Vec::new(),
            reported_ms: 0,
            refusals: Refusals::default(),
            payload_pending: false,
            #[cfg(feature = "broken-rules")]
            early_shares: false,
            #[cfg(feature = "broken-rules")]
            lenient: false,
            config,
        };
        for envelope in recovered.mempool {
            let fee = sequencer.fee(&envelope.header);
            sequencer.mempool.insert(envelope, fee, now);
        }
        sequencer.availability.recover(recovered.ordered);
        let mut actions = Vec::new();
        let mut certified = Vec::new();
        for reference in recovered.certificates {
            let id = reference.header.id();
            // What an earlier committee certified, no block can order any more.
            if reference.header.epoch < sequencer.epochs.current() {
                let (writes, then) = (vec![Write::Ordered(id)], Vec::new());
                actions.push(Action::Durable { writes, then });
                continue;
            }
            if sequencer.availability.certify(id, reference.clone(), now) {
                certified.push(reference);
            }
        }
        for (dispersal, batch) in recovered.batches {
            sequencer.recover_batch(&dispersal, batch, &mut actions);
        }
        for reference in certified {
            sequencer.want_body(&reference, &mut actions);
        }
        sequencer.settle(now, &mut actions);
        sequencer.wake_at(now + TICK_MS, &mut actions);
        (sequencer, actions)
    }

    fn recover_batch(
        &mut self,
        dispersal: &Dispersal,
        batch: Option<Arc<Batch>>,
        actions: &mut Vec<Action>,
    ) {
        let header = &dispersal.manifest.header;
        let id = header.id();
        self.hold(id, dispersal.manifest.clone());
        self.bodies.store(id);
        if let Some(batch) = batch {
            self.bodies.rebuilt(id, Some(Body::Whole(batch)));
        }
        // One of a later epoch waits for the replay to begin it.
        let open = header.epoch >= self.epochs.current() && !self.availability.is_ordered(header);
        if open {
            self.availability.quotas.keep(id, &dispersal.manifest);
        }
        if open && header.author == self.config.index {
            self.batch_sequence = self.batch_sequence.max(header.sequence);
            self.resume(id, &dispersal.manifest, actions);
        }
    }

    /// Goes on with a batch of ours: what it holds waits in it, and it is dispersed again unless it
    /// has its certificate. In its own epoch, that is; the committee of another codes it differently.
    fn resume(&mut self, id: BatchId, manifest: &Manifest, actions: &mut Vec<Action>) {
        for envelope in &manifest.envelopes {
            self.mempool.mark_batched(envelope.id());
        }
        let certified = self.availability.certificate(id).is_some();
        if certified || manifest.header.epoch != self.epochs.current() {
            return;
        }
        if let Some(Body::Whole(batch)) = self.bodies.body(id) {
            let batch = batch.as_ref().clone();
            self.encode(batch, actions);
        }
    }

    /// The ledger after the last executed block.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    #[cfg(test)]
    pub(crate) fn openings(&mut self) -> &mut Openings {
        &mut self.openings
    }

    /// The last final height known here.
    pub fn committed(&self) -> Height {
        self.committed
    }

    /// The last executed height.
    pub fn executed(&self) -> Height {
        self.executed
    }

    /// Proposals refused since the start for what they left out.
    pub fn censoring_proposals(&self) -> u64 {
        self.refusals.total
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
            Input::Manifest(manifest) => self.fetched(manifest, &mut actions),
            Input::Body(batch) => self.reread(batch),
            Input::Shards { id, shards } => self.collected(id, shards, &mut actions),
            Input::Reopened {
                height,
                lane,
                record,
            } => {
                self.reopened(now, height, lane, *record, &mut actions);
            }
            Input::NotReopened { height, lane } => self.release(now, height, lane, &mut actions),
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
                #[cfg(feature = "broken-rules")]
                self.release_early(&block, &mut actions);
                self.checks.push(PendingCheck {
                    block,
                    ancestors,
                    at_ms: now,
                });
            }
            Input::Committed {
                blocks,
                certificate,
            } => {
                self.commit(now, blocks, &certificate, &mut actions);
            }
            Input::Epoch(setup) => self.begin_epoch(&setup, &mut actions),
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

    fn done(&mut self, now: u64, done: Done, actions: &mut Vec<Action>) {
        match done {
            Done::EnvelopesChecked(checked) => self.admit(now, checked, actions),
            Done::Encoded { batch, dispersals } => {
                self.disperse(now, batch, dispersals, actions);
            }
            Done::DispersalChecked {
                from,
                dispersal,
                valid,
                points,
            } => {
                self.dispersal_checked(from, dispersal, valid, points, actions);
            }
            Done::Rebuilt(rebuilt) => self.rebuilt(*rebuilt, actions),
            Done::Bundled { context, bundles } => self.bundled(now, context, bundles, actions),
            Done::Opened {
                context,
                result,
                evidence,
                bundles,
            } => {
                let liars = self.openings.finish(context, result, evidence, bundles);
                let key = context.lane.key;
                let named = liars.into_iter().map(|liar| Self::wrong_shares(key, liar));
                actions.extend(named);
                self.opened(now, context, actions);
            }
            Done::OpeningsChecked { context, checked } => {
                let liars = self.openings.checked(context, checked).into_iter();
                actions.extend(liars.map(wrong_opening));
                self.opened(now, context, actions);
            }
            Done::Executed(result) => self.executed_block(*result, actions),
        }
    }

    /// Asks for a tick at this time, unless one comes before.
    fn wake_at(&mut self, at: u64, actions: &mut Vec<Action>) {
        if at < self.wake_ms {
            self.wake_ms = at;
            actions.push(Action::WakeAt(at));
        }
    }

    fn tick(&mut self, now: u64, actions: &mut Vec<Action>) {
        self.wake_ms = u64::MAX;
        let repeated = self.openings.repeat(self.config.index, now);
        if !repeated.is_empty() {
            actions.push(after_writes(repeated));
        }
        for (id, signed) in self.availability.overdue(now, BATCH_REPEAT_MS) {
            for to in self.epochs.committee().indices() {
                if !signed.contains(to) {
                    self.send_dispersal(id, to, actions);
                }
            }
        }
        for reference in self
            .availability
            .unordered(self.config.index, now, BATCH_REPEAT_MS)
        {
            actions.push(Action::Broadcast(Message::Certified(reference)));
        }
        self.report_waiting(now, actions);
        for pending in &self.queue {
            for reference in &pending.block.batches {
                let (id, holders) = (reference.header.id(), reference.stored.signers);
                match pending.missing.contains(&id) {
                    true => actions.push(Action::Fetch(Fetch::Manifest { id, holders })),
                    false => self.want_body(reference, actions),
                }
            }
        }
        // What a final block may hold that is not read yet has not expired.
        let mut unread = self.queue.iter().filter(|p| p.ordered.is_none());
        let read_to = unread.next().map_or(self.committed, |p| {
            Height(p.block.header.height.0.saturating_sub(1))
        });
        let mut expired = self.mempool.expire(read_to);
        let oldest = self.epochs.oldest_key(read_to);
        expired.extend(self.mempool.expire_keys(oldest));
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
        self.wake_at(now + TICK_MS, actions);
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

fn wrong_opening(validator: ValidatorIndex) -> Action {
    Action::Misbehaviour {
        validator,
        what: "openings that are not those of their envelopes",
        evidence: None,
    }
}
