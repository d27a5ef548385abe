//! An epoch's last block, the engine of the next epoch, and those who have no vote in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_types::*;

use super::fixture::*;
use crate::safety::{Justification, Safety};
use crate::*;

/// The first block, which is the last one of its epoch.
fn last_block() -> Block {
    last(block(1, 1, &genesis_qc()))
}

/// A node in view 2 that knows the certificate of an epoch's last block and no commit certificate.
fn after_the_last() -> (Node, Block) {
    let last = last_block();
    let mut node = Node::started();
    node.follow(&last, &genesis_qc());
    (node, last)
}

/// Epoch 1 of the same validators begins on that block, or one like it, at height 9.
fn origin_of_epoch_1() -> Origin {
    Origin {
        epoch: Epoch(1),
        height: Height(9),
        block: BlockId(Digest([9; 32])),
        time: BlockTime(90),
    }
}

/// Slot 0 weighs nothing in epoch 1 if `weights` says so.
fn config_of_epoch_1(weights: &[u16]) -> EngineConfig {
    let genesis = genesis_of(weights);
    let setup = EpochSetup {
        epoch: Epoch(1),
        ..genesis.first_epoch()
    };
    EngineConfig {
        committee: Committee::of_epoch(&setup).expect("3f+1"),
        origin: origin_of_epoch_1(),
        ..config(&[1; 4], 0)
    }
}

#[test]
fn a_final_last_block_ends_the_engine_which_then_only_answers() {
    let (mut node, last) = after_the_last();
    assert!(node.commit_vote(&last, 1).is_empty());
    let lines = node.commit_vote(&last, 2);
    assert_eq!(lines[0], "committed [1] by 1");
    assert!(node.engine.is_over());
    // Whoever still works on the epoch is shown that it is over, whatever it asks.
    let cc_1 = ["to 2: CC 1"];
    assert_eq!(node.commit_vote(&last, 2), cc_1);
    assert_eq!(node.prepare_vote_in(2, &last, 2), cc_1);
    assert_eq!(node.propose_again(2, &last, &qc(&last), None), cc_1);
    let entry = Entry::Quorum(qc(&last));
    assert_eq!(node.timeout(timeout(&entry, &qc(&last), 2)), cc_1);
    assert_eq!(node.quorum(qc_in(2, &last, &[1, 2, 3])), ["to 1: CC 1"]);
    assert_eq!(node.timeout_certificate(tc(2, &qc(&last))), ["to 1: CC 1"]);
    // Not one that shows the same: two that are done would never cease.
    assert!(node.commit_certificate(cc_in(2, &last)).is_empty());
    assert!(node.input(Input::PayloadPending(true)).is_empty());
    assert!(node.tick(1_000_000).is_empty(), "nothing is given up");
}

#[test]
fn after_a_restart_it_still_answers() {
    let last = last_block();
    let mut node = Node::recovered(Some(Recovered {
        safety: SafetyState::origin(&origin()),
        committed: vec![last.header.clone()],
        certificate: Some(cc(&last)),
        blocks: vec![],
    }));
    assert!(node.input(Input::Start).is_empty());
    assert!(node.engine.is_over());
    assert_eq!(node.commit_vote(&last, 3), ["to 3: CC 1"]);
}

/// The trap of a last block with an uncommitted child: the child would be final in an epoch whose
/// committee had stepped down, if the last block's own commit certificate formed as well.
#[test]
fn nothing_extends_an_epochs_last_block() {
    let (mut node, last) = after_the_last();
    let child = block(2, 2, &qc(&last));
    assert_eq!(
        node.propose(&child, &qc(&last), None),
        ["accuse 2: sent a malformed message for view 2: it builds on the epoch's last block"]
    );
    assert!(node.checked(&child).is_empty());

    let signatures = Arc::new(Quick(ValidatorIndex(0)));
    let state = SafetyState::origin(&origin());
    let mut safety = Safety::new(&config(&[1; 4], 0), signatures, state);
    safety.enter(Entry::Quorum(qc(&last)));
    let justification = Justification {
        justify: &qc(&last),
        timeout: None,
        after_last: true,
    };
    assert_eq!(safety.prepare(&child.header, &justification), None);
    let vote = safety.prepare(&last.header, &justification);
    assert_eq!(vote.map(|vote| vote.view), Some(View(2)));
}

