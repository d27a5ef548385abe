//! What an engine starts from.

use conclave_crypto::Committee;
use conclave_types::{
    Block, BlockHeader, ChainId, CommitCertificate, ConsensusParameters, Origin, ValidatorIndex,
};

use crate::SafetyState;

/// What an engine is part of.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub chain: ChainId,
    /// The epoch's.
    pub committee: Committee,
    /// This node's own slot. One that weighs nothing in the committee follows and signs nothing.
    pub index: ValidatorIndex,
    pub parameters: ConsensusParameters,
    /// Where the committee's epoch begins.
    pub origin: Origin,
}

/// What a node that ran before, or joins by a snapshot, starts from.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The last one written, if it is of this epoch; [`SafetyState::origin`] only if none of this
    /// epoch was ever written, which is possible even with committed blocks.
    pub safety: SafetyState,
    /// The newest committed headers, ascending, contiguous, the tip last: [`crate::ANCESTRY_BLOCKS`]
    /// of them or all there are. Elections are computed from them; those of earlier epochs are left
    /// aside.
    pub committed: Vec<BlockHeader>,
    /// The newest commit certificate, for the tip.
    pub certificate: Option<CommitCertificate>,
    /// The blocks written by [`crate::Write::Block`] above the tip.
    pub blocks: Vec<Block>,
}
