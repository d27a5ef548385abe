//! Verifying a rollup's contents and settlement from nothing but the genesis.
//!
//! ```text
//! genesis ─▶ commit certificates ─▶ blocks ─▶ ALL envelopes of the rollup (Merkle roots)
//!                     │                           │ openings, decrypted bodies
//!                     │                           ▼
//!                     │             transactions and outcomes in order ─▶ settled proofs,
//!                     │                           │ chain of digests       root to root
//!                     ▼                           ▼                           ▼
//!          ledger root of a final header ─▶ the stream's digest        the settled root
//! ```
//!
//! Committees change with the epochs: each hands over to the next by its last block, and a range is
//! followed through as many epochs as it lies in.
//!
//! Finality, order, completeness and what every opened envelope holds follow from blocks, headers
//! and openings. That an envelope was unpaid, a duplicate or void depends on the ledger: the
//! outcomes of all envelopes are hashed into the stream's digest, which must lead to the digest in
//! a ledger whose root a final header names. Nothing is taken on the node's word.
//!
//! A proof shows what its contents make of the root that it starts from, and anybody can prove that
//! from a root of their own making. So proofs lead to a settled root only where they start from a
//! root that the caller gave, or end at the very root that the ledger holds; proofs that do
//! neither are reported as not anchored.

mod delivery;
mod epochs;
mod ledger;
mod report;
mod settlement;
mod walk;

use std::sync::{Arc, Mutex};

use conclave_light::{
    CertificateError, ChainError, ContentsError, EpochError, LedgerProofError, verify_ancestry,
};
use conclave_seal::KeyError;
use conclave_types::{
    Block, BlockHeader, BlockId, ChainId, CommitCertificate, Digest, EnvelopeId, Genesis, Height,
    RollupId, Settled, StateRoot, TxIndex, codec, limits,
};

pub use delivery::VerifiedDelivery;
pub use ledger::ProvenLedger;
pub use report::{ProofReport, RangeReport, RangeRequest};
pub(crate) use settlement::offload;

use self::epochs::Epochs;
use crate::ClientError;
use crate::api::BlockView;

/// Headers that may lie between a block and the certificate that covers it; many more than views
/// fail in a row while anything is final.
const TAIL_MAX: usize = 4096;
/// Bytes of one header.
const HEADER_BYTES_MAX: usize = 1024;

/// Something that does not verify; it says exactly what.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The sealing key of an epoch is not valid.
    #[error(transparent)]
    SealingKey(#[from] KeyError),
    /// The nodes did not serve what is to be verified.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A field is missing or does not decode.
    #[error("[CV-SDK-040] height {height}: {what} is missing or malformed; ask another node")]
    Malformed { height: Height, what: &'static str },
    /// The hand-over to an epoch does not verify, or an epoch is not known yet.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The hand-over to an epoch does not decode, or is another one's.
    #[error(
        "[CV-SDK-053] the hand-over to epoch {epoch} is malformed or another one's; ask another node"
    )]
    HandOver { epoch: u64 },
    /// A certificate proves nothing.
    #[error("height {height}: {source}")]
    Certificate {
        height: Height,
        source: CertificateError,
    },
    /// Headers do not lead to the certificate.
    #[error("height {height}: {source}")]
    Chain { height: Height, source: ChainError },
    /// The envelopes are not all, or not those, that the block ordered.
    #[error("height {height}: {source}")]
    Contents {
        height: Height,
        source: ContentsError,
    },
    /// A block of another height or chain was given.
    #[error("[CV-SDK-041] height {height}: the block is of {found}; ask another node")]
    WrongBlock { height: Height, found: String },
    /// Two certified blocks do not follow each other.
    #[error(
        "[CV-SDK-042] height {height}: the block's parent is {found:?}, but {expected:?} is final before it; keep both certificates, the committee is at fault"
    )]
    Fork {
        height: Height,
        found: BlockId,
        expected: BlockId,
    },
    /// An envelope is not what its header says.
    #[error("[CV-SDK-043] height {height}, envelope {envelope}: {what}; ask another node")]
    Envelope {
        height: Height,
        envelope: EnvelopeId,
        what: &'static str,
    },
    /// Transactions are not numbered without a gap.
    #[error(
        "[CV-SDK-044] height {height}: the node numbers the first transaction {found}, it is {expected}; ask another node"
    )]
    Index {
        height: Height,
        expected: TxIndex,
        found: TxIndex,
    },
    /// The node does not serve the heights asked for.
    #[error(
        "[CV-SDK-045] the node serves rollup {rollup} up to height {served} of {wanted}; wait until it has caught up"
    )]
    Short {
        rollup: RollupId,
        served: Height,
        wanted: Height,
    },
    /// A settled proof does not verify, or does not connect.
    #[error(
        "[CV-SDK-046] the proof of auction {auction}: {reason}; the settlement is not to be relied on"
    )]
    Proof { auction: u64, reason: String },
    /// The settled root in the ledger is not where the proofs lead, or not the anchor that the
    /// range starts from.
    #[error(
        "[CV-SDK-047] anchor and proofs lead to root {found} before transaction {index}, the ledger holds {settled:?}; check the anchor, then ask another node"
    )]
    SettledRoot {
        found: StateRoot,
        index: TxIndex,
        settled: Settled,
    },
    /// The ledger has settled more of the range than the listed proofs cover.
    #[error(
        "[CV-SDK-052] the listed proofs end before transaction {reached}, the ledger has settled up to {settled}: some are left out; ask another node"
    )]
    ProofsMissing { reached: TxIndex, settled: TxIndex },
    /// An entry is not in the ledger that the given block names.
    #[error(transparent)]
    Ledger(#[from] LedgerProofError),
    /// The node contradicts itself.
    #[error(
        "[CV-SDK-048] height {height}: the outcomes that are listed do not give the stream digest that is stated with them; ask another node"
    )]
    Digest { height: Height },
    /// What is listed is not what the ledger holds.
    #[error(
        "[CV-SDK-049] heights {from} to {to}: what is listed leads to the stream digest {found:?}, the ledger of height {ledger_height} holds {expected:?}: an outcome is wrong; ask another node"
    )]
    Outcomes {
        from: Height,
        to: Height,
        ledger_height: Height,
        found: Digest,
        expected: Digest,
    },
    /// No final block names a ledger that covers the heights asked for.
    #[error(
        "[CV-SDK-050] outcomes are proven up to height {proven} of {wanted}: later ledgers are named by no final block yet; wait for a few blocks or ask for fewer heights"
    )]
    Unproven { wanted: Height, proven: Height },
    /// The rollup had no stream yet.
    #[error(
        "[CV-SDK-051] rollup {rollup} was registered at height {registered}: up to height {to} nothing could be ordered for it; ask for later heights"
    )]
    Early {
        rollup: RollupId,
        registered: Height,
        to: Height,
    },
}

