use conclave_types::*;

use super::harness::*;
use crate::*;

fn run(world: &mut World, payer: u8, op: SystemOp) -> Outcome {
    let sent = world.op(payer, op);
    world.block(vec![sent]).outcomes[0]
}

fn failed(error: OpError) -> Outcome {
    Outcome::Failed(error)
}

fn update(config: RollupConfig) -> SystemOp {
    SystemOp::UpdateRollup {
        rollup: ROLLUP,
        config,
    }
}

#[test]
fn only_sound_configurations_under_free_ids_are_registered() {
    let mut world = World::with_market();
    let register = |rollup, config| SystemOp::RegisterRollup {
        rollup: RollupId(rollup),
        config,
    };
    let taken = failed(OpError::RollupTaken);
    assert_eq!(run(&mut world, 1, register(0, config())), taken);
    assert_eq!(run(&mut world, 1, register(1, config())), taken);
    let bad = [
        (
            ConfigField::Name,
            RollupConfig {
                name: "x".repeat(65),
                ..config()
            },
        ),
        (
            ConfigField::Policy,
            RollupConfig {
                policy: ProofPolicy::Any {
                    systems: vec![],
                    required: 0,
                },
                ..config()
            },
        ),
        (
            ConfigField::ReservePriceMax,
            RollupConfig {
                reserve_price_max: Amount(1),
                ..config()
            },
        ),
        (
            ConfigField::RangeTransactions,
            RollupConfig {
                range_transactions: 0,
                ..config()
            },
        ),
        (
            ConfigField::RangeTransactions,
            RollupConfig {
                range_transactions: 1025,
                ..config()
            },
        ),
        (
            ConfigField::DeadlineMs,
            RollupConfig {
                deadline_ms: 0,
                ..config()
            },
        ),
        (
            ConfigField::BondPercent,
            RollupConfig {
                bond_percent: 10_001,
                ..config()
            },
        ),
        (
            ConfigField::FeeSharePercent,
            RollupConfig {
                fee_share_percent: 101,
                ..config()
            },
        ),
        (
            ConfigField::Program,
            RollupConfig {
                program: ProgramVersion(Digest([99; 32])),
                ..config()
            },
        ),
    ];
    for (field, config) in bad {
        let outcome = run(&mut world, 1, register(2, config));
        assert_eq!(outcome, failed(OpError::Config { field }));
    }
}

#[test]
fn an_update_waits_its_delay_and_only_the_owner_may() {
    let mut world = World::with_market();
    let new = RollupConfig {
        reserve_price: Amount(12),
        ..config()
    };
    assert_eq!(
        run(&mut world, 2, update(new.clone())),
        failed(OpError::NotOwner)
    );
    let leave = SystemOp::LeaveRollup { rollup: ROLLUP };
    assert_eq!(run(&mut world, 2, leave), failed(OpError::NotOwner));
    let fixed = failed(OpError::Config {
        field: ConfigField::Fixed,
    });
    let moved = RollupConfig {
        genesis_root: root(1),
        ..config()
    };
    assert_eq!(run(&mut world, OWNER, update(moved)), fixed);

    assert_eq!(run(&mut world, OWNER, update(new)), Outcome::Done);
    world.step_ms = 29_000;
    world.idle(2);
    let price = |world: &World| {
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .config
            .reserve_price
    };
    assert_eq!(price(&world), Amount(10));
    world.idle(1);
    assert_eq!(price(&world), Amount(12));
}

