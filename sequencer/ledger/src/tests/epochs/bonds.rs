//! What is at stake is locked before it counts, and given back when nobody can ask for it any more.

use super::*;

fn bond(world: &World, validator: u16) -> u64 {
    let bond = world.ledger.validator_bond(slot(validator));
    bond.expect("a slot").amount.0
}

fn standing(world: &World, validator: u16) -> Standing {
    world
        .ledger
        .validator(slot(validator))
        .expect("a slot")
        .standing
}

fn reweigh(world: &mut World, validator: u16, weight: u16) {
    let update = ValidatorUpdate {
        validator: slot(validator),
        weight: Some(weight),
        ..ValidatorUpdate::default()
    };
    let by = OPERATORS + validator as u8;
    done(world, vec![(by, SystemOp::UpdateValidator(update))]);
}

fn report(world: &mut World, evidence: Misbehaviour) -> Outcome {
    outcomes(world, vec![(5, SystemOp::ReportMisbehaviour(evidence))])[0]
}

/// A newcomer takes the place of validator 2, which leaves with epoch 1.
fn replaced() -> World {
    let mut world = world();
    leave(&mut world, 2, OPERATORS + 2);
    join(&mut world, &[0]);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1, 1, 0, 1, 1]);
    world
}

#[test]
fn whoever_joins_locks_its_bond_at_once() {
    let mut world = world();
    let before = world.balance(NEWCOMERS);
    join(&mut world, &[0]);
    assert_eq!(bond(&world, 4), BOND);
    assert_eq!(before - world.balance(NEWCOMERS), BOND);
}

#[test]
fn whoever_never_voted_has_its_bond_back_at_once_and_its_slot_is_free() {
    let mut world = world();
    let before = world.balance(NEWCOMERS);
    join(&mut world, &[0]);
    leave(&mut world, 4, NEWCOMERS);
    assert_eq!(world.balance(NEWCOMERS), before);
    assert_eq!(standing(&world, 4), Standing::Vacant);
    join(&mut world, &[1]);
    assert_eq!(world.ledger.validators().count(), 5, "slot 4 again");
}

#[test]
fn a_candidate_that_asks_to_leave_stays_bound_while_it_may_still_get_in() {
    let mut world = world();
    join(&mut world, &[0, 1, 2]);
    while world.ledger.key_generation().is_none() {
        step(&mut world, &[]);
    }
    leave(&mut world, 4, NEWCOMERS);
    assert_eq!(
        (bond(&world, 4), standing(&world, 4)),
        (BOND, Standing::Leaving)
    );
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1; 7]);
}

#[test]
fn a_leaver_gets_its_bond_back_when_its_last_epoch_is_closed_not_before() {
    let mut world = replaced();
    let before = world.balance(OPERATORS + 2);
    let ended = world.ledger.epoch_record(Epoch(0)).and_then(|r| r.ended);
    let ended = ended.expect("it is over").0;
    while world.ledger.time().0 + 100 < ended + 1_000 {
        world.idle(1);
        assert_eq!(
            (bond(&world, 2), standing(&world, 2)),
            (BOND, Standing::Leaving)
        );
    }
    world.idle(1);
    assert_eq!(
        (bond(&world, 2), standing(&world, 2)),
        (0, Standing::Vacant)
    );
    assert_eq!(world.balance(OPERATORS + 2) - before, BOND);
    assert_eq!(world.ledger.epoch_setup(Epoch(0)), None);
    assert!(
        world.ledger.epoch_record(Epoch(0)).is_some(),
        "history stays"
    );
    // The next who comes gets the slot, and it has nothing to do with who was there.
    join(&mut world, &[1]);
    let record = world.ledger.validator(slot(2)).expect("a slot");
    assert_eq!(
        (record.info.account, record.standing),
        (account(NEWCOMERS + 1), Standing::Serving)
    );
    assert_eq!(
        report(&mut world, evidence(0, 2)),
        Outcome::Failed(OpError::EpochClosed)
    );
    assert_eq!(
        report(&mut world, evidence(1, 2)),
        Outcome::Failed(OpError::EvidenceInvalid)
    );
    assert_eq!(bond(&world, 2), BOND);
}

#[test]
fn a_leaver_answers_for_what_it_signed_while_it_voted() {
    let mut world = replaced();
    assert_eq!(report(&mut world, evidence(0, 2)), Outcome::Done);
    assert_eq!(bond(&world, 2), 0);
    let before = world.balance(OPERATORS + 2);
    world.idle(20);
    assert_eq!(standing(&world, 2), Standing::Vacant);
    assert_eq!(
        world.balance(OPERATORS + 2),
        before,
        "nothing is given back"
    );
}

