//! The JSON shapes of a node's HTTP API. The node serves these very types, so client and server
//! cannot drift. Identifiers, keys and bytes are lowercase hexadecimal; heights, amounts, times
//! (milliseconds since the Unix epoch) and indices are numbers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// Stable, such as `CV-API-004`.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// 202 to a submission: durable here, ordered by the deadline or reported expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    pub chain: String,
    pub envelope: String,
    pub validator: u16,
    pub height: u64,
    pub deadline: u64,
    /// By the validator's transport key over the canonical message.
    pub signature: String,
}

/// Where an envelope is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeStage {
    /// Durable at the asked validator.
    Pending,
    /// In a certified or dispersed batch.
    Batched,
    /// Final in its order, not yet readable. A bid stays here until its auction closes.
    Ordered,
    /// Readable, and delivered to its rollup.
    Opened,
    /// Ordered, but its seal or body is wrong; delivered as such.
    Malformed,
    /// Its expiry height passed before it was ordered.
    Expired,
    /// Ordered without effect; see code and reason.
    Rejected,
}

/// The state of one envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvelopeView {
    pub id: String,
    pub status: EnvelopeStage,
    /// The height that ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// With `rejected`, and for a system operation that had no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the asked validator saw it pass each stage; only for what was submitted there, and only
    /// for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<EnvelopeTimes>,
}

/// When an envelope passed each stage at the validator that took it in, in microseconds since the
/// Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvelopeTimes {
    /// Durable here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_us: Option<u64>,
    /// On its way to the other validators in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batched_us: Option<u64>,
    /// Its order was final here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered_us: Option<u64>,
    /// Opened, executed and durable: readable here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_us: Option<u64>,
}

/// What an envelope would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeeQuote {
    /// Bytes of the body as carried (bucket plaintext + 16 when sealed).
    pub body_bytes: u64,
    /// In the next block. It may have changed by the time an envelope is ordered, by an eighth a
    /// second at most: `fee_max` in the envelope is the limit.
    pub fee: u64,
    /// The part of it that is congestion, in thousandths of the genesis' fees; 1000 without any.
    pub tariff: u32,
    /// On top if the seal turns out malformed.
    pub malformed_surcharge: u64,
}

/// One member of the committee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorView {
    pub index: u16,
    pub name: String,
    pub weight: u16,
    pub bls_key: String,
    pub transport_key: String,
    pub account: String,
    pub api: String,
}

/// The committee and its sealing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommitteeView {
    pub chain: String,
    pub epoch: u64,
    pub total_weight: u16,
    pub quorum: u16,
    pub sealing_key: String,
    pub validators: Vec<ValidatorView>,
    /// The committed height when this was answered; expiries count from it.
    pub height: u64,
}

/// All validators, by slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorsView {
    /// The executed height that this is as of.
    pub height: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The newest key generation; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_generation: Option<KeyGenerationState>,
    pub validators: Vec<RegisteredView>,
}

/// How far the key generation for an epoch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyGenerationState {
    pub epoch: u64,
    pub attempt: u32,
    /// `channel`, `deal`, `acknowledge`, `reveal` or `done`.
    pub phase: String,
    /// The height at whose end the phase began.
    pub since: u64,
    /// Members that did not do their part of this phase yet.
    pub missing: Vec<u16>,
}

/// One slot of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisteredView {
    /// As it wants to be from the next epoch that takes it.
    pub validator: ValidatorView,
    /// `host:port` of the peer transport.
    pub address: String,
    /// In the present epoch.
    pub weight: u16,
    /// What it asks for; 0 once it leaves.
    pub weight_wanted: u16,
    /// `serving`, `leaving` or `vacant`.
    pub standing: String,
    /// What it has at stake.
    pub bond: u64,
    /// The height at which it lost its bond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forfeited: Option<u64>,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochView {
    pub epoch: u64,
    /// The digest of its setup, which the last block of the epoch before names.
    pub digest: String,
    /// The height whose execution made its key.
    pub ready: u64,
    /// Its first block, once it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Its last block, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// What senders seal to; none once the committee is let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
    /// The canonical encoding of the setup: all validators and the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
}

