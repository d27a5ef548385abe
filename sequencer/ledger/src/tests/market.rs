use conclave_market::{BidVerdict, Phase, SubmitError};
use conclave_types::*;

use super::harness::*;
use crate::*;

fn verdict(world: &World, auction: AuctionId, prover: u8) -> BidVerdict {
    let auction = world.ledger.auction(auction).expect("kept");
    let mut bids = auction.bids.iter();
    bids.find(|bid| bid.bidder == account(prover))
        .expect("a bid")
        .verdict
}

#[test]
fn from_transactions_to_a_settled_root_and_a_paid_prover() {
    let mut world = World::with_market();
    let id = world.intent();
    let intent = world.ledger.auction(id).expect("auction").intent.clone();
    assert_eq!(intent.range.count(), 4);
    assert_eq!((intent.reference, intent.bond), (Amount(40), Amount(60)));
    let bids = vec![
        world.bid(2, id, 35),
        world.bid(3, id, 30),
        world.bid(4, id, 41),
    ];
    let executed = world.block(bids);
    assert_eq!(executed.outcomes, [Outcome::Held; 3]);
    world.idle(5);

    let award = world
        .ledger
        .auction(id)
        .and_then(|a| a.award())
        .expect("award");
    assert_eq!((award.winner, award.price), (account(3), Amount(30)));
    assert_eq!(award.standby.map(|s| s.prover), Some(account(2)));
    assert_eq!(verdict(&world, id, 3), BidVerdict::Winner);
    assert_eq!(verdict(&world, id, 2), BidVerdict::Standby);
    assert_eq!(verdict(&world, id, 4), BidVerdict::AboveCeiling);
    assert_eq!(
        world.ledger.prover(&account(3)).map(|p| p.locked),
        Some(Amount(60))
    );

    let (before, fund) = (world.balance(3), world.fund());
    let proof = world.proof(3, id, 50);
    let executed = world.block(vec![proof]);
    assert_eq!(executed.outcomes, [Outcome::Done]);
    assert_eq!(world.balance(3), before + 30);
    assert_eq!(world.fund(), fund);
    let prover = world.ledger.prover(&account(3)).expect("prover");
    assert_eq!(
        (prover.free, prover.locked, prover.used),
        (Amount(200), Amount(0), 0)
    );
    let settled = world.ledger.settled(ROLLUP).expect("settled");
    assert_eq!((settled.root, settled.next), (root(50), TxIndex(4)));
    assert!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .is_empty()
    );

    // It settles once and is paid once.
    let again = world.proof(3, id, 50);
    let executed = world.block(vec![again]);
    let error = OpError::Submit(SubmitError::AlreadyProven);
    assert_eq!(executed.outcomes, [Outcome::Failed(error)]);
    assert_eq!(world.balance(3), before + 30);
}

#[test]
fn nobody_bids_and_the_ceiling_rises_to_the_maximum() {
    let mut world = World::with_market();
    let first = world.intent();
    let mut ceilings = vec![];
    let mut last = first;
    for _ in 0..700 {
        world.idle(1);
        if world.auction() != last {
            last = world.auction();
            ceilings.push(world.ledger.auction(last).expect("auction").max_price.0);
        }
    }
    assert_eq!(ceilings[..5], [48, 60, 72, 80, 80]);
    let auction = world.ledger.auction(first).expect("kept");
    assert!(matches!(auction.phase, Phase::Unsold { .. }));
    // A bid in a later round wins above the first ceiling.
    let bid = world.bid(2, last, 80);
    world.block(vec![bid]);
    while world.ledger.auction(last).expect("auction").is_bidding() {
        world.idle(1);
    }
    let award = world.ledger.auction(last).and_then(|a| a.award());
    assert_eq!(award.map(|award| award.price), Some(Amount(80)));
}