#[test]
fn a_last_block_is_voted_on_again_and_becomes_final_in_a_later_view() {
    let (mut node, last) = after_the_last();
    // The host checked it once; a certified block is not checked again.
    assert_eq!(
        node.propose_again(2, &last, &qc(&last), None),
        [
            "write block 1",
            "write view 2 high 1 prepare 2 commit 1 timeout -",
            "all: prepare 2"
        ]
    );
    let lines = node.prepare_vote_in(2, &last, 3);
    assert_eq!(
        lines[..2],
        [
            "write view 3 high 2 prepare 2 commit 2 timeout -",
            "all: commit 2"
        ]
    );
    // Votes of different views do not add up.
    assert!(node.commit_vote(&last, 1).is_empty());
    assert!(node.commit_vote_in(2, &last, 2).is_empty());
    let lines = node.commit_vote_in(2, &last, 3);
    assert_eq!(lines[0], "committed [1] by 2");
    assert!(node.engine.is_over());
}

#[test]
fn a_validator_that_never_saw_the_last_block_votes_for_it_again() {
    let last = last_block();
    let mut node = Node::started();
    let qc_2 = qc_in(2, &last, &[1, 2, 3]);
    let lines = node.propose_again(3, &last, &qc_2, None);
    assert_eq!(
        lines[..5],
        [
            "write block 1",
            "write view 3 high 2 prepare 3 commit 2 timeout -",
            "all: commit 2",
            "all: prepare 3",
            "wake 500"
        ]
    );
}

/// f+1 gave up before the certificate: there is no commit certificate of the first view.
#[test]
fn after_a_lost_view_the_leader_proposes_the_last_block_again_at_once() {
    let (mut node, last) = after_the_last();
    // Validator 0 leads view 3 after a timeout certificate.
    assert_eq!(
        node.timeout_certificate(tc(2, &qc(&last)))[..3],
        [
            "write block 1",
            "write view 3 high 1 prepare 3 commit 1 timeout -",
            "all: proposal 1 again in 3 by TC"
        ]
    );
    node.prepare_vote_in(3, &last, 1);
    assert!(
        node.prepare_vote_in(3, &last, 2)
            .contains(&"all: commit 3".into())
    );
}

#[test]
fn a_leader_waits_for_the_commit_certificate_before_it_proposes_the_last_block_again() {
    let blocks = chain_of(2);
    let last = last(block(3, 3, &qc(&blocks[1])));
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.follow(&blocks[1], &qc(&blocks[0]));
    node.commit_certificate(cc(&blocks[1]));
    node.follow(&last, &qc(&blocks[1]));
    // It leads view 4, and there is something to order: that is for the next epoch.
    assert!(node.input(Input::PayloadPending(true)).is_empty());
    assert!(node.tick(124).contains(&"wake 125".into()));
    assert!(
        node.tick(125)
            .contains(&"all: proposal 3 again in 4 by QC".into())
    );
    assert!(
        !node.tick(126).iter().any(|line| line.contains("proposal")),
        "once"
    );
}

/// The leader after a certificate was once computed from the view of the block that it certifies.
#[test]
fn the_certificates_view_elects_the_next_leader() {
    let last = last_block();
    let mut node = Node::started();
    let qc_6 = qc_in(6, &last, &[1, 2, 3]);
    assert!(
        node.propose_again(2, &last, &qc_6, None)
            .contains(&"accuse 2: sent a proposal for view 7, which it does not lead".into())
    );
    assert!(
        node.propose_again(3, &last, &qc_6, None)
            .contains(&"all: prepare 7".into())
    );
    assert_eq!(node.engine.leader(), Some(ValidatorIndex(3)));
}