/// A node's own view of itself and the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    pub chain: String,
    pub validator: u16,
    pub view: u64,
    /// The leader of the current view, when it is known.
    pub leader: Option<u16>,
    pub committed_height: u64,
    pub executed_height: u64,
    pub block_time_ms: u64,
    pub peers_connected: u64,
    pub mempool_envelopes: u64,
    pub envelopes_ordered: u64,
    pub transactions_ordered: u64,
    /// From an envelope's admission here to its order being final, over the last minute.
    pub finality_ms_p50: Option<f64>,
    pub finality_ms_p99: Option<f64>,
    /// From the order being final to the contents being readable, over the last minute.
    pub opening_ms_p50: Option<f64>,
    pub opening_ms_p99: Option<f64>,
    /// While the node joins or catches up.
    pub syncing: Option<SyncingView>,
}

/// How far a node that joins or catches up is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SyncingView {
    /// `snapshot` and `contents` count pieces, `blocks` ranges of heights, `execution` blocks.
    pub what: String,
    pub done: u64,
    pub total: u64,
    pub per_second: f64,
    /// At this rate.
    pub seconds_left: Option<u64>,
}

/// A committed block in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    pub id: String,
    pub height: u64,
    pub view: u64,
    pub epoch: u64,
    pub parent: String,
    pub proposer: u16,
    pub time_ms: u64,
    pub ledger_height: u64,
    pub ledger_root: String,
    pub batches: Vec<BatchView>,
    /// The canonical encoding of the block.
    pub block: String,
    /// Headers from the next height up to the certificate's block; empty when the block has its
    /// own certificate.
    pub tail: Vec<String>,
    /// The commit certificate that covers the block.
    pub certificate: String,
}

/// How one epoch handed over to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochChangeView {
    /// The epoch that begins.
    pub epoch: u64,
    /// The height of the last block of the epoch before; the new one begins with the next.
    pub height: u64,
    /// The canonical encoding of that block's header, its commit certificate, and the setup that it
    /// names: validators and sealing key.
    pub change: String,
}

/// A batch as a block refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    pub id: String,
    pub author: u16,
    pub envelopes: u64,
}

/// One envelope as delivered to its rollup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveredEnvelope {
    pub id: String,
    pub payer: String,
    /// The canonical header; every envelope of the rollup in the block is listed, without effect
    /// or not, so that the list can be checked for completeness.
    pub header: String,
    /// The outcome, such as `opened`, `malformed`, `duplicate`, `unpaid`, `expired`, `void`; the
    /// names of `conclave_types::StreamOutcome`.
    pub outcome: String,
    /// The opening M of a sealed envelope that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<String>,
    /// The body as carried, when it was opened: with the opening it gives the transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The transactions, for readers that trust the node.
    pub transactions: Vec<String>,
}

/// What one block delivered to one rollup, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    pub rollup: u32,
    pub height: u64,
    pub time_ms: u64,
    /// The index of the first transaction delivered at this height.
    pub first_index: u64,
    pub envelopes: Vec<DeliveredEnvelope>,
    /// When an envelope is `malformed`: for each sealing key that such envelopes of the block were
    /// sealed to, the canonical encoding of their headers and the opening certificate that shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub malformed_evidence: Vec<String>,
    /// For each batch whose envelopes are `inconsistent`: the canonical encoding of its certificate,
    /// headers and the shards that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inconsistent_evidence: Vec<String>,
    /// The rolling digest of the rollup's stream after this height; the ledger root covers it.
    pub stream_digest: String,
    /// The block with its certificate: together with the headers above, the proof of inclusion
    /// and completeness. Only when asked for with `proofs=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockView>,
}

/// A part of a rollup's ordered contents. Heights at which nothing was delivered are left out,
/// unless proofs were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentsView {
    pub rollup: u32,
    pub from_height: u64,
    /// The last height that this answer covers; ask on from the next.
    pub to_height: u64,
    pub deliveries: Vec<DeliveryView>,
}

/// What the ledger holds of a rollup, proven against the root that a final block names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerProofView {
    pub rollup: u32,
    /// The height of that ledger: everything ordered up to it is covered.
    pub ledger_height: u64,
    /// The block that names the ledger's height and root, with its certificate.
    pub block: BlockView,
    /// The stream: its position and digest.
    pub stream: ProvenEntryView,
    /// The settled root; the system's own rollup has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<ProvenEntryView>,
}

