//! The key generation gives one key to all, and names whoever spoils it.

use conclave_types::ShareIndex;
use curve25519_dalek::ristretto::RistrettoPoint;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::{curve, lagrange, public};

const WEIGHTS: &[u16] = &[2, 1, 1, 3];

fn ceremony(weights: &[u16]) -> Ceremony {
    Ceremony {
        context: Digest([4; 32]),
        weights: weights.to_vec(),
    }
}

/// All validators after `start`, with their first messages.
fn started(weights: &[u16], seed: u64) -> (Vec<KeyGeneration>, Vec<Vec<u8>>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let start = |index| KeyGeneration::start(ceremony(weights), ValidatorIndex(index), &mut rng);
    let started = (0..weights.len() as u16).map(start);
    started.map(|made| made.expect("valid ceremony")).unzip()
}

/// Gives every first message to every other validator; the second messages.
fn dealt(nodes: &mut [KeyGeneration], first: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut second = vec![Vec::new(); nodes.len()];
    for (to, node) in nodes.iter_mut().enumerate() {
        for (from, message) in first.iter().enumerate().filter(|(from, _)| *from != to) {
            let from = ValidatorIndex(from as u16);
            let progress = node.handle(from, message).expect("honest");
            second[to] = progress.send.unwrap_or_default();
        }
        assert!(!second[to].is_empty());
    }
    second
}

fn deliver(nodes: &mut [KeyGeneration], messages: &[Vec<u8>]) {
    for (to, node) in nodes.iter_mut().enumerate() {
        for (from, message) in messages.iter().enumerate().filter(|(from, _)| *from != to) {
            let progress = node.handle(ValidatorIndex(from as u16), message);
            let last = node.missing().is_empty();
            assert_eq!(progress.expect("honest").complete, last);
        }
    }
}

/// An honest key generation.
pub(crate) fn generate(weights: &[u16], seed: u64) -> Vec<(KeyShares, SealingKey)> {
    let (mut nodes, first) = started(weights, seed);
    let second = dealt(&mut nodes, &first);
    deliver(&mut nodes, &second);
    let finish = |node: KeyGeneration| node.finish().expect("honest");
    nodes.into_iter().map(finish).collect()
}

fn dishonest(error: &KeyGenerationError) -> Option<ValidatorIndex> {
    match error {
        KeyGenerationError::Dishonest { culprit, .. } => Some(*culprit),
        _ => None,
    }
}

fn change(message: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut decoded = codec::decode(message, 1 << 20).expect("own message");
    change(&mut decoded);
    codec::encode(&decoded)
}

fn commitments(message: &mut Message) -> &mut Commitments {
    match message {
        Message::Commitments(commitments) => commitments,
        Message::Shares(_) => panic!("a first message was expected"),
    }
}

#[test]
fn all_get_the_same_key_and_shares_of_it() {
    for weights in [&[1, 1, 1, 1], WEIGHTS, &[4, 4, 4, 4, 3]] {
        let made = generate(weights, 1);
        let key = &made[0].1;
        assert!(made.iter().all(|(_, other)| other == key));
        let total: u16 = weights.iter().sum();
        let secrets: Vec<(ShareIndex, Scalar)> = made
            .iter()
            .flat_map(|(shares, _)| shares.indices().zip(shares.secrets().to_vec()))
            .collect();
        let indices: Vec<u16> = secrets.iter().map(|(index, _)| index.0).collect();
        assert_eq!(indices, (1..=total).collect::<Vec<_>>());
        // Y_i = x_i·G, so the scalars and points mean the same to both libraries.
        for ((_, x), y) in secrets.iter().zip(&key.shares) {
            assert_eq!(curve::encode(&curve::base(x)), *y);
        }
        // Y = Σ λ_i·Y_i for the first and the last quorum, and for no smaller set.
        let quorum = Threshold::for_total(total.into()).expect("3f+1").quorum();
        let interpolate = |positions: core::ops::Range<usize>| {
            let indices: Vec<ShareIndex> = positions.clone().map(key::index_of).collect();
            let points = positions.map(|position| curve::point(&key.shares[position]));
            let points: Vec<RistrettoPoint> = points.map(|point| point.expect("valid")).collect();
            curve::encode(&public::combine(&lagrange::at_zero(&indices), &points))
        };
        let (n, quorum) = (usize::from(total), usize::from(quorum));
        assert_eq!(interpolate(0..quorum), key.key);
        assert_eq!(interpolate(n - quorum..n), key.key);
        assert_ne!(interpolate(0..quorum - 1), key.key);
    }
}

