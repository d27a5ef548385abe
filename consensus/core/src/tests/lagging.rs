//! Blocks that are missing: fetched one by one, or synced by height.

use conclave_types::*;

use super::fixture::*;
use crate::*;

fn give(node: &mut Node, block: &Block) -> Vec<String> {
    let (from, block) = (ValidatorIndex(1), Box::new(block.clone()));
    node.input(Input::Block { from, block })
}

#[test]
fn a_certificate_of_an_unknown_block_enters_the_view_and_fetches_the_block() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    let lines = node.quorum(qc(&blocks[2]));
    assert_eq!(
        lines,
        [
            "write view 4 high 3 prepare - commit 3 timeout -",
            "all: commit 3",
            "fetch from 1",
            "wake 250"
        ]
    );
    // No answer: the next signer is asked.
    assert_eq!(node.tick(250), ["fetch from 2", "wake 500"]);
    // An answer with another body is the sender's fault.
    let mut wrong = blocks[2].clone();
    wrong.batches.push(batch(1));
    let lines = give(&mut node, &wrong);
    assert_eq!(
        lines,
        ["accuse 1: sent blocks that do not match their certificate"]
    );
    assert_eq!(
        give(&mut node, &blocks[0]),
        Vec::<String>::new(),
        "nobody asked"
    );
    // Each block names the next one that is wanted.
    assert!(give(&mut node, &blocks[2]).contains(&"fetch from 1".into()));
    assert!(give(&mut node, &blocks[1]).contains(&"fetch from 1".into()));
    let lines = give(&mut node, &blocks[0]);
    assert!(
        !lines.iter().any(|line| line.contains("fetch")),
        "{lines:?}"
    );
    // Validator 0 leads view 4, and has all it needs.
    let lines = node.input(Input::PayloadPending(true));
    assert!(lines.contains(&"request payload 4 after 3 uncommitted due false".into()));
}

#[test]
fn a_proposal_waits_for_its_ancestors() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    let lines = node.propose(&blocks[2], &qc(&blocks[1]), None);
    assert!(!lines.iter().any(|line| line.contains("check")));
    give(&mut node, &blocks[1]);
    let lines = give(&mut node, &blocks[0]);
    assert!(
        lines.contains(&"check 3 after 2 uncommitted".into()),
        "{lines:?}"
    );
}

#[test]
fn a_commit_waits_for_missing_ancestors_and_comes_in_order() {
    let blocks = chain_of(3);
    let mut node = Node::started();
    assert!(
        node.commit_certificate(cc(&blocks[2]))
            .contains(&"fetch from 1".into())
    );
    assert_eq!(node.engine.committed().0, Height(0));
    give(&mut node, &blocks[2]);
    give(&mut node, &blocks[1]);
    let lines = give(&mut node, &blocks[0]);
    assert!(
        lines.contains(&"committed [1, 2, 3] by 3".into()),
        "{lines:?}"
    );
}

#[test]
fn far_behind_the_host_syncs_by_height() {
    let blocks = chain_of(50);
    let mut node = Node::started();
    let lines = node.quorum(qc(&blocks[49]));
    assert!(lines.contains(&"behind 50 from 1".into()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("fetch")));
    assert_eq!(node.engine.view(), View(51));
    let from = ValidatorIndex(2);
    let synced = |blocks: &[Block], certificate| Input::Synced {
        from,
        blocks: blocks.to_vec(),
        certificate,
    };
    let mut torn = blocks[..20].to_vec();
    torn.remove(7);
    let accused = ["accuse 2: sent blocks that do not match their certificate"];
    assert_eq!(node.input(synced(&torn, cc(&blocks[19]))), accused);
    let mut forged = cc(&blocks[19]);
    forged.aggregate.signature = BlsSignature([7; 48]);
    assert!(node.input(synced(&blocks[..20], forged))[0].starts_with("accuse 2"));
    assert!(
        node.input(synced(&blocks[5..20], cc(&blocks[19])))
            .is_empty(),
        "a gap"
    );
    let lines = node.input(synced(&blocks[..20], cc(&blocks[19])));
    assert!(lines[0].starts_with("committed [1, 2, "), "{lines:?}");
    assert_eq!(node.engine.committed().0, Height(20));
    // Near enough now: the last blocks come one by one. Overlaps do no harm.
    assert!(lines.contains(&"fetch from 1".into()));
    node.input(synced(&blocks[10..48], cc(&blocks[47])));
    assert_eq!(node.engine.committed().0, Height(48));
    give(&mut node, &blocks[49]);
    give(&mut node, &blocks[48]);
    let lines = node.commit_certificate(cc(&blocks[49]));
    assert!(
        lines.contains(&"committed [49, 50] by 50".into()),
        "{lines:?}"
    );
}

