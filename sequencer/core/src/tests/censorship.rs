//! What a leader may leave out, and when a voter holds it against the leader.

use super::*;
use crate::censorship::{Patience, Refusals, left_out};

/// A view's timer and two rounds of reports, as [`Node`] is configured.
const PATIENCE_MS: u64 = 1_500;
/// When the node first reports what it got at time 1.
const REPORTED_MS: u64 = 600;

/// A node that holds a certificate and has reported it, as have these.
fn waiting(reporters: &[u16]) -> (Node, BatchRef) {
    let mut node = Node::new();
    let reference = certified(&batch(1, b"left out"));
    node.give(Message::Certified(reference.clone()));
    let id = reference.header.id();
    let tick = node.sequencer.handle(REPORTED_MS, Input::Tick);
    let reports = |a: &Action| matches!(a, Action::Broadcast(Message::Waiting(w)) if *w == [id]);
    assert!(tick.iter().any(reports), "{tick:?}");
    for from in reporters {
        report(&mut node, REPORTED_MS, *from, vec![id]);
    }
    (node, reference)
}

fn report(node: &mut Node, now: u64, from: u16, batches: Vec<BatchId>) -> Vec<Action> {
    let message = Message::Waiting(batches);
    let from = ValidatorIndex(from);
    node.sequencer.handle(now, Input::Message { from, message })
}

/// The verdict on a block with these batches that comes at this time, and what is sent with it.
fn judge(node: &mut Node, now: u64, batches: Vec<BatchRef>) -> (bool, Vec<Action>) {
    let block = block(1, batches, node.root);
    let ancestors = vec![];
    let actions = node
        .sequencer
        .handle(now, Input::Check { block, ancestors });
    let verdict = actions.iter().find_map(|action| match action {
        Action::Checked { valid, .. } => Some(*valid),
        _ => None,
    });
    (verdict.expect("nothing to wait for"), actions)
}

#[test]
fn a_proposal_that_leaves_out_what_a_quorum_reported_for_long_is_refused() {
    let (mut node, reference) = waiting(&[1, 2]);
    let due = REPORTED_MS + PATIENCE_MS;
    assert!(judge(&mut node, due - 1, vec![]).0, "not for long");
    let (valid, actions) = judge(&mut node, due, vec![]);
    assert!(!valid);
    // Whoever leads next has it.
    let sent = Action::Broadcast(Message::Certified(reference.clone()));
    let sent = format!("{sent:?}");
    assert!(actions.iter().any(|action| format!("{action:?}") == sent));
    assert_eq!(node.sequencer.censoring_proposals(), 1);
    assert!(judge(&mut node, due, vec![reference]).0, "with it");
}

/// f liars alone, or an author that shows its certificate to one voter, must not turn that voter
/// against honest leaders.
#[test]
fn what_fewer_reported_may_be_left_out() {
    let (mut node, _) = waiting(&[1]);
    assert!(judge(&mut node, 100_000, vec![]).0);
    // Saying it twice makes no quorum.
    let (mut node, reference) = waiting(&[1, 1]);
    report(&mut node, 700, 1, vec![reference.header.id(); 3]);
    assert!(judge(&mut node, 100_000, vec![]).0);
}

/// The time counts from the quorum, not from when the first said so: until then nobody can be sure
/// that an honest leader has it.
#[test]
fn patience_begins_with_the_quorum() {
    let (mut node, reference) = waiting(&[1]);
    report(&mut node, 50_000, 3, vec![reference.header.id()]);
    assert!(judge(&mut node, 50_000 + PATIENCE_MS - 1, vec![]).0);
    assert!(!judge(&mut node, 50_000 + PATIENCE_MS, vec![]).0);
}

#[test]
fn an_empty_block_is_right_while_opening_lags() {
    let (mut node, _) = waiting(&[1, 2]);
    let height = limits::LEDGER_LAG_BLOCKS_MAX + 1;
    for height in 1..height {
        node.commit(block(height, vec![], node.root));
    }
    let lagging = block(height, vec![], node.root);
    let ancestors = vec![];
    let check = Input::Check {
        block: lagging,
        ancestors,
    };
    let actions = node.sequencer.handle(100_000, check);
    let valid = |a: &Action| matches!(a, Action::Checked { valid: true, .. });
    assert!(actions.iter().any(valid), "{actions:?}");
}

