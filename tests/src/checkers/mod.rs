//! Judges of a history. They see only what nodes send, commit and publish, and compute for
//! themselves what should have been.

mod chain;
mod contents;
mod market;
mod secrecy;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use conclave_ledger::Ledger;
use conclave_node::PeerMessage;
use conclave_sequencer::Published;
use conclave_types::{Block, CommitCertificate, Envelope, Genesis, Height};

use crate::model::Proofs;

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

/// How often something happened that a run of many seeds should have seen: faults, and ways that
/// contents and auctions take only under them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in other.iter() {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// What happened, and how often, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, times)| (*what, *times))
    }

    /// How often this happened.
    pub fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

/// All of them over one history.
pub(crate) struct Checkers {
    chain: chain::ChainChecker,
    contents: contents::ContentsChecker,
    market: market::MarketChecker,
    secrecy: secrecy::SecrecyChecker,
    pub(crate) coverage: Coverage,
}

impl Checkers {
    pub(crate) fn new(genesis: &Genesis, nodes: usize, proofs: &dyn Proofs) -> Self {
        Self {
            chain: chain::ChainChecker::new(genesis, nodes),
            contents: contents::ContentsChecker::new(nodes),
            market: market::MarketChecker::new(genesis, proofs),
            secrecy: secrecy::SecrecyChecker::new(nodes),
            coverage: Coverage::default(),
        }
    }

    pub(crate) fn acknowledged(&mut self, envelope: &Envelope) {
        self.contents.acknowledged(envelope);
    }

    pub(crate) fn restarted(&mut self, node: usize) {
        self.chain.restarted(node);
        self.contents.restarted(node);
    }

    pub(crate) fn sent(&self, from: usize, message: &PeerMessage) -> Result<(), Violation> {
        self.secrecy.sent(from, message)
    }

    pub(crate) fn committed(
        &mut self,
        node: usize,
        blocks: &[Arc<Block>],
        certificate: &CommitCertificate,
    ) -> Result<(), Violation> {
        self.chain.committed(node, blocks, certificate)?;
        self.secrecy.committed(node, blocks);
        Ok(())
    }

    pub(crate) fn executed(&mut self, node: usize, published: &Published) -> Result<(), Violation> {
        self.contents
            .executed(node, published, &mut self.coverage)?;
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
        let what = format!(
            "not done long after the network healed: committed {}, executed {heights:?}; {missing}; \
             {market}",
            self.chain.height()
        );
        Violation::new("liveness", what)
    }
}
