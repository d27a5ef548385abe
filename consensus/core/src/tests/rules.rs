//! Rules 1 to 5 and 7: views, prepare votes, locks, commit votes, certificates, writes first.

use std::sync::Arc;

use conclave_types::*;

use super::fixture::*;
use crate::safety::{Justification, Safety};
use crate::*;

#[test]
fn one_block_from_proposal_to_commit() {
    let mut node = Node::new();
    assert_eq!(node.input(Input::Start), ["wake 1500"]);
    let b1 = block(1, 1, &genesis_qc());
    node.now = 10;
    assert_eq!(
        node.propose(&b1, &genesis_qc(), None),
        ["check 1 after 0 uncommitted"]
    );
    // The leader's signature counted; this node's own vote is the second, and is written first.
    assert_eq!(
        node.checked(&b1),
        [
            "write block 1",
            "write view 1 high 0 prepare 1 commit - timeout -",
            "all: prepare 1"
        ]
    );
    node.now = 20;
    assert_eq!(
        node.prepare_vote(&b1, 2),
        [
            "write view 2 high 1 prepare 1 commit 1 timeout -",
            "all: commit 1",
            "wake 520"
        ]
    );
    assert!(
        node.prepare_vote(&b1, 3).is_empty(),
        "late votes cost nothing"
    );
    assert!(node.commit_vote(&b1, 2).is_empty());
    // With its own, the third. The commit vote is no longer re-sent.
    assert_eq!(
        node.commit_vote(&b1, 3),
        ["committed [1] by 1", "wake 1520"]
    );
    assert!(node.commit_vote(&b1, 1).is_empty());
    assert_eq!(node.engine.committed(), (Height(1), b1.id()));
}

#[test]
fn payload_shortens_the_timer_and_an_uncommitted_parent_is_extended() {
    let mut node = Node::started();
    let b1 = with_batches(block(1, 1, &genesis_qc()), vec![batch(1)]);
    node.now = 10;
    assert_eq!(
        node.propose(&b1, &genesis_qc(), None),
        ["check 1 after 0 uncommitted", "wake 510"]
    );
    node.checked(&b1);
    node.prepare_vote(&b1, 2);
    let b2 = block(2, 2, &qc(&b1));
    assert_eq!(
        node.propose(&b2, &qc(&b1), None),
        ["check 2 after 1 uncommitted"]
    );
    node.checked(&b2);
    node.prepare_vote(&b2, 3);
    // The commit of a block makes its ancestors final, in order and once.
    node.commit_vote(&b2, 1);
    let lines = node.commit_vote(&b2, 2);
    assert_eq!(lines[0], "committed [1, 2] by 2");
    node.commit_vote(&b1, 1);
    node.commit_vote(&b1, 2);
    assert_eq!(
        node.commit_vote(&b1, 3),
        ["to 3: CC 2"],
        "who votes for that is behind"
    );
}

#[test]
fn rule_1_only_a_certificate_of_the_view_before_enters_a_view() {
    let mut node = Node::started();
    let blocks = chain_of(5);
    for view in [2, 3] {
        node.prepare_vote(&blocks[view], 1);
        node.commit_vote(&blocks[view], 1);
    }
    node.commit_certificate(cc(&blocks[0]));
    node.tick(100);
    assert_eq!(node.engine.view(), View(1));
    node.quorum(qc(&blocks[2]));
    assert_eq!(node.engine.view(), View(4));
    node.timeout_certificate(tc(6, &qc(&blocks[2])));
    assert_eq!(node.engine.view(), View(7));
    node.quorum(qc(&blocks[4]));
    assert_eq!(node.engine.view(), View(7), "never back");
    assert_eq!(node.engine.high_qc().view, View(5));
}

#[test]
fn rule_2_one_prepare_vote_per_view() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    node.propose(&b1, &genesis_qc(), None);
    node.checked(&b1);
    let mut other = b1.clone();
    other.header.time = BlockTime(9);
    assert_eq!(
        node.propose(&other, &genesis_qc(), None),
        ["accuse 1: two Prepare votes in 1"]
    );
    assert!(node.checked(&other).is_empty());
    assert!(node.checked(&b1).is_empty(), "nor twice for one block");
}

#[test]
fn rule_2_no_prepare_vote_in_a_view_that_was_given_up() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    node.propose(&b1, &genesis_qc(), None);
    node.tick(1500);
    assert!(node.checked(&b1).is_empty());
    let mut late = Node::started();
    late.tick(1500);
    assert!(
        late.propose(&b1, &genesis_qc(), None).is_empty(),
        "not even checked"
    );
}

