//! With any f silent, at any time and after any crash, the others have a key and their shares of it.

use super::*;

fn all(weights: &[u16]) -> impl Iterator<Item = u16> + '_ {
    (0..weights.len() as u16).filter(|slot| weights[usize::from(*slot)] > 0)
}

/// The members of weight at most f that a test silences: the last ones.
fn faulty(weights: &[u16]) -> Vec<ValidatorIndex> {
    let total = weights.iter().sum::<u16>();
    let mut room = (total - 1) / 3;
    let mut silenced = Vec::new();
    for slot in (0..weights.len()).rev() {
        if weights[slot] > 0 && weights[slot] <= room {
            room -= weights[slot];
            silenced.push(ValidatorIndex(slot as u16));
        }
    }
    silenced
}

#[test]
fn any_quorum_of_shares_is_the_key_and_one_less_is_nothing() {
    for weights in [FOUR, SEVEN, MIXED, SIXTEEN] {
        let chain = Chain::run(weights, &mut honest);
        let (key, shares) = chain.finish(all(weights));
        let mut singles = singles(&shares);
        let n = singles.len();
        let quorum = usize::from(chain.round.threshold().quorum());
        assert_eq!(n, usize::from(chain.round.threshold().total()));
        for shift in 0..n {
            singles.rotate_left(1);
            assert_eq!(interpolate(&singles[..quorum]), key.key, "{shift}");
            assert_ne!(interpolate(&singles[..quorum - 1]), key.key, "{shift}");
        }
        // Y_i belongs to x_i, by slot and then by share.
        singles.sort_by_key(|(index, _)| *index);
        let public = |(_, secret): &(_, Scalar)| curve::encode(&curve::base(secret));
        let expected: Vec<Point> = singles.iter().map(public).collect();
        assert_eq!(key.shares, expected);
    }
}

#[test]
fn nothing_is_revealed_when_everyone_is_there() {
    let chain = Chain::run(MIXED, &mut honest);
    let board = chain.board();
    for dealer in board.round().members() {
        assert_eq!(board.owed(dealer), Some(Vec::new()));
        assert_eq!(
            board.contribution(dealer).and_then(|c| c.revealed.clone()),
            None
        );
    }
    assert_eq!(board.qualified().len(), 4);
}

#[test]
fn with_f_silent_from_any_phase_on_the_others_have_their_shares() {
    use KeyGenerationPhase::{Acknowledge, Channel, Deal, Reveal};
    for weights in [FOUR, SEVEN, MIXED, SIXTEEN] {
        let silent = faulty(weights);
        assert!(!silent.is_empty());
        for from in [Channel, Deal, Acknowledge, Reveal] {
            let chain = Chain::run(weights, &mut |member, board, message| {
                (board.phase() < from || !silent.contains(&member)).then_some(message)
            });
            let present = all(weights).filter(|slot| !silent.contains(&ValidatorIndex(*slot)));
            let (key, shares) = chain.finish(present);
            let singles = singles(&shares);
            let quorum = usize::from(chain.round.threshold().quorum());
            assert_eq!(interpolate(&singles[..quorum]), key.key);
            // Whoever is back later has its shares too, if it dealt: they are public by then.
            if from > Deal {
                chain.finish(silent.iter().map(|member| member.0));
            }
        }
    }
}

#[test]
fn a_phase_is_over_once_everyone_who_can_has_spoken() {
    let absent = ValidatorIndex(3);
    let mut conduct = |member, _: &Board<'_>, message| (member != absent).then_some(message);
    let mut chain = Chain::new(FOUR);
    chain.play(&mut conduct);
    assert!(!chain.board().is_complete(), "one has not spoken");
    assert!(chain.board().may_succeed());
    assert_eq!(chain.board().fell_short(), [absent]);
    // From now on nobody waits for it.
    for _ in 0..3 {
        chain.next_phase();
        assert!(!chain.board().is_complete());
        chain.play(&mut conduct);
        assert!(chain.board().is_complete());
        assert!(chain.board().may_succeed());
    }
}

#[test]
fn an_attempt_without_a_quorum_comes_to_nothing() {
    let silent = [ValidatorIndex(0), ValidatorIndex(1)];
    let mut chain = Chain::new(FOUR);
    chain.play(&mut |member, _, message| (!silent.contains(&member)).then_some(message));
    assert!(!chain.board().may_succeed());
    let chain = Chain::run(FOUR, &mut |member, _, message| {
        (!silent.contains(&member)).then_some(message)
    });
    assert_eq!(chain.board().outcome(), None);
}

#[test]
fn whoever_crashes_says_the_same_again() {
    let mut seen = BTreeMap::new();
    for _ in 0..2 {
        Chain::run(MIXED, &mut |member, board, message| {
            // A second process with the same seed, and the first that asks again.
            assert_eq!(participant(member).next(board).as_ref(), Some(&message));
            let before = seen.insert((member, board.phase()), message.clone());
            assert!(before.is_none_or(|before| before == message));
            Some(message)
        });
    }
    assert_eq!(seen.len(), 12, "three messages of four members");
}

#[test]
fn attempts_share_no_secret_although_they_share_the_seed() {
    let member = ValidatorIndex(1);
    let offer = |epoch, attempt, weights: &[u16]| {
        let round = Round::new(CHAIN, Epoch(epoch), attempt, weights).expect("3f+1");
        let board = Board::new(&round, KeyGenerationPhase::Channel, []);
        participant(member).next(&board)
    };
    let first = offer(3, 0, FOUR);
    assert_eq!(first, offer(3, 0, FOUR));
    for other in [offer(3, 1, FOUR), offer(4, 0, FOUR), offer(3, 0, SEVEN)] {
        assert_ne!(first, other);
    }
}

#[test]
fn a_member_that_lost_its_seed_is_silent_and_gets_nothing() {
    let mut chain = Chain::new(FOUR);
    chain.play(&mut honest);
    chain.next_phase();
    let other = Participant::new(ValidatorIndex(2), &[9; 32]);
    assert_eq!(other.next(&chain.board()), None);
    let chain = Chain::run(FOUR, &mut honest);
    let key = chain.board().outcome().expect("all qualify");
    let lost = other.finish(&chain.board(), &key).err();
    let validator = ValidatorIndex(2);
    assert_eq!(lost, Some(ParticipantError::Seed { validator }));
}

#[test]
fn a_slot_without_weight_takes_no_part() {
    let chain = Chain::run(MIXED, &mut honest);
    let left = participant(ValidatorIndex(2));
    let board = Board::new(&chain.round, KeyGenerationPhase::Channel, []);
    assert_eq!(left.next(&board), None);
    let key = chain.board().outcome().expect("all qualify");
    let validator = ValidatorIndex(2);
    let refused = left.finish(&chain.board(), &key).err();
    assert_eq!(refused, Some(ParticipantError::Stranger { validator }));
}
