//! After the faults: everything comes to rest, and everything is read once more, from those that
//! never lied.

use std::sync::Arc;
use std::time::Duration;

use conclave_sdk::api::{EnvelopeStage, RollupView, StatusView};
use conclave_sdk::{Auditor, Client, RangeRequest};
use conclave_tests::chaos::{Acknowledged, Bonds, Contents, Ending};
use conclave_types::Height;
use tokio::time::{Instant, sleep};

use super::load::LOAD;
use super::network::{LOOK, Network, PATIENCE, PAYMENTS};
use crate::devnet::plan::rollup_name;
use crate::programs;

/// Events read at a time.
const EVENTS: usize = 1_000;
/// Kinds of events by which a validator loses its bond.
const FORFEITS: [&str; 2] = ["validator_slashed", "batch_inconsistent"];
/// How long one validator may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Blocks after which a header names a ledger root at or past this height, on an idle chain.
const PROVABLE_BLOCKS: u64 = 6;

/// Waits until all is open and settled everywhere, and reads what is there.
pub(super) async fn rest(
    network: &mut Network<'_>,
    auditor: &Arc<Auditor>,
    acknowledged: &[Acknowledged],
    contents: &mut Contents,
) -> anyhow::Result<Ending> {
    let mut ending = Ending {
        supply: supply(network),
        bond: network.genesis().consensus.validator_bond.0,
        ..Ending::default()
    };
    let honest = network.honest().into_iter();
    let clients = honest.map(|index| Ok((index, network.client(index, ANSWER_PATIENCE)?)));
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;

    // 1. No more payments; what was acknowledged becomes open everywhere.
    network.stop(&rollup_name(1)).await?;
    let deadline = Instant::now() + PATIENCE;
    for (index, client) in &clients {
        if let Err(what) = opened(client, acknowledged, deadline).await {
            ending
                .trouble
                .push(("liveness", format!("validator {index}: {what}")));
        }
    }

    // 2. Everything is settled, everywhere alike.
    //    Proofs take what the machine leaves them, so patience begins anew with each that is in.
    let (mut deadline, mut settled) = (Instant::now() + PATIENCE, 0);
    loop {
        ending.rollups = rollups(&clients).await;
        let indices = ending.rollups.iter().map(|(_, view)| view.settled_index);
        let now: u64 = indices.sum();
        if now > settled {
            (deadline, settled) = (Instant::now() + PATIENCE, now);
        }
        let first = ending.rollups.first().map(|(_, view)| view.clone());
        let at_rest = |(_, view): &(u16, RollupView)| {
            view.settled_index == view.ordered_index
                && first.as_ref().is_some_and(|first| {
                    view.settled_root == first.settled_root
                        && view.ordered_index == first.ordered_index
                })
        };
        let all = ending.rollups.len() == clients.len();
        if all && ending.rollups.iter().all(at_rest) || Instant::now() > deadline {
            break;
        }
        sleep(LOOK).await;
    }
    if ending.rollups.len() < clients.len() {
        ending
            .trouble
            .push(("liveness", "not every validator answers".into()));
    }

    // 3. All of the load's contents, up to a height that every validator has.
    let mut to = Height(0);
    for (_, client) in &clients {
        let status: StatusView = client.status().await?;
        to = to.max(Height(status.executed_height));
    }
    for (index, client) in &clients {
        if let Err(error) = read(*index, client, to, contents).await {
            ending
                .trouble
                .push(("completeness", format!("validator {index}: {error}")));
        }
        ending.totals.push((*index, client.totals().await?));
        ending.bonds.push(bonds(*index, client).await?);
    }

    // 4. The payments rollup, with its proofs, from the genesis, once later headers prove the
    //    outcomes of all of it.
    let provable = to.0 + PROVABLE_BLOCKS;
    // At most f lie.
    let Some((_, client)) = clients.first() else {
        return Ok(ending);
    };
    let deadline = Instant::now() + PATIENCE;
    while client.status().await?.executed_height < provable && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    let request = RangeRequest {
        rollup: PAYMENTS,
        from: Height(1),
        to: None,
        anchor: ending
            .rollups
            .first()
            .and_then(|(_, view)| view.genesis_root.parse().ok()),
        programs: programs::all(),
    };
    match auditor.range(client, &request).await {
        Ok(report) => {
            ending.settled = report.proofs.len() as u64;
            let wanted = ending.rollups.first().map(|(_, view)| view.settled_index);
            let proven = report.settled().map_or(0, |(_, index)| index.0);
            if wanted.is_some_and(|wanted| wanted != proven) {
                let text = format!("proofs reach transaction {proven}, settled are {wanted:?}");
                ending.trouble.push(("settlement", text));
            }
        }
        Err(error) => ending.trouble.push(("settlement", error.to_string())),
    }
    Ok(ending)
}