#[test]
fn rule_2_a_lost_view_is_followed_on_the_highest_certificate_of_its_quorum() {
    let blocks = chain_of(2);
    let (low, high) = (qc(&blocks[0]), qc(&blocks[1]));
    let lost = tc(3, &high);
    // After a lost view validator 1 leads view 4, and 2 leads view 5.
    let tc4 = TimeoutCertificate {
        view: View(4),
        ..tc(4, &high)
    };
    let justified = block(5, 2, &high);
    let mut node = Node::started();
    node.propose(&blocks[0], &genesis_qc(), None);
    node.propose(&blocks[1], &low, None);
    let lines = node.propose(&justified, &high, Some(tc4.clone()));
    assert!(
        lines.contains(&"check 5 after 2 uncommitted".into()),
        "{lines:?}"
    );
    assert!(node.checked(&justified).contains(&"all: prepare 5".into()));

    let malformed = |block: &Block, justify, timeout| {
        let lines = Node::started().propose(block, justify, timeout);
        let view = block.header.view;
        let reason = "the certificates do not justify a block in this view";
        let proposer = block.header.proposer;
        let accused =
            format!("accuse {proposer}: sent a malformed message for view {view}: {reason}");
        assert_eq!(lines, [accused]);
    };
    malformed(&block(5, 1, &low), &low, Some(tc4));
    malformed(&block(5, 1, &high), &high, Some(lost));
    malformed(&block(5, 1, &high), &high, None);
    malformed(&block(1, 1, &high), &high, None);
}

fn prepare(
    safety: &mut Safety,
    header: &BlockHeader,
    justify: &QuorumCertificate,
) -> Option<PrepareVote> {
    let justification = Justification {
        justify,
        timeout: None,
        after_last: false,
    };
    safety.prepare(header, &justification)
}

#[test]
fn rule_2_in_the_safety_file_alone() {
    let blocks = chain_of(3);
    let enter = |view: usize| {
        let signatures = Arc::new(Quick(ValidatorIndex(0)));
        let state = SafetyState::origin(&origin());
        let mut safety = Safety::new(&config(&[1; 4], 0), signatures, state);
        safety.enter(Entry::Quorum(qc(&blocks[view - 2])));
        safety
    };
    let (header, justify) = (&blocks[2].header, qc(&blocks[1]));
    assert!(prepare(&mut enter(3), header, &justify).is_some());
    assert_eq!(
        prepare(&mut enter(2), header, &justify),
        None,
        "a view ahead"
    );
    assert_eq!(
        prepare(&mut enter(4), header, &justify),
        None,
        "a view behind"
    );
    assert_eq!(
        prepare(&mut enter(3), header, &qc(&blocks[0])),
        None,
        "not its parent"
    );
    let mut gave_up = enter(3);
    assert!(gave_up.time_out().is_some());
    assert_eq!(prepare(&mut gave_up, header, &justify), None);
    let mut voted = enter(3);
    assert!(prepare(&mut voted, header, &justify).is_some());
    assert_eq!(prepare(&mut voted, header, &justify), None);
}

/// A validator forms the QC of view 5 alone, sends its commit vote and loses its disk; the rest
/// leaves the view by a TC. It came back and gave up view 9 knowing no QC above 4: the two messages
/// were evidence against it, although it broke no rule that it could know of.
#[test]
fn after_a_lost_state_no_timeout_contradicts_what_was_forgotten() {
    let blocks = chain_of(8);
    let mut state = SafetyState::origin(&origin());
    state.abstain_through = View(6);
    let signatures = Arc::new(Quick(ValidatorIndex(0)));
    let mut safety = Safety::new(&config(&[1; 4], 0), signatures, state);
    safety.observe(&qc(&blocks[3]));
    safety.enter(Entry::Timeout(tc(8, &qc(&blocks[3]))));
    assert_eq!(safety.time_out(), None);
    safety.observe(&qc(&blocks[5]));
    assert!(safety.time_out().is_some());
}

#[test]
fn rule_3_the_highest_certificate_only_grows() {
    let blocks = chain_of(4);
    let mut node = Node::started();
    node.quorum(qc(&blocks[2]));
    assert_eq!(node.engine.high_qc().view, View(3));
    assert!(node.quorum(qc(&blocks[0])).is_empty());
    node.timeout_certificate(tc(6, &qc(&blocks[1])));
    assert_eq!(node.engine.high_qc().view, View(3));
    assert_eq!(node.engine.view(), View(7));
    node.timeout_certificate(tc(7, &qc(&blocks[3])));
    assert_eq!(node.engine.high_qc().view, View(4));
}