#[test]
fn only_a_last_block_is_proposed_again_and_only_with_a_justification_of_its_view() {
    let b1 = block(1, 1, &genesis_qc());
    let mut node = Node::started();
    node.follow(&b1, &genesis_qc());
    assert_eq!(
        node.propose_again(2, &b1, &qc(&b1), None),
        [
            "accuse 2: sent a malformed message for view 2: only an epoch's last block is proposed again"
        ]
    );
    // A certificate older than what a quorum showed when it gave up the view before.
    let (mut node, last) = after_the_last();
    let higher = qc_in(2, &last, &[1, 2, 3]);
    let lines = node.propose_again(1, &last, &qc(&last), Some(tc(4, &higher)));
    assert!(lines[0].contains("do not justify"), "{lines:?}");
}

#[test]
fn an_epoch_begins_on_its_origin_in_view_1() {
    let mut node = Node::configured(config_of_epoch_1(&[1; 4]), None);
    assert_eq!(node.input(Input::Start), ["wake 1500"]);
    let qc_0 = QuorumCertificate::origin(&origin_of_epoch_1());
    let mut b1 = block(1, 1, &qc_0);
    b1.header.time = BlockTime(90);
    assert!(node.propose(&b1, &qc_0, None).is_empty());
    assert!(node.checked(&b1).is_empty(), "not later than its parent");
    b1.header.time = BlockTime(91);
    let mut node = Node::configured(config_of_epoch_1(&[1; 4]), None);
    node.input(Input::Start);
    node.follow(&b1, &qc_0);
    assert_eq!((b1.header.height, b1.header.epoch), (Height(10), Epoch(1)));
    node.commit_vote(&b1, 1);
    assert_eq!(node.commit_vote(&b1, 2)[0], "committed [1] by 1");
    assert_eq!(node.engine.committed(), (Height(10), b1.id()));
    // The origin of another epoch is signed by nobody.
    assert_eq!(
        node.quorum(QuorumCertificate {
            view: View(9),
            ..genesis_qc()
        })
        .len(),
        1
    );
}

/// Headers of the epoch before blame validators for views that another committee lost.
#[test]
fn elections_and_recovery_look_at_their_own_epoch_only() {
    let mut before = block(5, 1, &genesis_qc()).header;
    before.height = Height(9);
    before.parent_view = View(1);
    let qc_0 = QuorumCertificate::origin(&origin_of_epoch_1());
    let mut first = block(1, 1, &qc_0);
    first.header.time = BlockTime(91);
    let stale = block(6, 2, &genesis_qc());
    let mut node = Node::configured(
        config_of_epoch_1(&[1; 4]),
        Some(Recovered {
            safety: SafetyState::origin(&origin_of_epoch_1()),
            committed: vec![before, first.header.clone()],
            certificate: Some(cc(&first)),
            blocks: vec![stale.clone()],
        }),
    );
    node.input(Input::Start);
    assert_eq!(node.engine.committed(), (Height(10), first.id()));
    assert!(node.engine.block(&stale.id()).is_none());
    node.quorum(qc(&first));
    assert_eq!(node.engine.leader(), Some(ValidatorIndex(2)));

    let mut at_origin = Node::configured(
        config_of_epoch_1(&[1; 4]),
        Some(Recovered {
            safety: SafetyState::origin(&origin_of_epoch_1()),
            committed: vec![stale.header.clone()],
            certificate: Some(cc(&stale)),
            blocks: vec![],
        }),
    );
    at_origin.input(Input::Start);
    assert_eq!(at_origin.engine.committed().0, Height(9));
    assert_eq!(at_origin.engine.commit_certificate(), None);
}