/// All the money there ever is: what the genesis gives out and what validators have at stake.
fn supply(network: &Network<'_>) -> u64 {
    let genesis = network.genesis();
    let allocations = genesis.allocations.iter();
    let given: u64 = allocations
        .map(|allocation| allocation.balance.0 + allocation.fees.0)
        .sum();
    let weights = genesis.validators.iter();
    let weight: u64 = weights.map(|validator| u64::from(validator.weight)).sum();
    given + weight * genesis.consensus.validator_bond.0
}

/// What a validator says of all validators' bonds: its events name who lost one, and its totals
/// hold those that stand beside the provers'.
async fn bonds(at: u16, client: &Client) -> anyhow::Result<Bonds> {
    let (totals, provers) = (client.totals().await?, client.provers().await?);
    let of_provers = provers.iter().map(|one| one.bond_free + one.bond_locked);
    let mut forfeited = Vec::new();
    let mut next = Height(1);
    loop {
        let page = client.events(next, EVENTS).await?;
        let Some(last) = page.last() else { break };
        next = Height(last.height).next();
        let about_bonds = page.iter().filter(|event| FORFEITS.contains(&&*event.kind));
        let who = about_bonds.filter_map(|event| {
            let words = event.text.strip_prefix("validator ")?;
            words.split(' ').next()?.parse::<u16>().ok()
        });
        forfeited.extend(who);
    }
    forfeited.sort_unstable();
    Ok(Bonds {
        at,
        held: totals.bonds - of_provers.sum::<u64>(),
        forfeited,
    })
}

/// Waits until a validator says that each envelope is delivered.
async fn opened(
    client: &Client,
    acknowledged: &[Acknowledged],
    deadline: Instant,
) -> Result<(), String> {
    for promise in acknowledged {
        let mut last = None;
        loop {
            if let Ok(view) = client.envelope(promise.envelope).await {
                let waits = [
                    EnvelopeStage::Pending,
                    EnvelopeStage::Batched,
                    EnvelopeStage::Ordered,
                ];
                if !waits.contains(&view.status) {
                    break;
                }
                last = Some(view.status);
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{}, acknowledged by validator {}, was not opened within {PATIENCE:?}, last seen {last:?}",
                    promise.envelope, promise.by
                ));
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn rollups(clients: &[(u16, Client)]) -> Vec<(u16, RollupView)> {
    let mut views = Vec::new();
    for (index, client) in clients {
        if let Ok(view) = client.rollup(PAYMENTS).await {
            views.push((*index, view));
        }
    }
    views
}

/// Reads on from where the observers stopped, up to a height.
async fn read(
    index: u16,
    client: &Client,
    to: Height,
    contents: &mut Contents,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while contents.reached(index) < to {
        let next = contents.reached(index).next();
        anyhow::ensure!(
            Instant::now() < deadline,
            "[CV-CLI-131] height {next} of {to} is not served; look into its log"
        );
        let status = client.status().await?;
        if status.executed_height < next.0 {
            sleep(LOOK).await;
            continue;
        }
        let page = client
            .contents(LOAD, next, to.min(Height(status.executed_height)), true)
            .await?;
        let before = contents.reached(index);
        for delivery in &page.deliveries {
            contents.take(index, delivery);
        }
        anyhow::ensure!(
            contents.reached(index) > before,
            "[CV-CLI-132] height {next} does not verify; see the findings"
        );
    }
    Ok(())
}