#[test]
fn what_an_ancestor_holds_or_is_final_is_not_asked_for_again() {
    let (mut node, reference) = waiting(&[1, 2]);
    let parent = block(1, vec![reference], node.root);
    let child = block(2, vec![], node.root);
    let check = Input::Check {
        block: child,
        ancestors: vec![parent.clone()],
    };
    let actions = node.sequencer.handle(100_000, check);
    let valid = |a: &Action| matches!(a, Action::Checked { valid: true, .. });
    assert!(actions.iter().any(valid), "{actions:?}");
    node.commit(parent);
    let block = block(2, vec![], node.root);
    let ancestors = vec![];
    let actions = node
        .sequencer
        .handle(100_000, Input::Check { block, ancestors });
    assert!(actions.iter().any(valid), "{actions:?}");
}

/// Who does not report it may lack it: its author may have left it out on purpose.
#[test]
fn those_who_do_not_report_a_certificate_are_sent_it() {
    let (mut node, reference) = waiting(&[1]);
    let tick = node.sequencer.handle(REPORTED_MS + 500, Input::Tick);
    let sent: Vec<u16> = tick
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                to,
                message: Message::Certified(sent),
            } if *sent == reference => Some(to.0),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [2, 3]);
}

#[test]
fn a_report_longer_than_allowed_is_named() {
    let (mut node, _) = waiting(&[]);
    let long = vec![BatchId(Digest::ZERO); limits::REPORT_BATCHES_MAX + 1];
    let actions = report(&mut node, 700, 1, long);
    let named = |a: &Action| matches!(a, Action::Misbehaviour { .. });
    assert!(actions.iter().any(named));
}

/// A full block has room for nothing more, but not for two of one author instead of one of another;
/// whatever an honest leader takes is right, however many there are.
#[test]
fn a_full_block_gives_every_author_its_turn() {
    let of = |author: u16, sequence: u64| {
        let mut reference = certified(&batch(1, b"any"));
        reference.header.author = ValidatorIndex(author);
        reference.header.sequence = sequence;
        reference
    };
    let check = |batches| PendingCheck {
        block: block(1, batches, Digest::ZERO),
        ancestors: vec![],
        at_ms: 0,
    };
    let overdue: Vec<BatchRef> = (0..20).map(|sequence| of(2, sequence)).collect();
    let crowded: Vec<BatchRef> = (0..32).map(|sequence| of(1, sequence)).collect();
    let missed = check(crowded.clone());
    assert_eq!(left_out(&missed, overdue.iter()).len(), 20);

    let mut availability = Availability::default();
    for reference in crowded.iter().chain(&overdue) {
        availability.certify(reference.header.id(), reference.clone(), 0);
    }
    let fair = check(availability.orderable(&[], limits::BLOCK_BATCHES_MAX));
    assert_eq!(
        left_out(&fair, overdue.iter().chain(&crowded)),
        [] as [&BatchRef; 0]
    );
}

/// When f+1 leaders in a row were refused, the network is slower than the timer rather than all of
/// them liars. As long as views are lost the timer grows, so that some honest leader is followed.
#[test]
fn patience_doubles_while_honest_leaders_may_be_refused() {
    let patience = Patience {
        view_timeout_ms: 500,
        view_timeout_ms_max: 8_000,
        one_honest: 2,
    };
    let mut refusals = Refusals::default();
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(refusals.patience_ms(&patience) - 1_000);
        refusals.add();
    }
    assert_eq!(
        waits,
        [
            500, 500, 1_000, 1_000, 2_000, 2_000, 4_000, 4_000, 8_000, 8_000, 8_000, 8_000
        ]
    );
    refusals.end();
    assert_eq!(refusals.patience_ms(&patience), PATIENCE_MS);
}
