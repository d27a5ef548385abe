use conclave_market::{BidVerdict, Stage, SubmitError};
use conclave_types::*;

use super::harness::*;
use crate::*;

fn stage(world: &World, id: AuctionId) -> Stage {
    let auction = world.ledger.auction(id).expect("auction");
    auction.award().expect("award").stage
}

fn submit(world: &mut World, prover: u8, id: AuctionId, new: u8) -> Outcome {
    let proof = world.proof(prover, id, new);
    world.block(vec![proof]).outcomes[0]
}

fn failed(error: SubmitError) -> Outcome {
    Outcome::Failed(OpError::Submit(error))
}

#[test]
fn a_missed_deadline_slashes_and_the_standby_delivers_at_its_own_bid() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30), (3, 38)]);
    assert_eq!(
        submit(&mut world, 3, id, 50),
        failed(SubmitError::WinnersTurn)
    );
    let fund = world.fund();
    world.idle(20);
    assert_eq!(stage(&world, id), Stage::Standby);
    // The bond of 60: half to the rollup, a quarter for the standby, the rest to the pool.
    assert_eq!(world.fund(), fund + 30);
    assert_eq!(world.insurance(), 15);
    let prover = world.ledger.prover(&account(2)).expect("prover");
    assert_eq!(
        (prover.free, prover.locked, prover.armed),
        (Amount(140), Amount(0), false)
    );

    assert_eq!(
        submit(&mut world, 2, id, 50),
        failed(SubmitError::StandbysTurn)
    );
    let (before, fund) = (world.balance(3), world.fund());
    assert_eq!(submit(&mut world, 3, id, 50), Outcome::Done);
    assert_eq!(world.balance(3), before + 38);
    assert_eq!(world.fund(), fund);
    // Eight of the fifteen went to the standby.
    assert_eq!(world.insurance(), 15 + 7);
    assert_eq!(world.ledger.settled(ROLLUP).map(|s| s.root), Some(root(50)));
}

#[test]
fn a_slashed_prover_wins_nothing_until_it_rearms() {
    let mut world = World::with_market();
    let first = world.award(&[(2, 30), (3, 31)]);
    world.idle(20);
    assert_eq!(submit(&mut world, 3, first, 50), Outcome::Done);
    let id = world.intent();
    let bid = world.bid(2, id, 1);
    assert_eq!(world.block(vec![bid]).outcomes, [Outcome::Void]);
    let sent = vec![world.op(2, SystemOp::Rearm), world.bid(2, id, 1)];
    assert_eq!(world.block(sent).outcomes, [Outcome::Done, Outcome::Held]);
    world.idle(4);
    assert_eq!(stage(&world, id), Stage::Winner);
    assert_eq!(
        world.ledger.auction(id).map(|a| a.bids[0].verdict),
        Some(BidVerdict::Winner)
    );
}

#[test]
fn after_the_standby_anyone_delivers_late_for_less() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 38), (3, 39)]);
    world.idle(40);
    assert_eq!(stage(&world, id), Stage::Open);
    // The standby's part went to the pool as well.
    assert_eq!(world.insurance(), 30);
    assert_eq!(
        world.happened(|e| matches!(e, LedgerEvent::JobOpened { .. })),
        1
    );

    // An invalid proof forfeits the deposit.
    let before = world.balance(6);
    let mut bad = world.submission(6, id, 50);
    bad.proof[0] ^= 1;
    let bad = world.op(6, SystemOp::SubmitProof(bad));
    assert_eq!(
        world.block(vec![bad]).outcomes,
        [Outcome::Failed(OpError::ProofInvalid)]
    );
    assert_eq!(world.balance(6), before - 10_000);
    assert_eq!(world.insurance(), 30 + 10_000);

    // A valid one earns half the reference price; the rollup gets the rest of its price back.
    let (before, fund) = (world.balance(7), world.fund());
    assert_eq!(submit(&mut world, 7, id, 50), Outcome::Done);
    assert_eq!(world.balance(7), before + 20);
    assert_eq!(world.fund(), fund + 18);
}

