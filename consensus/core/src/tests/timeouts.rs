//! Rule 6 and restarts.

use conclave_types::*;

use super::fixture::*;
use crate::*;

fn entered(view: u64) -> Entry {
    Entry::Quorum(qc(&chain_of(view - 1)[view as usize - 2]))
}

/// Timeouts were sent again with back-off up to 8 s. Two against two for 12 s, as processes, saw
/// each other again at once and stood still for 5.7 s more, since nobody repeated its timeout.
#[test]
fn rule_6_a_timeout_carries_both_certificates_and_is_sent_again_without_back_off() {
    let blocks = chain_of(1);
    let mut node = Node::started();
    node.quorum(qc(&blocks[0]));
    node.now = 1500;
    let step = node.step(Input::Tick);
    let sent = step.actions.iter().find_map(|action| match action {
        Action::Broadcast(Message::Timeout(timeout)) => Some(timeout),
        _ => None,
    });
    let sent = sent.expect("the view is idle for heartbeat + Δ");
    assert_eq!((sent.view, &sent.high_qc), (View(2), &qc(&blocks[0])));
    assert_eq!(sent.entry, Entry::Quorum(qc(&blocks[0])));
    let resent: Vec<u64> = (1501..12_000)
        .filter(|now| node.tick(*now).contains(&"all: timeout 2 with QC 1".into()))
        .collect();
    assert_eq!(resent, (2_000..12_000).step_by(500).collect::<Vec<_>>());
}

#[test]
fn f_plus_one_timeouts_move_nothing_and_a_quorum_does() {
    let mut node = Node::started();
    let entry = Entry::Quorum(genesis_qc());
    assert!(node.timeout(timeout(&entry, &genesis_qc(), 1)).is_empty());
    assert!(node.timeout(timeout(&entry, &genesis_qc(), 2)).is_empty());
    assert_eq!(node.engine.view(), View(1));
    assert!(node.engine.safety().timeout.is_none());
    assert_eq!(
        node.timeout(timeout(&entry, &genesis_qc(), 3)),
        [
            "write view 2 high 0 prepare - commit - timeout -",
            "all: TC 1",
            // A lost view: the heartbeat counts as due, and Δ has doubled.
            "wake 1000"
        ]
    );
}

#[test]
fn timeouts_pull_a_node_forward_by_what_they_carry() {
    let blocks = chain_of(6);
    let mut node = Node::started();
    // One single timeout of view 7 brings both the view and the lock.
    let lines = node.timeout(timeout(&entered(7), &qc(&blocks[5]), 2));
    assert_eq!(lines[0], "write view 7 high 6 prepare - commit 6 timeout -");
    // And one of a view entered by a lost one.
    let entry = Entry::Timeout(tc(9, &qc(&blocks[4])));
    node.timeout(timeout(&entry, &qc(&blocks[5]), 3));
    assert_eq!(node.engine.view(), View(10));
    // A stale timeout can still bring a higher lock, and gets the newest certificate back.
    let mut behind = Node::started();
    behind.timeout_certificate(tc(9, &genesis_qc()));
    let lines = behind.timeout(timeout(&entered(7), &qc(&blocks[5]), 2));
    assert_eq!(behind.engine.high_qc().view, View(6));
    assert!(lines.contains(&"to 2: TC 9".into()), "{lines:?}");
}

#[test]
fn a_stale_timeout_is_answered_with_the_newest_certificate() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    node.quorum(qc(&blocks[2]));
    let stale = timeout(&Entry::Quorum(genesis_qc()), &genesis_qc(), 2);
    assert_eq!(node.timeout(stale.clone()), ["to 2: QC 3"]);
    assert_eq!(
        node.timeout(stale),
        ["to 2: QC 3"],
        "as often as it asks: answers get lost too"
    );
}

/// Validator 3 is down. The timeouts of 1 and 2 reach only validator 0, and its certificate is
/// lost: the others get it as the answer when they send their timeouts again.
#[test]
fn a_certificate_that_one_node_made_reaches_the_others_through_their_timeouts() {
    let entry = Entry::Quorum(genesis_qc());
    let mut node = Node::started();
    node.tick(1500);
    node.timeout(timeout(&entry, &genesis_qc(), 1));
    node.timeout(timeout(&entry, &genesis_qc(), 2));
    assert_eq!(node.engine.view(), View(2));
    let answer = node.step(Input::Timeout {
        from: ValidatorIndex(1),
        timeout: Box::new(timeout(&entry, &genesis_qc(), 1)),
    });
    let [
        Action::Send {
            to: ValidatorIndex(1),
            message,
        },
    ] = &answer.actions[..]
    else {
        panic!("{answer:?}");
    };
    let mut other = Node::started();
    let step = other
        .engine
        .handle(Now(2000), message.clone().into_input(ValidatorIndex(0)));
    assert!(!step.writes.is_empty());
    assert_eq!(other.engine.view(), View(2));
}

#[test]
fn wrong_timeouts_are_found_and_the_rest_still_counts() {
    let entry = Entry::Quorum(genesis_qc());
    let mut node = Node::started();
    let mut wrong = timeout(&entry, &genesis_qc(), 1);
    wrong.signature = BlsSignature([7; 48]);
    node.timeout(wrong);
    node.timeout(timeout(&entry, &genesis_qc(), 2));
    assert_eq!(
        node.timeout(timeout(&entry, &genesis_qc(), 3)),
        ["accuse 1: sent a wrong signature for view 1"]
    );
    assert_eq!(node.engine.view(), View(1));
    let lines = node.tick(1500);
    assert!(lines.contains(&"all: TC 1".into()), "{lines:?}");
    assert_eq!(node.engine.view(), View(2));
}