#[test]
fn an_auction_does_not_close_on_time_alone() {
    let mut world = World::with_market();
    let id = world.intent();
    world.rotate = false;
    world.idle(30);
    assert!(world.ledger.auction(id).expect("auction").is_bidding());
    world.proposer = ValidatorIndex((world.proposer.0 + 1) % 4);
    let (time, height) = (world.ledger.time(), world.ledger.height().next());
    let time = BlockTime(time.0 + world.step_ms);
    assert_eq!(world.ledger.closing(time, height, world.proposer), [id]);
    world.idle(1);
    assert!(!world.ledger.auction(id).expect("auction").is_bidding());
}

#[test]
fn late_second_unknown_and_unbonded_bids_are_void() {
    let mut world = World::with_market();
    let id = world.intent();
    let bids = vec![
        world.bid(2, id, 30),
        world.bid(2, id, 20),
        world.bid(5, id, 10),
        world.bid(3, AuctionId(99), 10),
    ];
    let executed = world.block(bids);
    let void = Outcome::Void;
    assert_eq!(executed.outcomes, [Outcome::Held, void, void, void]);
    world.idle(3);
    // This block's time closes the auction: its bids are late.
    let late = world.bid(3, id, 1);
    let executed = world.block(vec![late]);
    assert_eq!(executed.outcomes, [void]);
    let auction = world.ledger.auction(id).expect("auction");
    assert_eq!(auction.award().map(|a| a.winner), Some(account(2)));
    assert_eq!(auction.bids.len(), 1);
}

#[test]
fn equal_bids_are_ordered_by_all_openings() {
    let winner = |ms: [u8; 2]| {
        let mut world = World::with_market();
        let id = world.intent();
        let bids = [world.bid(2, id, 30), world.bid(3, id, 30)];
        for (bid, m) in bids.iter().zip(ms) {
            let Content::Opened { plaintext, .. } = bid.content.clone() else {
                unreachable!()
            };
            let m = Point([m; 32]);
            world.respond(bid, Content::Opened { plaintext, m });
        }
        world.block(bids.to_vec());
        world.idle(5);
        world
            .ledger
            .auction(id)
            .and_then(|a| a.award())
            .expect("award")
            .winner
    };
    assert_eq!(winner([1, 2]), winner([1, 2]));
    let winners: std::collections::BTreeSet<_> = (0..16).map(|m| winner([1, m])).collect();
    assert_eq!(winners.len(), 2, "the tie depends on the other's opening");
}

#[test]
fn unreadable_bids_do_not_win_and_malformed_ones_pay() {
    let mut world = World::with_market();
    let id = world.intent();
    let bids = [
        world.bid(2, id, 1),
        world.bid(3, id, 2),
        world.bid(4, id, 30),
    ];
    world.respond(&bids[0], Content::Malformed);
    world.respond(&bids[1], Content::UndecryptableBody { m: Point([1; 32]) });
    world.block(bids.to_vec());
    world.idle(6);
    assert_eq!(verdict(&world, id, 2), BidVerdict::Unreadable);
    assert_eq!(verdict(&world, id, 3), BidVerdict::Unreadable);
    assert_eq!(verdict(&world, id, 4), BidVerdict::Winner);
    assert_eq!(world.insurance(), 500);
}

