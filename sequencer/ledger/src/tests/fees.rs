use conclave_types::*;

use super::harness::*;
use crate::*;

fn refused(world: &mut World, sent: Sent) -> Disposition {
    let before = world.ledger.account(&sent.header.core.payer);
    let executed = world.block(vec![sent.clone()]);
    assert_eq!(executed.dispositions[0].fee(), None);
    let after = world.ledger.account(&sent.header.core.payer);
    assert_eq!(before.fees, after.fees, "refused and charged");
    assert_eq!(
        executed.outcomes[0],
        Outcome::Refused(executed.dispositions[0])
    );
    executed.dispositions[0]
}

#[test]
fn duplicates_unpaid_expired_and_foreign_epochs_are_neither_charged_nor_opened() {
    let mut world = World::with_market();
    let sent = world.transactions(5, ROLLUP, 1);
    world.block(vec![sent.clone()]);
    assert_eq!(refused(&mut world, sent), Disposition::Duplicate);

    let mut old = world.transactions(5, ROLLUP, 1);
    old.header.core.expiry = Height(1);
    assert_eq!(refused(&mut world, old), Disposition::Expired);

    let mut far = world.transactions(5, ROLLUP, 1);
    far.header.core.expiry = Height(limits::EXPIRY_AHEAD_BLOCKS_MAX + 100);
    assert_eq!(refused(&mut world, far), Disposition::ExpiryTooFar);

    let mut foreign = world.transactions(5, ROLLUP, 1);
    foreign.header.core.epoch = Epoch(1);
    assert_eq!(refused(&mut world, foreign), Disposition::WrongEpoch);

    let poor = world.transactions(77, ROLLUP, 1);
    assert_eq!(refused(&mut world, poor), Disposition::Unpaid);

    // Two copies in one block: the first counts.
    let twice = world.transactions(5, ROLLUP, 1);
    let executed = world.block(vec![twice.clone(), twice]);
    assert!(executed.dispositions[0].is_accepted());
    assert_eq!(executed.dispositions[1], Disposition::Duplicate);
}

#[test]
fn sequence_numbers_may_have_gaps_never_repeat_and_age_out_of_the_window() {
    let mut world = World::with_market();
    let with = |world: &mut World, sequence| {
        let mut sent = world.transactions(5, ROLLUP, 1);
        sent.header.core.sequence = Sequence(sequence);
        world.block(vec![sent]).dispositions[0]
    };
    assert!(with(&mut world, 10_000).is_accepted());
    assert!(with(&mut world, 10_000 - limits::SEQUENCE_WINDOW + 1).is_accepted());
    let oldest = 10_000 - limits::SEQUENCE_WINDOW;
    assert_eq!(with(&mut world, oldest), Disposition::SequenceTooOld);
    assert!(with(&mut world, 9_999).is_accepted());
    assert_eq!(with(&mut world, 9_999), Disposition::Duplicate);
    // A step within the window keeps what is used, a leap beyond it forgets everything older.
    assert!(with(&mut world, 10_500).is_accepted());
    assert_eq!(with(&mut world, 10_000), Disposition::Duplicate);
    assert!(with(&mut world, 10_400).is_accepted());
    assert!(with(&mut world, 50_000).is_accepted());
    assert_eq!(with(&mut world, 10_500), Disposition::SequenceTooOld);
    assert!(with(&mut world, 50_000 - 100).is_accepted());
    assert!(with(&mut world, u64::MAX).is_accepted());
    assert_eq!(with(&mut world, u64::MAX), Disposition::Duplicate);
}

#[test]
fn a_fee_goes_to_rollup_proposer_and_batcher_to_the_last_unit() {
    let mut world = World::with_market();
    let (fund, before) = (world.fund(), world.ledger.account(&account(5)).fees.0);
    let validators = |world: &World| [0, 1, 2, 3].map(|n| world.balance(100 + n));
    let earned = validators(&world);
    let sent = world.sealed(5, ROLLUP, vec![0; 1025]);
    let fee = world.ledger.fees().quote(ROLLUP, account(5), 1025).0;
    assert_eq!(fee, 100 + 2 * 10);
    world.block(vec![sent]);
    assert_eq!(world.ledger.account(&account(5)).fees.0, before - fee);
    assert_eq!(world.fund() - fund, 24);
    let mut expected = earned;
    expected[usize::from(world.proposer.0)] += 48;
    expected[2] += 48;
    assert_eq!(validators(&world), expected);
}

#[test]
fn deposits_and_withdrawals_count_once_a_header_covers_them() {
    let mut world = World::new();
    let (to, amount) = (account(77), Amount(1_000));
    let deposit = world.op(
        1,
        SystemOp::DepositFees {
            account: to,
            amount,
        },
    );
    let withdraw = world.op(
        2,
        SystemOp::WithdrawFees {
            amount: Amount(u64::MAX),
        },
    );
    world.block(vec![deposit, withdraw]);
    assert_eq!(world.ledger.account(&to).fees, Amount::ZERO);
    assert_eq!(world.ledger.totals().fee_deposits, 1_000);
    let early = world.ledger.account(&account(2));
    world.idle(1);
    assert_eq!(world.ledger.account(&to).fees, amount);
    assert_eq!(world.ledger.totals().fee_deposits, 0);
    let late = world.ledger.account(&account(2));
    assert_eq!(late.fees, Amount::ZERO);
    assert_eq!(late.balance.0, early.balance.0 + early.fees.0);
}

