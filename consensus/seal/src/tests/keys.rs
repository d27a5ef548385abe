//! Keys that do not fit are refused before anything is opened with them.

use super::*;

#[test]
fn key_shares_survive_their_file_and_damage_is_refused() {
    let committee = Committee::get(WEIGHTED);
    let bytes = &committee.shares[3];
    let shares = KeyShares::decode(bytes).expect("own encoding");
    assert_eq!(shares.encode().as_slice(), bytes.as_slice());
    let indices: Vec<ShareIndex> = shares.indices().collect();
    assert_eq!(indices, [ShareIndex(5), ShareIndex(6), ShareIndex(7)]);
    let mut unreduced = bytes.clone();
    unreduced[2..34].fill(0xff);
    let mut zero = bytes.clone();
    zero[..2].fill(0);
    let damaged: [&[u8]; 5] = [
        &[],
        &bytes[..2],
        &bytes[..bytes.len() - 1],
        &unreduced,
        &zero,
    ];
    for bytes in damaged {
        assert_eq!(KeyShares::decode(bytes).err(), Some(KeyError::Scalar));
    }
}

#[test]
fn a_node_takes_only_its_own_shares() {
    let committee = Committee::get(WEIGHTED);
    for index in 0..5 {
        let shares = KeyShares::decode(&committee.shares[1]).expect("own encoding");
        let own = Some((ValidatorIndex(index), shares));
        let made = Tdh2::new(&committee.key, WEIGHTED, own, [0; 32]);
        assert_eq!(made.is_ok(), index == 1);
    }
}

#[test]
fn a_key_whose_shares_do_not_belong_together_is_refused() {
    let committee = Committee::get(WEIGHTED);
    let new = |key: &SealingKey| Tdh2::new(key, WEIGHTED, None, [0; 32]).err();
    assert_eq!(new(&committee.key), None);
    for index in 0..7 {
        let mut key = committee.key.clone();
        key.shares[index] = curve::encode(&curve::base(&Scalar::from(3_u64)));
        assert_eq!(new(&key), Some(KeyError::Inconsistent));
    }
    let mut swapped = committee.key.clone();
    swapped.shares.swap(0, 1);
    assert_eq!(new(&swapped), Some(KeyError::Inconsistent));
    let mut other = committee.key.clone();
    other.key = Committee::get(EQUAL).key.key;
    assert_eq!(new(&other), Some(KeyError::Inconsistent));
    let mut identity = committee.key.clone();
    identity.key = Point([0; 32]);
    assert_eq!(new(&identity), Some(KeyError::Point));
    let mut short = committee.key.clone();
    short.shares.pop();
    assert!(matches!(
        new(&short),
        Some(KeyError::Shares {
            found: 6,
            expected: 7
        })
    ));
    let total = Tdh2::new(&committee.key, &[3, 3], None, [0; 32]).err();
    assert!(matches!(total, Some(KeyError::Threshold(_))));
}

/// Whoever has left keeps its slot with weight 0, between those who hold shares.
#[test]
fn a_slot_without_weight_holds_no_share_of_the_key() {
    let committee = Committee::get(WEIGHTED);
    let key = key::CommitteeKey::new(&committee.key, &[3, 0, 4]).expect("7 shares");
    let held = |index| key.positions(ValidatorIndex(index));
    assert_eq!(held(0), Some(0..3));
    assert_eq!(held(1), None);
    assert_eq!(held(2), Some(3..7));
    assert_eq!(held(3), None);
}

#[test]
fn a_key_of_too_high_a_degree_is_refused() {
    // Values of a polynomial of degree 2f+1: any 2f+1 of them interpolate to something else.
    let mut rng = rng(4);
    let f: Vec<Scalar> = (0..6).map(|_| Scalar::random(&mut rng)).collect();
    let at = |i: u64| {
        f.iter()
            .rev()
            .fold(Scalar::ZERO, |sum, c| sum * Scalar::from(i) + c)
    };
    let point = |i| curve::encode(&curve::base(&at(i)));
    let mut key = Committee::get(WEIGHTED).key.clone();
    key.key = point(0);
    key.shares = (1..=7).map(point).collect();
    let refused = Tdh2::new(&key, WEIGHTED, None, [0; 32]).err();
    assert_eq!(refused, Some(KeyError::Inconsistent));
}

#[test]
fn a_verifier_without_shares_releases_nothing() {
    let committee = Committee::get(EQUAL);
    let envelope = envelope(committee, 0);
    let verifier = committee.verifier();
    assert!(verifier.share_points(&[&envelope.header]).is_empty());
    assert_eq!(
        verifier.bundle(context(), &[&envelope.header], Vec::new()),
        None
    );
}