#[test]
fn rule_4_no_commit_vote_after_a_timeout_of_the_view_or_a_later_one() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    node.tick(1500);
    assert_eq!(
        node.quorum(qc(&blocks[0]))[0],
        "write view 2 high 1 prepare - commit - timeout 1",
        "the certificate is locked and enters the next view all the same"
    );
    assert_eq!(node.engine.view(), View(2));
    // A later view's certificate is fine …
    assert!(
        node.quorum(qc(&blocks[1]))
            .contains(&"all: commit 2".into())
    );

    // … and one older than a later timeout is not: view 3 was given up before QC 2 came.
    let mut node = Node::started();
    node.timeout_certificate(tc(2, &qc(&blocks[0])));
    node.tick(10_000);
    assert_eq!(
        node.engine.safety().timeout.as_ref().map(|t| t.view),
        Some(View(3))
    );
    let lines = node.quorum(qc(&blocks[1]));
    assert!(
        !lines.iter().any(|line| line.contains("all: commit")),
        "{lines:?}"
    );
    assert_eq!(
        node.engine.safety().commit_vote.as_ref().map(|v| v.view),
        Some(View(1))
    );
}

#[test]
fn rule_4_no_timeout_of_a_view_at_or_before_a_commit_vote() {
    let blocks = chain_of(3);
    let signatures = Arc::new(Quick(ValidatorIndex(0)));
    let state = SafetyState::origin(&origin());
    let mut safety = Safety::new(&config(&[1; 4], 0), signatures, state);
    assert!(safety.commit(&qc(&blocks[0])).is_some());
    // Still in view 1: only a lost write could lead here, and even then the file says no.
    assert_eq!(safety.time_out(), None);
    assert_eq!(safety.commit(&qc(&blocks[0])), None, "once");
    assert!(safety.enter(Entry::Quorum(qc(&blocks[0]))));
    assert!(safety.time_out().is_some());
    assert_eq!(safety.commit(&qc(&blocks[1])), None);
    assert!(safety.commit(&qc(&blocks[2])).is_some());
    assert_eq!(safety.commit(&qc(&blocks[1])), None);
}

#[test]
fn rule_4_commit_votes_are_sent_again_until_covered_and_late_ones_answered() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    assert!(node.tick(500).contains(&"all: commit 1".into()));
    assert!(
        !node.tick(1400).contains(&"all: commit 1".into()),
        "the wait doubles"
    );
    assert_eq!(node.tick(1499), ["wake 1500"]);
    let lines = node.tick(1500);
    assert!(lines.contains(&"all: commit 1".into()));
    assert!(lines.contains(&"all: timeout 2 with QC 1".into()));
    node.commit_certificate(cc(&blocks[0]));
    assert!(!node.tick(60_000).iter().any(|line| line.contains("commit")));
    // A peer that is still asking gets the certificate, one that is merely late does not.
    assert!(node.commit_vote(&blocks[0], 3).is_empty());
    assert_eq!(node.commit_vote(&blocks[0], 3), ["to 3: CC 1"]);
}

#[test]
fn rule_5_a_wrong_vote_is_found_and_its_sender_named() {
    let b1 = block(1, 1, &genesis_qc());
    let mut node = Node::started();
    node.propose(&b1, &genesis_qc(), None);
    node.prepare_vote_with(&b1, 2, BlsSignature([7; 48]));
    // Three votes, one of them wrong: checked together, then alone.
    assert_eq!(
        node.prepare_vote(&b1, 3),
        ["accuse 2: sent a wrong signature for view 1"]
    );
    assert!(
        node.prepare_vote(&b1, 2).is_empty(),
        "nothing more from the liar in this round"
    );
    let lines = node.checked(&b1);
    assert!(lines.contains(&"all: commit 1".into()), "{lines:?}");
    assert_eq!(node.engine.high_qc().aggregate.signers, set(&[0, 1, 3]));
    // From now on its votes are checked one by one.
    let b2 = block(2, 2, &qc(&b1));
    assert_eq!(
        node.prepare_vote_with(&b2, 2, BlsSignature([7; 48])),
        ["accuse 2: sent a wrong signature for view 2"]
    );
}

#[test]
fn votes_in_anothers_name_and_of_far_views_are_not_kept() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    let vote = PrepareVote {
        epoch: Epoch(0),
        view: View(1),
        height: Height(1),
        block: b1.id(),
        signer: ValidatorIndex(3),
        signature: sign(VoteKind::Prepare, &b1.header, 3),
    };
    assert_eq!(
        node.input(Input::PrepareVote {
            from: ValidatorIndex(2),
            vote
        }),
        ["accuse 2: sent a message signed in another validator's name"]
    );
    let far = block(100, 1, &genesis_qc());
    for signer in 1..4 {
        assert!(node.prepare_vote(&far, signer).is_empty());
        assert!(node.commit_vote(&far, signer).is_empty());
    }
    assert_eq!(node.engine.view(), View(1));
}