#[test]
fn evidence_is_judged_by_the_committee_of_its_epoch() {
    let mut world = replaced();
    // The newcomer had no vote in epoch 0, the leaver has none in epoch 1.
    assert_eq!(
        report(&mut world, evidence(0, 4)),
        Outcome::Failed(OpError::EvidenceInvalid)
    );
    assert_eq!(
        report(&mut world, evidence(1, 2)),
        Outcome::Failed(OpError::EvidenceInvalid)
    );
    assert_eq!(
        report(&mut world, evidence(7, 4)),
        Outcome::Failed(OpError::EpochClosed)
    );
    assert_eq!(report(&mut world, evidence(1, 4)), Outcome::Done);
}

#[test]
fn more_weight_is_bonded_at_once_and_less_released_after_unbonding() {
    let mut world = world();
    let balance = |world: &World| world.balance(OPERATORS);
    let before = balance(&world);
    (0..3).for_each(|validator| reweigh(&mut world, validator, 2));
    assert_eq!(bond(&world, 0), 2 * BOND);
    assert_eq!(before - balance(&world), BOND);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [2, 2, 2, 1]);
    (0..3).for_each(|validator| reweigh(&mut world, validator, 1));
    assert_eq!(bond(&world, 0), 2 * BOND, "it votes with two");
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1; 4]);
    assert_eq!(bond(&world, 0), 2 * BOND, "it answers for two");
    world.idle(12);
    assert_eq!(bond(&world, 0), BOND);
}

#[test]
fn a_wish_that_is_withdrawn_frees_its_bond_with_the_next_close() {
    let mut world = world();
    reweigh(&mut world, 0, 3);
    reweigh(&mut world, 0, 1);
    assert_eq!(bond(&world, 0), 3 * BOND, "settled with an epoch");
    reach(&mut world, 1, &[]);
    world.idle(12);
    assert_eq!(bond(&world, 0), BOND);
}

#[test]
fn who_lost_its_bond_leaves_first_as_soon_as_the_total_allows() {
    let mut world = world();
    assert_eq!(report(&mut world, evidence(0, 3)), Outcome::Done);
    assert_eq!(standing(&world, 3), Standing::Leaving);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1; 4], "three would be too few");

    let mut world = super::world();
    join(&mut world, &[0]);
    leave(&mut world, 1, OPERATORS + 1);
    assert_eq!(report(&mut world, evidence(0, 3)), Outcome::Done);
    reach(&mut world, 1, &[]);
    assert_eq!(
        weights(&world),
        [1, 1, 1, 0, 1],
        "ahead of who asked before"
    );
}

#[test]
fn an_epoch_stays_open_while_a_bid_under_its_key_is_sealed() {
    let mut genesis = with_epochs();
    genesis.market.window_ms = 5_000;
    let mut world = World::of(&genesis);
    let mut config = config();
    config.deadline_ms = 100;
    let register = SystemOp::RegisterRollup {
        rollup: ROLLUP,
        config,
    };
    let amount = Amount(10_000);
    let fund = SystemOp::FundRollup {
        rollup: ROLLUP,
        amount,
    };
    let bonded = SystemOp::PostBond { amount };
    let prover = SystemOp::RegisterProver { slots: 2 };
    done(
        &mut world,
        vec![(OWNER, register), (OWNER, fund), (2, prover), (2, bonded)],
    );
    let auction = world.intent();
    let bid = world.bid(2, auction, 5);
    assert_eq!(world.block(vec![bid]).outcomes, [Outcome::Held]);
    reach(&mut world, 1, &[]);
    let closed = |world: &World| world.ledger.epoch_setup(Epoch(0)).is_none();
    while world.ledger.held_bids(auction).len() == 1 {
        assert!(!closed(&world));
        step(&mut world, &[]);
    }
    assert!(closed(&world), "with the block that opened the bid");
}

#[test]
fn bonds_stay_at_least_twice_as_long_as_the_longest_job() {
    let mut world = replaced();
    let mut config = config();
    config.deadline_ms = 900;
    let rollup = ROLLUP;
    done(
        &mut world,
        vec![(OWNER, SystemOp::RegisterRollup { rollup, config })],
    );
    let ended = world.ledger.epoch_record(Epoch(0)).and_then(|r| r.ended);
    while standing(&world, 2) == Standing::Leaving {
        world.idle(1);
    }
    assert_eq!(world.ledger.time().0, ended.expect("over").0 + 1_800);
}