/// An entry of the ledger and its proof, both in their canonical encodings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvenEntryView {
    pub value: String,
    pub proof: String,
}

/// A part of the chain of digests over a rollup's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinksView {
    pub rollup: u32,
    pub from_height: u64,
    /// The last height that this answer covers; ask on from the next.
    pub to_height: u64,
    /// The stream's digest before `from_height`.
    pub digest: String,
    /// One for each height that ordered something for the rollup, ascending.
    pub links: Vec<LinkView>,
}

/// What one height adds to a stream's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    pub height: u64,
    /// The digest of the height's entries.
    pub entries: String,
}

/// A registered rollup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollupView {
    pub id: u32,
    pub name: String,
    pub owner: String,
    pub program: String,
    /// `none`, or the systems of which `proofs_required` must prove a range.
    pub proof_systems: Vec<String>,
    pub proofs_required: u8,
    pub genesis_root: String,
    pub settled_root: String,
    /// Transactions ordered, in a raised intent, and settled.
    pub ordered_index: u64,
    pub intended_index: u64,
    pub settled_index: u64,
    pub ordered_height: u64,
    pub settled_height: u64,
    /// What the rollup has for proving.
    pub fund: u64,
    pub reserve_price: u64,
    pub reserve_price_max: u64,
    pub range_transactions: u64,
    pub range_age_ms: u64,
    pub deadline_ms: u64,
    pub bond_percent: u32,
    pub stream_digest: String,
}

/// One opened bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BidView {
    pub prover: String,
    pub price: u64,
    /// From 1, the best; absent for a bid that did not count.
    pub rank: Option<u32>,
    /// Why it ranks there or does not count.
    pub reason: String,
}

/// An intent and its auction, from raising to settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuctionView {
    pub id: u64,
    pub rollup: u32,
    pub program: String,
    pub from_index: u64,
    pub to_index: u64,
    pub from_height: u64,
    pub to_height: u64,
    /// `bidding`, `awarded`, `standby`, `open`, `settled` or `cancelled`.
    pub state: String,
    /// How many times it was opened for bids; more than 1 after nobody bid.
    pub round: u32,
    pub opened_ms: u64,
    /// The earliest block time at which it closes.
    pub closes_ms: u64,
    pub price_max: u64,
    pub sealed_bids: u64,
    pub bids: Vec<BidView>,
    pub winner: Option<String>,
    pub standby: Option<String>,
    pub price: Option<u64>,
    pub bond: Option<u64>,
    /// Set once the predecessor is settled and the award made.
    pub deadline_ms: Option<u64>,
    pub settled_by: Option<String>,
    pub paid: Option<u64>,
}

/// A registered prover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProverView {
    pub account: String,
    pub balance: u64,
    pub bond_free: u64,
    pub bond_locked: u64,
    pub slots: u16,
    pub jobs: u16,
    /// A slashed prover wins nothing until it re-arms.
    pub armed: bool,
    pub settled: u64,
    pub missed: u64,
}

/// A settled proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofView {
    pub auction: u64,
    pub rollup: u32,
    pub system: String,
    pub program: String,
    pub prover: String,
    pub from_index: u64,
    pub to_index: u64,
    pub from_height: u64,
    pub to_height: u64,
    pub old_root: String,
    pub new_root: String,
    pub excluded: Vec<u32>,
    /// The height of the block that settled it.
    pub height: u64,
    /// The proof itself; only when one proof is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    pub proof_bytes: u64,
}

/// An account on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    pub account: String,
    pub balance: u64,
    /// The prepaid fee account, as of the executed height.
    pub fees: u64,
    /// The largest sequence number used, if any.
    pub sequence: Option<u64>,
}

/// What happened on the ledger, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    pub height: u64,
    pub time_ms: u64,
    /// Such as `range_settled`.
    pub kind: String,
    /// One line for people.
    pub text: String,
}

/// Money, all of it: the sum never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TotalsView {
    pub balances: u64,
    pub fee_accounts: u64,
    pub bonds: u64,
    pub funds: u64,
    pub pool: u64,
    pub other: u64,
    pub total: u64,
}

/// A stream's word that heights passed without contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// Everything up to this height was delivered, or there was nothing.
    pub height: u64,
}

/// What a probe answers when all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeView {
    pub status: String,
}
