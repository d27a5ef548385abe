use conclave_light::{EntryTable, verify_entry};
use conclave_types::*;

use super::harness::*;
use crate::*;

#[test]
fn entries_prove_themselves_against_the_root_and_nothing_else_does() {
    let mut world = World::with_market();
    world.award(&[(2, 30)]);
    let root = world.ledger.root();
    let (settled, proof) = world.ledger.prove_settled(ROLLUP).expect("settled");
    let (key, value) = (codec::encode(&ROLLUP), codec::encode(&settled));
    let table = EntryTable::Settled;
    assert!(verify_entry(&root, table, &key, &value, &proof));

    let other = codec::encode(&RollupId(2));
    assert!(!verify_entry(&root, table, &other, &value, &proof));
    assert!(!verify_entry(
        &root,
        EntryTable::Streams,
        &key,
        &value,
        &proof
    ));
    assert!(!verify_entry(&root, table, &key, &other, &proof));
    assert!(!verify_entry(&Digest::ZERO, table, &key, &value, &proof));
    let mut moved = proof;
    moved.bucket.index ^= 1;
    assert!(!verify_entry(&root, table, &key, &value, &moved));

    let (balance, proof) = world.ledger.prove_balance(&account(2)).expect("account");
    let (key, value) = (codec::encode(&account(2)), codec::encode(&balance));
    assert!(verify_entry(
        &root,
        EntryTable::Accounts,
        &key,
        &value,
        &proof
    ));
    assert!(world.ledger.prove_balance(&account(77)).is_none());
    let (stream, _) = world.ledger.prove_stream(ROLLUP).expect("stream");
    assert_eq!(stream.next, TxIndex(4));
    assert!(world.ledger.prove_auction(AuctionId(1)).is_some());
}

#[test]
fn a_forged_snapshot_has_another_root_or_is_refused() {
    let mut world = World::with_market();
    world.award(&[(2, 30)]);
    let bytes = world.ledger.snapshot();
    assert_eq!(
        Ledger::restore(&bytes).map(|l| l.root()),
        Ok(world.ledger.root())
    );
    assert!(Ledger::restore(&bytes[..bytes.len() - 1]).is_err());
    let mut changed = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        match Ledger::restore(&forged) {
            Ok(ledger) => assert_ne!(ledger.root(), world.ledger.root(), "byte {at}"),
            Err(_) => changed += 1,
        }
    }
    assert!(changed > 0, "money out of thin air is refused");
}

#[test]
fn finished_auctions_beyond_those_kept_leave_the_state() {
    let mut world = World::with_market();
    world.intent();
    world.step_ms = 10_000;
    world.idle(200);
    let finished = world.ledger.auctions().filter(|a| a.is_finished()).count();
    assert_eq!(finished, FINISHED_KEPT);
    assert!(world.ledger.auction(AuctionId(1)).is_none());
    assert!(world.ledger.auction(world.auction()).is_some());
}
