//! Any 2f+1 open, fewer never do, and liars neither stop an opening nor change a verdict.

use super::*;
use crate::lagrange;
use crate::public;
use crate::shares::SealedList;

pub(super) fn opened(result: &OpenResult) -> Vec<Point> {
    let verdicts = result.verdicts.as_ref().expect("enough shares");
    let m = |verdict: &Verdict| match verdict {
        Verdict::Opened(m) => *m,
        Verdict::Malformed => panic!("a good envelope was found malformed"),
    };
    verdicts.iter().map(m).collect()
}

/// Every set of validators.
pub(super) fn subsets(validators: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u32 << validators).map(move |set| {
        let members = (0..validators).filter(|index| set >> index & 1 == 1);
        members.collect()
    })
}

pub(super) fn weight_of(committee: &Committee, set: &[usize]) -> u16 {
    set.iter().map(|index| committee.weights[*index]).sum()
}

pub(super) fn pick(bundles: &[ShareBundle], set: &[usize]) -> Vec<ShareBundle> {
    set.iter().map(|index| bundles[*index].clone()).collect()
}

#[test]
fn any_quorum_opens_and_nothing_less_does() {
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let envelopes = envelopes(committee, 5);
        let headers = headers(&envelopes);
        let bundles = committee.bundles(context(), &headers);
        let node = committee.verifier();
        let quorum = node.threshold().quorum();
        for set in subsets(weights.len()) {
            let result = node.open(context(), &headers, &pick(&bundles, &set));
            assert_eq!(result.liars, []);
            if weight_of(committee, &set) < quorum {
                assert_eq!(result.verdicts, None, "{set:?}");
                continue;
            }
            let openings = opened(&result);
            for (number, (envelope, m)) in envelopes.iter().zip(&openings).enumerate() {
                assert!(node.verify_opening(&envelope.header, m));
                assert_eq!(node.decrypt(envelope, m), Some(plaintext(number as u64)));
            }
        }
    }
}

#[test]
fn two_f_shares_combined_give_no_plaintext() {
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 1);
    let headers = headers(&envelopes);
    let bundles = committee.bundles(context(), &headers);
    let node = committee.verifier();
    let d = match &headers[0].payload {
        Payload::Sealed(sealed) => curve::point(&sealed.d).expect("valid"),
        Payload::Plain => unreachable!("sealed"),
    };
    for pair in [[0, 1], [0, 3], [2, 3]] {
        let indices = pair.map(|index| ShareIndex(index as u16 + 1));
        let points = pair.map(|index| curve::point(&bundles[index].shares[0][0]).expect("valid"));
        let s = public::combine(&lagrange::at_zero(&indices), &points);
        let m = curve::encode(&(d - s));
        assert!(!node.verify_opening(headers[0], &m));
        assert_eq!(node.decrypt(&envelopes[0], &m), None);
    }
}

#[test]
fn small_factors_are_the_factors() {
    let mut rng = rng(5);
    let lists: [&[u16]; 7] = [
        &[1, 2, 3],
        &[1, 2, 4],
        &[1, 3, 4],
        &[2, 3, 4],
        &[1, 2, 3, 4, 5],
        &[7, 5, 6],
        &[200, 201, 202, 203, 204, 205, 206, 207, 208],
    ];
    let small = lists.map(|list| {
        let indices: Vec<ShareIndex> = list.iter().copied().map(ShareIndex).collect();
        let factors = lagrange::small_at_zero(&indices)?;
        let points: Vec<_> = indices
            .iter()
            .map(|_| curve::base(&Scalar::random(&mut rng)))
            .collect();
        let exact = public::combine(&lagrange::at_zero(&indices), &points);
        assert_eq!(public::combine_small(&factors, &points), exact);
        Some(factors)
    });
    assert_eq!(small[0], Some(vec![3, -3, 1]));
    assert_eq!(small[1], None, "a third of 8");
    assert_eq!(small[3], Some(vec![6, -8, 3]));
    assert_eq!(small[6], None, "too large");
}

