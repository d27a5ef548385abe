//! Who joins, changes and leaves, and when.

use super::*;

#[test]
fn three_join_together_and_a_fourth_waits() {
    let mut world = world();
    join(&mut world, &[0, 1]);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1, 1, 1, 1, 0, 0], "two do not add up");
    join(&mut world, &[2, 3]);
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1, 1, 1, 1, 1, 1, 1, 0]);
    let setup = world.ledger.present_setup();
    assert_eq!(setup.validators[6], newcomer(2));
    assert_eq!(setup.sealing.shares.len(), 7);
    assert_eq!(setup.threshold().map(Threshold::quorum), Ok(5));
}

/// A newcomer that asked for a third of all weight was waited for by all who asked after it, and
/// would have been able to stop the chain alone.
#[test]
fn who_asks_for_too_much_waits_alone() {
    let mut world = world();
    let greedy = SystemOp::RegisterValidator(info(NEWCOMERS + 5, 3));
    done(&mut world, vec![(NEWCOMERS + 5, greedy)]);
    join(&mut world, &[0]);
    leave(&mut world, 2, OPERATORS + 2);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1, 1, 0, 1, 0, 1]);
    // Three more, and three is f.
    join(&mut world, &[1, 2, 3]);
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1, 1, 0, 1, 3, 1, 1, 1, 1]);
}

#[test]
fn fees_go_to_the_present_members() {
    let mut world = world();
    join(&mut world, &[0, 1, 2]);
    reach(&mut world, 1, &[]);
    world.rotate = false;
    world.proposer = slot(5);
    let before = world.balance(NEWCOMERS + 1);
    let sent = world.op(5, SystemOp::RegisterProver { slots: 1 });
    world.block(vec![sent]);
    assert!(world.balance(NEWCOMERS + 1) > before, "it proposed");
}

#[test]
fn one_takes_the_place_of_another_that_leaves() {
    let mut world = world();
    leave(&mut world, 2, OPERATORS + 2);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1; 4], "three would be too few");
    join(&mut world, &[0]);
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1, 1, 0, 1, 1]);
}

#[test]
fn keys_and_addresses_change_with_the_epoch_whoever_waits() {
    let mut world = world();
    join(&mut world, &[0]);
    let rotated = info(50, 1);
    let update = SystemOp::UpdateValidator(ValidatorUpdate {
        validator: slot(1),
        bls: Some((rotated.bls_key, rotated.bls_possession)),
        transport_key: Some(rotated.transport_key),
        address: Some("elsewhere:9".into()),
        ..ValidatorUpdate::default()
    });
    done(&mut world, vec![(OPERATORS + 1, update)]);
    let present = |world: &World| world.ledger.present_setup().validators[1].clone();
    assert_eq!(present(&world), info(OPERATORS + 1, 1), "not yet");
    reach(&mut world, 1, &[]);
    let changed = present(&world);
    assert_eq!(changed.bls_key, rotated.bls_key);
    assert_eq!(changed.transport_key, rotated.transport_key);
    assert_eq!(
        (changed.address.as_str(), changed.weight),
        ("elsewhere:9", 1)
    );
    assert_eq!(changed.name, info(OPERATORS + 1, 1).name);
}

#[test]
fn a_change_after_the_set_is_frozen_waits_for_the_epoch_after() {
    let mut world = world();
    while world.ledger.key_generation().is_none() {
        step(&mut world, &[]);
    }
    join(&mut world, &[0, 1, 2]);
    reach(&mut world, 1, &[]);
    assert_eq!(weights(&world), [1; 4], "the slots are not even in it");
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1; 7]);
}

#[test]
fn only_sound_registrations_are_taken() {
    use ValidatorField::{Address, Api, BlsKey, Name, Taken, TransportKey as Transport, Weight};
    let mut world = world();
    let by = NEWCOMERS;
    type Case = (ValidatorField, fn(&mut ValidatorInfo));
    let cases: Vec<Case> = vec![
        (Weight, |info| info.weight = 0),
        (Weight, |info| info.weight = 257),
        (Name, |info| info.name.clear()),
        (Name, |info| info.name = "n".repeat(65)),
        (Address, |info| info.address.clear()),
        (Address, |info| info.address = "a".repeat(281)),
        (Api, |info| info.api = "a".repeat(281)),
        (Taken, |info| info.name = "v101".into()),
        (Taken, |info| info.bls_key = BlsPublicKey([101; 96])),
        (Taken, |info| {
            info.transport_key = EdSecret::from_seed(&[103; 32]).transport_key();
        }),
        (BlsKey, |info| info.bls_possession = BlsSignature([9; 48])),
        (Transport, |info| info.transport_key = TransportKey([0; 32])),
        (Transport, |info| {
            info.transport_key = TransportKey([0xff; 32]);
        }),
    ];
    for (field, change) in cases {
        let mut wrong = newcomer(0);
        change(&mut wrong);
        let error = failed(&mut world, by, SystemOp::RegisterValidator(wrong));
        assert_eq!(error, OpError::Validator { field });
    }
    let foreign = SystemOp::RegisterValidator(newcomer(1));
    assert_eq!(failed(&mut world, by, foreign), OpError::NotOperator);
    let heavy = SystemOp::RegisterValidator(info(by, 4));
    assert!(matches!(
        failed(&mut world, by, heavy),
        OpError::Balance { .. }
    ));
    join(&mut world, &[0]);
    let again = SystemOp::RegisterValidator(newcomer(0));
    let field = Taken;
    assert_eq!(failed(&mut world, by, again), OpError::Validator { field });
}

#[test]
fn only_the_operator_changes_its_validator() {
    let mut world = world();
    let validator = slot(1);
    let update = || {
        SystemOp::UpdateValidator(ValidatorUpdate {
            validator,
            api: Some("http://stolen".into()),
            ..ValidatorUpdate::default()
        })
    };
    let stranger = OPERATORS + 2;
    assert_eq!(failed(&mut world, stranger, update()), OpError::NotOperator);
    let leaving = SystemOp::LeaveValidator { validator };
    assert_eq!(
        failed(&mut world, stranger, leaving.clone()),
        OpError::NotOperator
    );
    leave(&mut world, 1, OPERATORS + 1);
    let operator = OPERATORS + 1;
    assert_eq!(failed(&mut world, operator, update()), OpError::NotOperator);
    assert_eq!(failed(&mut world, operator, leaving), OpError::NotOperator);
    let nobody = SystemOp::LeaveValidator { validator: slot(9) };
    assert_eq!(failed(&mut world, operator, nobody), OpError::NotOperator);
}

#[test]
fn there_are_no_more_slots_than_a_bitmap_has_bits() {
    let mut genesis = with_epochs();
    genesis.consensus.validator_bond = Amount::ZERO;
    genesis.validators = (0..256)
        .map(|n| {
            let mut info = info(OPERATORS, 1);
            info.name = format!("n{n}");
            info.bls_key = BlsPublicKey([n as u8; 96]);
            info.transport_key = TransportKey([n as u8; 32]);
            info
        })
        .collect();
    let mut world = World::of(&genesis);
    let mut fresh = info(NEWCOMERS, 1);
    fresh.bls_key.0[1] = 1;
    let error = failed(&mut world, NEWCOMERS, SystemOp::RegisterValidator(fresh));
    assert_eq!(error, OpError::ValidatorsFull);
}