#[test]
fn who_weighs_nothing_follows_and_signs_nothing() {
    let mut node = Node::configured(config_of_epoch_1(&[0, 1, 1, 1, 1]), None);
    let mut lines = node.input(Input::Start);
    let qc_0 = QuorumCertificate::origin(&origin_of_epoch_1());
    let mut b1 = block(1, 2, &qc_0);
    b1.header.time = BlockTime(91);
    lines.extend(node.propose(&b1, &qc_0, None));
    lines.extend(node.checked(&b1));
    for signer in [1, 2, 3] {
        lines.extend(node.prepare_vote(&b1, signer));
    }
    assert_eq!(node.engine.view(), View(2));
    lines.extend(node.input(Input::PayloadPending(true)));
    lines.extend(node.tick(1_000_000));
    let sent = |line: &&String| line.starts_with("all:") || line.starts_with("to ");
    assert_eq!(lines.iter().find(sent), None, "{lines:?}");
    assert_eq!(node.engine.safety().timeout, None);
    for signer in [1, 2] {
        node.commit_vote(&b1, signer);
    }
    assert_eq!(node.commit_vote(&b1, 4)[0], "committed [1] by 1");
    // Its own vote would count for nothing: it is a stranger to every certificate.
    let forged = qc_by(&b1, &[0, 1, 2]);
    assert!(
        node.quorum(QuorumCertificate {
            view: View(4),
            ..forged
        })[0]
            .contains("no quorum")
    );
}

#[test]
fn who_lost_its_state_begins_in_the_newest_epoch_that_is_shown() {
    let config = config_of_epoch_1(&[1; 4]);
    let old = SafetyState::origin(&origin());
    let mut new = SafetyState::origin(&origin_of_epoch_1());
    let qc_0 = QuorumCertificate::origin(&origin_of_epoch_1());
    let b1 = block(1, 1, &qc_0);
    new.high_qc = qc_in(3, &b1, &[1, 2, 3]);
    new.entry = Entry::Quorum(new.high_qc.clone());
    let answer = |state: &SafetyState| Some(Standing::of(state));
    let begin = |answers: &[(u16, Option<Standing>)]| {
        let answers: BTreeMap<_, _> = answers
            .iter()
            .map(|(from, answer)| (ValidatorIndex(*from), answer.clone()))
            .collect();
        let (origin, own) = (&config.origin, config.index);
        rejoin(origin, &config.committee, own, &answers, false)
    };
    assert_eq!(begin(&[(1, answer(&old)), (2, answer(&new))]), None);
    // Who stands in an earlier epoch has signed nothing in this one.
    let state = begin(&[(1, answer(&old)), (2, answer(&new)), (3, answer(&old))]);
    let state = state.expect("enough answers");
    assert_eq!((state.epoch(), state.view()), (Epoch(1), View(4)));
    assert_eq!(state.abstain_through, View(5));
    // And nobody begins at the genesis of a chain that has left its first epoch.
    let state = begin(&[(1, answer(&old)), (2, answer(&old)), (3, answer(&old))]);
    let state = state.expect("enough answers");
    assert_eq!(state.abstain_through, View(1));
    assert_eq!(begin(&[(1, None), (2, None), (3, None)]), None);
}

/// A validator that had left answered as well, and the one that asked waited for ever: a set with a
/// stranger in it is no quorum.
#[test]
fn the_standing_of_who_weighs_nothing_is_not_counted() {
    let config = config_of_epoch_1(&[1, 1, 1, 1, 0]);
    let standing = Some(Standing::of(&SafetyState::origin(&config.origin)));
    let begin = |from: &[u16]| {
        let answers = from
            .iter()
            .map(|from| (ValidatorIndex(*from), standing.clone()));
        let (origin, own) = (&config.origin, config.index);
        rejoin(origin, &config.committee, own, &answers.collect(), false)
    };
    assert!(begin(&[1, 2, 4]).is_none(), "two of four");
    assert!(begin(&[1, 2, 3, 4]).is_some());
}

/// A validator saw the last block of an epoch become final, signed in view 1 of the next one, and
/// lost its disk. Those who answered it were still in the old epoch: it came to the new one as if it
/// had never been there.
#[test]
fn a_last_block_from_before_the_bound_leaves_a_doubt_about_the_next_epoch() {
    let mut state = SafetyState::origin(&origin());
    let mut last = last_block().header;
    assert!(!state.may_have_left(&last), "nothing was lost");
    state.abstain_through = View(6);
    last.view = View(6);
    assert!(state.may_have_left(&last));
    last.view = View(7);
    assert!(!state.may_have_left(&last));
}