#[test]
fn openings_are_those_of_the_shared_secret() {
    // x is put together from the secrets, which no node ever does, and M = D − x·C.
    let committee = Committee::get(WEIGHTED);
    let envelope = envelope(committee, 0);
    let all: Vec<KeyShares> = committee
        .shares
        .iter()
        .map(|bytes| KeyShares::decode(bytes).expect("own encoding"))
        .collect();
    let indices: Vec<ShareIndex> = all.iter().flat_map(KeyShares::indices).collect();
    let secrets = all.iter().flat_map(|shares| shares.secrets().to_vec());
    let x: Scalar = lagrange::at_zero(&indices)
        .iter()
        .zip(secrets)
        .map(|(factor, secret)| factor * secret)
        .sum();
    assert_eq!(curve::encode(&curve::base(&x)), committee.key.key);
    let mut header = envelope.header.clone();
    let sealed = sealed_mut(&mut header);
    let m = curve::point(&sealed.d).expect("valid") - curve::point(&sealed.c).expect("valid") * x;
    assert!(
        committee
            .verifier()
            .verify_opening(&envelope.header, &curve::encode(&m))
    );
}

#[test]
fn a_wrong_or_swapped_opening_fails() {
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 4);
    let headers = headers(&envelopes);
    let node = committee.verifier();
    let m = opened(&node.open(context(), &headers, &committee.bundles(context(), &headers)));
    let pairs = |m: &[Point]| headers.iter().copied().zip(m.to_vec()).collect::<Vec<_>>();
    assert_eq!(node.verify_openings(&pairs(&m)), [true; 4]);
    let mut swapped = m.clone();
    swapped.swap(1, 2);
    assert_eq!(
        node.verify_openings(&pairs(&swapped)),
        [true, false, false, true]
    );
    let random = curve::encode(&RistrettoPoint::random(&mut rng(1)));
    for wrong in [random, Point([0; 32]), Point([0xff; 32])] {
        let mut wrong_one = m.clone();
        wrong_one[3] = wrong;
        assert_eq!(
            node.verify_openings(&pairs(&wrong_one)),
            [true, true, true, false]
        );
        assert!(!node.verify_opening(headers[0], &wrong));
        assert_eq!(node.decrypt(&envelopes[0], &wrong), None);
    }
    assert!(node.verify_openings(&[]).is_empty());
}

pub(super) fn liars(result: &OpenResult) -> Vec<u16> {
    result.liars.iter().map(|liar| liar.validator.0).collect()
}

#[test]
fn a_lying_share_sender_is_named_and_opening_succeeds_without_it() {
    type Lie = (&'static str, fn(&mut ShareBundle));
    let lies: &[Lie] = &[
        ("wrong point", |b| {
            b.shares[0][1] = curve::encode(&curve::base(&Scalar::ONE));
        }),
        ("swapped shares", |b| b.shares[0].swap(0, 2)),
        ("identity", |b| b.shares[0][0] = Point([0; 32])),
        ("not a point", |b| b.shares[0][0] = Point([0xff; 32])),
        ("a share too few", |b| {
            b.shares[0].pop();
        }),
        ("no key share", |b| b.shares.clear()),
        ("a key share too many", |b| {
            b.shares.push(b.shares[0].clone());
            b.proofs.push(b.proofs[0].clone());
        }),
        ("no proof", |b| b.proofs.clear()),
        ("a part too many", |b| b.proofs[0].extend_from_within(..)),
        ("another list", |b| b.lists[0] = Digest::ZERO),
    ];
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let envelopes = envelopes(committee, 3);
        let headers = headers(&envelopes);
        let honest = committee.bundles(context(), &headers);
        let node = committee.verifier();
        let expected = opened(&node.open(context(), &headers, &honest));
        for (name, lie) in lies {
            // Validator 1 has weight 1, so f covers it in both committees.
            let mut bundles = honest.clone();
            lie(&mut bundles[1]);
            let result = node.open(context(), &headers, &bundles);
            assert_eq!(liars(&result), [1], "{name}");
            assert_eq!(opened(&result), expected, "{name}");
            // Without a replacement the liar is named all the same, and more shares are awaited.
            let short = node.open(context(), &headers, &bundles[..3]);
            if weight_of(committee, &[0, 2]) < node.threshold().quorum() {
                assert_eq!(short.verdicts, None, "{name}");
            }
        }
    }
}