#[test]
fn a_malformed_seal_costs_a_surcharge_without_debt() {
    let mut world = World::with_market();
    let mut sent = world.transactions(5, ROLLUP, 1);
    sent.content = Content::Malformed;
    let before = world.ledger.account(&account(5)).fees.0;
    let executed = world.block(vec![sent]);
    assert_eq!(executed.outcomes[0], Outcome::Malformed);
    world.idle(1);
    let fee = 110;
    assert_eq!(world.ledger.account(&account(5)).fees.0, before - fee - 500);
    assert_eq!(world.insurance(), 500);

    let (to, amount) = (account(77), Amount(300));
    let deposit = world.op(
        1,
        SystemOp::DepositFees {
            account: to,
            amount,
        },
    );
    world.block(vec![deposit]);
    let mut sent = world.transactions(77, ROLLUP, 1);
    sent.content = Content::Malformed;
    world.block(vec![sent]);
    world.idle(1);
    assert_eq!(world.ledger.account(&to).fees, Amount::ZERO);
    assert_eq!(world.insurance(), 500 + 300 - fee);
}

#[test]
fn forbidden_lanes_are_charged_and_void() {
    let mut world = World::with_market();
    let mut plain = world.op(5, SystemOp::Rearm);
    plain.header.core.rollup = ROLLUP;
    let mut bid_elsewhere = world.bid(2, AuctionId(1), 1);
    bid_elsewhere.header.core.rollup = ROLLUP;
    let unknown = world.transactions(5, RollupId(99), 1);
    let executed = world.block(vec![plain, bid_elsewhere, unknown]);
    assert_eq!(executed.outcomes, [Outcome::Void; 3]);
    assert!(executed.dispositions.iter().all(|d| d.fee().is_some()));
    assert!(!executed.dispositions[0].is_accepted() && !executed.dispositions[1].is_accepted());
    // Nothing but what was for a registered rollup is delivered.
    assert_eq!(executed.deliveries.len(), 1);
    assert_eq!(executed.deliveries[0].entries.len(), 2);
}

#[test]
fn a_fee_ledger_ahead_of_execution_waits_for_what_a_header_covers() {
    let mut world = World::new();
    let mut ahead = world.ledger.fees().clone();
    let mut block = OrderedBlock {
        height: Height(1),
        epoch: Epoch(0),
        time: BlockTime(2_000),
        proposer: ValidatorIndex(0),
        ledger_height: Height(1),
    };
    assert!(ahead.order(&block, &[]).is_err());
    block.ledger_height = Height(0);
    assert_eq!(ahead.order(&block, &[]), Ok(vec![]));
    world.idle(1);
}

/// Ordering 100 KB a second is all that these validators do without strain: six envelopes.
fn strained() -> World {
    let mut genesis = genesis();
    genesis.fees.target_bytes_per_second = 100_000;
    World::of(&genesis)
}

/// Floods for six seconds; what the flooder and a quiet rollup last paid.
fn flood(world: &mut World) -> (Amount, Amount) {
    let mut paid = (Amount::ZERO, Amount::ZERO);
    for block in 0..60 {
        let mut sent = vec![
            world.transactions(5, ROLLUP, 1),
            world.transactions(5, ROLLUP, 1),
        ];
        // One a second, a third of its share.
        if block % 10 == 5 {
            sent.push(world.transactions(6, RollupId(2), 1));
        }
        if let Some(executed) = world.commit(sent) {
            let fees = executed
                .dispositions
                .iter()
                .map(|d| d.fee().expect("charged"));
            let fees: Vec<Amount> = fees.collect();
            assert_eq!(fees[0], fees[1], "one tariff for a block");
            assert!(fees[0] >= paid.0, "it only rises");
            paid = (fees[0], fees.get(2).copied().unwrap_or(paid.1));
        }
    }
    paid
}

/// Executed at once or blocks later: tariffs follow from headers, so the fee ledger that runs ahead
/// and the one that is executed never differ, which the harness compares.
#[test]
fn a_rollup_that_floods_pays_more_and_slows_nobody_else() {
    for lag in [0, 3] {
        let mut world = strained();
        world.lag = lag;
        let base = world.ahead.quote(ROLLUP, account(5), 10);
        let (flooder, quiet) = flood(&mut world);
        assert!(flooder.0 > base.0 * 3 / 2, "{flooder} of {base}");
        assert_eq!(quiet, base);
        assert_eq!(world.ahead.quote(RollupId::SYSTEM, account(5), 10), base);
    }
}

#[test]
fn nobody_pays_more_than_they_said_and_the_price_falls_again() {
    let mut world = strained();
    let base = world.ledger.fees().quote(ROLLUP, account(5), 10);
    flood(&mut world);
    let mut cheap = world.transactions(6, ROLLUP, 1);
    cheap.header.core.fee_max = base;
    assert!(!world.ledger.fees().is_affordable(&cheap.header));
    assert_eq!(refused(&mut world, cheap.clone()), Disposition::FeeTooLow);
    world.idle(200);
    assert!(world.ledger.fees().is_affordable(&cheap.header));
    assert_eq!(world.ledger.fees().highest_tariff(), limits::TARIFF_BASE);
    // It was not used up by having been ordered for nothing.
    assert_eq!(world.block(vec![cheap]).dispositions[0].fee(), Some(base));
}

#[test]
fn a_restored_ledger_goes_on_with_its_tariffs() {
    let mut world = strained();
    flood(&mut world);
    let tariff = world.ledger.fees().tariff(ROLLUP, account(5));
    assert!(tariff > limits::TARIFF_BASE);
    let restored = Ledger::restore(&world.ledger.snapshot()).expect("our own");
    assert_eq!(restored.root(), world.ledger.root());
    assert_eq!(restored.fees().tariff(ROLLUP, account(5)), tariff);
}
