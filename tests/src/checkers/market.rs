//! Conservation and settlement, from published ledgers and events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_ledger::{Ledger, LedgerEvent};
use conclave_sequencer::Published;
use conclave_types::{AuctionId, Genesis, Height, RollupId, StateRoot};

use super::Violation;
use crate::model::{genesis_root, next_root};

pub(crate) struct MarketChecker {
    supply: u128,
    seen: Height,
    /// All transactions of each rollup, to compute roots from.
    transactions: BTreeMap<RollupId, Vec<Vec<u8>>>,
    /// How far each rollup is settled, and the root computed here.
    settled: BTreeMap<RollupId, (u64, StateRoot)>,
    ranges: BTreeSet<AuctionId>,
    paid: BTreeSet<AuctionId>,
}

impl MarketChecker {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let money = genesis
            .allocations
            .iter()
            .map(|allocation| u128::from(allocation.balance.0) + u128::from(allocation.fees.0));
        Self {
            supply: money.sum(),
            seen: Height(0),
            transactions: BTreeMap::new(),
            settled: BTreeMap::new(),
            ranges: BTreeSet::new(),
            paid: BTreeSet::new(),
        }
    }

    pub(crate) fn executed(&mut self, published: &Published) -> Result<(), Violation> {
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
            self.event(event)?;
        }
        for delivery in &published.executed.deliveries {
            let transactions = self.transactions.entry(delivery.rollup).or_default();
            transactions.extend(delivery.transactions.iter().cloned());
        }
        Ok(())
    }

    fn event(&mut self, event: &LedgerEvent) -> Result<(), Violation> {
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
                let start = (0, genesis_root());
                let (next, root) = self.settled.entry(range.rollup).or_insert(start);
                let transactions = self.transactions.entry(range.rollup).or_default();
                if range.from.0 != *next || range.to.0 > transactions.len() as u64 {
                    return broken(format!("{range:?} does not follow transaction {next}"));
                }
                for transaction in &transactions[range.from.0 as usize..range.to.0 as usize] {
                    if transaction.first() != Some(&0) {
                        *root = next_root(*root, transaction);
                    }
                }
                *next = range.to.0;
                if root != new_root {
                    return broken(format!("{range:?} settles {new_root}, but it is {root}"));
                }
            }
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
            for (rollup, (next, root)) in &self.settled {
                let settled = ledger.settled(*rollup);
                let behind = settled.is_some_and(|settled| settled.next.0 < *next);
                let equal = settled.is_some_and(|settled| settled.root == *root);
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
