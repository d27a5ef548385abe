//! A validator that signs a contradiction loses its bond, once, and no money is lost.

use conclave_crypto::{Signatures, bundle_message, share_list, wrong_shares};
use conclave_types::*;

use super::harness::*;
use crate::*;

const GUILTY: ValidatorIndex = ValidatorIndex(2);

fn ballot(kind: VoteKind, view: u64, block: u8, signer: ValidatorIndex) -> Ballot {
    let (chain, block) = (genesis().chain_id(), BlockId(Digest([block; 32])));
    let message = kind.message(chain, Epoch(0), View(view), Height(5), block);
    Ballot {
        height: Height(5),
        block,
        signature: Quick(signer).sign(&message),
    }
}

/// Two votes of one view by `signer`.
fn double(kind: VoteKind, signer: ValidatorIndex) -> Misbehaviour {
    let (one, other) = (ballot(kind, 9, 1, signer), ballot(kind, 9, 2, signer));
    Misbehaviour {
        epoch: Epoch(0),
        validator: signer,
        offence: Offence::double_vote(kind, View(9), one, other),
    }
}

fn report(world: &mut World, by: u8, evidence: Misbehaviour) -> Executed {
    let sent = world.op(by, SystemOp::ReportMisbehaviour(evidence));
    world.block(vec![sent])
}

#[test]
fn a_double_vote_forfeits_the_bond_once() {
    let mut world = World::new();
    let bond = world.ledger.validator_bond(GUILTY).expect("a validator");
    assert_eq!((bond.amount, bond.forfeited), (Amount(1_000_000), None));
    let before = world.ledger.account(&account(5)).balance;
    let insurance = world.ledger.totals().insurance;

    let executed = report(&mut world, 5, double(VoteKind::Prepare, GUILTY));
    assert_eq!(executed.outcomes, [Outcome::Done]);
    let slashed = |event: &&LedgerEvent| matches!(event, LedgerEvent::ValidatorSlashed { .. });
    assert_eq!(executed.events.iter().filter(slashed).count(), 1);
    let bond = world.ledger.validator_bond(GUILTY).expect("a validator");
    assert_eq!(bond.amount, Amount::ZERO);
    assert_eq!(bond.forfeited, Some(executed.height));
    let gained = world.ledger.account(&account(5)).balance.0 - before.0;
    assert_eq!(gained, 100_000, "a tenth");
    assert_eq!(world.ledger.totals().insurance - insurance, 900_000);

    // Neither the same evidence, nor other evidence, nor another reporter gets more.
    for (by, kind) in [(5, VoteKind::Prepare), (6, VoteKind::Commit)] {
        let executed = report(&mut world, by, double(kind, GUILTY));
        assert_eq!(executed.outcomes, [Outcome::Failed(OpError::BondForfeited)]);
        assert!(executed.events.is_empty());
    }
    // The others still have theirs.
    let other = world.ledger.validator_bond(ValidatorIndex(1));
    assert_eq!(other.expect("a validator").amount, Amount(1_000_000));
}

#[test]
fn two_reports_in_one_block_pay_the_first() {
    let mut world = World::new();
    let evidence = double(VoteKind::Commit, GUILTY);
    let sent = [7, 8].map(|by| world.op(by, SystemOp::ReportMisbehaviour(evidence.clone())));
    let executed = world.block(sent.to_vec());
    let refused = Outcome::Failed(OpError::BondForfeited);
    assert_eq!(executed.outcomes, [Outcome::Done, refused]);
    let balance = |n| world.ledger.account(&account(n)).balance;
    assert_eq!(balance(7).0 - balance(8).0, 100_000);
}

#[test]
fn what_proves_nothing_changes_nothing() {
    let mut world = World::new();
    let honest = double(VoteKind::Prepare, GUILTY);
    let framed = Misbehaviour {
        validator: ValidatorIndex(1),
        ..honest.clone()
    };
    let stranger = Misbehaviour {
        validator: ValidatorIndex(4),
        ..honest.clone()
    };
    let one = ballot(VoteKind::Prepare, 9, 1, GUILTY);
    let twice = Misbehaviour {
        offence: Offence::double_vote(VoteKind::Prepare, View(9), one, one),
        ..honest
    };
    let entries = world.ledger.totals();
    for evidence in [framed, stranger, twice] {
        let executed = report(&mut world, 5, evidence);
        assert_eq!(
            executed.outcomes,
            [Outcome::Failed(OpError::EvidenceInvalid)]
        );
    }
    let bonds = world.ledger.totals().bonds;
    assert_eq!(bonds, entries.bonds);
}

/// Evidence from a bundle of `signer` over two envelopes; a right share is the point itself here.
fn shares(signer: ValidatorIndex, second: Point) -> Misbehaviour {
    let sealed = [Point([1; 32]), Point([2; 32])];
    let proof = BatchedDleq {
        challenge: Scalar([0; 32]),
        response: Scalar([0; 32]),
    };
    let mut bundle = ShareBundle {
        context: ShareContext {
            block: BlockId(Digest([3; 32])),
            height: Height(5),
            lane: LaneKind::OnCommit.of(Epoch(0)),
            group: ShareGroup::Whole,
        },
        signer,
        lists: vec![share_list(&sealed)],
        shares: vec![vec![sealed[0], second]],
        proofs: vec![vec![proof]],
        signature: EdSignature([0; 64]),
    };
    let message = bundle_message(genesis().chain_id(), &bundle);
    bundle.signature = transport(signer.0).sign(&message);
    let wrong = wrong_shares(&bundle, (0, 0), &sealed).expect("such a row");
    Misbehaviour {
        epoch: Epoch(0),
        validator: signer,
        offence: Offence::WrongShares(Box::new(wrong)),
    }
}

#[test]
fn a_signed_wrong_share_forfeits_the_bond_and_a_right_one_does_not() {
    let mut world = World::new();
    let refused = [Outcome::Failed(OpError::EvidenceInvalid)];
    let right = shares(GUILTY, Point([2; 32]));
    assert_eq!(report(&mut world, 5, right).outcomes, refused);
    let guilty = shares(GUILTY, Point([9; 32]));
    let framed = Misbehaviour {
        validator: ValidatorIndex(1),
        ..guilty.clone()
    };
    assert_eq!(report(&mut world, 5, framed).outcomes, refused);
    let executed = report(&mut world, 5, guilty);
    assert_eq!(executed.outcomes, [Outcome::Done]);
    let bond = world.ledger.validator_bond(GUILTY).expect("a validator");
    assert_eq!(bond.forfeited, Some(executed.height));
    let other = world.ledger.validator_bond(ValidatorIndex(1));
    assert_eq!(other.expect("a validator").forfeited, None);
}

#[test]
fn a_restored_snapshot_remembers_who_lost_its_bond() {
    let mut world = World::new();
    report(&mut world, 5, double(VoteKind::Prepare, GUILTY));
    let restored = Ledger::restore(&world.ledger.snapshot()).expect("own snapshot");
    assert_eq!(restored.root(), world.ledger.root());
    let bond = restored.validator_bond(GUILTY).expect("a validator");
    assert_eq!(bond, world.ledger.validator_bond(GUILTY).expect("same"));
}