#[test]
fn a_liar_is_named_whatever_the_order_of_arrival() {
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 3);
    let headers = headers(&envelopes);
    let mut bundles = committee.bundles(context(), &headers);
    bundles[2].shares[0].swap(0, 1);
    let node = committee.verifier();
    for first in 0..4 {
        bundles.rotate_left(1);
        let result = node.open(context(), &headers, &bundles);
        assert_eq!(opened(&result).len(), 3);
        // A lie that arrives after the quorum is not even looked at.
        let seen = bundles[..3]
            .iter()
            .any(|bundle| bundle.signer == ValidatorIndex(2));
        assert_eq!(!result.liars.is_empty(), seen, "rotation {first}");
    }
}

#[test]
fn a_bad_proof_over_good_shares_harms_nobody_and_is_a_lie_once_proofs_matter() {
    let committee = Committee::get(EQUAL);
    let envelopes = vec![envelope(committee, 0), malformed(committee, 1)];
    let headers = headers(&envelopes);
    let mut bundles = committee.bundles(context(), &headers);
    bundles[0].proofs[0][0].response = ScalarBytes([0; 32]);
    let node = committee.verifier();
    let result = node.open(context(), &headers, &bundles);
    assert_eq!(liars(&result), [0]);
    let verdicts = result.verdicts.expect("three honest bundles");
    assert!(matches!(
        verdicts[..],
        [Verdict::Opened(_), Verdict::Malformed]
    ));
}

#[test]
fn foreign_repeated_and_unknown_bundles_do_not_count() {
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 2);
    let headers = headers(&envelopes);
    let bundles = committee.bundles(context(), &headers);
    let node = committee.verifier();
    let repeated = vec![bundles[0].clone(); 5];
    assert_eq!(node.open(context(), &headers, &repeated).verdicts, None);
    let elsewhere = ShareContext {
        height: Height(13),
        ..context()
    };
    assert_eq!(node.open(elsewhere, &headers, &bundles).verdicts, None);
    let mut stranger = bundles[0].clone();
    stranger.signer = ValidatorIndex(900);
    let result = node.open(context(), &headers, &[stranger]);
    assert_eq!(liars(&result), [900]);
    let nothing = node.open(context(), &[], &[]);
    assert_eq!(nothing.verdicts, Some(Vec::new()));
}

#[test]
fn a_proof_serves_only_its_signer_block_lane_and_list() {
    let committee = Committee::get(EQUAL);
    // One malformed envelope makes the proofs matter.
    let envelopes = vec![malformed(committee, 0), envelope(committee, 1)];
    let headers = headers(&envelopes);
    let honest = committee.bundles(context(), &headers);
    let node = committee.verifier();
    let moves: [fn(&mut ShareContext); 4] = [
        |c| c.block = BlockId(Digest([6; 32])),
        |c| c.height = Height(13),
        |c| c.lane = LaneKind::Malformed.of(Epoch(0)),
        |c| c.group = ShareGroup::Of(ValidatorIndex(0)),
    ];
    for change in moves {
        let mut other = context();
        change(&mut other);
        let mut moved = honest.clone();
        for bundle in &mut moved {
            bundle.context = other;
        }
        let result = node.open(other, &headers, &moved);
        assert_eq!((result.verdicts, result.liars.len()), (None, 4));
    }
    // Another's whole bundle under one's own name.
    let mut copied = honest.clone();
    copied[1].shares = honest[0].shares.clone();
    copied[1].proofs = honest[0].proofs.clone();
    assert_eq!(liars(&node.open(context(), &headers, &copied)), [1]);
    // The same shares for the same envelopes in another order.
    let reversed: Vec<&EnvelopeHeader> = headers.iter().rev().copied().collect();
    let mut turned = honest;
    turned
        .iter_mut()
        .for_each(|bundle| bundle.shares[0].reverse());
    assert_eq!(node.open(context(), &reversed, &turned).liars.len(), 4);
}

