//! What must hold at the end, whatever happened before.

use std::collections::BTreeMap;

use conclave_sdk::Client;
use conclave_sdk::api::{DeliveryView, EnvelopeStage};
use conclave_types::{Height, RollupId};

use crate::ALL;
use crate::load::{Acknowledged, Load};
use crate::network::{Network, ROLLUP, VALIDATORS};
use crate::wait::eventually;

/// Ends all load; then every receipt was honoured exactly once, every validator tells the same
/// story, all is settled, no money was made or lost, and the genesis alone vouches for it.
pub(crate) async fn check(network: &mut Network, load: Load) {
    let receipts = load.end().await;
    for node in 0..VALIDATORS {
        let own = receipts
            .iter()
            .filter(|receipt| usize::from(receipt.by) == node);
        assert!(own.count() > 0, "validator {node} acknowledged nothing");
    }
    opened_by(network, &ALL, &receipts).await;
    network.stop_rollup().await;
    let ordered = same_ledgers(network).await;
    let contents = same_contents(network, ordered).await;
    exactly_once(&contents, &receipts);
    network.verify().await;
}

/// These validators have opened everything that was acknowledged.
pub(crate) async fn opened_by(network: &Network, nodes: &[u16], receipts: &[Acknowledged]) {
    for node in nodes {
        let node = usize::from(*node);
        opened(node, network.node(node), receipts).await;
    }
}

/// All is settled, everywhere alike, and no money was made or lost; the height that ordered the last.
pub(crate) async fn same_ledgers(network: &Network) -> Height {
    let ordered = all_settled(network).await;
    conserved(network).await;
    ordered
}

/// Every validator has opened everything that any of them acknowledged.
async fn opened(node: usize, client: &Client, receipts: &[Acknowledged]) {
    for Acknowledged { by, envelope } in receipts {
        let what =
            format!("validator {node} to open {envelope}, which validator {by} acknowledged");
        let stage = eventually(&what, async || {
            let stage = client.envelope(*envelope).await.ok()?.status;
            let ended = !matches!(
                stage,
                EnvelopeStage::Pending | EnvelopeStage::Batched | EnvelopeStage::Ordered
            );
            ended.then_some(stage)
        })
        .await;
        assert_eq!(stage, EnvelopeStage::Opened, "{what}");
    }
}

/// Waits until all that was ordered is settled, everywhere alike; returns the height that ordered
/// the last of it.
async fn all_settled(network: &Network) -> Height {
    let views = eventually("everything to be settled everywhere", async || {
        let mut views = Vec::new();
        for node in 0..VALIDATORS {
            views.push(network.node(node).rollup(RollupId(ROLLUP)).await.ok()?);
        }
        let done = views.iter().all(|view| {
            view.settled_index == view.ordered_index && view.ordered_index == views[0].ordered_index
        });
        done.then_some(views)
    })
    .await;
    for view in &views {
        assert_eq!(view.settled_root, views[0].settled_root);
        assert_eq!(view.stream_digest, views[0].stream_digest);
    }
    Height(views[0].ordered_height)
}

/// Reads everything at every validator; it must be the same.
async fn same_contents(network: &Network, to: Height) -> Vec<DeliveryView> {
    let first = contents(network.node(0), to).await;
    for node in 1..VALIDATORS {
        let other = contents(network.node(node), to).await;
        for (one, another) in first.iter().zip(&other) {
            assert!(
                one == another,
                "validators 0 and {node} tell different stories: {one:#?}, {another:#?}"
            );
        }
        assert_eq!(first.len(), other.len(), "at validator {node}");
    }
    first
}

async fn contents(client: &Client, to: Height) -> Vec<DeliveryView> {
    let mut from = Height(1);
    let mut all = Vec::new();
    while from <= to {
        let page = client.contents(RollupId(ROLLUP), from, to, false).await;
        let page = page.expect("contents");
        from = Height(page.to_height).next();
        all.extend(page.deliveries);
    }
    all
}

fn exactly_once(contents: &[DeliveryView], receipts: &[Acknowledged]) {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    let delivered = contents.iter().flat_map(|delivery| &delivery.envelopes);
    for envelope in delivered.filter(|envelope| envelope.outcome == "opened") {
        assert!(!envelope.transactions.is_empty());
        *times.entry(&envelope.id).or_default() += 1;
    }
    for Acknowledged { by, envelope } in receipts {
        let times = times.get(envelope.to_string().as_str()).copied();
        assert_eq!(
            times,
            Some(1),
            "{envelope}, which validator {by} acknowledged"
        );
    }
    let mut next = 0;
    for delivery in contents {
        assert_eq!(delivery.first_index, next, "at height {}", delivery.height);
        let envelopes = delivery.envelopes.iter();
        next += envelopes.map(|e| e.transactions.len() as u64).sum::<u64>();
    }
}

async fn conserved(network: &Network) {
    let genesis = network.genesis();
    let accounts = genesis.allocations.iter();
    let accounts = accounts.map(|allocation| allocation.balance.0 + allocation.fees.0);
    let weights = genesis.validators.iter().map(|v| u64::from(v.weight));
    let bonds = weights.map(|weight| weight * genesis.consensus.validator_bond.0);
    let allocated = accounts.chain(bonds).sum::<u64>();
    for node in 0..VALIDATORS {
        let totals = network.node(node).totals().await.expect("totals");
        let parts = [
            totals.balances,
            totals.fee_accounts,
            totals.bonds,
            totals.funds,
            totals.pool,
            totals.other,
        ];
        assert_eq!((totals.total, parts.iter().sum()), (allocated, allocated));
    }
}
