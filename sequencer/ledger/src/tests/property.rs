//! Random chains. The harness checks conservation, agreement of the fee ledgers, gap-free streams
//! and contiguous ranges after every block; here also that a restored snapshot replays to the same
//! roots.

use conclave_market::Stage;
use conclave_types::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::harness::*;
use crate::*;

/// Any operation, sensible or not.
fn random_op(rng: &mut ChaCha8Rng) -> SystemOp {
    let amount = Amount(match rng.gen_range(0..10) {
        0 => 0,
        1 => u64::MAX,
        _ => rng.gen_range(1..50_000),
    });
    let rollup = RollupId(rng.gen_range(0..4));
    let config = RollupConfig {
        owner: account(rng.gen_range(1..4)),
        program: if rng.r#gen() { PROGRAM } else { NEW_PROGRAM },
        reserve_price: Amount(rng.gen_range(0..15)),
        range_transactions: rng.gen_range(1..9),
        range_age_ms: rng.gen_range(0..3_000),
        deadline_ms: rng.gen_range(1..2_000),
        bond_percent: rng.gen_range(0..300),
        fee_share_percent: rng.gen_range(0..=100),
        ..config()
    };
    match rng.gen_range(0..16) {
        0 => SystemOp::Transfer {
            to: account(rng.gen_range(1..12)),
            amount,
        },
        1 => SystemOp::DepositFees {
            account: account(rng.gen_range(1..12)),
            amount,
        },
        2 => SystemOp::WithdrawFees {
            amount: Amount(amount.0.min(3_000)),
        },
        3 | 4 => SystemOp::RegisterRollup { rollup, config },
        5 => SystemOp::UpdateRollup { rollup, config },
        6 if rng.r#gen() => SystemOp::LeaveRollup { rollup },
        6 | 7 => SystemOp::FundRollup { rollup, amount },
        8 | 9 => SystemOp::RegisterProver {
            slots: rng.gen_range(0..5),
        },
        10 | 11 => SystemOp::PostBond {
            amount: Amount(amount.0.min(5_000)),
        },
        12 => SystemOp::WithdrawBond {
            amount: Amount(amount.0 % 500),
        },
        13 | 14 => SystemOp::Rearm,
        _ => SystemOp::Bid(Bid {
            auction: AuctionId(1),
            price: amount,
        }),
    }
}

fn random_content(rng: &mut ChaCha8Rng, sent: &mut Sent) {
    match rng.gen_range(0..12) {
        0 => sent.content = Content::Malformed,
        1 => sent.content = Content::UndecryptableBody { m: Point([1; 32]) },
        _ => {}
    }
}

fn random_envelope(world: &mut World, rng: &mut ChaCha8Rng, old: &[Sent]) -> Sent {
    let payer = rng.gen_range(1..12);
    let bidding: Vec<AuctionId> = world
        .ledger
        .auctions()
        .filter(|a| a.is_bidding())
        .map(|a| a.id)
        .collect();
    let jobs: Vec<(AuctionId, AccountId)> = world
        .ledger
        .auctions()
        .filter_map(|a| {
            let award = a.award()?;
            let standby = award.standby.map(|s| s.prover);
            let turn = match award.stage {
                Stage::Winner => Some(award.winner),
                Stage::Standby => standby,
                Stage::Open => Some(account(payer)),
            };
            Some((a.id, turn?))
        })
        .collect();
    match rng.gen_range(0..10) {
        0 if !old.is_empty() => old[rng.gen_range(0..old.len())].clone(),
        1 | 2 => {
            let op = random_op(rng);
            let owner = match &op {
                SystemOp::UpdateRollup { rollup, .. } | SystemOp::LeaveRollup { rollup } => {
                    world.ledger.rollup(*rollup).map(|r| r.config.owner.0.0[0])
                }
                _ => None,
            };
            world.op(owner.unwrap_or(payer), op)
        }
        3..=5 if !bidding.is_empty() => {
            let auction = bidding[rng.gen_range(0..bidding.len())];
            let price = rng.gen_range(0..120);
            let mut bid = world.bid(rng.gen_range(1..8), auction, price);
            let sealed = bid.content.clone();
            random_content(rng, &mut bid);
            let content = std::mem::replace(&mut bid.content, sealed);
            world.respond(&bid, content);
            bid
        }
        6 | 7 if !jobs.is_empty() => {
            let (auction, prover) = jobs[rng.gen_range(0..jobs.len())];
            let new = if rng.gen_range(0..60) == 0 {
                rng.r#gen()
            } else {
                auction.0 as u8
            };
            let mut submission = world.submission(prover.0.0[0], auction, new);
            if rng.gen_range(0..6) == 0 {
                submission.proof[0] ^= 1;
            }
            world.op(prover.0.0[0], SystemOp::SubmitProof(submission))
        }
        _ => {
            let (rollup, count) = (RollupId(rng.gen_range(1..4)), rng.gen_range(0..12));
            let mut sent = world.transactions(payer, rollup, count);
            random_content(rng, &mut sent);
            sent
        }
    }
}

/// Runs a random chain and returns its roots and events.
fn chain(seed: u64, blocks: usize, restore: bool) -> (Vec<Digest>, Vec<LedgerEvent>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::with_market();
    world.lag = (seed % 4) as usize;
    let mut old = Vec::new();
    let mut roots = Vec::new();
    for number in 0..blocks {
        // Now and then long enough for delayed changes to apply.
        world.step_ms = match rng.gen_range(0..30) {
            0 => 40_000,
            _ => rng.gen_range(1..400),
        };
        world.proposer = ValidatorIndex(rng.gen_range(0..4));
        world.rotate = false;
        let count = rng.gen_range(0..8);
        let sent: Vec<Sent> = (0..count)
            .map(|_| random_envelope(&mut world, &mut rng, &old))
            .collect();
        old.extend(sent.iter().take(1).cloned());
        if let Some(executed) = world.commit(sent) {
            roots.push(executed.state_root);
        }
        if restore && number % 10 == 3 {
            let bytes = world.ledger.snapshot();
            let restored = Ledger::restore(&bytes).expect("own snapshot");
            assert_eq!(
                restored.root(),
                world.ledger.root(),
                "seed {seed}, block {number}"
            );
            assert_eq!(restored.snapshot(), bytes);
            world.ledger = restored;
        }
    }
    (roots, world.events)
}

#[test]
fn random_chains_conserve_money_and_replay_from_any_snapshot() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..24 {
        let (roots, events) = chain(seed, 150, false);
        let (replayed, again) = chain(seed, 150, true);
        assert_eq!(
            roots, replayed,
            "seed {seed}: a restored ledger went another way"
        );
        assert_eq!(events, again, "seed {seed}");
        for event in events {
            let name = format!("{event:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    for name in [
        "RangeSettled",
        "Slashed",
        "StandbyCalled",
        "JobOpened",
        "NoBids",
        "ProofRejected",
        "ProgramFrozen",
        "Cancelled",
        "RollupLeft",
        "RollupUpdated",
    ] {
        assert!(
            seen.contains_key(name),
            "the random chains never reach {name}"
        );
    }
}