/// A bundle of a validator that lies about its points and proves them as well as it can.
fn lying(
    committee: &Committee,
    index: u16,
    headers: &[&EnvelopeHeader],
    lie: impl FnOnce(&mut Vec<Vec<Point>>),
) -> ShareBundle {
    let node = committee.node(index);
    let mut points = node.share_points(headers);
    lie(&mut points);
    node.bundle(context(), headers, points).expect("has shares")
}

#[test]
fn a_lie_under_a_proof_of_its_own_is_caught() {
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let envelopes = envelopes(committee, 3);
        let headers = headers(&envelopes);
        let mut bundles = committee.bundles(context(), &headers);
        bundles[1] = lying(committee, 1, &headers, |points| points[0].swap(0, 2));
        let result = committee.verifier().open(context(), &headers, &bundles);
        assert_eq!(liars(&result), [1]);
        assert_eq!(opened(&result).len(), 3);
    }
}

#[test]
fn errors_that_cancel_under_equal_weights_are_caught() {
    // +E on one share and −E on another leave the plain sum, and so its proof, as they were.
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 2);
    let headers = headers(&envelopes);
    let mut bundles = committee.bundles(context(), &headers);
    let error = RistrettoPoint::random(&mut rng(9));
    bundles[0] = lying(committee, 0, &headers, |points| {
        for (point, error) in points[0].iter_mut().zip([error, -error]) {
            *point = curve::encode(&(curve::point(point).expect("valid") + error));
        }
    });
    let result = committee.verifier().open(context(), &headers, &bundles);
    assert_eq!(liars(&result), [0]);
    assert_eq!(opened(&result).len(), 2);
}

#[test]
fn both_conditions_of_an_opening_count() {
    let committee = Committee::get(EQUAL);
    let node = committee.verifier();
    let m = RistrettoPoint::random(&mut rng(3));
    let m_bytes = curve::encode(&m);
    // C = (r + a)·G and D = M + (r + b)·Y.
    let made = |number, a: Scalar, b: Scalar| {
        forged(committee, number, |y, label, _| {
            let r = right_exponent(committee, &m, label);
            (r + a, m + y * (r + b))
        })
        .header
    };
    let (zero, one) = (Scalar::ZERO, Scalar::ONE);
    let right = made(1, zero, zero);
    assert!(
        node.verify_opening(&right, &m_bytes),
        "the helper can be honest"
    );
    for (a, b) in [(one, zero), (zero, one), (one, one)] {
        let (wrong, against) = (made(2, a, b), made(3, -a, -b));
        assert!(!node.verify_opening(&wrong, &m_bytes));
        let batch = [&right, &wrong, &against].map(|header| (header, m_bytes));
        assert_eq!(
            node.verify_openings(&batch),
            [true, false, false],
            "errors that cancel"
        );
        assert_eq!(node.verify_openings(&batch[..2]), [true, false]);
    }
}

#[test]
fn hostile_bundles_never_panic() {
    let committee = Committee::get(WEIGHTED);
    let envelopes = envelopes(committee, 2);
    let headers = headers(&envelopes);
    let mut rng = rng(11);
    let node = committee.verifier();
    for _ in 0..50 {
        let mut point = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            Point(bytes)
        };
        let list = |point: &mut dyn FnMut() -> Point| vec![point(), point()];
        let bundles: Vec<ShareBundle> = (0..4)
            .map(|signer| ShareBundle {
                context: context(),
                signer: ValidatorIndex(signer),
                lists: SealedList::new(&headers).lists,
                shares: (0..committee.weights[usize::from(signer)])
                    .map(|_| list(&mut point))
                    .collect(),
                proofs: (0..committee.weights[usize::from(signer)])
                    .map(|_| {
                        vec![BatchedDleq {
                            challenge: ScalarBytes(point().0),
                            response: ScalarBytes(point().0),
                        }]
                    })
                    .collect(),
                signature: EdSignature([0; 64]),
            })
            .collect();
        let result = node.open(context(), &headers, &bundles);
        assert_eq!(result.verdicts, None);
        assert_eq!(result.liars.len(), 4);
    }
}