#[test]
fn order_and_repetition_of_messages_do_not_matter() {
    let expected = generate(WEIGHTS, 3);
    let (mut nodes, first) = started(WEIGHTS, 3);
    let mut reference = started(WEIGHTS, 3).0;
    let second = dealt(&mut reference, &first);
    // Validator 0 hears the second messages before the first ones, backwards, and all twice.
    let mut node = nodes.remove(0);
    let mut sent = None;
    for messages in [&second, &first] {
        for from in [3, 3, 2, 2, 1, 1] {
            let progress = node.handle(ValidatorIndex(from), &messages[usize::from(from)]);
            let progress = progress.expect("honest");
            sent = sent.or(progress.send);
        }
    }
    assert_eq!(sent.as_ref(), Some(&second[0]), "dealing is deterministic");
    assert!(node.missing().is_empty());
    assert_eq!(node.finish().expect("honest").1, expected[0].1);
}

#[test]
fn a_rogue_key_without_proof_of_knowledge_is_refused_and_named() {
    let (mut nodes, first) = started(WEIGHTS, 5);
    // Validator 3 chooses its constant term to cancel that of validator 0 and proves nothing new,
    // but signs the whole with its channel key, as only it can.
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let mut packages = Vec::new();
    for position in nodes[3].positions(ValidatorIndex(3)) {
        let made = dkg::part1(identifier(position).expect("small"), 7, 5, &mut rng);
        packages.push(made.expect("valid").1);
    }
    let (_, mut rogue) =
        Commitments::new(&ceremony(WEIGHTS), ValidatorIndex(3), &packages, &mut rng)
            .expect("encodes");
    rogue.cancel(&first[0]);
    let rogue = rogue.sign_again(&ceremony(WEIGHTS), ValidatorIndex(3), &mut rng);
    let rogue = codec::encode(&Message::Commitments(rogue));
    let node = &mut nodes[1];
    node.handle(ValidatorIndex(0), &first[0]).expect("honest");
    node.handle(ValidatorIndex(2), &first[2]).expect("honest");
    let refused = node.handle(ValidatorIndex(3), &rogue);
    let (culprit, what) = (ValidatorIndex(3), "has no proof of its secret");
    let expected = KeyGenerationError::Dishonest { culprit, what };
    assert_eq!(refused, Err(expected));
    let again = node.handle(ValidatorIndex(3), &first[3]);
    assert_eq!(again, Err(KeyGenerationError::Failed));
}

