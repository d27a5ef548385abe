//! Evidence convicts who signed a contradiction, and nobody else.

use super::*;

impl Fixture {
    fn ballot(&self, kind: VoteKind, view: u64, block: u8, signer: usize) -> Ballot {
        let (view, height, block) = (View(view), Height(3), BlockId(Digest([block; 32])));
        let message = kind.message(self.chain, Epoch(0), view, height, block);
        Ballot {
            height,
            block,
            signature: self.secrets[signer].sign(&message),
        }
    }

    fn refusal(&self, view: u64, high: u64, signer: usize) -> Refusal {
        let message = Timeout::message(self.chain, Epoch(0), View(view), View(high));
        Refusal {
            high_qc_view: View(high),
            signature: self.secrets[signer].sign(&message),
        }
    }

    fn double(&self, kind: VoteKind) -> Misbehaviour {
        let ballots = [1, 2].map(|block| self.ballot(kind, 7, block, 2));
        against_2(Offence::double_vote(kind, View(7), ballots[0], ballots[1]))
    }

    /// A timeout of a view that names a certificate, and a commit vote, both by validator 2.
    fn late_commit(&self, (timeout_view, high): (u64, u64), commit_view: u64) -> Misbehaviour {
        against_2(Offence::CommitAfterTimeout {
            timeout_view: View(timeout_view),
            timeout: self.refusal(timeout_view, high, 2),
            commit_view: View(commit_view),
            commit: self.ballot(VoteKind::Commit, commit_view, 1, 2),
        })
    }

    fn judge(&self, evidence: &Misbehaviour) -> Result<ValidatorIndex, MisbehaviourError> {
        verify_contradiction(&self.verifier(), evidence)
    }
}

fn against_2(offence: Offence) -> Misbehaviour {
    Misbehaviour {
        epoch: Epoch(0),
        validator: ValidatorIndex(2),
        offence,
    }
}

#[test]
fn whoever_signed_a_contradiction_is_convicted() {
    let fixture = Fixture::new();
    let timeouts = [3, 5].map(|high| fixture.refusal(7, high, 2));
    let guilty = [
        fixture.double(VoteKind::Prepare),
        fixture.double(VoteKind::Commit),
        against_2(Offence::double_timeout(View(7), timeouts[1], timeouts[0])),
        fixture.late_commit((7, 6), 7),
        fixture.late_commit((9, 6), 7),
    ];
    for evidence in guilty {
        assert_eq!(fixture.judge(&evidence), Ok(ValidatorIndex(2)));
        let bytes = codec::encode(&evidence);
        let again: Misbehaviour = codec::decode(&bytes, 256).expect("own encoding");
        assert_eq!(codec::encode(&again), bytes);
    }
}

/// A validator that commits in view 7, goes on, and gives up view 9 follows every rule. What tells
/// it from one that gave up view 9 and committed in view 7 afterwards is the certificate that its
/// timeout names: whoever commits in view 7 knows that view's.
#[test]
fn a_timeout_of_a_later_view_is_no_offence() {
    let fixture = Fixture::new();
    for honest in [
        fixture.late_commit((9, 7), 7),
        fixture.late_commit((9, 8), 7),
        fixture.late_commit((6, 5), 7),
    ] {
        let verdict = fixture.judge(&honest);
        assert_eq!(verdict, Err(MisbehaviourError::NoContradiction));
    }
}

#[test]
fn one_message_twice_or_a_pair_out_of_order_is_no_evidence() {
    let fixture = Fixture::new();
    let (one, other) = (
        fixture.ballot(VoteKind::Prepare, 7, 1, 2),
        fixture.ballot(VoteKind::Prepare, 7, 2, 2),
    );
    let refusal = fixture.refusal(7, 3, 2);
    let pair = |first, second| {
        against_2(Offence::DoubleVote {
            kind: VoteKind::Prepare,
            view: View(7),
            first,
            second,
        })
    };
    let twice = against_2(Offence::double_timeout(View(7), refusal, refusal));
    for evidence in [pair(one, one), pair(other, one), twice] {
        let verdict = fixture.judge(&evidence);
        assert_eq!(verdict, Err(MisbehaviourError::NoContradiction));
    }
    assert!(fixture.judge(&pair(one, other)).is_ok());
}

#[test]
fn another_chain_epoch_or_validator_is_not_convicted() {
    let fixture = Fixture::new();
    let evidence = fixture.double(VoteKind::Commit);
    let later = Misbehaviour {
        epoch: Epoch(1),
        ..evidence.clone()
    };
    assert!(matches!(
        fixture.judge(&later),
        Err(MisbehaviourError::Epoch { .. })
    ));
    let framed = Misbehaviour {
        validator: ValidatorIndex(1),
        ..evidence.clone()
    };
    assert_eq!(fixture.judge(&framed), Err(MisbehaviourError::Signature));
    let validator = ValidatorIndex(4);
    let stranger = Misbehaviour {
        validator,
        ..evidence.clone()
    };
    let unknown = MisbehaviourError::Stranger { validator };
    assert_eq!(fixture.judge(&stranger), Err(unknown));
    let elsewhere = Verifier {
        chain: ChainId(Digest([9; 32])),
        ..fixture.verifier()
    };
    let verdict = verify_contradiction(&elsewhere, &evidence);
    assert_eq!(verdict, Err(MisbehaviourError::Signature));
}

#[test]
fn every_signature_of_the_pair_counts() {
    let fixture = Fixture::new();
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        let other = match kind {
            VoteKind::Prepare => VoteKind::Commit,
            VoteKind::Commit => VoteKind::Prepare,
        };
        let good = [1, 2].map(|block| fixture.ballot(kind, 7, block, 2));
        // Of the other phase, of another view, and somebody else's.
        let bad = [
            fixture.ballot(other, 7, 2, 2),
            fixture.ballot(kind, 8, 2, 2),
            fixture.ballot(kind, 7, 2, 1),
        ];
        for bad in bad {
            let evidence = against_2(Offence::double_vote(kind, View(7), good[0], bad));
            assert_eq!(fixture.judge(&evidence), Err(MisbehaviourError::Signature));
        }
    }
    let mut late = fixture.late_commit((7, 6), 7);
    if let Offence::CommitAfterTimeout { timeout, .. } = &mut late.offence {
        *timeout = fixture.refusal(8, 6, 2);
    }
    assert_eq!(fixture.judge(&late), Err(MisbehaviourError::Signature));
}