#[test]
fn two_final_blocks_at_one_height_stop_the_node() {
    let b1 = block(1, 1, &genesis_qc());
    let mut other = b1.clone();
    other.header.view = View(3);
    let mut node = Node::started();
    node.follow(&b1, &genesis_qc());
    node.commit_certificate(cc(&b1));
    assert_eq!(node.commit_certificate(cc(&other)), ["fork at 1"]);
    assert!(node.tick(60_000).is_empty(), "nothing is signed any more");
}

#[test]
fn abandoned_blocks_do_not_pile_up() {
    let mut node = Node::started();
    for view in 1..300 {
        node.timeout_certificate(tc(view, &genesis_qc()));
        let proposer = ((view + 2) % 4) as u16;
        let block = block(view + 1, proposer, &genesis_qc());
        if proposer != 0 {
            node.now = 1_000 * view;
            node.propose(&block, &genesis_qc(), Some(tc(view, &genesis_qc())));
            assert!(node.engine.block(&block.id()).is_some());
        }
    }
    let kept = (1..=300).filter(|view| {
        let block = block(*view, ((view + 1) % 4) as u16, &genesis_qc());
        node.engine.block(&block.id()).is_some()
    });
    assert!(kept.count() <= 65);
}

/// A node that comes back may be the one that the others need to go on: no higher certificate than
/// the one that it knows will ever come while it is behind.
#[test]
fn far_behind_the_host_is_asked_again_until_the_blocks_are_here() {
    let blocks = chain_of(200);
    let mut node = Node::started();
    let behind = |lines: &[String]| -> Vec<String> {
        let behind = lines.iter().filter(|line| line.starts_with("behind"));
        behind.cloned().collect()
    };
    assert_eq!(
        behind(&node.quorum(qc(&blocks[199]))),
        ["behind 200 from 1"]
    );
    // Nobody answers: another one is asked, and not before it is time.
    assert!(behind(&node.tick(100)).is_empty());
    assert_eq!(behind(&node.tick(250)), ["behind 200 from 2"]);
    // An answer holds a part only: the next part is asked for at once.
    let lines = node.input(Input::Synced {
        from: ValidatorIndex(2),
        blocks: blocks[..100].to_vec(),
        certificate: cc(&blocks[99]),
    });
    assert_eq!(behind(&lines), ["behind 200 from 1"]);
    let lines = node.input(Input::Synced {
        from: ValidatorIndex(1),
        blocks: blocks[100..200].to_vec(),
        certificate: cc(&blocks[199]),
    });
    assert!(behind(&lines).is_empty());
    assert_eq!(node.engine.committed().0, Height(200));
    assert!(behind(&node.tick(900)).is_empty());
}

/// A leader builds on its certified parent before that is final. When it became final, its child
/// was dropped together with it: the leader had to fetch its own block before it could vote on.
#[test]
fn a_block_on_an_uncommitted_parent_outlives_the_parents_commit() {
    let mut node = Node::started();
    let b1 = block(1, 1, &genesis_qc());
    node.follow(&b1, &genesis_qc());
    let b2 = block(2, 2, &qc(&b1));
    node.propose(&b2, &qc(&b1), None);
    node.commit_vote(&b1, 2);
    node.commit_vote(&b1, 3);
    assert_eq!(node.engine.committed(), (Height(1), b1.id()));
    assert!(node.engine.block(&b2.id()).is_some());
    assert!(node.engine.block(&b1.id()).is_none(), "final");
    node.checked(&b2);
    let lines = node.prepare_vote(&b2, 3);
    assert!(
        !lines.iter().any(|line| line.starts_with("fetch")),
        "{lines:?}"
    );
}