#[test]
fn nobody_wins_more_than_bond_and_slots_cover() {
    let mut world = World::with_market();
    let mut won = vec![];
    for n in 0..4 {
        let sent = world.transactions(5, ROLLUP, 4);
        world.block(vec![sent]);
        let outstanding = world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .clone();
        let id = outstanding[n];
        won.push(id);
        let bid = world.bid(2, id, 10);
        world.block(vec![bid]);
    }
    // A fifth range waits: four are outstanding.
    let sent = world.transactions(5, ROLLUP, 4);
    world.block(vec![sent]);
    assert_eq!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .len(),
        4
    );
    world.idle(6);
    assert_eq!(verdict(&world, won[0], 2), BidVerdict::Winner);
    assert_eq!(verdict(&world, won[1], 2), BidVerdict::Winner);
    assert_eq!(verdict(&world, won[2], 2), BidVerdict::NoSlot);
    let prover = world.ledger.prover(&account(2)).expect("prover");
    assert_eq!(
        (prover.used, prover.locked, prover.free),
        (2, Amount(120), Amount(80))
    );
    let amount = Amount(81);
    let withdraw = world.op(2, SystemOp::WithdrawBond { amount });
    let error = OpError::Bond { free: Amount(80) };
    assert_eq!(
        world.block(vec![withdraw]).outcomes,
        [Outcome::Failed(error)]
    );

    // The second range's deadline starts when the first settles, and its proof is refused before.
    let second = world
        .ledger
        .auction(won[1])
        .and_then(|a| a.award())
        .expect("award");
    assert!(second.deadline.is_none());
    let early = world.proof(2, won[1], 51);
    let error = OpError::Submit(SubmitError::PredecessorUnsettled);
    assert_eq!(world.block(vec![early]).outcomes, [Outcome::Failed(error)]);
    let first = world.proof(2, won[0], 50);
    assert_eq!(world.block(vec![first]).outcomes, [Outcome::Done]);
    let second = world
        .ledger
        .auction(won[1])
        .and_then(|a| a.award())
        .expect("award");
    assert!(second.deadline.is_some());
    let proof = world.proof(2, won[1], 51);
    assert_eq!(world.block(vec![proof]).outcomes, [Outcome::Done]);
    assert_eq!(
        world.ledger.settled(ROLLUP).map(|s| s.next),
        Some(TxIndex(8))
    );
}

#[test]
fn a_price_is_bounded_by_the_fund() {
    let mut world = World::new();
    let register = SystemOp::RegisterRollup {
        rollup: ROLLUP,
        config: RollupConfig {
            fee_share_percent: 0,
            ..config()
        },
    };
    let sent = vec![
        world.op(OWNER, register),
        world.op(2, SystemOp::RegisterProver { slots: 1 }),
        world.op(2, SystemOp::PostBond { amount: Amount(60) }),
    ];
    world.block(sent);
    let sent = vec![world.transactions(5, ROLLUP, 4)];
    world.block(sent);
    assert!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .is_empty()
    );
    let fund = SystemOp::FundRollup {
        rollup: ROLLUP,
        amount: Amount(25),
    };
    let sent = vec![world.op(OWNER, fund)];
    world.block(sent);
    let id = world.auction();
    assert_eq!(
        world.ledger.auction(id).map(|a| a.max_price),
        Some(Amount(25))
    );
    let bid = world.bid(2, id, 25);
    world.block(vec![bid]);
    world.idle(5);
    assert_eq!(verdict(&world, id, 2), BidVerdict::Winner);
    assert_eq!(world.fund(), 0);
}

#[test]
fn old_transactions_raise_an_intent_and_long_backlogs_are_cut() {
    let mut world = World::with_market();
    world.step_ms = 30_000;
    let sent = world.transactions(5, ROLLUP, 1);
    world.block(vec![sent]);
    assert!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .is_empty()
    );
    assert_eq!(
        world.ledger.next_due(),
        Some(BlockTime(world.ledger.time().0 + 60_000))
    );
    world.idle(2);
    assert_eq!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .len(),
        1
    );

    world.step_ms = 1;
    let sent = vec![
        world.transactions(5, ROLLUP, 1_000),
        world.transactions(5, ROLLUP, 1_000),
    ];
    world.block(sent);
    let outstanding = world
        .ledger
        .rollup(ROLLUP)
        .expect("rollup")
        .outstanding
        .clone();
    let counts = outstanding.iter().map(|id| {
        let range = world.ledger.auction(*id).expect("auction").intent.range;
        assert!(range.from_height <= range.to_height);
        range.count()
    });
    // A prover bids only for what it can do before the deadline. Ranges that grew with the backlog
    // once got too long for anyone to bid on, and settlement stopped for good.
    assert_eq!(counts.collect::<Vec<_>>(), [1, 4, 4, 4]);
}