#[test]
fn without_a_standby_the_job_opens_at_once_and_the_late_winner_still_counts() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30)]);
    world.idle(20);
    assert_eq!(stage(&world, id), Stage::Open);
    assert_eq!(world.insurance(), 30);
    let before = world.balance(2);
    assert_eq!(submit(&mut world, 2, id, 50), Outcome::Done);
    assert_eq!(world.balance(2), before + 20);
}

#[test]
fn a_job_that_is_open_to_all_binds_nobody_to_later_ranges() {
    let mut world = World::with_market();
    let first = world.intent();
    let bid = world.bid(2, first, 30);
    let sent = world.transactions(5, ROLLUP, 4);
    world.block(vec![bid, sent]);
    let second = world.ledger.rollup(ROLLUP).expect("rollup").outstanding[1];
    let bid = world.bid(3, second, 30);
    world.block(vec![bid]);
    world.idle(6);
    assert_eq!(
        world.ledger.prover(&account(3)).map(|p| p.locked),
        Some(Amount(60))
    );
    world.idle(20);
    assert_eq!(stage(&world, first), Stage::Open);
    assert_eq!(
        world.ledger.prover(&account(3)).map(|p| p.locked),
        Some(Amount(0))
    );
    world.idle(20);
    assert_eq!(
        world.auction(),
        first,
        "nothing else is auctioned meanwhile"
    );

    assert_eq!(submit(&mut world, 7, first, 50), Outcome::Done);
    let again = world.auction();
    let range = world.ledger.auction(again).expect("auction").intent.range;
    assert_eq!((range.from, range.to), (TxIndex(4), TxIndex(8)));
}

#[test]
fn a_deadline_does_not_pass_on_time_alone() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30)]);
    let deadline = world
        .ledger
        .auction(id)
        .and_then(|a| a.award())
        .and_then(|a| a.deadline);
    let started = deadline.expect("started").started;
    assert!(started < world.ledger.height());
    // Only the proposer of the block right after the start goes on.
    world.rotate = false;
    world.idle(40);
    assert_eq!(stage(&world, id), Stage::Winner);
    world.rotate = true;
    world.idle(1);
    assert_eq!(stage(&world, id), Stage::Open);
}

#[test]
fn a_copied_proof_does_not_pay_the_copier() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30)]);
    world.idle(20);
    // The job is open; somebody resubmits the winner's proof as their own.
    let copied = world.submission(2, id, 50);
    let copy = world.op(6, SystemOp::SubmitProof(copied));
    let before = world.balance(6);
    assert_eq!(
        world.block(vec![copy]).outcomes,
        [Outcome::Failed(OpError::ProofInvalid)]
    );
    assert_eq!(world.balance(6), before - 10_000);
}

/// A winner that floods the chain with invalid proofs would keep every validator verifying until
/// its deadline, for the fees of short envelopes. The first one costs it the job.
#[test]
fn an_invalid_proof_ends_its_makers_turn() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30), (3, 38)]);
    let bad = |world: &mut World, prover| {
        let mut submission = world.submission(prover, id, 50);
        submission.proof[0] ^= 1;
        world.op(prover, SystemOp::SubmitProof(submission))
    };
    let flood = vec![bad(&mut world, 2), bad(&mut world, 2), bad(&mut world, 2)];
    let refused = failed(SubmitError::StandbysTurn);
    assert_eq!(
        world.block(flood).outcomes,
        [Outcome::Failed(OpError::ProofInvalid), refused, refused]
    );
    assert_eq!(stage(&world, id), Stage::Standby);
    let prover = world.ledger.prover(&account(2)).expect("prover");
    assert_eq!((prover.free, prover.armed), (Amount(140), false));

    let flood = vec![bad(&mut world, 3), bad(&mut world, 3)];
    let before = world.balance(3);
    assert_eq!(
        world.block(flood).outcomes,
        [Outcome::Failed(OpError::ProofInvalid); 2]
    );
    assert_eq!(stage(&world, id), Stage::Open);
    // The second one was an open job's, and cost the deposit.
    assert_eq!(world.balance(3), before - 10_000);
    assert_eq!(submit(&mut world, 7, id, 50), Outcome::Done);
}

