//! Leaders: fair by weight, passing over the dead, and giving them another chance.

use conclave_types::*;

use super::fixture::*;
use crate::ANCESTRY_BLOCKS;
use crate::elector::Elector;

fn elector(weights: &[u16]) -> Elector {
    Elector::new(&committee(weights).1)
}

/// Runs leaders as the protocol elects them while `dead` ones lose every view: a view lost after a
/// QC is followed by round-robin views until one is led by a live validator.
fn run(
    elector: &Elector,
    blocks: usize,
    dead: impl Fn(usize, ValidatorIndex) -> bool,
) -> Vec<BlockHeader> {
    let mut chain: Vec<BlockHeader> = Vec::new();
    while chain.len() < blocks {
        let parent = chain.last().map_or(View(0), |header| header.view);
        let from = chain.len().saturating_sub(ANCESTRY_BLOCKS);
        let mut view = parent.next();
        let mut leader = elector.after_quorum(view, &chain[from..]);
        while dead(chain.len(), leader) {
            view = view.next();
            leader = elector.after_timeout(view);
        }
        let mut header = block(view.0, leader.0, &genesis_qc()).header;
        header.parent_view = parent;
        chain.push(header);
    }
    chain
}

fn lost(chain: &[BlockHeader]) -> u64 {
    chain
        .iter()
        .map(|header| header.view.0 - header.parent_view.0 - 1)
        .sum()
}

#[test]
fn everyone_leads_by_weight() {
    let elector = elector(&[1, 3, 2, 1]);
    let chain = run(&elector, 70, |_, _| false);
    let leads = |index| {
        chain
            .iter()
            .filter(|h| h.proposer == ValidatorIndex(index))
            .count()
    };
    assert_eq!([0, 1, 2, 3].map(leads), [10, 30, 20, 10]);
    assert_eq!(lost(&chain), 0);
    // A heavy one does not lead in a row, so a dead one does not lose views in a row.
    let turn: Vec<_> = (1..=7)
        .map(|view| elector.after_timeout(View(view)))
        .collect();
    let alone = |three: &[ValidatorIndex]| three[0] != three[1] || three[1] != three[2];
    assert!(turn.windows(3).all(alone), "{turn:?}");
}

#[test]
fn a_dead_leader_is_passed_over() {
    let elector = elector(&[1; 4]);
    let chain = run(&elector, 200, |_, leader| leader == ValidatorIndex(2));
    // Plain round-robin would lose 66.
    assert!(lost(&chain) <= 2, "{}", lost(&chain));
}

#[test]
fn it_gets_another_chance_and_keeps_it_when_alive() {
    let elector = elector(&[1; 4]);
    let chain = run(&elector, 2000, |height, leader| {
        height < 600 && leader == ValidatorIndex(2)
    });
    assert!(lost(&chain) <= 8, "{}", lost(&chain));
    let late = &chain[1000..];
    let leads = late
        .iter()
        .filter(|h| h.proposer == ValidatorIndex(2))
        .count();
    assert!((240..=260).contains(&leads), "{leads}");
}

#[test]
fn no_more_than_f_are_passed_over() {
    let elector = elector(&[1; 7]);
    // Everyone fails for a while: a long gap blames the last f of them, not all.
    let mut header = block(100, 3, &genesis_qc()).header;
    header.parent_view = View(2);
    let leaders: std::collections::BTreeSet<_> = (101..108)
        .map(|view| elector.after_quorum(View(view), [&header]))
        .collect();
    assert_eq!(leaders.len(), 5);
    assert!(leaders.contains(&ValidatorIndex(3)), "it has just led");
    // Hostile gaps cost one turn, not their length.
    header.view = View(u64::MAX);
    header.parent_view = View(0);
    elector.after_quorum(View(u64::MAX), [&header]);
}
