//! What an engine starts from.

use conclave_crypto::Committee;
use conclave_types::{
    Block, BlockHeader, BlockTime, ChainId, CommitCertificate, ConsensusParameters, ValidatorIndex,
};

use crate::SafetyState;

/// What an engine is part of.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub chain: ChainId,
    pub committee: Committee,
    /// This node's own place in the committee.
    pub index: ValidatorIndex,
    pub parameters: ConsensusParameters,
    /// The genesis block's time.
    pub genesis_time: BlockTime,
}

/// What a node that ran before, or joins by a snapshot, starts from.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The last one written; [`SafetyState::genesis`] only if none was ever written, which is
    /// possible even with committed blocks.
    pub safety: SafetyState,
    /// The newest committed headers, ascending, contiguous, the tip last: [`crate::ANCESTRY_BLOCKS`]
    /// of them or all there are. Elections are computed from them.
    pub committed: Vec<BlockHeader>,
    /// The newest commit certificate, for the tip.
    pub certificate: Option<CommitCertificate>,
    /// The blocks written by [`crate::Write::Block`] above the tip.
    pub blocks: Vec<Block>,
}
