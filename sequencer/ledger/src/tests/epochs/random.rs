//! Random committees: members come, go, change and cheat while epochs turn. The harness checks
//! conservation and the agreement of the fee ledgers after every block; here, that whoever may be
//! accused is bonded, and that a restored snapshot goes the same way.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// An operation that somebody may well try, with its author.
fn random_op(world: &World, rng: &mut ChaCha8Rng) -> (u8, SystemOp) {
    let slots = world.ledger.validators().count() as u16;
    let validator = slot(rng.gen_range(0..slots));
    let record = world.ledger.validator(validator).expect("a slot");
    let operator = record.info.account.0.0[0];
    match rng.gen_range(0..10) {
        0..=3 => {
            let operator = rng.gen_range(NEWCOMERS..NEWCOMERS + 8);
            let info = info(operator, rng.gen_range(1..3));
            (operator, SystemOp::RegisterValidator(info))
        }
        4 | 5 => (operator, SystemOp::LeaveValidator { validator }),
        6 | 7 => {
            let update = ValidatorUpdate {
                validator,
                weight: rng.r#gen::<bool>().then(|| rng.gen_range(1..4)),
                api: Some(format!("http://{}", rng.r#gen::<u8>())),
                ..ValidatorUpdate::default()
            };
            (operator, SystemOp::UpdateValidator(update))
        }
        8 if rng.gen_range(0..4) == 0 => {
            let epoch = rng.gen_range(0..=world.ledger.epoch().0);
            let evidence = evidence(epoch, validator.0);
            (5, SystemOp::ReportMisbehaviour(evidence))
        }
        _ => (operator, SystemOp::Rearm),
    }
}

/// Whoever has a vote in a kept committee, or will have one, has that much at stake, or lost it.
fn check_bonds(world: &World) {
    let kept = (0..=world.ledger.epoch().0 + 1).filter_map(|e| world.ledger.epoch_setup(Epoch(e)));
    for setup in kept {
        let total: u64 = setup.weights().iter().map(|w| u64::from(*w)).sum();
        assert!(Threshold::for_total(total).is_ok_and(|t| t.faults() > 0));
        for (validator, member) in (0..).map(slot).zip(&setup.validators) {
            let bond = world.ledger.validator_bond(validator).expect("a slot");
            let needed = BOND * u64::from(member.weight);
            assert!(bond.forfeited.is_some() || bond.amount.0 >= needed);
        }
    }
    for (_, record) in world.ledger.validators() {
        let needed = BOND * u64::from(record.info.weight);
        assert!(record.bond.forfeited.is_some() || record.bond.amount.0 >= needed);
    }
}

fn chain(seed: u64, restore: bool) -> (Vec<Digest>, World) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = world();
    let mut roots = Vec::new();
    for number in 0..90 {
        let mut operations = posts(&world, &[rng.gen_range(0..8)]);
        for _ in 0..rng.gen_range(0..3) {
            operations.push(random_op(&world, &mut rng));
        }
        let sent = operations.into_iter().map(|(by, op)| world.op(by, op));
        let sent = sent.collect();
        roots.push(world.block(sent).state_root);
        check_bonds(&world);
        if restore && number % 9 == 4 {
            world.ledger = Ledger::restore(&world.ledger.snapshot()).expect("own snapshot");
        }
    }
    (roots, world)
}

#[test]
fn random_committees_are_bonded_and_replay_from_any_snapshot() {
    let mut seen = std::collections::BTreeSet::new();
    let mut largest: u16 = 0;
    for seed in 0..8 {
        let (roots, world) = chain(seed, false);
        assert_eq!(roots, chain(seed, true).0, "seed {seed}");
        assert!(world.ledger.epoch() >= Epoch(2), "seed {seed}");
        largest = largest.max(weights(&world).iter().sum());
        for event in &world.events {
            let name = format!("{event:?}");
            seen.insert(name.split([' ', '{']).next().unwrap_or_default().to_owned());
        }
    }
    assert!(largest > 4, "nobody ever joins");
    for name in [
        "ValidatorRegistered",
        "ValidatorUpdated",
        "ValidatorLeaving",
        "ValidatorSlashed",
        "BondReleased",
        "EpochClosed",
    ] {
        assert!(
            seen.contains(name),
            "the random committees never reach {name}"
        );
    }
}
