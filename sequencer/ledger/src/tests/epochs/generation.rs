//! The key generation on the ledger: phases, attempts, and messages that are not taken.

use KeyGenerationPhase::{Acknowledge, Channel, Deal, Done, Reveal};

use super::*;

fn phase(world: &World) -> KeyGenerationPhase {
    world.ledger.key_generation().expect("runs").phase()
}

fn attempt(world: &World) -> u32 {
    let view = world.ledger.key_generation().expect("runs");
    view.round().attempt()
}

fn begun() -> World {
    begun_with(4)
}

/// Phases that stay open for so many blocks.
fn begun_with(keygen_phase_blocks: u64) -> World {
    let mut genesis = with_epochs();
    genesis.consensus.keygen_phase_blocks = keygen_phase_blocks;
    let mut world = World::of(&genesis);
    while world.ledger.key_generation().is_none() {
        world.idle(1);
    }
    world
}

#[test]
fn it_begins_when_the_epoch_is_half_over_and_takes_a_block_a_phase() {
    let mut world = begun();
    assert_eq!(world.ledger.height(), Height(6), "first + 10 / 2");
    // Nobody owes anything, so nobody is waited for in the last phase.
    for expected in [Channel, Deal, Acknowledge] {
        assert_eq!(phase(&world), expected);
        step(&mut world, &[]);
    }
    assert_eq!(phase(&world), Done);
    assert_eq!(
        happened(&world, |e| matches!(e, LedgerEvent::EpochReady { .. })),
        1
    );
}

#[test]
fn a_silent_member_is_waited_for_a_window_in_each_phase_it_could_speak_in() {
    let mut world = begun();
    let mut heights = Vec::new();
    for expected in [Channel, Deal, Acknowledge, Reveal] {
        let begin = world.ledger.height().0;
        assert_eq!(phase(&world), expected);
        while phase(&world) == expected {
            step(&mut world, &[3]);
        }
        heights.push(world.ledger.height().0 - begin);
    }
    // It has no channel key, so nobody waits for it later; the dealers reveal its shares.
    assert_eq!(heights, [4, 1, 1, 1]);
    let setup = world.ledger.epoch_setup(Epoch(1)).expect("ready");
    assert_eq!(setup.weights(), [1; 4], "silence costs no seat");
}

#[test]
fn without_a_quorum_an_attempt_fails_at_once_and_the_next_begins() {
    let mut world = begun();
    while attempt(&world) == 0 {
        step(&mut world, &[2, 3]);
    }
    assert_eq!((phase(&world), attempt(&world)), (Channel, 1));
    assert_eq!(world.ledger.height(), Height(10));
    let failed = world.events.iter().find_map(|event| match event {
        LedgerEvent::KeyGenerationFailed { short, .. } => Some(short.clone()),
        _ => None,
    });
    assert_eq!(failed, Some(vec![slot(2), slot(3)]));
    // The epoch goes on until there is a key, and then ends at once.
    world.idle(30);
    assert_eq!(world.ledger.epoch(), Epoch(0));
    reach(&mut world, 1, &[]);
}

/// Three newcomers that never run are more than the f of the committee that they ask to join: they
/// must not keep it from its next key.
#[test]
fn newcomers_that_fall_short_wait_for_the_epoch_after() {
    let mut world = world();
    join(&mut world, &[0, 1, 2]);
    prepare(&mut world, &[4, 5, 6]);
    assert_eq!(attempt(&world), 1);
    let setup = world.ledger.epoch_setup(Epoch(1)).expect("ready");
    assert_eq!(setup.weights(), [1, 1, 1, 1, 0, 0, 0]);
    reach(&mut world, 1, &[]);
    // Running by now, they are taken.
    reach(&mut world, 2, &[]);
    assert_eq!(weights(&world), [1; 7]);
}

#[test]
fn from_the_third_attempt_on_the_present_members_are_among_themselves() {
    let mut world = world();
    join(&mut world, &[0, 1, 2]);
    while world.ledger.key_generation().is_none() || attempt(&world) < 2 {
        // A member's outage, which is no newcomer's fault.
        step(&mut world, &[0, 1, 2]);
    }
    let view = world.ledger.key_generation().expect("runs");
    let members: Vec<u16> = view.round().members().map(|member| member.0).collect();
    assert_eq!(members, [0, 1, 2, 3]);
}

#[test]
fn what_is_not_a_members_message_of_this_attempt_changes_nothing() {
    let mut world = begun_with(50);
    let all = posts(&world, &[]);
    let (by, SystemOp::KeyGeneration(post)) = &all[0] else {
        panic!("channel keys");
    };
    let with = |change: &dyn Fn(&mut KeyGenerationPost)| {
        let mut post = post.clone();
        change(&mut post);
        SystemOp::KeyGeneration(post)
    };
    let by = *by;
    let fault = |fault| OpError::KeyGeneration { fault };
    let said = |world: &World| {
        let view = world.ledger.key_generation().expect("runs");
        let board = view.board();
        (0..4)
            .filter_map(|n| board.contribution(slot(n)).cloned())
            .collect::<Vec<_>>()
    };
    let before = said(&world);
    let other_attempt = with(&|post| post.attempt = 1);
    assert_eq!(
        failed(&mut world, by, other_attempt),
        OpError::KeyGenerationOver
    );
    let other_epoch = with(&|post| post.epoch = Epoch(0));
    assert_eq!(
        failed(&mut world, by, other_epoch),
        OpError::KeyGenerationOver
    );
    let other_slot = with(&|post| post.validator = slot(1));
    assert_eq!(
        failed(&mut world, by, other_slot.clone()),
        OpError::NotOperator
    );
    assert_eq!(failed(&mut world, 5, with(&|_| ())), OpError::NotOperator);
    let stolen = failed(&mut world, OPERATORS + 1, other_slot);
    assert_eq!(stolen, fault(KeyGenerationFault::Proof));
    assert_eq!(said(&world), before);
    done(&mut world, vec![(by, with(&|_| ()))]);
    let again = failed(&mut world, by, with(&|_| ()));
    assert!(matches!(again, OpError::KeyGeneration { .. }));
}

#[test]
fn no_message_is_taken_before_it_begins_or_after_it_is_done() {
    let mut early = world();
    let mut late = begun();
    let (by, post) = posts(&late, &[]).swap_remove(0);
    assert_eq!(
        failed(&mut early, by, post.clone()),
        OpError::KeyGenerationOver
    );
    prepare(&mut late, &[]);
    let error = failed(&mut late, by, post);
    let fault = KeyGenerationFault::Phase;
    assert_eq!(error, OpError::KeyGeneration { fault });
}
