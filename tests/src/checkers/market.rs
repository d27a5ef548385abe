//! Conservation and settlement, from published ledgers and events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_ledger::{Ledger, LedgerEvent};
use conclave_market::OrderedTransaction;
use conclave_sequencer::Published;
use conclave_types::{AuctionId, Genesis, Height, RollupId, ValidatorIndex};

use super::Violation;
use crate::coverage::{Branch, Coverage};
use crate::model::{Execution, Proofs};

pub(crate) struct MarketChecker {
    liar: Option<ValidatorIndex>,
    supply: u128,
    seen: Height,
    /// All transactions of each rollup, to compute roots from.
    transactions: BTreeMap<RollupId, Vec<OrderedTransaction>>,
    /// How far each rollup is settled, and the state computed here.
    settled: BTreeMap<RollupId, (u64, Box<dyn Execution>)>,
    ranges: BTreeSet<AuctionId>,
    paid: BTreeSet<AuctionId>,
}

impl MarketChecker {
    pub(crate) fn new(
        genesis: &Genesis,
        liar: Option<ValidatorIndex>,
        proofs: &dyn Proofs,
    ) -> Self {
        let money = genesis
            .allocations
            .iter()
            .map(|allocation| u128::from(allocation.balance.0) + u128::from(allocation.fees.0));
        let bonds = genesis.validators.iter().map(|validator| {
            u128::from(genesis.consensus.validator_bond.0) * u128::from(validator.weight)
        });
        Self {
            liar,
            supply: money.chain(bonds).sum(),
            seen: Height(0),
            transactions: BTreeMap::new(),
            settled: crate::sim::PROVEN
                .map(|rollup| (rollup, (0, proofs.execution(rollup))))
                .into(),
            ranges: BTreeSet::new(),
            paid: BTreeSet::new(),
        }
    }

    pub(crate) fn executed(
        &mut self,
        published: &Published,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        if published.height <= self.seen {
            return Ok(());
        }
        self.seen = published.height;
        let totals = published.ledger.totals();
        let sum = totals.balances
            + totals.fee_accounts
            + totals.fee_deposits
            + totals.rollup_funds
            + totals.escrow
            + totals.bonds
            + totals.insurance;
        if sum != self.supply {
            let what = format!("{sum} of {} at height {}", self.supply, published.height);
            return Err(Violation::new("conservation", what));
        }
        // Settlements of a block speak of earlier deliveries only.
        for event in &published.executed.events {
            self.event(event, coverage)?;
        }
        for delivery in &published.executed.deliveries {
            let transactions = self.transactions.entry(delivery.rollup).or_default();
            let height = published.height;
            let ordered = |bytes: &Vec<u8>| OrderedTransaction {
                height,
                bytes: bytes.clone(),
            };
            transactions.extend(delivery.transactions.iter().map(ordered));
        }
        Ok(())
    }

    fn event(&mut self, event: &LedgerEvent, coverage: &mut Coverage) -> Result<(), Violation> {
        let broken = |what| Err(Violation::new("settlement", what));
        match event {
            LedgerEvent::RangeSettled {
                auction,
                range,
                new_root,
            } => {
                if !self.ranges.insert(*auction) {
                    return broken(format!("auction {auction} settles twice"));
                }
                let Some((next, state)) = self.settled.get_mut(&range.rollup) else {
                    return broken(format!("{range:?} is of a rollup that nobody proves"));
                };
                let transactions = self.transactions.entry(range.rollup).or_default();
                if range.from.0 != *next || range.to.0 > transactions.len() as u64 {
                    return broken(format!("{range:?} does not follow transaction {next}"));
                }
                for transaction in &transactions[range.from.0 as usize..range.to.0 as usize] {
                    coverage.saw(state.execute(transaction));
                }
                *next = range.to.0;
                let root = state.root();
                if root != *new_root {
                    return broken(format!("{range:?} settles {new_root}, but it is {root}"));
                }
            }
            LedgerEvent::NoBids { .. } => coverage.saw(Branch::AuctionWithoutBids),
            LedgerEvent::DeadlineMissed { .. } => coverage.saw(Branch::DeadlineMissed),
            LedgerEvent::Slashed { .. } => coverage.saw(Branch::BondSlashed),
            LedgerEvent::ValidatorSlashed { validator, .. } => {
                coverage.saw(Branch::ValidatorSlashed);
                if self.liar != Some(*validator) {
                    let what = format!("honest validator {validator} lost its bond");
                    return Err(Violation::new("honesty", what));
                }
            }
            LedgerEvent::BatchInconsistent { validator, .. } => {
                coverage.saw(Branch::BatchInconsistent);
                if self.liar != Some(*validator) {
                    let what =
                        format!("honest validator {validator} is said to have coded falsely");
                    return Err(Violation::new("honesty", what));
                }
            }
            LedgerEvent::StandbyCalled { .. } => coverage.saw(Branch::StandbyCalled),
            LedgerEvent::JobOpened { .. } => coverage.saw(Branch::JobOpened),
            LedgerEvent::ProofRejected { .. } => coverage.saw(Branch::ProofRejected),
            LedgerEvent::Paid { auction, .. } if !self.paid.insert(*auction) => {
                return broken(format!("auction {auction} is paid twice"));
            }
            _ => {}
        }
        Ok(())
    }

    fn unsettled(&self, ledger: &Ledger) -> Vec<String> {
        let rollups = ledger.rollups().map(|(id, _)| id);
        rollups
            .filter(|id| crate::sim::PROVEN.contains(id))
            .filter_map(|id| {
                let ordered = ledger.stream(id).map_or(0, |stream| stream.next.0);
                let settled = ledger.settled(id).map_or(0, |settled| settled.next.0);
                (settled < ordered).then(|| format!("rollup {id}: {settled} of {ordered} settled"))
            })
            .collect()
    }

    pub(crate) fn is_done(&self, ledger: &Ledger) -> bool {
        self.unsettled(ledger).is_empty() && ledger.rollups().count() == 3
    }

    pub(crate) fn pending(&self, ledger: &Ledger) -> String {
        let phase = |auction: &conclave_market::Auction| {
            let phase: String = format!("{:?}", auction.phase).chars().take(60).collect();
            format!(
                "{} of {}: {phase} max {}",
                auction.id,
                auction.rollup(),
                auction.max_price
            )
        };
        let auctions: Vec<String> = ledger
            .auctions()
            .filter(|auction| !auction.is_finished())
            .map(phase)
            .collect();
        let funds: Vec<u64> = ledger.rollups().map(|(_, rollup)| rollup.fund.0).collect();
        let provers: Vec<String> = ledger.provers().map(|(_, p)| format!("{p:?}")).collect();
        format!(
            "{:?}, funds {funds:?}, auctions {auctions:?}, provers {provers:?}",
            self.unsettled(ledger)
        )
    }

    pub(crate) fn finish(&self, ledgers: &[Arc<Ledger>]) -> Result<(), Violation> {
        for ledger in ledgers {
            for (rollup, (next, state)) in &self.settled {
                let (settled, root) = (ledger.settled(*rollup), state.root());
                // A ledger that is behind may not know the rollup yet.
                let behind = settled.is_none_or(|settled| settled.next.0 < *next);
                let equal = settled.is_some_and(|settled| settled.root == root);
                if !behind && !equal {
                    let what = format!("rollup {rollup} is settled at another root than {root}");
                    return Err(Violation::new("settlement", what));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn settled(&self) -> u64 {
        self.ranges.len() as u64
    }
}