#[test]
fn missing_contents_and_bids_stop_execution_without_a_trace() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30)]);
    let proof = world.proof(2, id, 50);
    let block = ExecutableBlock {
        height: world.ledger.height().next(),
        epoch: Epoch(0),
        time: BlockTime(world.ledger.time().0 + 1),
        proposer: ValidatorIndex(0),
        ledger_height: world.ledger.height(),
        entries: vec![crate::Entry {
            header: proof.header,
            author: ValidatorIndex(0),
            content: proof.content,
        }],
        bids: vec![],
    };
    let before = world.ledger.snapshot();
    let missing = world
        .ledger
        .execute(block.clone(), &Store::default(), &KeyedVerifier, &votes());
    assert!(matches!(missing, Err(ExecuteError::MissingContents { .. })));
    let mut corrupt = world.store.clone();
    corrupt.0.get_mut(&ROLLUP).expect("stream")[0].bytes.push(0);
    let corrupt = world
        .ledger
        .execute(block, &corrupt, &KeyedVerifier, &votes());
    assert!(matches!(corrupt, Err(ExecuteError::CorruptContents { .. })));
    assert_eq!(world.ledger.snapshot(), before);
}

/// A range is held in memory by everyone who verifies its proof, so long transactions fill it
/// before there are 1,024 of them.
#[test]
fn a_range_of_long_transactions_ends_at_its_bytes() {
    let mut world = World::with_market();
    let rollup = RollupId(2);
    let config = RollupConfig {
        range_transactions: limits::RANGE_TRANSACTIONS_MAX,
        ..config()
    };
    let amount = Amount(10_000);
    let register = world.op(OWNER, SystemOp::RegisterRollup { rollup, config });
    let fund = world.op(OWNER, SystemOp::FundRollup { rollup, amount });
    world.block(vec![register, fund]);
    let long = 280_000;
    let fill = limits::RANGE_BYTES_MAX.div_ceil(long);
    for _ in 0..=fill {
        let bytes = encode_transactions(&[vec![0; long as usize]]).expect("one");
        let sent = world.sealed(5, rollup, bytes);
        world.block(vec![sent]);
    }
    let outstanding = &world.ledger.rollup(rollup).expect("rollup").outstanding;
    assert_eq!(
        outstanding.len(),
        1,
        "one full range, and one transaction more"
    );
    let auction = world.ledger.auction(outstanding[0]).expect("auction");
    assert_eq!(auction.intent.range.count(), fill);
}

/// A payer can sign one header in many ways, and neither the envelope's nor the batch's id binds
/// the signature: an author that sent one variant to some validators and another to the rest would
/// have split their ledgers, had the state held the signature of a bid.
#[test]
fn another_signature_of_the_same_bid_gives_the_same_state() {
    let states = [1, 2].map(|variant| {
        let mut world = World::with_market();
        let id = world.intent();
        let mut bid = world.bid(2, id, 35);
        bid.header.signature = EdSignature([variant; 64]);
        let executed = world.block(vec![bid]);
        assert_eq!(executed.outcomes, [Outcome::Held]);
        world.ledger.snapshot()
    });
    assert_eq!(states[0], states[1]);
}

/// A proof for a settled range is verified too, so a validator that joins has to fetch its
/// contents: without them, one such submission stopped it.
#[test]
fn whatever_a_proof_may_be_verified_against_is_provable() {
    let mut world = World::with_market();
    let id = world.award(&[(3, 30)]);
    let range = world.ledger.auction(id).expect("auction").intent.range;
    let proof = world.proof(3, id, 50);
    let executed = world.block(vec![proof]);
    assert_eq!(executed.outcomes, [Outcome::Done]);
    let auction = world.ledger.auction(id).expect("kept");
    assert!(matches!(auction.phase, Phase::Settled(_)));
    let provable = world.ledger.provable();
    assert!(provable.iter().any(|(of, _)| *of == range));
}
