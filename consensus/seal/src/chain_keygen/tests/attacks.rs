//! What cheats do comes to nothing, is refused, or costs only their own secrets.

use KeyGenerationMessage::{Acknowledge, Channel, Deal, Reveal};

use conclave_types::Scalar as ScalarBytes;

use super::super::check::sealed_bytes;
use super::*;

const CHEAT: ValidatorIndex = ValidatorIndex(1);
const VICTIM: ValidatorIndex = ValidatorIndex(3);

/// Only the cheat's messages are changed.
fn cheat(
    chain: &[u16],
    mut change: impl FnMut(&Board<'_>, KeyGenerationMessage) -> Option<KeyGenerationMessage>,
) -> Chain {
    Chain::run(chain, &mut |member, board, message| match member == CHEAT {
        true => change(board, message),
        false => Some(message),
    })
}

/// Makes what the cheat dealt to its victim unreadable.
fn garble(message: KeyGenerationMessage) -> KeyGenerationMessage {
    match message {
        Deal(mut dealing) => {
            dealing.sealed[usize::from(VICTIM.0)].fill(7);
            Deal(dealing)
        }
        other => other,
    }
}

fn everyone_has_shares(chain: &Chain) -> SealingKey {
    let (key, shares) = chain.finish((0..4).filter(|slot| ValidatorIndex(*slot) != CHEAT));
    assert_eq!(interpolate(&singles(&shares)), key.key);
    key
}

#[test]
fn garbage_for_one_is_not_acknowledged_and_is_revealed() {
    let chain = cheat(FOUR, |_, message| Some(garble(message)));
    let board = chain.board();
    assert_eq!(board.owed(CHEAT), Some(vec![VICTIM]));
    assert_eq!(board.qualified().len(), 4, "it did reveal the right share");
    everyone_has_shares(&chain);
}

#[test]
fn a_share_that_is_not_on_the_polynomial_is_not_acknowledged() {
    let chain = cheat(FOUR, |board, message| match message {
        Deal(mut dealing) => {
            // Shares of somebody else, rightly encrypted.
            let plaintext = [5; 32];
            let mine = Chain::new(FOUR);
            let secrets = secrets(&mine, CHEAT.0);
            let theirs = board.contribution(VICTIM)?.channel?.channel;
            let keys = (&secrets.channel(), &theirs);
            let commitment = &dealing.commitment;
            let channel = secrets.channel_with(board.round(), &theirs, keys, commitment)?;
            let sealed = channel.seal(CHEAT, VICTIM, &plaintext)?;
            dealing.sealed[usize::from(VICTIM.0)] = sealed;
            Some(Deal(dealing))
        }
        other => Some(other),
    });
    assert_eq!(chain.board().owed(CHEAT), Some(vec![VICTIM]));
    everyone_has_shares(&chain);
}

#[test]
fn a_dealer_that_does_not_reveal_is_out_and_the_others_agree_without_it() {
    let whole = everyone_has_shares(&Chain::run(FOUR, &mut honest));
    let chain = cheat(FOUR, |_, message| match message {
        Reveal { .. } => None,
        other => Some(garble(other)),
    });
    let others = [0, 2, 3].map(ValidatorIndex);
    assert_eq!(chain.board().qualified(), others);
    let key = everyone_has_shares(&chain);
    assert_ne!(key.key, whole.key);
    // The cheat has its shares of what the others dealt.
    chain.finish([CHEAT.0]);
}

#[test]
fn a_wrong_reveal_is_refused_and_counts_as_none() {
    let wrong: [fn(&mut Vec<RevealedShares>); 5] = [
        |shares| shares[0].shares[0] = ScalarBytes(Scalar::ONE.to_bytes()),
        |shares| shares[0].shares[0] = ScalarBytes([0xff; 32]),
        |shares| shares[0].receiver = ValidatorIndex(0),
        |shares| shares[0].shares.clear(),
        Vec::clear,
    ];
    for change in wrong {
        let chain = cheat(FOUR, |board, message| match message {
            Reveal { mut shares } => {
                change(&mut shares);
                let refused = check_reveal(board, CHEAT, &shares);
                assert!(refused.is_err());
                Some(Reveal { shares })
            }
            other => Some(garble(other)),
        });
        assert_eq!(chain.board().qualified().len(), 3);
        everyone_has_shares(&chain);
    }
}

/// Byzantine receivers say nothing of honest dealers. Those reveal, and qualify all the same; what
/// becomes public are the shares of the liars, which they could have published themselves.
#[test]
fn false_silence_of_f_makes_only_their_own_shares_public() {
    let liars = [5, 6].map(ValidatorIndex);
    let chain = Chain::run(SEVEN, &mut |member, _, message| match message {
        Acknowledge { .. } if liars.contains(&member) => Some(Acknowledge {
            dealers: Signers::default(),
        }),
        other => Some(other),
    });
    let board = chain.board();
    for dealer in (0..5).map(ValidatorIndex) {
        assert_eq!(board.owed(dealer), Some(liars.to_vec()));
    }
    assert_eq!(board.qualified().len(), 7);
    chain.finish(0..7);
}

/// A coalition of f holds its own f shares, and f honest ones that were revealed because their
/// holders were cut off: 2f values of each honest polynomial of degree 2f.
#[test]
fn own_and_revealed_shares_together_are_one_too_few() {
    let (coalition, cut_off) = ([0, 1], [2, 3].map(ValidatorIndex));
    let chain = Chain::run(SEVEN, &mut |member, board, message| {
        let spoken = board.phase() < KeyGenerationPhase::Acknowledge;
        (spoken || !cut_off.contains(&member)).then_some(message)
    });
    // Whoever was cut off did not reveal, so it is out as a dealer; its shares of the others' are
    // known to all.
    let (key, known) = chain.finish(coalition.into_iter().chain([2, 3]));
    let known = singles(&known);
    assert_eq!(known.len(), 4, "2f");
    for dealer in chain.board().qualified() {
        let said = chain.board().contribution(dealer).cloned();
        let revealed = said.and_then(|said| said.revealed).expect("owed");
        let receivers: Vec<_> = revealed.iter().map(|shares| shares.receiver).collect();
        assert_eq!(receivers, cut_off, "never more than f");
    }
    assert_ne!(interpolate(&known), key.key);
    // For every guess of the secret there is a polynomial through the known values: the guess and
    // they are 2f+1 points, which fix one. So they say nothing of it.
    for guess in [1_u64, 2, 3].map(Scalar::from) {
        let mut points = known.clone();
        let at_zero = lagrange_at(&points, &guess);
        points.push((ShareIndex(5), at_zero));
        assert_eq!(interpolate(&points), curve::encode(&curve::base(&guess)));
    }
}

/// The value at 5 of the polynomial through the points and `secret` at 0.
fn lagrange_at(points: &[(ShareIndex, Scalar)], secret: &Scalar) -> Scalar {
    let x = |index: &ShareIndex| Scalar::from(index.0);
    let five = Scalar::from(5_u64);
    let mut nodes: Vec<(Scalar, Scalar)> = points.iter().map(|(i, y)| (x(i), *y)).collect();
    nodes.push((Scalar::ZERO, *secret));
    let term = |(i, (xi, yi)): (usize, &(Scalar, Scalar))| {
        let others = nodes.iter().enumerate().filter(|(j, _)| *j != i);
        others.fold(*yi, |product, (_, (xj, _))| {
            product * (five - xj) * (xi - xj).invert()
        })
    };
    nodes.iter().enumerate().map(term).sum()
}

#[test]
fn a_dealing_of_another_shape_is_refused() {
    let mut chain = Chain::new(MIXED);
    chain.play(&mut honest);
    chain.next_phase();
    let Some(Deal(dealing)) = participant(CHEAT).next(&chain.board()) else {
        panic!("it is time to deal");
    };
    let refused = |change: &dyn Fn(&mut Dealing)| {
        let mut changed = dealing.clone();
        change(&mut changed);
        check_dealing(&chain.board(), CHEAT, &changed).err()
    };
    use KeyGenerationFault::{Degree, Encoding, Length, Proof};
    assert_eq!(refused(&|_| ()), None);
    let identity = Point([0; 32]);
    assert_eq!(refused(&|d| d.commitment.push(identity)), Some(Degree));
    assert_eq!(refused(&|d| d.commitment.truncate(4)), Some(Degree));
    assert_eq!(refused(&|d| d.commitment.clear()), Some(Degree));
    let invalid = Point([0xff; 32]);
    assert_eq!(refused(&|d| d.commitment[4] = invalid), Some(Encoding));
    assert_eq!(refused(&|d| d.commitment[0] = invalid), Some(Proof));
    assert_eq!(refused(&|d| d.commitment[0] = identity), Some(Proof));
    assert_eq!(refused(&|d| d.commitment.swap(0, 1)), Some(Proof));
    assert_eq!(refused(&|d| d.knowledge.response.0[0] ^= 1), Some(Proof));
    assert_eq!(refused(&|d| d.sealed.clear()), Some(Length));
    assert_eq!(refused(&|d| d.sealed.push(Vec::new())), Some(Length));
    // To itself, and to the slot without weight.
    assert_eq!(refused(&|d| d.sealed[1] = vec![0; 48]), Some(Length));
    assert_eq!(refused(&|d| d.sealed[2] = vec![0; 16]), Some(Length));
    assert_eq!(refused(&|d| d.sealed[0].push(0)), Some(Length));
    let to_three_shares = sealed_bytes(&chain.round, ValidatorIndex(4));
    assert_eq!((to_three_shares, dealing.sealed[4].len()), (112, 112));
}

/// A dealer that knows the others' constant terms subtracts them from its own, to own the key.
#[test]
fn a_rogue_constant_term_has_no_proof() {
    let mut rogue = None;
    let chain = Chain::run(FOUR, &mut |member, board, message| match message {
        Deal(mut dealing) if member == VICTIM => {
            let point = |dealer| {
                let dealing: &Dealing = board.dealing(ValidatorIndex(dealer)).expect("dealt");
                curve::point(&dealing.commitment[0]).expect("checked")
            };
            let own = curve::point(&dealing.commitment[0]).expect("own");
            dealing.commitment[0] = curve::encode(&(own - point(0) - point(1) - point(2)));
            rogue = check_dealing(board, member, &dealing).err();
            Some(Deal(dealing))
        }
        other => Some(other),
    });
    assert_eq!(rogue, Some(KeyGenerationFault::Proof));
    assert_eq!(chain.board().qualified(), [0, 1, 2].map(ValidatorIndex));
}

/// The last dealer knows what the others dealt to somebody it colludes with, and deals it the
/// negative of that sum: the share is zero, and its public part the identity. Keys with the identity
/// among their shares used to be refused, so two members could have ended every attempt.
#[test]
fn a_share_that_was_made_zero_does_not_spoil_the_key() {
    let chain = Chain::run(FOUR, &mut honest);
    let (key, shares) = chain.finish(0..4);
    let singles = singles(&shares);
    // Shift the polynomial by a multiple of x, which moves no constant term.
    let shift = -singles[3].1 * Scalar::from(4_u64).invert();
    let moved: Vec<(ShareIndex, Scalar)> = singles
        .iter()
        .map(|(index, share)| (*index, share + shift * Scalar::from(index.0)))
        .collect();
    let public = moved
        .iter()
        .map(|(_, share)| curve::encode(&curve::base(share)));
    let spoilt = SealingKey {
        shares: public.collect(),
        ..key
    };
    assert_eq!(spoilt.shares[3], Point([0; 32]));
    assert!(crate::key::CommitteeKey::new(&spoilt, FOUR).is_ok());
}

#[test]
fn messages_of_another_chain_epoch_attempt_or_slot_are_refused() {
    let round = |chain, epoch, attempt, weights: &[u16]| {
        Round::new(chain, Epoch(epoch), attempt, weights).expect("3f+1")
    };
    let elsewhere = [
        round(ChainId(Digest([4; 32])), 3, 1, FOUR),
        round(CHAIN, 2, 1, FOUR),
        round(CHAIN, 3, 0, FOUR),
        round(CHAIN, 3, 1, &[1, 1, 1, 4]),
    ];
    let here = Chain::new(FOUR);
    let phase = KeyGenerationPhase::Channel;
    let offer = |round: &Round, member| {
        let board = Board::new(round, phase, []);
        match participant(member).next(&board) {
            Some(Channel(offer)) => offer,
            _ => panic!("it is time for channel keys"),
        }
    };
    let own = offer(&here.round, CHEAT);
    assert_eq!(check_channel(&here.board(), CHEAT, &own), Ok(()));
    for other in elsewhere {
        let replayed = check_channel(&here.board(), CHEAT, &offer(&other, CHEAT));
        assert_eq!(replayed, Err(KeyGenerationFault::Proof));
    }
    let stolen = check_channel(&here.board(), VICTIM, &own);
    assert_eq!(stolen, Err(KeyGenerationFault::Proof));
}

#[test]
fn nobody_deals_with_the_dealing_of_another() {
    let mut chain = Chain::new(FOUR);
    chain.play(&mut honest);
    chain.next_phase();
    let Some(Deal(mut dealing)) = participant(VICTIM).next(&chain.board()) else {
        panic!("it is time to deal");
    };
    // Of the right shape for the thief.
    dealing.sealed[usize::from(CHEAT.0)].clear();
    dealing.sealed[usize::from(VICTIM.0)] = vec![0; 48];
    let stolen = check_dealing(&chain.board(), CHEAT, &dealing);
    assert_eq!(stolen, Err(KeyGenerationFault::Proof));
}

#[test]
fn what_is_early_late_repeated_or_a_strangers_is_refused() {
    use KeyGenerationFault::{NoChannel, NoDealing, NotOwed, Phase, Repeated, Stranger};
    let absent = ValidatorIndex(4);
    let mut chain = Chain::new(MIXED);
    let board = chain.board();
    let Some(Channel(offer)) = participant(CHEAT).next(&board) else {
        panic!("it is time for channel keys");
    };
    assert_eq!(
        check_channel(&board, ValidatorIndex(2), &offer),
        Err(Stranger)
    );
    assert_eq!(
        check_channel(&board, ValidatorIndex(99), &offer),
        Err(Stranger)
    );
    let none = Signers::default();
    assert_eq!(check_acknowledgement(&board, CHEAT, &none), Err(Phase));
    let mut dealt = BTreeMap::new();
    let mut conduct = |member, _: &Board<'_>, message: KeyGenerationMessage| {
        dealt.insert(member, message.clone());
        (member != absent).then_some(message)
    };
    chain.play(&mut conduct);
    assert_eq!(check_channel(&chain.board(), CHEAT, &offer), Err(Repeated));
    chain.next_phase();
    assert_eq!(check_channel(&chain.board(), absent, &offer), Err(Phase));
    chain.play(&mut conduct);
    let Some(Deal(dealing)) = dealt.remove(&CHEAT) else {
        panic!("it dealt");
    };
    assert_eq!(
        check_dealing(&chain.board(), CHEAT, &dealing),
        Err(Repeated)
    );
    assert_eq!(
        check_dealing(&chain.board(), absent, &dealing),
        Err(NoChannel)
    );
    chain.next_phase();
    let mut dealers = Signers::default();
    dealers.insert(absent);
    let foreign = check_acknowledgement(&chain.board(), CHEAT, &dealers);
    assert_eq!(foreign, Err(NoDealing));
    assert_eq!(
        check_acknowledgement(&chain.board(), absent, &none),
        Err(NoChannel)
    );
    chain.play(&mut honest);
    assert_eq!(
        check_acknowledgement(&chain.board(), CHEAT, &none),
        Err(Repeated)
    );
    chain.next_phase();
    assert_eq!(check_reveal(&chain.board(), absent, &[]), Err(NotOwed));
    assert_eq!(
        check_reveal(&chain.board(), ValidatorIndex(2), &[]),
        Err(Stranger)
    );
}

/// A dealer whom less than 2f+1 acknowledge reveals nothing: revealing more than f shares would give
/// its polynomial away.
#[test]
fn who_lacks_too_many_acknowledgements_keeps_its_shares_to_itself() {
    let chain = Chain::run(SEVEN, &mut |member, _, message| match message {
        Acknowledge { mut dealers } if member.0 >= 4 => {
            let mut others = Signers::default();
            dealers
                .iter()
                .filter(|dealer| *dealer != CHEAT)
                .for_each(|dealer| {
                    others.insert(dealer);
                });
            dealers = others;
            Some(Acknowledge { dealers })
        }
        Reveal { .. } if member == CHEAT => panic!("it must not reveal"),
        other => Some(other),
    });
    assert_eq!(chain.board().owed(CHEAT), None);
    assert_eq!(chain.board().qualified().len(), 6);
    chain.finish(0..7);
}
