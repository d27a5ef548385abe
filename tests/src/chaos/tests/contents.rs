//! The checkers must see each thing that must never be, and nothing in a run without it.

use conclave_sdk::Auditor;
use conclave_types::{Envelope, Height};

use super::chain::{Chain, ROLLUP};
use crate::chaos::{Acknowledged, Contents};

fn contents(chain: &Chain) -> Contents {
    Contents::new(
        Auditor::new(&chain.genesis).expect("a valid genesis"),
        ROLLUP,
    )
}

fn promise(envelope: &Envelope) -> Acknowledged {
    Acknowledged {
        envelope: envelope.header.id(),
        by: 2,
        at_ms: 0,
    }
}

/// How many were lost and opened early, and which invariants broke.
fn verdict(mut contents: Contents, promised: &[&Envelope]) -> (u64, u64, Vec<&'static str>) {
    let promised: Vec<_> = promised.iter().map(|envelope| promise(envelope)).collect();
    let (lost, findings) = contents.finish(&promised);
    let broken = findings.iter().map(|finding| finding.invariant).collect();
    (lost, contents.opened_early(), broken)
}

#[test]
fn what_was_acknowledged_and_delivered_at_every_validator_is_fine() {
    let mut chain = Chain::new();
    let (a, b) = (chain.envelope(), chain.envelope());
    let views = [chain.extend(&[&a]), chain.extend(&[]), chain.extend(&[&b])];
    let mut contents = contents(&chain);
    for view in &views {
        contents.take(0, view);
        contents.take(1, view);
    }
    contents.said_open(1, b.header.id(), Height(3), views[2].block.as_ref());
    assert_eq!((contents.blocks(), contents.reached(1)), (3, Height(3)));
    assert_eq!(verdict(contents, &[&a, &b]), (0, 0, vec![]));
}

#[test]
fn an_envelope_missing_at_one_validator_is_lost() {
    let mut chain = Chain::new();
    let (a, never) = (chain.envelope(), chain.envelope());
    let view = chain.extend(&[&a]);
    let mut contents = contents(&chain);
    contents.take(0, &view);
    contents.take(1, &view);
    assert_eq!(verdict(contents, &[&a, &never]), (1, 0, vec!["no loss"]));
}

#[test]
fn an_envelope_opened_twice_is_found() {
    let mut chain = Chain::new();
    let a = chain.envelope();
    let views = [chain.extend(&[&a]), chain.extend(&[&a])];
    let mut contents = contents(&chain);
    views.iter().for_each(|view| contents.take(0, view));
    assert_eq!(verdict(contents, &[&a]), (0, 0, vec!["no loss"]));
}

#[test]
fn an_opening_without_a_final_block_is_early() {
    let mut chain = Chain::new();
    let a = chain.envelope();
    let mut view = chain.extend(&[&a]);
    let other = chain.extend(&[]);
    // Without any block; with a certificate of another one; said, and no block served.
    let mut without = view.clone();
    without.block = None;
    let borrowed = &other.block.as_ref().expect("a block").certificate;
    view.block
        .as_mut()
        .expect("a block")
        .certificate
        .clone_from(borrowed);
    for bad in [without, view] {
        let mut contents = contents(&chain);
        contents.take(0, &bad);
        assert_eq!(verdict(contents, &[]), (0, 1, vec!["certified"]));
    }
    let mut contents = contents(&chain);
    contents.said_open(0, a.header.id(), Height(1), None);
    assert_eq!(verdict(contents, &[]), (0, 1, vec!["secrecy"]));
}

#[test]
fn an_opening_named_at_a_block_that_does_not_order_it_is_early() {
    let mut chain = Chain::new();
    let (a, stranger) = (chain.envelope(), chain.envelope());
    let view = chain.extend(&[&a]);
    let mut contents = contents(&chain);
    contents.take(0, &view);
    contents.said_open(0, stranger.header.id(), Height(1), view.block.as_ref());
    assert_eq!(verdict(contents, &[]), (0, 1, vec!["secrecy"]));
}

#[test]
fn an_envelope_left_out_of_a_delivery_is_found() {
    let mut chain = Chain::new();
    let (a, b) = (chain.envelope(), chain.envelope());
    let mut view = chain.extend(&[&a, &b]);
    view.envelopes.pop();
    let mut contents = contents(&chain);
    contents.take(0, &view);
    let (_, _, broken) = verdict(contents, &[]);
    assert_eq!(broken, ["completeness"]);
}

#[test]
fn a_gap_and_a_fork_are_found() {
    let mut chain = Chain::new();
    let (first, second) = (chain.extend(&[]), chain.extend(&[]));
    let twin = chain.fork();
    let mut gap = contents(&chain);
    gap.take(0, &second);
    assert_eq!(verdict(gap, &[]).2, ["completeness"]);
    let mut fork = contents(&chain);
    fork.take(0, &first);
    fork.take(1, &first);
    fork.take(0, &second);
    fork.take(1, &twin);
    assert_eq!(verdict(fork, &[]).2, ["agreement"]);
}