/// Whoever may not submit cannot make the validators read a range either: here its contents are
/// gone, and the block executes all the same.
#[test]
fn contents_are_not_read_for_a_submission_out_of_turn() {
    let mut world = World::with_market();
    let settled = world.award(&[(2, 30)]);
    assert_eq!(submit(&mut world, 2, settled, 50), Outcome::Done);
    let awarded = world.award(&[(3, 30)]);
    let amount = Amount(995_000);
    let to = account(9);
    let poor = world.op(8, SystemOp::Transfer { to, amount });
    world.block(vec![poor]);

    let sent = vec![world.proof(8, settled, 51), world.proof(8, awarded, 51)];
    world.store.0.remove(&ROLLUP);
    assert_eq!(
        world.block(sent).outcomes,
        [
            failed(SubmitError::Deposit),
            failed(SubmitError::WinnersTurn)
        ]
    );
}

#[test]
fn malformed_submissions_are_refused_before_verification() {
    let mut world = World::with_market();
    let id = world.award(&[(2, 30)]);
    let good = world.submission(2, id, 50);
    let cases = [
        (
            ProofSubmission {
                proof: vec![],
                ..good.clone()
            },
            SubmitError::ProofSize,
        ),
        (
            ProofSubmission {
                proof: vec![0; limits::PROOF_BYTES_MAX + 1],
                ..good.clone()
            },
            SubmitError::ProofSize,
        ),
        (
            ProofSubmission {
                excluded: vec![4],
                ..good.clone()
            },
            SubmitError::Exclusions,
        ),
        (
            ProofSubmission {
                excluded: vec![1, 1],
                ..good.clone()
            },
            SubmitError::Exclusions,
        ),
        (
            ProofSubmission {
                auction: AuctionId(99),
                ..good.clone()
            },
            SubmitError::UnknownAuction,
        ),
    ];
    for (submission, error) in cases {
        let sent = world.op(2, SystemOp::SubmitProof(submission));
        assert_eq!(world.block(vec![sent]).outcomes, [failed(error)]);
    }
    let bytes = codec::encode(&SystemOp::SubmitProof(good));
    let sealed = world.sealed(2, RollupId::SYSTEM, bytes);
    let error = OpError::ProofNotPlain;
    assert_eq!(world.block(vec![sealed]).outcomes, [Outcome::Failed(error)]);
    assert_eq!(
        world.happened(|e| matches!(e, LedgerEvent::ProofRejected { .. })),
        0
    );
}

#[test]
fn two_valid_proofs_of_different_results_freeze_the_program_until_it_changes() {
    let mut world = World::with_market();
    let settled = world.award(&[(2, 30)]);
    assert_eq!(submit(&mut world, 2, settled, 50), Outcome::Done);
    let open = world.award(&[(3, 30)]);
    let free = world.ledger.prover(&account(3)).expect("prover").free;
    let (fund, escrow) = (world.fund(), world.ledger.totals().escrow);
    assert_eq!(escrow, 30);

    assert_eq!(submit(&mut world, 6, settled, 51), Outcome::Done);
    assert!(world.ledger.frozen(&PROGRAM).is_some());
    assert_eq!(world.fund(), fund + 30);
    let prover = world.ledger.prover(&account(3)).expect("prover");
    assert_eq!(prover.free.0, free.0 + 60);
    assert!(
        world
            .ledger
            .rollup(ROLLUP)
            .expect("rollup")
            .outstanding
            .is_empty()
    );
    let late = world.submission(3, open, 52);
    let late = world.op(3, SystemOp::SubmitProof(late));
    assert_eq!(
        world.block(vec![late]).outcomes,
        [failed(SubmitError::NotAwarded)]
    );
    assert_eq!(world.ledger.settled(ROLLUP).map(|s| s.root), Some(root(50)));

    // A new version takes the range up again.
    let update = SystemOp::UpdateRollup {
        rollup: ROLLUP,
        config: RollupConfig {
            program: NEW_PROGRAM,
            ..config()
        },
    };
    let update = world.op(OWNER, update);
    assert_eq!(world.block(vec![update]).outcomes, [Outcome::Done]);
    world.step_ms = 20_000;
    world.idle(4);
    world.step_ms = 100;
    let again = world.auction();
    let intent = &world.ledger.auction(again).expect("auction").intent;
    assert_eq!(
        (intent.program, intent.range.from),
        (NEW_PROGRAM, TxIndex(4))
    );
}
