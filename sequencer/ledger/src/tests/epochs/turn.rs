//! An epoch turns over at one height for all, with a key that its members hold.

use conclave_light::{EntryTable, verify_entry};

use super::*;

#[test]
fn an_epoch_ends_when_it_has_lasted_and_the_next_key_is_ready() {
    let mut world = world();
    prepare(&mut world, &[]);
    let ready = world.ledger.epoch_record(Epoch(1)).expect("ready").ready;
    assert!(ready.0 < 10, "before the epoch has lasted");
    let digest = world.ledger.epoch_setup(Epoch(1)).expect("ready").digest();
    let end = |named, height| {
        world
            .ledger
            .epoch_end(Height(named), Epoch(0), Height(height))
    };
    assert_eq!(end(ready.0, 9), None);
    assert_eq!(end(ready.0, 10), Some(digest));
    assert_eq!(
        end(ready.0 - 1, 10),
        None,
        "the header named an older ledger"
    );
    assert_eq!(end(ready.0, 1_000), Some(digest), "late, if it had to wait");
    let next = world.ledger.epoch_end(ready, Epoch(1), Height(1_000));
    assert_eq!(next, None, "nothing is ready after it");

    reach(&mut world, 1, &[]);
    let first = world.ledger.epoch_record(Epoch(1)).expect("it is");
    assert_eq!((first.first, first.last), (Some(Height(11)), None));
    let before = world.ledger.epoch_record(Epoch(0)).expect("it was");
    assert_eq!(
        (before.first, before.last),
        (Some(Height(1)), Some(Height(10)))
    );
    assert_eq!(before.ended, Some(BlockTime(2_000)));
    assert_eq!(weights(&world), [1; 4]);
}

#[test]
fn later_ledgers_answer_for_older_ones_and_blocks_of_the_new_epoch_are_no_ends() {
    let mut world = world();
    prepare(&mut world, &[]);
    let ready = world.ledger.epoch_record(Epoch(1)).expect("ready").ready;
    let asked: Vec<(u64, u64)> = (0..=ready.0)
        .flat_map(|n| (n..14).map(move |h| (n, h)))
        .collect();
    let answers = |world: &World| -> Vec<Option<Digest>> {
        let asked = asked.iter();
        asked
            .map(|(named, height)| {
                world
                    .ledger
                    .epoch_end(Height(*named), Epoch(0), Height(*height))
            })
            .collect()
    };
    let expected = answers(&world);
    reach(&mut world, 2, &[]);
    assert_eq!(answers(&world), expected);
    // A block of epoch 1 that still names a ledger of epoch 0.
    for named in 0..=11 {
        assert_eq!(
            world.ledger.epoch_end(Height(named), Epoch(1), Height(12)),
            None
        );
    }
}

#[test]
fn every_member_gets_its_shares_from_the_ledger_until_the_next_key_generation_begins() {
    let mut world = world();
    prepare(&mut world, &[3]);
    let finish = |world: &World, validator: u16| {
        let view = world.ledger.key_generation().expect("kept");
        let setup = world.ledger.epoch_setup(Epoch(1)).expect("ready");
        participant(slot(validator)).finish(&view.board(), &setup.sealing)
    };
    let early = finish(&world, 0).expect("a member").encode();
    reach(&mut world, 1, &[]);
    world.idle(3);
    assert_eq!(*early, *finish(&world, 0).expect("a member").encode());
    assert!(finish(&world, 1).is_ok() && finish(&world, 2).is_ok());
    assert!(finish(&world, 3).is_ok(), "all of its shares were revealed");
}

#[test]
fn the_digest_of_an_epoch_is_provable() {
    let mut world = world();
    reach(&mut world, 1, &[]);
    let (record, proof) = world.ledger.prove_epoch(Epoch(1)).expect("an entry");
    let setup = world.ledger.present_setup();
    assert_eq!(record.setup, setup.digest());
    let (key, value) = (codec::encode(&Epoch(1)), codec::encode(&record));
    let holds = |value: &[u8]| {
        verify_entry(
            &world.ledger.root(),
            EntryTable::Epochs,
            &key,
            value,
            &proof,
        )
    };
    assert!(holds(&value));
    let mut forged = record;
    forged.setup = Digest([1; 32]);
    assert!(!holds(&codec::encode(&forged)));
}

#[test]
fn a_chain_may_keep_its_first_epoch_for_ever() {
    let mut genesis = with_epochs();
    genesis.consensus.epoch_blocks = 0;
    let mut world = World::of(&genesis);
    world.idle(100);
    assert!(world.ledger.key_generation().is_none());
    assert_eq!(world.ledger.epoch(), Epoch(0));
}

#[test]
fn a_ledger_restored_at_any_moment_of_a_turn_goes_on_alike() {
    let mut world = world();
    join(&mut world, &[0, 1, 2]);
    while world.ledger.epoch() < Epoch(2) {
        let restored = Ledger::restore(&world.ledger.snapshot()).expect("own snapshot");
        assert_eq!(restored.root(), world.ledger.root());
        world.ledger = restored;
        step(&mut world, &[]);
    }
    assert_eq!(weights(&world), [1; 7]);
}

#[test]
fn the_old_key_is_taken_for_a_while_and_then_no_more() {
    let mut world = world();
    reach(&mut world, 1, &[]);
    let first = world.ledger.epoch_record(Epoch(1)).and_then(|r| r.first);
    assert_eq!(first, Some(world.ledger.height()));
    let fees = world.ledger.fees();
    let takes = |key, height| fees.takes_key(Epoch(key), Height(height), Epoch(1));
    for height in [11, 12, 13] {
        assert!(takes(0, height) && takes(1, height) && !takes(2, height));
    }
    assert!(!takes(0, 14) && takes(1, 14));
    // The first block of an epoch that the fee ledger has not seen yet is in the window too.
    assert!(fees.takes_key(Epoch(1), Height(40), Epoch(2)));
    assert!(!fees.takes_key(Epoch(0), Height(40), Epoch(2)));

    let old = Epoch(0);
    let sealed = |world: &mut World| {
        let mut sent = world.sealed(5, RollupId::SYSTEM, vec![1]);
        sent.header.core.epoch = old;
        let executed = world.block(vec![sent]);
        executed.dispositions[0]
    };
    assert!(sealed(&mut world).is_accepted(), "height 12");
    assert!(sealed(&mut world).is_accepted(), "height 13");
    assert_eq!(sealed(&mut world), Disposition::WrongEpoch);
}