#[test]
fn a_timeout_with_a_forged_or_impossible_certificate_is_refused() {
    let blocks = chain_of(3);
    let mut forged = qc(&blocks[2]);
    forged.aggregate.signature = BlsSignature([7; 48]);
    let accused = |timeout| {
        let mut node = Node::started();
        let lines = node.timeout(timeout);
        assert_eq!(node.engine.view(), View(1));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("accuse 2: sent a "), "{lines:?}");
    };
    let entry = Entry::Quorum(genesis_qc());
    accused(timeout(&Entry::Quorum(forged.clone()), &forged, 2));
    let mut impossible = timeout(&entry, &genesis_qc(), 2);
    impossible.high_qc = qc(&blocks[2]);
    accused(impossible);
    let mut foreign = timeout(&entry, &genesis_qc(), 2);
    foreign.entry = Entry::Quorum(qc(&blocks[2]));
    accused(foreign);
}

#[test]
fn two_timeouts_of_one_view_are_evidence() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    let entry = Entry::Timeout(tc(4, &qc(&blocks[0])));
    node.timeout(timeout(&entry, &qc(&blocks[0]), 2));
    let lines = node.timeout(timeout(&entry, &qc(&blocks[1]), 2));
    assert!(
        lines.contains(&"accuse 2: two timeouts of 5".into()),
        "{lines:?}"
    );
}

#[test]
fn the_timer_backs_off_while_views_are_lost_and_recovers() {
    let mut node = Node::started();
    let mut waits = Vec::new();
    for view in 1..8 {
        let start = node.now;
        let given_up = (start..).find(|now| {
            let sent = format!("all: timeout {view} with QC 0");
            node.tick(*now).contains(&sent)
        });
        waits.push(given_up.expect("some time") - start);
        node.timeout_certificate(tc(view, &genesis_qc()));
    }
    assert_eq!(waits, [1500, 1000, 2000, 4000, 8000, 8000, 8000]);
}

/// Story: a sequencer that did not write its timeouts down came back, all of it at once, in a view
/// that everyone had given up and nobody remembered giving up. It never moved again.
#[test]
fn a_restart_in_the_middle_of_timeouts_sends_them_again() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.timeout_certificate(tc(2, &qc(&blocks[0])));
    node.tick(60_000);
    let safety = node.engine.safety().clone();
    assert_eq!(safety.timeout.as_ref().map(|t| t.view), Some(View(3)));
    let mut again = Node::recovered(Some(Recovered {
        safety,
        committed: vec![],
        certificate: None,
        blocks: vec![blocks[0].clone()],
    }));
    again.now = 70_000;
    assert_eq!(
        again.input(Input::Start),
        ["all: commit 1", "all: timeout 3 with QC 1", "wake 70500"]
    );
    assert_eq!(again.engine.view(), View(3));
    // Its own timeout counts: two more make the certificate.
    let entry = Entry::Timeout(tc(2, &qc(&blocks[0])));
    again.timeout(timeout(&entry, &qc(&blocks[0]), 1));
    again.timeout(timeout(&entry, &qc(&blocks[0]), 2));
    assert_eq!(again.engine.view(), View(4));
}

#[test]
fn a_restart_forgets_no_vote_and_stays_in_its_view() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.propose(&blocks[1], &qc(&blocks[0]), None);
    node.checked(&blocks[1]);
    let mut again = Node::recovered(Some(Recovered {
        safety: node.engine.safety().clone(),
        committed: vec![],
        certificate: None,
        blocks: vec![blocks[0].clone(), blocks[1].clone()],
    }));
    assert_eq!(
        again.input(Input::Start),
        ["all: prepare 2", "all: commit 1", "wake 500"]
    );
    let mut other = blocks[1].clone();
    other.header.time = BlockTime(50);
    again.propose(&other, &qc(&blocks[0]), None);
    assert!(again.checked(&other).is_empty());
    // The block itself is still here, so its certificate can be committed.
    again.prepare_vote(&blocks[1], 1);
    again.prepare_vote(&blocks[1], 2);
    let lines = again.commit_certificate(cc(&blocks[1]));
    assert!(lines.contains(&"committed [1, 2] by 2".into()), "{lines:?}");
}

/// Story: while a node executed again what was final before it stopped, its engine heard that something
/// waits to be ordered, and gave up the view that it had not begun; only then it sent the vote for that
/// view which the stop had held back.
#[test]
fn no_view_is_given_up_before_the_start() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.propose(&blocks[1], &qc(&blocks[0]), None);
    node.checked(&blocks[1]);
    let mut again = Node::recovered(Some(Recovered {
        safety: node.engine.safety().clone(),
        committed: vec![],
        certificate: None,
        blocks: blocks.clone(),
    }));
    again.now = 70_000;
    assert!(again.input(Input::PayloadPending(true)).is_empty());
    assert_eq!(again.engine.safety().timeout, None);
    let lines = again.input(Input::Start);
    assert_eq!(lines, ["all: prepare 2", "all: commit 1", "wake 70500"]);
}
