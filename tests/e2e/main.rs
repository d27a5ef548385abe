//! End to end, on real processes: whatever is killed with SIGKILL, the chain goes on, nothing that
//! was acknowledged is lost, and everything settles.
//!
//! ```text
//! conclave devnet --setup-only ─▶ validators, a rollup with its load, provers ─▶ load of our own
//!                                       │ SIGKILL, restart                         │ receipts
//!                                       ▼                                          ▼
//!              the end: same contents at every node, each receipt honoured once, all settled
//! ```

#[cfg(feature = "external")]
mod disk;
mod ending;
mod load;
mod network;
mod wait;

use conclave_sdk::api::AuctionView;
use conclave_types::{AuctionId, Height, RollupId};

use crate::load::Load;
use crate::network::{Network, ROLLUP, Shape, VALIDATORS};
use crate::wait::eventually;

/// Blocks that count as going on.
const GOING_ON: u64 = 15;
/// Envelopes that a validator acknowledges right before it is killed.
const LAST_WORDS: usize = 8;
const ALL: [u16; VALIDATORS] = [0, 1, 2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_and_keeps_its_word() {
    let mut network = Network::start(Shape::default()).await;
    let load = Load::start(&network).await;
    network.first_settlement().await;

    // Whoever leads now has just given its word.
    for node in ALL {
        load.burst(node, LAST_WORDS / 2).await;
    }
    let leader = eventually("a leader", async || {
        network.node(0).status().await.ok()?.leader
    })
    .await;
    network.kill(&[leader]);

    network.goes_on(&others(leader), GOING_ON).await;
    network.start_validators(&[leader]).await;
    network.goes_on(&[leader], 1).await;
    ending::check(&mut network, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_validator_catches_up_and_keeps_its_word() {
    let mut network = Network::start(Shape::default()).await;
    let load = Load::start(&network).await;
    network.first_settlement().await;

    let victim = 3;
    load.burst(victim, LAST_WORDS).await;
    network.kill(&[victim]);
    network.goes_on(&others(victim), 2 * GOING_ON).await;
    let missed = network.height(0).await;

    network.start_validators(&[victim]).await;
    eventually("the restarted validator to catch up", async || {
        let status = network.node(usize::from(victim)).status().await.ok()?;
        (status.executed_height >= missed).then_some(())
    })
    .await;
    // It takes part again: without it and another one there is no quorum.
    network.kill(&[0]);
    network.goes_on(&[victim], GOING_ON).await;
    network.start_validators(&[0]).await;
    ending::check(&mut network, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_settles_what_a_killed_winner_was_proving() {
    let shape = Shape {
        // The cheaper one, with one job at a time, wins whatever it bids for; the other stands by.
        prover_prices: &[(50, 1), (60, 4)],
        // What comes in until the deadline must itself be provable in half of that time, in a
        // debug build: nobody bids for more.
        payments_per_second: 1,
        range_transactions: 16,
        deadline_ms: 20_000,
    };
    let mut network = Network::start(shape).await;
    let load = Load::start(&network).await;
    network.first_settlement().await;

    let (winner, standby) = (network.prover_account(0), network.prover_account(1));
    let (auction, bond) = loop {
        let auction = eventually("the winner to prove with a standby", async || {
            let job = network.proving(0)?;
            let view = network.node(0).auction(AuctionId(job)).await.ok()?;
            let mine = view.state == "awarded"
                && view.winner.as_ref() == Some(&winner)
                && view.standby.as_ref() == Some(&standby);
            mine.then_some(view)
        })
        .await;
        network.kill_prover(0);
        let bond = auction.bond.expect("an award names the bond");
        let ended = settled(&network, auction.id).await;
        if ended.settled_by.as_ref() == Some(&standby) {
            break (ended, bond);
        }
        // Its proof was on the way already: the next range, then.
        assert_eq!(ended.settled_by.as_ref(), Some(&winner));
        network.start_prover(0);
    };

    // The winner paid for it, half of that to the rollup, and the standby got its own bid.
    let own_bid = auction.bids.iter().find(|bid| bid.prover == standby);
    assert_eq!(auction.paid, own_bid.map(|bid| bid.price));
    let slashed = network.slashed(auction.id).await;
    assert_eq!(slashed.len(), 1, "{slashed:?}");
    let wanted = format!("slashed: {} to the rollup", bond / 2);
    assert!(slashed[0].contains(&wanted), "{wanted}: {slashed:?}");
    let provers = network.node(0).provers().await.expect("provers");
    let loser = provers
        .iter()
        .find(|prover| prover.account == winner)
        .expect("the winner");
    assert!(!loser.armed);
    assert_eq!(loser.missed, 1);
    assert_eq!(
        loser.bond_free + loser.bond_locked,
        network::PROVER_BOND - bond
    );

    // Back again, it posts its bond anew and may win.
    network.start_prover(0);
    eventually("the restarted prover to re-arm", async || {
        let provers = network.node(0).provers().await.ok()?;
        let back = provers.iter().find(|prover| prover.account == winner)?;
        back.armed.then_some(())
    })
    .await;
    ending::check(&mut network, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_survives_the_death_of_all_its_validators() {
    let mut network = Network::start(Shape::default()).await;
    let load = Load::start(&network).await;
    network.first_settlement().await;

    for victim in ALL {
        load.burst(victim, LAST_WORDS / 2).await;
    }
    let height = network.height(0).await;
    network.kill(&ALL);
    network.start_validators(&ALL).await;
    for node in 0..VALIDATORS {
        let kept = network.height(node).await;
        assert!(
            kept + 1 >= height,
            "validator {node} restarted at height {kept}, {height} was final"
        );
    }
    network.goes_on(&ALL, GOING_ON).await;
    ending::check(&mut network, load).await;
}

/// Nothing but its keys is left of it. Nobody has to tell it that it has run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_lost_its_data_comes_back() {
    let mut network = Network::start(Shape::default()).await;
    let load = Load::start(&network).await;
    network.first_settlement().await;

    let victim = 3;
    network.kill(&[victim]);
    network.wipe(victim);
    network.goes_on(&others(victim), GOING_ON).await;
    network.start_validators(&[victim]).await;
    // What it may have signed before bounds when it votes again; until then three others are a quorum.
    network.goes_on(&[victim], GOING_ON).await;
    // It joined by a snapshot, and only archives and the others have what was opened before that.
    let before = load.acknowledged();
    // It votes: without it and another one there is no quorum.
    network.kill(&[0]);
    network.goes_on(&[victim], GOING_ON).await;
    load.burst(victim, LAST_WORDS).await;
    network.start_validators(&[0]).await;
    let receipts = load.end().await;
    ending::opened_by(&network, &others(victim), &receipts).await;
    ending::opened_by(&network, &[victim], &receipts[before..]).await;
    network.stop_rollup().await;
    ending::same_ledgers(&network).await;
}

/// All validators but one.
fn others(than: u16) -> Vec<u16> {
    ALL.into_iter().filter(|index| *index != than).collect()
}

/// Waits until an auction is settled.
async fn settled(network: &Network, id: u64) -> AuctionView {
    eventually("the range to be settled", async || {
        let view = network.node(0).auction(AuctionId(id)).await.ok()?;
        assert_ne!(view.state, "cancelled");
        (view.state == "settled").then_some(view)
    })
    .await
}

impl Network {
    /// The ledger's words on an auction's slashed bonds.
    async fn slashed(&self, auction: u64) -> Vec<String> {
        let prefix = format!("auction {auction}: ");
        let mut from = Height(1);
        let mut found = Vec::new();
        loop {
            let page = self.node(0).events(from, 1000).await.expect("events");
            let Some(last) = page.last() else {
                return found;
            };
            from = Height(last.height).next();
            let slashes = page.into_iter().filter(|event| event.kind == "slashed");
            let texts = slashes.map(|event| event.text);
            found.extend(texts.filter(|text| text.starts_with(&prefix)));
        }
    }

    /// Waits until the market works.
    async fn first_settlement(&self) {
        eventually("a first range to be settled", async || {
            let rollup = self.node(0).rollup(RollupId(ROLLUP)).await.ok()?;
            (rollup.settled_index > 0).then_some(())
        })
        .await;
    }
}
