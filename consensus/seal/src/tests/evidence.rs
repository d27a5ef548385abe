//! A signed wrong share is shown to everybody, and a right one to nobody.

use conclave_crypto::{
    Committee as Members, EdSecret, are_signed, are_wrong, bundle_message, share_rows, wrong_shares,
};

use super::opening::opened;
use super::*;

const CHAIN: ChainId = ChainId(Digest([1; 32]));

fn transport(index: u16) -> EdSecret {
    EdSecret::from_seed(&[index as u8 + 1; 32])
}

/// The committee as those see it who know its keys only.
fn members(committee: &Committee) -> Members {
    let validators = (0..).zip(committee.weights).map(|(index, weight)| {
        let key = transport(index);
        ValidatorInfo {
            name: index.to_string(),
            weight: *weight,
            bls_key: BlsPublicKey([index as u8; 96]),
            bls_possession: BlsSignature([0; 48]),
            transport_key: key.transport_key(),
            account: key.account(),
            address: String::new(),
            api: String::new(),
        }
    });
    let genesis = Genesis {
        name: "evidence".into(),
        time: BlockTime(0),
        validators: validators.collect(),
        sealing: committee.key.clone(),
        allocations: vec![],
        consensus: Default::default(),
        fees: Default::default(),
        market: Default::default(),
    };
    Members::from_genesis(&genesis).expect("3f+1")
}

fn sign(bundle: &mut ShareBundle) {
    let message = bundle_message(CHAIN, bundle);
    bundle.signature = transport(bundle.signer.0).sign(&message);
}

/// The bundles of all, signed, after `lie` had its way with validator 1's.
fn signed(
    committee: &Committee,
    headers: &[&EnvelopeHeader],
    lie: impl FnOnce(&mut ShareBundle),
) -> Vec<ShareBundle> {
    let mut bundles = committee.bundles(context(), headers);
    lie(&mut bundles[1]);
    bundles.iter_mut().for_each(sign);
    bundles
}

fn c_of(headers: &[&EnvelopeHeader]) -> Vec<Point> {
    let c = |header: &&EnvelopeHeader| match &header.payload {
        Payload::Sealed(key) => key.c,
        Payload::Plain => panic!("sealed headers only"),
    };
    headers.iter().map(c).collect()
}

#[test]
fn every_signed_lie_convicts_its_signer_and_nobody_else() {
    let lies: [fn(&mut ShareBundle); 4] = [
        |b| b.shares[0].swap(0, 2),
        |b| b.shares[0][1] = Point([0; 32]),
        |b| b.shares[0][1] = Point([0xff; 32]),
        |b| b.proofs[0][0].response = ScalarBytes([0; 32]),
    ];
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let (members, verifier) = (members(committee), committee.verifier());
        // The malformed one makes proofs matter, whatever the lie.
        let mut envelopes = envelopes(committee, 3);
        envelopes.push(malformed(committee, 9));
        let headers = headers(&envelopes);
        for lie in lies {
            let bundles = signed(committee, &headers, lie);
            assert_eq!(are_signed(CHAIN, &members, &bundles), [true; 4]);
            let result = verifier.open(context(), &headers, &bundles);
            let [liar] = &result.liars[..] else {
                panic!("one liar, not {:?}", result.liars);
            };
            let wrong = liar.evidence.as_ref().expect("it signed");
            let convicts = |index, wrong: &WrongShares| {
                are_wrong(CHAIN, &members, &verifier, ValidatorIndex(index), wrong)
            };
            assert!(convicts(1, wrong));
            assert!(!convicts(0, wrong) && !convicts(2, wrong) && !convicts(9, wrong));
            let changes: [fn(&mut WrongShares); 8] = [
                |w| w.context.height = Height(13),
                |w| w.key += 1,
                |w| w.part += 1,
                |w| w.parts += 1,
                |w| w.sealed.swap(0, 1),
                |w| w.shares[0] = Point([7; 32]),
                |w| w.proof.challenge = ScalarBytes([1; 32]),
                |w| w.path.push(Digest::ZERO),
            ];
            for change in changes {
                let mut changed = wrong.as_ref().clone();
                change(&mut changed);
                assert!(!convicts(1, &changed), "only what was signed convicts");
            }
            let elsewhere = ChainId(Digest([2; 32]));
            assert!(!are_wrong(
                elsewhere,
                &members,
                &verifier,
                ValidatorIndex(1),
                wrong
            ));
        }
    }
}

#[test]
fn no_row_of_an_honest_bundle_convicts() {
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let (members, verifier) = (members(committee), committee.verifier());
        let mut envelopes = envelopes(committee, 2);
        envelopes.push(malformed(committee, 9));
        let headers = headers(&envelopes);
        for bundle in signed(committee, &headers, |_| ()) {
            for (row, _) in share_rows(&bundle) {
                let place = (row.key, row.part);
                let claim = wrong_shares(&bundle, place, &c_of(&headers)).expect("a row");
                assert!(!are_wrong(
                    CHAIN,
                    &members,
                    &verifier,
                    bundle.signer,
                    &claim
                ));
            }
        }
    }
}

#[test]
fn what_is_not_signed_or_not_regular_is_found_out_by_its_numbers_or_one_signature() {
    let committee = Committee::get(WEIGHTED);
    let members = members(committee);
    let envelopes = envelopes(committee, 2);
    let headers = headers(&envelopes);
    let mut bundles = signed(committee, &headers, |_| ());
    bundles[0].shares[0].swap(0, 1);
    bundles[1].proofs[0].clear();
    let mut half = bundles[2].clone();
    half.signer = ValidatorIndex(3);
    let stranger = ShareBundle {
        signer: ValidatorIndex(9),
        ..bundles[2].clone()
    };
    bundles.extend([half, stranger]);
    let expected = [false, false, true, true, false, false];
    assert_eq!(are_signed(CHAIN, &members, &bundles), expected);
}

#[test]
fn a_wrong_share_of_a_long_list_is_shown_by_its_part_alone() {
    let committee = Committee::get(EQUAL);
    let (members, verifier) = (members(committee), committee.verifier());
    let part = limits::SHARE_PART_ENVELOPES_MAX;
    let one = envelope(committee, 0);
    let other = envelope(committee, 1);
    let headers: Vec<&EnvelopeHeader> = std::iter::repeat_n(&one.header, part)
        .chain([&other.header])
        .collect();
    let bundles = signed(committee, &headers, |b| b.shares[0][part] = b.shares[0][0]);
    let result = verifier.open(context(), &headers, &bundles);
    assert_eq!(opened(&result).len(), part + 1);
    let wrong = result.liars[0].evidence.as_ref().expect("it signed");
    assert_eq!((wrong.part, wrong.parts, wrong.sealed.len()), (1, 2, 1));
    assert!(are_wrong(
        CHAIN,
        &members,
        &verifier,
        ValidatorIndex(1),
        wrong
    ));
}
