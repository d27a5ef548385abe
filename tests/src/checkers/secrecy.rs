//! No share leaves an honest node for a block that it does not know to be final, and a coalition
//! of f that keeps all it is sent never holds a quorum's shares of an envelope outside one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_node::PeerMessage;
use conclave_sequencer::Message;
use conclave_types::{
    BatchId, Block, BlockId, EnvelopeId, Genesis, ShareBundle, Signers, ValidatorIndex,
};

use super::Violation;

pub(crate) struct SecrecyChecker {
    /// The final blocks that each node knows; certificates outlive a crash.
    known: Vec<BTreeSet<BlockId>>,
    coalition: Coalition,
}

/// The members that pool what they are sent: f of them, with their own shares of everything.
struct Coalition {
    member: ValidatorIndex,
    weights: Vec<u16>,
    batches: BTreeMap<BatchId, Vec<EnvelopeId>>,
    blocks: BTreeMap<BlockId, Vec<BatchId>>,
    /// Batches of blocks that some honest node knows to be final.
    final_batches: BTreeSet<BatchId>,
    /// Whose shares of an envelope it holds besides its own.
    held: BTreeMap<EnvelopeId, Signers>,
}

impl SecrecyChecker {
    pub(crate) fn new(genesis: &Genesis, nodes: usize, member: usize) -> Self {
        let weights = genesis.validators.iter().map(|validator| validator.weight);
        Self {
            known: vec![BTreeSet::new(); nodes],
            coalition: Coalition {
                member: ValidatorIndex(member as u16),
                weights: weights.collect(),
                batches: BTreeMap::new(),
                blocks: BTreeMap::new(),
                final_batches: BTreeSet::new(),
                held: BTreeMap::new(),
            },
        }
    }

    pub(crate) fn committed(&mut self, node: usize, blocks: &[Arc<Block>]) {
        self.known[node].extend(blocks.iter().map(|block| block.id()));
        let batches = blocks.iter().flat_map(|block| &block.batches);
        let ids = batches.map(|batch| batch.header.id());
        self.coalition.final_batches.extend(ids);
    }

    /// What everybody can see of blocks and batches.
    pub(crate) fn see(&mut self, message: &PeerMessage) {
        use conclave_consensus::Message::Proposal;
        match message {
            PeerMessage::Agreement(Proposal(proposal)) => {
                let batches = proposal.block.batches.iter();
                let batches = batches.map(|batch| batch.header.id()).collect();
                self.coalition.blocks.insert(proposal.block.id(), batches);
            }
            PeerMessage::Sequencing(Message::Dispersal(dispersal)) => {
                let manifest = &dispersal.manifest;
                let envelopes = manifest.envelopes.iter().map(|header| header.id());
                let id = manifest.header.id();
                self.coalition.batches.insert(id, envelopes.collect());
            }
            _ => {}
        }
    }

    /// An honest node sends shares, to everyone or to one member.
    pub(crate) fn sent(
        &mut self,
        from: ValidatorIndex,
        to: Option<ValidatorIndex>,
        bundle: &ShareBundle,
    ) -> Result<(), Violation> {
        if to.is_none_or(|to| to == self.coalition.member) && from != self.coalition.member {
            self.coalition.keep(bundle)?;
        }
        self.published(from, bundle.context.block)
    }

    /// An honest node sends something of a block that nobody may read before it is final.
    pub(crate) fn published(&self, from: ValidatorIndex, block: BlockId) -> Result<(), Violation> {
        if self.known[usize::from(from.0)].contains(&block) {
            return Ok(());
        }
        let what = format!(
            "node {} sent shares or openings of block {block}, which is not final",
            from.0
        );
        Err(Violation::new("secrecy", what))
    }
}

impl Coalition {
    /// Notes whose shares it has now. Which of a block's envelopes a lane opens is decided at
    /// ordering; all of them are counted, which is more than it can have.
    fn keep(&mut self, bundle: &ShareBundle) -> Result<(), Violation> {
        for batch in self.blocks.get(&bundle.context.block).into_iter().flatten() {
            for envelope in self.batches.get(batch).into_iter().flatten() {
                let signers = self.held.entry(*envelope).or_default();
                signers.insert(bundle.signer);
                let mut pooled = *signers;
                pooled.insert(self.member);
                let weight = |index: ValidatorIndex| u32::from(self.weights[usize::from(index.0)]);
                let shares: u32 = pooled.iter().map(weight).sum();
                let total: u32 = self.weights.iter().map(|weight| u32::from(*weight)).sum();
                if 3 * shares > 2 * total && !self.final_batches.contains(batch) {
                    let what = format!(
                        "node {} and its friends can read envelope {envelope}, which is not ordered",
                        self.member.0
                    );
                    return Err(Violation::new("secrecy", what));
                }
            }
        }
        Ok(())
    }
}
