//! The state of a chain at one moment, as lines for people: what `status` prints once and `devnet`
//! keeps up to date.

use std::collections::BTreeMap;
use std::time::Instant;

use conclave_sdk::api::{AuctionView, ProverView, RollupView, StatusView};
use conclave_sdk::{Client, ClientError};
use futures::future::join_all;

/// Auctions asked for.
const AUCTIONS: usize = 60;
/// Digits of an account or chain id shown when it has no name.
const SHORT: usize = 8;

/// What the nodes say about the chain.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    pub(crate) at: Instant,
    pub(crate) status: StatusView,
    pub(crate) rollups: Vec<RollupView>,
    /// Newest first.
    pub(crate) auctions: Vec<AuctionView>,
    pub(crate) provers: Vec<ProverView>,
}

/// Names of accounts; the others are shown by their first digits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(pub(crate) BTreeMap<String, String>);

/// What happens in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) envelopes: f64,
    pub(crate) transactions: f64,
}

impl Overview {
    /// Asks the nodes; the first that answers says everything but the latencies.
    pub(crate) async fn fetch(client: &Client) -> Result<Self, ClientError> {
        let mut status = client.status().await?;
        merge_latencies(client, &mut status).await;
        Ok(Self {
            at: Instant::now(),
            status,
            rollups: client.rollups().await?,
            auctions: client.auctions(None, None, AUCTIONS).await?,
            provers: client.provers().await?,
        })
    }

    /// The rates since an earlier moment; `None` when another node was asked or it has restarted.
    pub(crate) fn rates_since(&self, earlier: &Self) -> Option<Rates> {
        let (now, then) = (&self.status, &earlier.status);
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        if now.validator != then.validator || seconds <= 0.0 {
            return None;
        }
        Some(Rates {
            envelopes: now.envelopes_ordered.checked_sub(then.envelopes_ordered)? as f64 / seconds,
            transactions: now
                .transactions_ordered
                .checked_sub(then.transactions_ordered)? as f64
                / seconds,
        })
    }

    /// Height, view and latencies.
    pub(crate) fn chain_line(&self, rates: Option<Rates>) -> String {
        let status = &self.status;
        let leader = match status.leader {
            Some(leader) => format!(" (leader {leader})"),
            None => String::new(),
        };
        let rates = match rates {
            Some(rates) => format!(
                "  {:.1} envelopes/s  {:.1} tx/s",
                rates.envelopes, rates.transactions
            ),
            None => String::new(),
        };
        format!(
            "height {}  view {}{leader}  finality p50 {} p99 {} ms  opening p50 {} p99 {} ms{rates}",
            status.committed_height,
            status.view,
            milliseconds(status.finality_ms_p50),
            milliseconds(status.finality_ms_p99),
            milliseconds(status.opening_ms_p50),
            milliseconds(status.opening_ms_p99),
        )
    }

    /// One line for each rollup, under a headline.
    pub(crate) fn rollup_lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<16}{:>21}{:>10}{:>10}   {:<24}{}",
            "rollup", "ordered height", "proven", "settled", "lag", "proving fund"
        )];
        lines.extend(self.rollups.iter().map(|rollup| {
            let ordered = format!("{} (tx {})", rollup.ordered_height, rollup.ordered_index);
            format!(
                "{:<16}{ordered:>21}{:>10}{:>10}   {:<24}{}",
                label(rollup),
                self.proven_height(rollup),
                rollup.settled_height,
                lag(rollup),
                rollup.fund
            )
        }));
        lines
    }

    /// How far accepted proofs reach; the last of them may wait for what comes before it.
    fn proven_height(&self, rollup: &RollupView) -> u64 {
        let settled = self
            .auctions
            .iter()
            .filter(|auction| auction.rollup == rollup.id && auction.settled_by.is_some());
        settled
            .map(|auction| auction.to_height)
            .max()
            .unwrap_or(0)
            .max(rollup.settled_height)
    }

    /// The newest auctions with their opened bids, under a headline.
    pub(crate) fn auction_lines(&self, names: &Names, count: usize) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<9}{:<8}{:<16}{:<10}{:<34}{}",
            "auction", "rollup", "transactions", "state", "winner", "opened bids"
        )];
        lines.extend(self.auctions.iter().take(count).map(|auction| {
            let range = format!("{}..{}", auction.from_index, auction.to_index);
            let (winner, bids) = (winner(auction, names), bids(auction, names));
            format!(
                "{:<9}{:<8}{range:<16}{:<10}{winner:<34}{bids}",
                auction.id, auction.rollup, auction.state
            )
        }));
        lines
    }

    /// One line for each prover, under a headline; `activity` says what each is doing, by name.
    pub(crate) fn prover_lines(
        &self,
        names: &Names,
        activity: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<12}{:>14}{:>12}{:>13}{:>6}{:>9}{:>8}  {}",
            "prover", "balance", "bond free", "bond locked", "jobs", "settled", "missed", "now"
        )];
        lines.extend(self.provers_by_name(names).map(|prover| {
            let name = names.of(&prover.account);
            let armed = if prover.armed { "" } else { "disarmed " };
            let now = activity.get(&name).map_or("", String::as_str);
            format!(
                "{name:<12}{:>14}{:>12}{:>13}{:>6}{:>9}{:>8}  {armed}{now}",
                prover.balance,
                prover.bond_free,
                prover.bond_locked,
                prover.jobs,
                prover.settled,
                prover.missed
            )
        }));
        lines
    }

    fn provers_by_name(&self, names: &Names) -> impl Iterator<Item = &ProverView> {
        let mut provers: Vec<_> = self.provers.iter().collect();
        provers.sort_by_key(|prover| names.of(&prover.account));
        provers.into_iter()
    }

    /// The rollups in one line.
    pub(crate) fn rollups_short(&self) -> String {
        let parts = self.rollups.iter().map(|rollup| {
            format!(
                "{} ordered {} proven {} settled {} lag {}",
                label(rollup),
                rollup.ordered_height,
                self.proven_height(rollup),
                rollup.settled_height,
                lag(rollup)
            )
        });
        parts.collect::<Vec<_>>().join(" | ")
    }

    /// The provers in one line.
    pub(crate) fn provers_short(&self, names: &Names) -> String {
        let parts = self.provers_by_name(names).map(|prover| {
            format!(
                "{} balance {} bond {} + {} locked, {} settled",
                names.of(&prover.account),
                prover.balance,
                prover.bond_free,
                prover.bond_locked,
                prover.settled
            )
        });
        parts.collect::<Vec<_>>().join(" | ")
    }
}