#[test]
fn a_rollup_leaves_with_its_fund_after_the_delay_and_its_id_stays_taken() {
    let mut world = World::with_market();
    let awarded = world.award(&[(2, 30)]);
    let sent = world.transactions(5, ROLLUP, 4);
    world.block(vec![sent]);
    let leave = SystemOp::LeaveRollup { rollup: ROLLUP };
    assert_eq!(run(&mut world, OWNER, leave), Outcome::Done);
    assert!(world.ledger.rollup(ROLLUP).expect("rollup").is_active());

    let before = world.balance(OWNER) + world.fund();
    world.step_ms = 61_000;
    world.idle(2);
    let rollup = world.ledger.rollup(ROLLUP).expect("rollup").clone();
    assert!(!rollup.is_active());
    assert_eq!(
        rollup.outstanding,
        [awarded],
        "the award may still be delivered"
    );
    assert_eq!(rollup.fund, Amount::ZERO);
    // The winner was late by then: the rollup's half of the bond goes to the owner too.
    assert_eq!(world.balance(OWNER), before + 30);

    world.step_ms = 100;
    let sent = world.transactions(5, ROLLUP, 4);
    assert_eq!(world.block(vec![sent]).outcomes, [Outcome::Void]);
    let register = SystemOp::RegisterRollup {
        rollup: ROLLUP,
        config: config(),
    };
    assert_eq!(run(&mut world, 3, register), failed(OpError::RollupTaken));
    let fund = SystemOp::FundRollup {
        rollup: ROLLUP,
        amount: Amount(1),
    };
    assert_eq!(run(&mut world, 3, fund), failed(OpError::UnknownRollup));
    let proof = world.proof(2, awarded, 50);
    assert_eq!(world.block(vec![proof]).outcomes, [Outcome::Done]);
    assert_eq!(world.ledger.settled(ROLLUP).map(|s| s.root), Some(root(50)));
}

#[test]
fn bad_plaintexts_keep_their_place_and_harm_nobody() {
    let mut world = World::with_market();
    let mut malformed = world.transactions(5, ROLLUP, 1);
    malformed.content = Content::Malformed;
    let mut undecryptable = world.transactions(5, ROLLUP, 1);
    undecryptable.content = Content::UndecryptableBody { m: Point([0; 32]) };
    let many = codec::encode(&vec![
        Vec::<u8>::new();
        limits::ENVELOPE_TRANSACTIONS_MAX + 1
    ]);
    let sent = vec![
        world.transactions(5, ROLLUP, 1),
        malformed,
        world.sealed(5, ROLLUP, vec![1, 2, 3]),
        undecryptable,
        world.sealed(5, ROLLUP, many),
        world.transactions(6, ROLLUP, 2),
        world.sealed(5, RollupId::SYSTEM, vec![255]),
    ];
    let executed = world.block(sent);
    let delivered = |first, transactions| Outcome::Delivered {
        first: TxIndex(first),
        transactions,
    };
    assert_eq!(
        executed.outcomes,
        [
            delivered(0, 1),
            Outcome::Malformed,
            Outcome::Undecodable,
            Outcome::UndecryptableBody,
            Outcome::Undecodable,
            delivered(1, 2),
            failed(OpError::Undecodable),
        ]
    );
    let delivery = &executed.deliveries[1];
    assert_eq!((delivery.rollup, delivery.entries.len()), (ROLLUP, 6));
    assert_eq!(delivery.transactions, [[5, 0], [6, 0], [6, 1]]);
}

#[test]
fn balances_cover_what_is_spent() {
    let mut world = World::new();
    let balance = Amount(world.balance(9));
    let to = account(50);
    let wanted = Amount(balance.0 + 1);
    let outcome = run(&mut world, 9, SystemOp::Transfer { to, amount: wanted });
    assert_eq!(outcome, failed(OpError::Balance { balance, wanted }));
    let zero = run(
        &mut world,
        9,
        SystemOp::Transfer {
            to,
            amount: Amount(0),
        },
    );
    assert_eq!(zero, failed(OpError::Zero));
    let bond = run(&mut world, 9, SystemOp::PostBond { amount: balance });
    assert_eq!(bond, failed(OpError::NotAProver));
    assert_eq!(
        run(
            &mut world,
            9,
            SystemOp::Transfer {
                to,
                amount: balance
            }
        ),
        Outcome::Done
    );
    assert_eq!((world.balance(9), world.balance(50)), (0, balance.0));
    let own = SystemOp::Transfer {
        to,
        amount: Amount(1),
    };
    assert_eq!(
        run(&mut world, 9, own),
        failed(OpError::Balance {
            balance: Amount(0),
            wanted: Amount(1)
        })
    );
}
