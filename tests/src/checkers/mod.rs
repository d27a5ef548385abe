//! Judges of a history. They see only what nodes send, commit and publish, and compute for
//! themselves what should have been.

mod chain;
mod contents;
mod deadline;
mod inclusion;
mod market;
mod rules;
mod secrecy;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use conclave_consensus::SafetyState;
use conclave_ledger::Ledger;
use conclave_node::PeerMessage;
use conclave_sequencer::{Message, Published};
use conclave_types::{
    Block, BlockTime, CommitCertificate, Envelope, EpochChange, Genesis, Height, ValidatorIndex,
};

use crate::coverage::{Branch, Coverage};
use crate::model::Proofs;
use crate::sim::Plan;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// How it broke.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, what: String) -> Self {
        Self { invariant, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// All of them over one history.
pub(crate) struct Checkers {
    chain: chain::ChainChecker,
    contents: contents::ContentsChecker,
    market: market::MarketChecker,
    rules: rules::RulesChecker,
    secrecy: secrecy::SecrecyChecker,
    pub(crate) inclusion: inclusion::InclusionChecker,
    pub(crate) deadline: deadline::DeadlineChecker,
    liar: Option<ValidatorIndex>,
    /// Which nodes that were not restarted since can prove whom guilty.
    proven: BTreeSet<(usize, ValidatorIndex)>,
    pub(crate) coverage: Coverage,
}

impl Checkers {
    pub(crate) fn new(genesis: &Genesis, plan: &Plan, proofs: &dyn Proofs) -> Self {
        let nodes = plan.nodes;
        let liar = plan.liar().map(|index| ValidatorIndex(index as u16));
        let mut coverage = Coverage::default();
        plan.partitions
            .iter()
            .for_each(|_| coverage.saw(Branch::Partition));
        plan.liar.iter().for_each(|_| coverage.saw(Branch::Liar));
        Self {
            chain: chain::ChainChecker::new(genesis, nodes),
            contents: contents::ContentsChecker::new(nodes),
            market: market::MarketChecker::new(genesis, liar, proofs),
            rules: rules::RulesChecker::new(genesis, plan.liar()),
            secrecy: secrecy::SecrecyChecker::new(genesis, nodes, plan.coalition()),
            inclusion: inclusion::InclusionChecker::new(&genesis.first_epoch(), nodes),
            deadline: deadline::DeadlineChecker::default(),
            liar,
            proven: BTreeSet::new(),
            coverage,
        }
    }

    pub(crate) fn acknowledged(&mut self, envelope: &Envelope) {
        self.contents.acknowledged(envelope);
    }

    pub(crate) fn restarted(&mut self, node: usize) {
        self.chain.restarted(node);
        self.contents.restarted(node);
        self.inclusion.restarted(node);
        self.proven.retain(|(holder, _)| *holder != node);
    }

    /// An honest node can prove a member guilty, and remembers that until it is restarted: the
    /// member must lose its bond.
    pub(crate) fn proven(&mut self, node: usize, guilty: ValidatorIndex) {
        self.proven.insert((node, guilty));
    }

    /// Those who still have their bonds though somebody can prove them guilty.
    fn unpunished(&self, ledger: &Ledger) -> BTreeSet<ValidatorIndex> {
        let guilty = self.proven.iter().map(|(_, guilty)| *guilty);
        let bonded = |guilty: &ValidatorIndex| {
            let bond = ledger.validator_bond(*guilty);
            bond.is_some_and(|bond| bond.forfeited.is_none())
        };
        guilty.filter(bonded).collect()
    }

    /// A member sends a message, to everyone if no one is named; `disk` is what it would start
    /// from if it crashed now.
    pub(crate) fn sent(
        &mut self,
        from: ValidatorIndex,
        disk: Option<&SafetyState>,
        to: Option<ValidatorIndex>,
        message: &PeerMessage,
    ) -> Result<(), Violation> {
        self.secrecy.see(message);
        match message {
            PeerMessage::Agreement(message) => self.rules.sent(from, disk, message),
            PeerMessage::Sequencing(Message::Shares(bundle)) if self.liar != Some(from) => {
                self.secrecy.sent(from, to, bundle)
            }
            PeerMessage::Sequencing(Message::Openings(openings)) if self.liar != Some(from) => {
                self.secrecy.published(from, openings.context.block)
            }
            PeerMessage::Sequencing(_) => Ok(()),
        }
    }

    /// What an honest member will not forget.
    pub(crate) fn durable(
        &mut self,
        node: ValidatorIndex,
        state: &SafetyState,
    ) -> Result<(), Violation> {
        self.rules.durable(node, state)
    }

    /// An honest member goes on in the next epoch.
    pub(crate) fn began(&mut self, node: usize, change: &EpochChange) -> Result<(), Violation> {
        self.chain.began(node, change)?;
        self.rules.began(&change.setup);
        self.inclusion.began(&change.setup);
        Ok(())
    }

    pub(crate) fn committed(
        &mut self,
        now_ms: u64,
        node: usize,
        blocks: &[Arc<Block>],
        certificate: &CommitCertificate,
    ) -> Result<(), Violation> {
        self.chain.committed(node, blocks, certificate)?;
        self.secrecy.committed(node, blocks);
        self.inclusion.committed(blocks)?;
        let time = blocks
            .last()
            .map_or(BlockTime(0), |block| block.header.time);
        self.rules.committed(now_ms, node, certificate, time)
    }

    pub(crate) fn executed(&mut self, node: usize, published: &Published) -> Result<(), Violation> {
        self.contents
            .executed(node, published, &mut self.coverage)?;
        self.deadline.executed(published)?;
        self.market.executed(published, &mut self.coverage)
    }

    /// The highest height that anyone committed.
    pub(crate) fn height(&self) -> Height {
        self.chain.height()
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.chain.height().0
    }

    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let (acknowledged, delivered) = self.contents.counts();
        (acknowledged, delivered, self.market.settled())
    }

    /// Whether all that was promised has come true everywhere.
    pub(crate) fn is_done(&self, ledgers: &[Arc<Ledger>]) -> bool {
        let newest = ledgers.iter().max_by_key(|ledger| ledger.height());
        let Some(newest) = newest else { return false };
        self.contents.is_done(self.chain.height())
            && ledgers
                .iter()
                .all(|ledger| ledger.height().0 + 3 >= newest.height().0)
            && self.market.is_done(newest)
            && self.unpunished(newest).is_empty()
    }

    /// Judges the whole history at its end.
    pub(crate) fn finish(&self, ledgers: &[Arc<Ledger>]) -> Result<(), Violation> {
        self.market.finish(ledgers)
    }

    /// Why the history did not come to its end.
    pub(crate) fn stuck(&self, ledgers: &[Arc<Ledger>]) -> Violation {
        let heights: Vec<u64> = ledgers.iter().map(|ledger| ledger.height().0).collect();
        let newest = ledgers.iter().max_by_key(|ledger| ledger.height());
        let market = newest
            .map(|ledger| self.market.pending(ledger))
            .unwrap_or_default();
        let missing = self.contents.pending(self.chain.height());
        let unpunished = newest.map(|ledger| self.unpunished(ledger));
        let what = format!(
            "not done long after the network healed: committed {}, executed {heights:?}; {missing}; \
             proven guilty and not slashed: {unpunished:?}; {market}",
            self.chain.height()
        );
        Violation::new("liveness", what)
    }
}
