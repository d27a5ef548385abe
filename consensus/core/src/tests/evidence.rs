//! Contradictions are shown with the two messages that make them, once, and honest validators
//! never make one.

use conclave_types::*;

use super::fixture::*;
use crate::*;

fn proofs(step: &Step) -> Vec<Misbehaviour> {
    let proof = |action: &Action| match action {
        Action::Misbehaviour { evidence, .. } => match evidence.as_ref() {
            Evidence::Proof(proof) => Some(proof.clone()),
            Evidence::Fault(_) => None,
        },
        _ => None,
    };
    step.actions.iter().filter_map(proof).collect()
}

fn vote(block: &Block, signer: u16) -> Input {
    let from = ValidatorIndex(signer);
    let vote = PrepareVote {
        epoch: Epoch(0),
        view: block.header.view,
        height: block.header.height,
        block: block.id(),
        signer: from,
        signature: sign(VoteKind::Prepare, &block.header, signer),
    };
    Input::PrepareVote { from, vote }
}

fn other(block: &Block) -> Block {
    let mut other = block.clone();
    other.header.time = BlockTime(block.header.time.0 + 1);
    other
}

fn convicts(evidence: &Misbehaviour) -> Option<ValidatorIndex> {
    let (chain, committee) = committee(&[1; 4]);
    let verifier = conclave_light::Verifier {
        chain,
        committee: &committee,
        signatures: &Quick(ValidatorIndex(0)),
        origin: None,
    };
    conclave_light::verify_contradiction(&verifier, evidence).ok()
}

#[test]
fn two_prepare_votes_are_evidence_that_everyone_accepts_once() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    assert!(proofs(&node.step(vote(&b1, 2))).is_empty());
    let proof = proofs(&node.step(vote(&other(&b1), 2)));
    assert_eq!(proof.len(), 1);
    assert_eq!(convicts(&proof[0]), Some(ValidatorIndex(2)));
    // The same contradiction in a later view is nothing new.
    node.follow(&b1, &genesis_qc());
    let b2 = block(2, 2, &qc(&b1));
    assert!(proofs(&node.step(vote(&b2, 2))).is_empty());
    assert!(proofs(&node.step(vote(&other(&b2), 2))).is_empty());
}

/// Half of the committee sees one proposal of an equivocating leader and half the other. The votes
/// for the second reach this node only after the first is certified.
#[test]
fn a_double_vote_shows_after_the_view_was_left() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    node.follow(&b1, &genesis_qc());
    let proof = proofs(&node.step(vote(&other(&b1), 3)));
    assert_eq!(proof.len(), 1);
    assert_eq!(convicts(&proof[0]), Some(ValidatorIndex(3)));
    // So does the leader's second proposal.
    assert_eq!(
        node.propose(&other(&b1), &genesis_qc(), None)[0],
        "accuse 1: two Prepare votes in 1"
    );
}

#[test]
fn two_commit_votes_are_evidence() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    node.follow(&b1, &genesis_qc());
    node.commit_vote(&b1, 2);
    assert_eq!(
        node.commit_vote(&other(&b1), 2),
        ["accuse 2: two Commit votes in 1"]
    );
}

#[test]
fn a_commit_vote_after_a_timeout_is_evidence_in_either_order_of_arrival() {
    let b1 = block(1, 1, &genesis_qc());
    let refusal = timeout(&Entry::Quorum(genesis_qc()), &genesis_qc(), 2);
    let mut node = Node::started();
    node.timeout(refusal.clone());
    assert_eq!(
        node.commit_vote(&b1, 2)[0],
        "accuse 2: commit 1 after timeout 1"
    );
    assert!(node.commit_vote(&b1, 2).is_empty(), "once");

    let mut node = Node::started();
    node.commit_vote(&b1, 2);
    assert_eq!(
        node.timeout(refusal.clone())[0],
        "accuse 2: commit 1 after timeout 1"
    );

    // The timeout of a later view that does not know the certificate either.
    let mut node = Node::started();
    node.commit_vote(&b1, 2);
    let entry = Entry::Timeout(tc(1, &genesis_qc()));
    let lines = node.timeout(timeout(&entry, &genesis_qc(), 2));
    assert!(lines.contains(&"accuse 2: commit 1 after timeout 2".into()));

    // A forged one accuses nobody else, and is its sender's fault.
    let mut node = Node::started();
    node.commit_vote(&b1, 2);
    let forged = Timeout {
        signature: BlsSignature([1; 48]),
        ..refusal
    };
    assert_eq!(
        node.timeout(forged)[0],
        "accuse 2: sent a wrong signature for view 1"
    );
}

/// A timeout of a view that nobody can enter, sent ahead, was remembered as the newest and hid the
/// offence that followed.
#[test]
fn a_timeout_of_a_view_without_its_certificate_hides_nothing() {
    let b1 = block(1, 1, &genesis_qc());
    let mut node = Node::started();
    let high = qc(&block(1_000, 1_000, &genesis_qc()));
    let mut ahead = timeout(&Entry::Quorum(high.clone()), &high, 2);
    if let Entry::Quorum(qc) = &mut ahead.entry {
        qc.aggregate.signature = BlsSignature([1; 48]);
    }
    ahead.high_qc = match &ahead.entry {
        Entry::Quorum(qc) => qc.clone(),
        Entry::Timeout(tc) => tc.high_qc.clone(),
    };
    node.timeout(ahead);
    node.timeout(timeout(&Entry::Quorum(genesis_qc()), &genesis_qc(), 2));
    assert_eq!(
        node.commit_vote(&b1, 2)[0],
        "accuse 2: commit 1 after timeout 1"
    );
}

/// Commits in view 1, goes on, and gives up view 2: every rule is kept.
#[test]
fn giving_up_a_later_view_is_no_offence() {
    let b1 = block(1, 1, &genesis_qc());
    let mut node = Node::started();
    node.follow(&b1, &genesis_qc());
    node.commit_vote(&b1, 2);
    let honest = timeout(&Entry::Quorum(qc(&b1)), &qc(&b1), 2);
    assert!(
        proofs(&node.step(Input::Timeout {
            from: ValidatorIndex(2),
            timeout: Box::new(honest),
        }))
        .is_empty()
    );
    assert!(node.commit_vote(&b1, 2).is_empty());
}

#[test]
fn two_timeouts_of_one_view_are_evidence() {
    let b1 = block(1, 1, &genesis_qc());
    let mut node = Node::started();
    node.follow(&b1, &genesis_qc());
    let entry = Entry::Quorum(qc(&b1));
    node.timeout(timeout(&entry, &qc(&b1), 2));
    assert_eq!(
        node.timeout(timeout(&entry, &genesis_qc(), 2)),
        ["accuse 2: two timeouts of 2"]
    );
}
