//! The words every part of Conclave shares: identifiers, amounts, bounds, the codec, digests, and
//! the messages that are signed or stored.
//!
//! ```text
//! Envelope ──▶ Batch = Manifest + bodies ──▶ AvailabilityCertificate ──▶ Block ──▶ QuorumCertificate ──▶ CommitCertificate
//! ```
//!
//! Invariants: this crate holds data and its encoding only. It verifies no signature, reads no
//! clock and does no IO. Every type that crosses a wire or a disk encodes canonically: decoding
//! and encoding again gives the same bytes.

mod batch;
mod block;
mod certificate;
pub mod codec;
mod digest;
mod domain;
mod envelope;
mod epoch;
mod genesis;
mod ids;
mod key_generation;
mod keys;
pub mod limits;
mod misbehaviour;
mod operation;
mod receipt;
mod registration;
mod rollup;
mod share;
mod stream;
mod threshold;
mod transactions;
mod vote;

#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchHeader, BatchId, BatchRef, Manifest, RollupContents};
pub use block::{Block, BlockHeader, BlockId, Proposal};
pub use certificate::{
    AggregateSignature, CommitCertificate, Entry, QuorumCertificate, SignatureSet, Signers,
    TimeoutCertificate,
};
pub use digest::{Digest, Hasher, ParseHexError};
pub use domain::Domain;
pub use envelope::{
    Bucket, Envelope, EnvelopeCore, EnvelopeHeader, EnvelopeId, Payload, ReleaseRule, SealedKey,
};
pub use epoch::{EpochChange, EpochRecord, EpochSetup, Origin};
pub use genesis::{
    Allocation, ConsensusParameters, FeeParameters, Genesis, GenesisError, MarketParameters,
    SealingKey, ValidatorInfo,
};
pub use ids::{
    AccountId, Amount, AuctionId, BlockTime, ChainId, Epoch, Height, ProgramVersion, RollupId,
    Sequence, ShareIndex, StateRoot, TxIndex, ValidatorIndex, View,
};
pub use key_generation::{
    ChannelOffer, Contribution, Dealing, KeyGenerationFault, KeyGenerationMessage,
    KeyGenerationPhase, KeyGenerationPost, LogarithmProof, RevealedShares,
};
pub use keys::{BlsPublicKey, BlsSignature, EdSignature, Point, Scalar, TransportKey};
pub use misbehaviour::{Ballot, Misbehaviour, Offence, OffenceKind, Refusal, WrongShares};
pub use operation::{Bid, ProofSubmission, SystemOp};
pub use receipt::Receipt;
pub use registration::ValidatorUpdate;
pub use rollup::{ProofPolicy, ProofSystem, Range, RollupConfig, Statement};
pub use share::{BatchedDleq, LaneKind, Opening, ShareBundle, ShareContext, ShareGroup, ShareLane};
pub use stream::{DeliveredEntry, Settled, Stream, StreamLink, StreamOutcome};
pub use threshold::{Threshold, ThresholdError};
pub use transactions::{TransactionsError, decode_transactions, encode_transactions};
pub use vote::{CommitVote, PrepareVote, Stored, Timeout, VoteKind};
