//! An inconsistent batch harms nobody but its author.

use conclave_types::*;

use super::harness::*;
use crate::*;

/// The harness's batches are all of this validator.
const AUTHOR: ValidatorIndex = ValidatorIndex(2);

fn inconsistent(mut sent: Sent) -> Sent {
    sent.content = Content::Inconsistent;
    sent
}

fn fees(world: &World, n: u8) -> u64 {
    world.ledger.account(&account(n)).fees.0
}

#[test]
fn an_inconsistent_batch_keeps_its_place_and_its_payers_get_their_fees_back() {
    let mut world = World::with_market();
    let before = (fees(&world, 5), world.fund());
    let sent = vec![
        inconsistent(world.transactions(5, ROLLUP, 3)),
        inconsistent(world.sealed(5, RollupId::SYSTEM, vec![1, 2, 3])),
    ];
    let executed = world.block(sent);
    assert_eq!(executed.outcomes, [Outcome::Inconsistent; 2]);
    let delivery = executed.deliveries.iter().find(|d| d.rollup == ROLLUP);
    let delivery = delivery.expect("it keeps its place");
    assert_eq!(delivery.entries[0].outcome, StreamOutcome::Inconsistent);
    assert_eq!(delivery.entries[0].plaintext, Digest::ZERO);
    assert!(delivery.transactions.is_empty());
    // The refund counts once its ledger root is in a header, as deposits do.
    world.idle(1);
    assert_eq!((fees(&world, 5), world.fund()), before);
    // Those after it are delivered as if it had not been.
    let next = world.transactions(5, ROLLUP, 2);
    let first = TxIndex(0);
    let transactions = 2;
    assert_eq!(
        world.block(vec![next]).outcomes,
        [Outcome::Delivered {
            first,
            transactions
        }]
    );
}

#[test]
fn the_author_of_an_inconsistent_batch_loses_its_bond_once() {
    let mut world = World::with_market();
    let bond = world
        .ledger
        .validator_bond(AUTHOR)
        .expect("a member")
        .amount;
    let pool = world.insurance();
    for _ in 0..2 {
        let sent = vec![
            inconsistent(world.transactions(5, ROLLUP, 1)),
            inconsistent(world.transactions(6, ROLLUP, 1)),
        ];
        world.block(sent);
    }
    let left = world.ledger.validator_bond(AUTHOR).expect("a member");
    assert_eq!(left.amount, Amount::ZERO);
    assert!(left.forfeited.is_some());
    assert_eq!(world.insurance(), pool + bond.0);
    let events = |event: &LedgerEvent| matches!(event, LedgerEvent::BatchInconsistent { .. });
    assert_eq!(world.happened(events), 1);
}

#[test]
fn what_is_refused_stays_refused_and_a_bid_is_not_held() {
    let mut world = World::with_market();
    let auction = world.intent();
    let paid = world.transactions(5, ROLLUP, 1);
    world.block(vec![paid.clone()]);
    let bid = world.bid(2, auction, 20);
    let executed = world.block(vec![inconsistent(paid), inconsistent(bid)]);
    let duplicate = Outcome::Refused(Disposition::Duplicate);
    assert_eq!(executed.outcomes, [duplicate, Outcome::Inconsistent]);
    assert!(world.ledger.held_bids(auction).is_empty());
}