/// Everything that is needed to verify, made from the genesis alone.
pub struct Auditor {
    chain: ChainId,
    /// Grows by what nodes show of later epochs.
    epochs: Mutex<Epochs>,
}

/// A block that 2f+1 validators made final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalBlock {
    /// The block.
    pub block: Block,
    /// Its id.
    pub id: BlockId,
}

impl Auditor {
    /// Checks the genesis' keys and gets ready; later epochs are learnt by [`Self::follow`]. Takes
    /// randomness for the weights of batched checks.
    pub fn new(genesis: &Genesis) -> Result<Arc<Self>, VerifyError> {
        Ok(Arc::new(Self {
            chain: genesis.chain_id(),
            epochs: Mutex::new(Epochs::new(genesis)?),
        }))
    }

    /// Verifies that a block is final. CPU-heavy: about a pairing.
    pub fn block(&self, view: &BlockView) -> Result<FinalBlock, VerifyError> {
        let height = Height(view.height);
        let malformed = |what| VerifyError::Malformed { height, what };
        let block: Block = decode(&view.block, limits::PROPOSAL_BYTES_MAX)
            .ok_or_else(|| malformed("the block"))?;
        if view.tail.len() > TAIL_MAX {
            return Err(malformed("the certificate's tail"));
        }
        let mut headers = vec![block.header.clone()];
        for header in &view.tail {
            let header: BlockHeader = decode(header, HEADER_BYTES_MAX)
                .ok_or_else(|| malformed("a header of the tail"))?;
            headers.push(header);
        }
        let certificate: CommitCertificate = decode(&view.certificate, limits::VOTE_BYTES_MAX)
            .ok_or_else(|| malformed("the certificate"))?;
        if block.header.height != height || block.header.chain != self.chain {
            return Err(VerifyError::WrongBlock {
                height,
                found: format!(
                    "height {} of chain {}",
                    block.header.height, block.header.chain
                ),
            });
        }
        self.keys(certificate.epoch)?
            .verifier(self.chain)
            .commit(&certificate)
            .map_err(|source| VerifyError::Certificate { height, source })?;
        verify_ancestry(&headers, &certificate)
            .map_err(|source| VerifyError::Chain { height, source })?;
        let id = block.id();
        Ok(FinalBlock { block, id })
    }
}

/// Decodes the canonical encoding in hexadecimal.
pub(crate) fn decode<T: bincode::Decode<()>>(text: &str, bytes_max: usize) -> Option<T> {
    if text.len() > 2 * bytes_max {
        return None;
    }
    codec::decode(&hex::decode(text).ok()?, bytes_max).ok()
}