/// Each node measures what was submitted to it: the median over the nodes' medians, and the worst
/// of their 99th percentiles.
async fn merge_latencies(client: &Client, status: &mut StatusView) {
    let nodes = (0..client.nodes().len()).filter_map(|node| client.only(node));
    let answers = join_all(nodes.map(|node| async move { node.status().await.ok() })).await;
    let answers: Vec<StatusView> = answers.into_iter().flatten().collect();
    let all = |get: fn(&StatusView) -> Option<f64>| {
        let mut values: Vec<f64> = answers.iter().filter_map(get).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |values: Vec<f64>| values.get(values.len() / 2).copied();
    status.finality_ms_p50 = median(all(|status| status.finality_ms_p50));
    status.finality_ms_p99 = all(|status| status.finality_ms_p99).last().copied();
    status.opening_ms_p50 = median(all(|status| status.opening_ms_p50));
    status.opening_ms_p99 = all(|status| status.opening_ms_p99).last().copied();
}

impl Names {
    /// An account's name.
    pub(crate) fn of(&self, account: &str) -> String {
        match self.0.get(account) {
            Some(name) => name.clone(),
            None => short(account).to_owned(),
        }
    }
}

/// What became of an auction, in one line.
pub(crate) fn auction_line(auction: &AuctionView, names: &Names) -> String {
    let settled = match (&auction.settled_by, auction.paid) {
        (Some(prover), Some(paid)) => format!(", {} paid {paid}", names.of(prover)),
        _ => String::new(),
    };
    format!(
        "auction {} rollup {} transactions {}..{} {}: winner {}; bids {}{settled}",
        auction.id,
        auction.rollup,
        auction.from_index,
        auction.to_index,
        auction.state,
        winner(auction, names),
        bids(auction, names)
    )
}

fn winner(auction: &AuctionView, names: &Names) -> String {
    let Some(winner) = &auction.winner else {
        return match auction.state.as_str() {
            "bidding" => format!("{} sealed bids", auction.sealed_bids),
            _ => "nobody".into(),
        };
    };
    let price = auction
        .price
        .map(|price| format!(" at {price}"))
        .unwrap_or_default();
    let standby = match &auction.standby {
        Some(standby) => format!(", then {}", names.of(standby)),
        None => String::new(),
    };
    format!("{}{price}{standby}", names.of(winner))
}

fn bids(auction: &AuctionView, names: &Names) -> String {
    let bids = auction.bids.iter().map(|bid| {
        let mark = if bid.rank.is_none() { "!" } else { "" };
        format!("{} {}{mark}", names.of(&bid.prover), bid.price)
    });
    let bids = bids.collect::<Vec<_>>().join(", ");
    if bids.is_empty() { "none".into() } else { bids }
}

fn label(rollup: &RollupView) -> String {
    format!("{} {}", rollup.id, rollup.name)
}

fn lag(rollup: &RollupView) -> String {
    let transactions = rollup.ordered_index.saturating_sub(rollup.settled_index);
    let heights = rollup.ordered_height.saturating_sub(rollup.settled_height);
    format!("{transactions} tx, {heights} heights")
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.0}"))
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}