#[test]
fn rule_7_every_signature_leaves_in_a_step_that_writes_it() {
    let mut node = Node::started();
    let blocks = chain_of(3);
    let mut steps = Vec::new();
    for (block, justify) in blocks
        .iter()
        .zip([genesis_qc(), qc(&blocks[0]), qc(&blocks[1])])
    {
        let from = block.header.proposer;
        let proposal = Box::new(Proposal {
            block: block.clone(),
            justify,
            timeout: None,
            signature: sign(VoteKind::Prepare, &block.header, from.0),
        });
        steps.push(node.step(Input::Proposal { from, proposal }));
        steps.push(node.step(Input::ProposalChecked {
            block: block.id(),
            valid: true,
        }));
    }
    node.now = 9_000;
    steps.push(node.step(Input::Tick));
    let mut signed = 0;
    for step in steps {
        let written = step.writes.iter().rev().find_map(|write| match write {
            Write::Safety(state) => Some(&**state),
            Write::Block(_) => None,
        });
        for action in &step.actions {
            let Action::Broadcast(message) = action else {
                continue;
            };
            signed += 1;
            let state = written.expect("a broadcast without a write");
            let durable = match message {
                Message::PrepareVote(vote) => state.prepare_vote.as_ref() == Some(vote),
                Message::CommitVote(vote) => state.commit_vote.as_ref() == Some(vote),
                Message::Timeout(timeout) => state.timeout.as_ref() == Some(&**timeout),
                _ => true,
            };
            assert!(durable, "{message:?}");
        }
    }
    // The last commit vote twice.
    assert_eq!(signed, 3 + 2 + 1 + 1);
}

#[test]
fn block_time_is_after_the_parents_and_not_far_ahead() {
    let timed = |time| {
        let mut b1 = block(1, 1, &genesis_qc());
        b1.header.time = BlockTime(time);
        let mut node = Node::started();
        node.now = 1_000;
        node.propose(&b1, &genesis_qc(), None)
    };
    assert!(timed(0).is_empty());
    assert_eq!(timed(1), ["check 1 after 0 uncommitted"]);
    assert_eq!(timed(1_250), ["check 1 after 0 uncommitted"]);
    assert!(timed(1_251).is_empty());
}

#[test]
fn only_the_leader_proposes_and_only_in_its_own_name() {
    let mut node = Node::started();
    assert_eq!(
        node.propose(&block(1, 2, &genesis_qc()), &genesis_qc(), None),
        ["accuse 2: sent a proposal for view 1, which it does not lead"]
    );
    let b1 = block(1, 1, &genesis_qc());
    let proposal = Box::new(Proposal {
        block: b1.clone(),
        justify: genesis_qc(),
        timeout: None,
        signature: sign(VoteKind::Prepare, &b1.header, 1),
    });
    let from = ValidatorIndex(2);
    assert_eq!(
        node.input(Input::Proposal { from, proposal }),
        ["accuse 2: sent a message signed in another validator's name"]
    );
    assert_eq!(
        node.propose(&b1, &genesis_qc(), None),
        ["check 1 after 0 uncommitted"]
    );
}

#[test]
fn a_proposal_with_a_forged_certificate_is_refused() {
    let blocks = chain_of(2);
    let mut forged = qc(&blocks[0]);
    forged.aggregate.signature = BlsSignature([7; 48]);
    let mut node = Node::started();
    let lines = node.propose(&blocks[1], &forged, None);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("accuse 2: sent a wrong certificate"),
        "{lines:?}"
    );
    assert_eq!(node.engine.view(), View(1));
}

#[test]
fn hostile_views_and_heights_do_not_overflow() {
    let mut node = Node::started();
    let mut block = block(1, 1, &genesis_qc());
    for (view, height) in [(u64::MAX, 1), (0, 1), (1, 0), (1, u64::MAX)] {
        block.header.view = View(view);
        block.header.height = Height(height);
        node.propose(&block, &genesis_qc(), None);
        node.prepare_vote(&block, 1);
        node.commit_vote(&block, 1);
    }
    let mut edge = genesis_qc();
    edge.view = View(u64::MAX);
    edge.height = Height(u64::MAX);
    let mut hostile = timeout(&Entry::Quorum(genesis_qc()), &genesis_qc(), 1);
    hostile.entry = Entry::Quorum(edge.clone());
    hostile.high_qc = edge.clone();
    node.timeout(hostile);
    node.quorum(edge);
    assert_eq!(node.engine.view(), View(1));
}
