//! What goes in, what comes out, what peers send, and what must be durable.

use std::sync::Arc;

use bincode::{Decode, Encode};
use conclave_crypto::{InconsistentBatch, Shard};
use conclave_ledger::{Delivery, Executed, Ledger, LedgerEvent, Outcome};
use conclave_seal::{MalformedEvidence, Verdict};
#[cfg(doc)]
use conclave_types::limits;
use conclave_types::{
    AccountId, Batch, BatchId, BatchRef, Block, BlockId, BlockTime, CommitCertificate, Digest,
    Envelope, EnvelopeId, Epoch, EpochSetup, Height, Manifest, Misbehaviour, Point, ProgramVersion,
    ProofSubmission, Range, Receipt, RollupId, ShareBundle, ShareContext, ShareLane, Signers,
    StateRoot, Stored, ValidatorIndex, View,
};

use crate::dispersal::Dispersal;
use crate::refusal::Refusal;
use crate::work::{Done, Work};

/// What validators tell each other apart from agreement.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// A batch's manifest and the receiver's shards to store, from its author.
    Dispersal(Arc<Dispersal>),
    /// "Stored", to the batch's author.
    Stored(Stored),
    /// An availability certificate, from the author to all.
    Certified(BatchRef),
    /// Decryption shares of a committed block.
    Shares(ShareBundle),
    /// "I hold the certificates of these batches, and they have waited long for their order", to
    /// all; at most [`limits::REPORT_BATCHES_MAX`].
    Waiting(Vec<BatchId>),
    /// What came out of a group of its envelopes, from who combined it.
    Openings(GroupOpenings),
}

impl Message {
    /// Whether it carries shares, or what came out of them.
    pub const fn is_about_opening(&self) -> bool {
        matches!(self, Self::Shares(_) | Self::Openings(_))
    }
}

/// What somebody says came out of a group of a committed block's envelopes. An opening is checked
/// by everybody; that there is none is only a reason to look.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GroupOpenings {
    pub context: ShareContext,
    /// One per envelope, in order.
    pub verdicts: Vec<Verdict>,
}

/// What the host tells the sequencer.
#[derive(Debug)]
pub enum Input {
    /// A client's envelope; the ticket comes back with the answer.
    Submit {
        ticket: u64,
        envelope: Box<Envelope>,
    },
    /// From a peer.
    Message {
        from: ValidatorIndex,
        message: Message,
    },
    /// An answer to [`Fetch::Manifest`], from a peer or the own store.
    Manifest(Arc<Manifest>),
    /// An answer to [`Fetch::Body`]: the own store has the whole batch.
    Body(Arc<Batch>),
    /// An answer to [`Fetch::Body`]: shards, with those who sent them.
    Shards {
        id: BatchId,
        shards: Vec<(ValidatorIndex, Vec<Shard>)>,
    },
    /// An answer to [`Fetch::Openings`] from the own store: this lane was opened here before.
    Reopened {
        height: Height,
        lane: ShareLane,
        record: Box<OpeningRecord>,
    },
    /// The own store has no such openings.
    NotReopened { height: Height, lane: ShareLane },
    /// Agreement wants a payload for a proposal on top of `ancestors`: the blocks that are not
    /// final yet, ascending, the parent last. `due`: a block is wanted even if it is empty.
    PayloadWanted {
        view: View,
        parent_time: BlockTime,
        ancestors: Vec<Arc<Block>>,
        due: bool,
    },
    /// Agreement wants a proposal's payload checked.
    Check {
        block: Arc<Block>,
        ancestors: Vec<Arc<Block>>,
    },
    /// Blocks that became final, ascending and gap-free.
    Committed {
        blocks: Vec<Arc<Block>>,
        certificate: CommitCertificate,
    },
    /// The last block of an epoch is final, and the ledger that its header names was executed: from
    /// the next block on this committee serves, and envelopes are sealed to this key.
    Epoch(Arc<EpochSetup>),
    /// A piece of work was done.
    Done(Box<Done>),
    /// The time of the last [`Action::WakeAt`] has come.
    Tick,
}

/// What the sequencer wants of the host, in order.
#[derive(Debug)]
pub enum Action {
    /// `then` may happen only once the writes are durable.
    Durable {
        writes: Vec<Write>,
        then: Vec<Action>,
    },
    /// To one peer.
    Send {
        to: ValidatorIndex,
        message: Message,
    },
    /// To all peers.
    Broadcast(Message),
    /// The answer to a client.
    Answer {
        ticket: u64,
        answer: Result<Receipt, Refusal>,
    },
    /// The answer to [`Input::PayloadWanted`].
    Payload {
        view: View,
        batches: Vec<BatchRef>,
        time: BlockTime,
        ledger_height: Height,
        ledger_root: Digest,
        /// Makes the block its epoch's last: the digest of the next epoch's setup.
        next_epoch: Option<Digest>,
    },
    /// The answer to [`Input::Check`]; it may come late, or never.
    Checked { block: BlockId, valid: bool },
    /// Whether a proposal would have something to order or close.
    PayloadPending(bool),
    /// To be done off this thread; gives [`Input::Done`].
    Work(Work),
    /// To be looked for in the own store first, then at peers.
    Fetch(Fetch),
    /// A batch of ours is on its way.
    Batched(Arc<Manifest>),
    /// A block was executed; readers see the new ledger from now on.
    Executed(Box<Published>),
    /// No envelope sealed to the key of this epoch, or of an earlier one, will have to be opened any
    /// more: its shares are to be erased. Said again after a restart.
    Retired(Epoch),
    /// Own submissions became final, each with the milliseconds since its admission.
    Finalised {
        height: Height,
        envelopes: Vec<(EnvelopeId, u64)>,
    },
    /// Our own state does not fit the chain, or the store lost what it must hold: the node must
    /// stop and say why.
    Stop { reason: String },
    /// A peer did what no honest validator does.
    Misbehaviour {
        validator: ValidatorIndex,
        what: &'static str,
        /// What shows it to everybody, if anything does.
        evidence: Option<Box<Misbehaviour>>,
    },
    /// Call with [`Input::Tick`] at this time, in milliseconds.
    WakeAt(u64),
}

