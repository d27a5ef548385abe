//! The leader's side: when to propose, what, and on what.

use conclave_types::*;

use super::fixture::*;
use crate::*;

/// Validator 0 at the start of view 4, which it leads, with nothing committed or pending.
fn leader() -> (Node, Vec<Block>) {
    let blocks = chain_of(3);
    let mut node = Node::started();
    let mut justify = genesis_qc();
    for block in &blocks {
        node.follow(block, &justify);
        justify = qc(block);
    }
    node.commit_certificate(cc(&blocks[2]));
    assert_eq!(node.engine.leader(), Some(ValidatorIndex(0)));
    (node, blocks)
}

fn payload(view: u64, batches: Vec<BatchRef>, time: u64) -> Input {
    Input::Payload {
        view: View(view),
        batches,
        time: BlockTime(time),
        ledger_height: Height(0),
        ledger_root: Digest::ZERO,
        next_epoch: None,
    }
}

#[test]
fn an_idle_leader_waits_for_the_heartbeat() {
    let (mut node, _) = leader();
    assert!(!node.tick(999).iter().any(|line| line.contains("request")));
    let lines = node.tick(1000);
    assert_eq!(lines[0], "request payload 4 after 0 uncommitted due true");
    let lines = node.input(payload(4, vec![], 1000));
    assert_eq!(
        lines[..3],
        [
            "write block 4",
            "write view 4 high 3 prepare 4 commit 3 timeout -",
            "all: proposal 4 on 3 by QC"
        ]
    );
    assert!(node.input(payload(4, vec![], 1000)).is_empty(), "once");
}

#[test]
fn payload_wakes_the_leader_at_once() {
    let (mut node, _) = leader();
    node.now = 70;
    let lines = node.input(Input::PayloadPending(true));
    assert_eq!(lines[0], "request payload 4 after 0 uncommitted due false");
    // Nothing after all: back to waiting.
    node.input(Input::PayloadPending(false));
    assert!(node.input(payload(4, vec![], 80)).is_empty());
    let lines = node.input(Input::PayloadPending(true));
    assert_eq!(lines[0], "request payload 4 after 0 uncommitted due false");
    let lines = node.input(payload(4, vec![batch(1)], 80));
    assert!(lines.contains(&"all: proposal 4 on 3 by QC".into()));
}

#[test]
fn the_block_time_is_raised_above_the_parents() {
    let (mut node, _) = leader();
    node.input(Input::PayloadPending(true));
    let step = node.step(payload(4, vec![batch(1)], 0));
    let times: Vec<_> = step
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Broadcast(Message::Proposal(proposal)) => Some(proposal.block.header.time),
            _ => None,
        })
        .collect();
    assert_eq!(times, [BlockTime(4)]);
}

#[test]
fn uncommitted_payload_is_helped_along_without_a_heartbeat() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.follow(&blocks[1], &qc(&blocks[0]));
    let b3 = with_batches(block(3, 3, &qc(&blocks[1])), vec![batch(1)]);
    node.follow(&b3, &qc(&blocks[1]));
    // No commit certificate comes.
    let asked = (1..1000).find(|now| {
        node.tick(*now)
            .iter()
            .any(|line| line.starts_with("request payload 4 after 3"))
    });
    assert_eq!(asked, Some(125));
}

#[test]
fn after_a_lost_view_the_leader_proposes_at_once_with_both_certificates() {
    let blocks = chain_of(2);
    let mut node = Node::started();
    node.follow(&blocks[0], &genesis_qc());
    node.follow(&blocks[1], &qc(&blocks[0]));
    let lines = node.timeout_certificate(tc(6, &qc(&blocks[0])));
    assert!(
        lines.contains(&"request payload 7 after 2 uncommitted due true".into()),
        "{lines:?}"
    );
    let lines = node.input(payload(7, vec![], 9));
    // Its own highest certificate is above the timeout certificate's, and is the one to extend.
    assert!(
        lines.contains(&"all: proposal 7 on 2 by TC".into()),
        "{lines:?}"
    );
}

#[test]
fn a_leader_that_gave_up_its_view_or_voted_in_it_does_not_propose() {
    let (mut node, _) = leader();
    node.tick(1000);
    node.tick(1500);
    assert!(node.engine.safety().timeout.is_some());
    assert!(node.input(payload(4, vec![], 1000)).is_empty());

    let (mut node, blocks) = leader();
    node.input(Input::PayloadPending(true));
    node.input(payload(4, vec![batch(1)], 80));
    let mut again = Node::recovered(Some(Recovered {
        safety: node.engine.safety().clone(),
        committed: blocks.iter().map(|block| block.header.clone()).collect(),
        certificate: Some(cc(&blocks[2])),
        blocks: vec![],
    }));
    again.input(Input::Start);
    let lines = again.input(Input::PayloadPending(true));
    assert!(
        !lines.iter().any(|line| line.contains("request")),
        "{lines:?}"
    );
}

#[test]
fn a_single_validator_commits_alone() {
    let signatures = std::sync::Arc::new(Quick(ValidatorIndex(0)));
    let mut engine = Engine::new(config(&[1], 0), signatures, None);
    let mut committed = 0;
    let mut inputs = vec![Input::Start];
    let mut now = 0;
    while let Some(input) = inputs.pop() {
        for action in engine.handle(Now(now), input).actions {
            match action {
                Action::RequestPayload { view, .. } => inputs.push(payload(view.0, vec![], now)),
                Action::Committed { blocks, .. } => committed += blocks.len(),
                Action::WakeAt(at) if inputs.is_empty() && now < 10_000 => {
                    now = at;
                    inputs.push(Input::Tick);
                }
                _ => {}
            }
        }
    }
    assert_eq!(committed, 10, "one each heartbeat");
}