#[test]
fn commitments_cannot_be_copied_moved_or_changed() {
    type Change = (&'static str, fn(&mut Commitments));
    let changes: &[Change] = &[
        ("another channel key", |c| {
            c.channel = curve::encode(&curve::base(&Scalar::ONE));
        }),
        ("no channel key", |c| c.channel = Point([0; 32])),
        ("a dealing less", |c| {
            c.dealings.pop();
        }),
        ("another dealing", |c| c.dealings[0] = c.dealings[1].clone()),
    ];
    let (_, first) = started(WEIGHTS, 8);
    for (name, edit) in changes {
        let bad = change(&first[3], |message| edit(commitments(message)));
        let refused = started(WEIGHTS, 8).0[0].handle(ValidatorIndex(3), &bad);
        let refused = refused.expect_err(name);
        assert_eq!(dishonest(&refused), Some(ValidatorIndex(3)), "{name}");
    }
    // Validators 1 and 2 have the same weight: 2 repeats what 1 said.
    let copied = started(WEIGHTS, 8).0[0].handle(ValidatorIndex(2), &first[1]);
    assert_eq!(
        dishonest(&copied.expect_err("a copy")),
        Some(ValidatorIndex(2))
    );
    // A first message of another ceremony.
    let mut elsewhere = ceremony(WEIGHTS);
    elsewhere.context = Digest([9; 32]);
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let (_, foreign) = KeyGeneration::start(elsewhere, ValidatorIndex(1), &mut rng).expect("valid");
    let refused = started(WEIGHTS, 8).0[0].handle(ValidatorIndex(1), &foreign);
    assert_eq!(
        dishonest(&refused.expect_err("foreign")),
        Some(ValidatorIndex(1))
    );
}

#[test]
fn a_false_share_is_named() {
    let (mut nodes, first) = started(WEIGHTS, 9);
    // Validator 2 committed to one polynomial and deals another.
    let (other, _) = started(WEIGHTS, 10);
    let other = other.into_iter().nth(2).expect("four");
    nodes[2].stage = other.stage;
    let second = dealt(&mut nodes, &first);
    deliver(&mut nodes, &second);
    nodes.remove(2);
    for node in nodes {
        let error = node.finish().err().expect("a false share");
        assert_eq!(dishonest(&error), Some(ValidatorIndex(2)));
    }
}

#[test]
fn shares_that_do_not_decrypt_are_named() {
    let (mut nodes, first) = started(WEIGHTS, 9);
    let mut second = dealt(&mut nodes, &first);
    second[1] = change(&second[1], |message| match message {
        Message::Shares(shares) => shares.sealed[0][3] ^= 1,
        Message::Commitments(_) => unreachable!("a second message"),
    });
    let mut node = nodes.remove(0);
    for from in 1..4 {
        node.handle(ValidatorIndex(from), &second[usize::from(from)])
            .expect("well formed");
    }
    let error = node.finish().err().expect("damaged");
    assert_eq!(dishonest(&error), Some(ValidatorIndex(1)));
}

#[test]
fn shares_are_readable_by_their_receiver_only() {
    let (mut nodes, first) = started(WEIGHTS, 12);
    let second = dealt(&mut nodes, &first);
    let Ok(Message::Shares(shares)) = codec::decode(&second[0], 1 << 20) else {
        panic!("a second message was expected");
    };
    for node in &nodes[1..] {
        let Stage::Dealing(own) = &node.stage else {
            panic!("all have dealt");
        };
        for to in 1..4_u16 {
            let mut turned = shares.clone();
            turned.sealed.swap(usize::from(node.own.0), usize::from(to));
            let opened = node.open_from(ValidatorIndex(0), &turned, own);
            assert_eq!(opened.is_some(), node.own.0 == to);
        }
        assert!(
            node.open_from(ValidatorIndex(node.own.0 % 3 + 1), &shares, own)
                .is_none()
        );
    }
}

#[test]
fn telling_different_things_to_different_validators_shows() {
    let (mut nodes, first) = started(WEIGHTS, 13);
    let (mut doubles, others) = started(WEIGHTS, 14);
    // Validator 3 tells validator 0 one thing and the others another.
    let mut told = first.clone();
    told[3] = others[3].clone();
    let zero = dealt(&mut nodes[..1], &told);
    let mut rest: Vec<KeyGeneration> = nodes.drain(1..3).collect();
    rest.push(doubles.remove(0));
    let mut one = rest.remove(0);
    for from in [0, 2, 3] {
        one.handle(ValidatorIndex(from), &first[usize::from(from)])
            .expect("honest");
    }
    let shown = one.handle(ValidatorIndex(0), &zero[0]);
    let validator = ValidatorIndex(0);
    assert_eq!(shown, Err(KeyGenerationError::Disagreement { validator }));
    // Telling one validator two things shows at once.
    let (mut nodes, _) = started(WEIGHTS, 13);
    nodes[0]
        .handle(ValidatorIndex(3), &first[3])
        .expect("first");
    let second = nodes[0].handle(ValidatorIndex(3), &others[3]);
    assert_eq!(
        dishonest(&second.expect_err("two")),
        Some(ValidatorIndex(3))
    );
}

#[test]
fn strangers_and_rubbish_are_refused_and_the_ceremony_goes_on() {
    let (mut nodes, first) = started(WEIGHTS, 15);
    for from in [0, 4, 500] {
        let from = ValidatorIndex(from);
        let refused = nodes[0].handle(from, &first[1]);
        assert_eq!(refused, Err(KeyGenerationError::Sender { from }));
    }
    for rubbish in [&[][..], &[0xff; 90], &first[1][..50]] {
        let refused = nodes[0].handle(ValidatorIndex(1), rubbish);
        assert!(matches!(refused, Err(KeyGenerationError::Encoding { .. })));
    }
    nodes[0]
        .handle(ValidatorIndex(1), &first[1])
        .expect("goes on");
    let early = nodes.remove(0).finish();
    assert_eq!(
        early.err(),
        Some(KeyGenerationError::Incomplete { missing: 4 })
    );
}

#[test]
fn committees_that_cannot_share_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut start = |weights: &[u16], own| {
        KeyGeneration::start(ceremony(weights), ValidatorIndex(own), &mut rng).err()
    };
    use KeyGenerationError::{Committee, Key, Threshold};
    assert!(matches!(start(&[1], 0), Some(Committee { .. })));
    assert!(matches!(start(WEIGHTS, 4), Some(Committee { .. })));
    assert!(matches!(start(&[1, 1, 1], 0), Some(Threshold(_))));
    assert!(matches!(start(&[2, 0, 2], 0), Some(Key(_))));
}

#[test]
fn scalars_and_points_mean_the_same_to_both_libraries() {
    use frost_ristretto255::keys::{SigningShare, VerifyingShare};
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for _ in 0..8 {
        let x = Scalar::random(&mut rng);
        let share = SigningShare::deserialize(&x.to_bytes()).expect("reduced");
        assert_eq!(scalar(&share.serialize()), Some(x));
        let y = VerifyingShare::from(share)
            .serialize()
            .expect("not the identity");
        assert_eq!(point(&y), Some(curve::encode(&curve::base(&x))));
    }
    for position in [0, 1, 6, 255] {
        let index = Scalar::from(key::index_of(position).0);
        let identifier = identifier(position).expect("not zero");
        assert_eq!(scalar(&identifier.serialize()), Some(index));
    }
}