/// Something missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// The manifest of a batch that a committed block refers to, stored by the signers.
    Manifest { id: BatchId, holders: Signers },
    /// The bodies of a batch: whole from the own store, or `needed` shards, the own ones and those
    /// of the holders, each of whom holds as many as it weighs in the batch's epoch.
    Body {
        id: BatchId,
        epoch: Epoch,
        holders: Signers,
        needed: u16,
    },
    /// The verdicts of a lane from the own store.
    Openings { height: Height, lane: ShareLane },
    /// The peers' bundles for a lane, from all of them.
    Shares { height: Height, lane: ShareLane },
}

/// A record that must survive a crash.
#[derive(Debug, Clone)]
pub enum Write {
    /// An acknowledged envelope.
    Admit(EnvelopeId, Box<Envelope>),
    /// It is ordered, or expired.
    Discharge(EnvelopeId),
    /// The manifest and our shards of a batch that is not ordered yet, ours or a peer's.
    Dispersal(BatchId, Arc<Dispersal>),
    /// A batch with its bodies.
    Batch(BatchId, Arc<Batch>),
    /// What shows that an ordered batch has no bodies.
    Inconsistent(BatchId, Arc<InconsistentBatch>),
    /// Its certificate.
    Certificate(BatchId, BatchRef),
    /// The batch was ordered; what is stored of it stays, its place among the unordered goes.
    Ordered(BatchId),
    /// A committed block and the certificate that made it final, maybe a descendant's.
    Block(Arc<Block>, CommitCertificate),
    /// The verdicts of a lane, and our own shares, for peers that are behind.
    Openings {
        height: Height,
        lane: ShareLane,
        record: OpeningRecord,
    },
    /// What a block delivered to a rollup.
    Delivery {
        rollup: RollupId,
        height: Height,
        record: DeliveryRecord,
    },
    /// Where an envelope ended.
    Fate(EnvelopeId, FateRecord),
    /// The outcome of executing a block.
    Outcome {
        height: Height,
        record: OutcomeRecord,
    },
    /// An accepted proof.
    Proof(Box<ProofRecord>),
    /// The ledger after a block, with the sealed bids it holds. All validators make the same one.
    Snapshot {
        height: Height,
        ledger: Arc<Ledger>,
        held: Vec<Arc<Envelope>>,
        /// Sequence numbers of the batches ordered up to this height, by author, as far back as
        /// they count.
        ordered: Vec<(ValidatorIndex, Vec<u64>)>,
    },
}

/// The stored result of opening a lane.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OpeningRecord {
    pub verdicts: Vec<Verdict>,
    /// Our own shares, by group.
    pub bundles: Vec<ShareBundle>,
    /// In the lane of malformed envelopes.
    pub evidence: Option<MalformedEvidence>,
}

/// Where a delivered envelope's body and opening are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PlacedEntry {
    pub batch: BatchId,
    /// The position in the batch.
    pub position: u32,
    pub opening: Option<Point>,
}

/// The stored delivery of one height to one rollup.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeliveryRecord {
    pub time: BlockTime,
    pub delivery: Delivery,
    /// One per entry of the delivery.
    pub placed: Vec<PlacedEntry>,
}

/// Where an envelope ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FateRecord {
    pub height: Height,
    /// `None` when it expired unordered.
    pub outcome: Option<Outcome>,
}

/// The stored outcome of a block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OutcomeRecord {
    pub time: BlockTime,
    pub root: Digest,
    pub events: Vec<LedgerEvent>,
}

/// A proof that the ledger accepted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ProofRecord {
    pub height: Height,
    pub range: Range,
    pub program: ProgramVersion,
    pub prover: AccountId,
    pub old_root: StateRoot,
    pub submission: ProofSubmission,
}

/// What readers get when a block was executed.
#[derive(Debug)]
pub struct Published {
    pub height: Height,
    pub time: BlockTime,
    pub ledger: Arc<Ledger>,
    pub executed: Executed,
    /// From the block being final to its contents being readable.
    pub opening_ms: u64,
    pub envelopes: u64,
    pub transactions: u64,
}
