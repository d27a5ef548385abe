//! One committee hands over to the next, and only so.

use super::*;

/// An epoch's last block after the first header, with its certificate, and the setup that it names.
fn change(fixture: &Fixture) -> EpochChange {
    let setup = EpochSetup {
        epoch: Epoch(1),
        validators: fixture.validators(),
        sealing: fixture.sealing(),
    };
    let mut last = fixture.header(2, &fixture.first_header());
    last.next_epoch = Some(setup.digest());
    EpochChange {
        certificate: fixture.cc(&last),
        last,
        setup,
    }
}

#[test]
fn the_committee_that_steps_down_names_the_next() {
    let fixture = Fixture::new();
    let good = change(&fixture);
    let judge = |change: &EpochChange| verify_epoch_change(&fixture.verifier(), change);
    assert_eq!(judge(&good), Ok(()));

    let mut other_setup = good.clone();
    other_setup.setup.validators[0].weight = 2;
    assert!(matches!(judge(&other_setup), Err(EpochError::Setup { .. })));
    let mut other_key = good.clone();
    other_key.setup.sealing.transcript = Digest([9; 32]);
    assert!(matches!(judge(&other_key), Err(EpochError::Setup { .. })));

    // A block that ends nothing hands over to nobody.
    let mut no_end = good.clone();
    no_end.last.next_epoch = None;
    no_end.certificate = fixture.cc(&no_end.last);
    assert!(matches!(judge(&no_end), Err(EpochError::Setup { .. })));

    // Nor does a setup of another epoch than the next, even one that the block names.
    let mut skipped = good.clone();
    skipped.setup.epoch = Epoch(2);
    skipped.last.next_epoch = Some(skipped.setup.digest());
    skipped.certificate = fixture.cc(&skipped.last);
    assert!(matches!(judge(&skipped), Err(EpochError::Setup { .. })));

    let other_block = EpochChange {
        certificate: fixture.cc(&fixture.first_header()),
        ..good.clone()
    };
    assert!(matches!(judge(&other_block), Err(EpochError::Chain(_))));
    let mut prepared = good.clone();
    prepared.certificate.aggregate = fixture.qc(2, good.last.id(), &[0, 1, 2]).aggregate;
    assert!(matches!(judge(&prepared), Err(EpochError::Certificate(_))));
}

#[test]
fn a_chain_of_committees_grows_by_hand_overs_only() {
    let fixture = Fixture::new();
    let good = change(&fixture);
    let mut committees = CommitteeChain::from_genesis(&fixture.genesis).expect("a valid genesis");
    assert!(matches!(
        committees.verifier(Epoch(1)).map(|_| ()),
        Err(EpochError::Unknown { newest, .. }) if newest == Epoch(0)
    ));
    let mut wrong = good.clone();
    wrong.setup.validators[0].bls_possession = BlsSignature([0; 48]);
    wrong.last.next_epoch = Some(wrong.setup.digest());
    wrong.certificate = fixture.cc(&wrong.last);
    assert!(matches!(
        committees.extend(&wrong),
        Err(EpochError::Keys(_))
    ));
    assert_eq!(committees.newest(), Epoch(0));
    assert_eq!(committees.extend(&good), Ok(()));
    assert_eq!(committees.extend(&good), Ok(()), "known already");
    assert_eq!(committees.newest(), Epoch(1));

    // Its certificates are of its epoch, and its origin needs no signatures.
    let verifier = committees.verifier(Epoch(1)).expect("known");
    let origin = good.origin();
    assert_eq!((origin.height, origin.block), (Height(2), good.last.id()));
    assert_eq!(verifier.quorum(&QuorumCertificate::origin(&origin)), Ok(()));
    assert!(verifier.commit(&good.certificate).is_err());
    assert_eq!(committees.commit(&good.certificate), Ok(()));
}

#[test]
fn who_weighs_nothing_is_a_stranger_to_every_certificate() {
    let fixture = Fixture::new();
    let setup = EpochSetup {
        epoch: Epoch(0),
        validators: {
            let mut validators = fixture.validators();
            validators[0].weight = 2;
            validators[3].weight = 0;
            validators
        },
        sealing: fixture.sealing(),
    };
    let committee = Committee::of_epoch(&setup).expect("3f+1");
    let verifier = Verifier {
        committee: &committee,
        ..fixture.verifier()
    };
    let block = BlockId(Digest([1; 32]));
    assert_eq!(verifier.quorum(&fixture.qc(1, block, &[0, 1])), Ok(()));
    let with_a_stranger = fixture.qc(1, block, &[0, 1, 3]);
    assert!(matches!(
        verifier.quorum(&with_a_stranger),
        Err(CertificateError::Quorum { .. })
    ));
    let evidence = Misbehaviour {
        epoch: Epoch(0),
        validator: ValidatorIndex(3),
        offence: Offence::double_timeout(
            View(1),
            Refusal {
                high_qc_view: View(0),
                signature: BlsSignature([0; 48]),
            },
            Refusal {
                high_qc_view: View(0),
                signature: BlsSignature([1; 48]),
            },
        ),
    };
    assert!(matches!(
        verify_contradiction(&verifier, &evidence),
        Err(MisbehaviourError::Stranger { .. })
    ));
}

#[test]
fn the_first_block_of_an_epoch_extends_the_last_of_the_one_before() {
    let fixture = Fixture::new();
    let last = change(&fixture).last;
    let mut first = fixture.header(3, &last);
    first.epoch = Epoch(1);
    first.view = View(1);
    first.parent_view = View(0);
    first.next_epoch = None;
    let chained = |parent: &BlockHeader, child: &BlockHeader| {
        let mut child = child.clone();
        child.parent = parent.id();
        let cc = CommitCertificate {
            epoch: child.epoch,
            view: child.view,
            ..fixture.cc(&child)
        };
        verify_ancestry(&[parent.clone(), child], &cc).is_ok()
    };
    assert!(chained(&last, &first));
    // A child of the last block in its own epoch.
    let same_epoch = BlockHeader {
        epoch: Epoch(0),
        ..first
    };
    assert!(!chained(&last, &same_epoch));
    let same_view = BlockHeader {
        parent_view: last.view,
        ..first
    };
    assert!(!chained(&last, &same_view));
    let skipped = BlockHeader {
        epoch: Epoch(2),
        ..first
    };
    assert!(!chained(&last, &skipped));
    // Another epoch after a block that is not the last.
    let parent = BlockHeader {
        next_epoch: None,
        ..last
    };
    assert!(!chained(&parent, &first));
    assert!(!chained(
        &parent,
        &BlockHeader {
            parent_view: parent.view,
            ..first
        }
    ));
}

#[test]
fn only_a_last_block_is_certified_in_a_later_view_than_its_own() {
    let fixture = Fixture::new();
    let last = change(&fixture).last;
    let in_view = |header: &BlockHeader, view: u64| {
        let cc = CommitCertificate {
            view: View(view),
            ..fixture.cc(header)
        };
        verify_ancestry(std::slice::from_ref(header), &cc).is_ok()
    };
    assert!(in_view(&last, last.view.0));
    assert!(in_view(&last, last.view.0 + 5));
    assert!(!in_view(&last, last.view.0 - 1));
    let ordinary = fixture.first_header();
    assert!(!in_view(&ordinary, ordinary.view.0 + 1));
}
