//! Honest proofs of every outcome, every exclusion and every shape of range.

use super::fixture::{EXPIRY, FEE_SLOT, Fixture, at, ctx, job};
use crate::exclusion::ExclusionReason;
use crate::{
    Address, Outcome, Payment, PaymentContext, State, VerifyReport, execute, prove, verify,
};

/// Executes, proves and verifies contents; the proof's root is the native one.
fn check(state: &State, contents: &[(u64, Vec<u8>)], outcomes: &[Outcome]) -> VerifyReport {
    let job = job(state, contents);
    let proven = prove(&job).unwrap();
    let mut after = state.clone();
    assert_eq!(execute(&mut after, &ctx(), contents), outcomes);
    assert_eq!(after.root(), proven.new_root);
    let excluded: Vec<u32> = (0u32..)
        .zip(outcomes)
        .filter(|(_, outcome)| matches!(outcome, Outcome::Excluded(_)))
        .map(|(index, _)| index)
        .collect();
    assert_eq!(excluded, proven.excluded);
    verify(
        &job.range,
        contents,
        &excluded,
        &proven.new_root,
        &proven.proof,
    )
    .unwrap()
}

#[test]
fn a_plain_payment_proves() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(0, 1, 500, 0);
    let report = check(&fixture.state, &at(10, &[&payment]), &[Outcome::Applied]);
    assert_eq!((report.count, report.included), (1, 1));
    assert!(report.security.proven >= 100);
}

#[test]
fn every_no_op_is_justified() {
    let mut fixture = Fixture::new();
    // The proof of an overflow needs a state that no genesis allows.
    fixture
        .state
        .open(fixture.addresses[3], (1 << 62) - 10)
        .unwrap();
    let taken = Address {
        slot: fixture.addresses[1].slot,
        key: fixture.addresses[0].key,
    };
    let mut draft = fixture.draft(0, 1, 5, 0);
    draft.receiver = taken;
    let slot_taken = fixture.wallets[0].pay(&ctx(), &draft).unwrap();
    let mut draft = fixture.draft(0, 1, 5, 0);
    draft.sender = 77;
    let absent = fixture.wallets[0].pay(&ctx(), &draft).unwrap();
    let mut draft = fixture.draft(0, 1, 5, 0);
    draft.sender = fixture.addresses[1].slot;
    let mismatch = fixture.wallets[0].pay(&ctx(), &draft).unwrap();
    let payments = [
        fixture.pay(0, 3, 10, 0),
        slot_taken,
        absent,
        mismatch,
        fixture.pay(0, 1, 10, 1),
        fixture.pay(0, 1, 2_000_000, 0),
        fixture.pay(0, 1, 10, 1),
    ];
    let outcomes = [
        Outcome::BalanceOverflow,
        Outcome::ReceiverSlotTaken,
        Outcome::AbsentSender,
        Outcome::OwnerMismatch,
        Outcome::WrongNonce,
        Outcome::InsufficientBalance,
        Outcome::Applied,
    ];
    let contents = at(10, &payments.each_ref());
    check(&fixture.state, &contents, &outcomes);
}

#[test]
fn every_exclusion_is_checked() {
    let mut fixture = Fixture::new();
    let mut truncated = fixture.pay(0, 1, 1, 0).encode();
    truncated.pop();
    let mut trailing = fixture.pay(0, 1, 1, 0).encode();
    trailing.push(0);
    let mut broken = fixture.pay(0, 1, 1, 0);
    broken.signature.chains[17][0] ^= 1;
    let mut salted = fixture.pay(0, 1, 1, 0);
    salted.signature.salt[0] ^= 1;
    let mut moved = fixture.pay(0, 1, 1, 0);
    moved.body.amount += 1;
    let foreign = PaymentContext { rollup: 4, ..ctx() };
    let draft = fixture.draft(0, 1, 1, 0);
    let elsewhere = fixture.wallets[0].pay(&foreign, &draft).unwrap();
    let good = fixture.pay(0, 1, 1, 0);
    let undecodable = Outcome::Excluded(ExclusionReason::Undecodable);
    let forged = Outcome::Excluded(ExclusionReason::BadSignature);
    let contents = vec![
        (10, Vec::new()),
        (10, truncated),
        (10, trailing),
        (10, broken.encode()),
        (11, salted.encode()),
        (11, moved.encode()),
        (11, elsewhere.encode()),
        (EXPIRY, good.encode()),
        (EXPIRY + 1, good.encode()),
    ];
    let outcomes = [
        undecodable,
        undecodable,
        undecodable,
        forged,
        forged,
        forged,
        forged,
        Outcome::Applied,
        Outcome::Excluded(ExclusionReason::Expired),
    ];
    let report = check(&fixture.state, &contents, &outcomes);
    assert_eq!((report.count, report.included), (9, 1));
}

#[test]
fn a_range_of_exclusions_only_proves() {
    let fixture = Fixture::new();
    let contents = vec![(1, vec![1]), (2, vec![2, 3])];
    let undecodable = Outcome::Excluded(ExclusionReason::Undecodable);
    let report = check(&fixture.state, &contents, &[undecodable; 2]);
    assert_eq!((report.count, report.included), (2, 0));
}

#[test]
fn a_payment_to_oneself_costs_the_fee() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(2, 2, 999_995, 0);
    check(&fixture.state, &at(10, &[&payment]), &[Outcome::Applied]);
    let mut after = fixture.state.clone();
    execute(&mut after, &ctx(), &at(10, &[&payment]));
    let account = after.account(fixture.addresses[2].slot).unwrap();
    assert_eq!(
        (account.balance, account.nonce, after.pool()),
        (999_995, 1, 5)
    );
}

#[test]
fn a_payment_to_oneself_never_overflows() {
    let mut fixture = Fixture::new();
    fixture
        .state
        .open(fixture.addresses[3], (1 << 62) - 10)
        .unwrap();
    let payment = fixture.pay(3, 3, (1 << 61) + 5, 0);
    check(&fixture.state, &at(10, &[&payment]), &[Outcome::Applied]);
}

#[test]
fn accounts_are_created_rotated_and_the_fee_account_collects() {
    let mut fixture = Fixture::new();
    let create = fixture.pay(0, 3, 1_000, 0);
    let draft = fixture.draft(1, 0, 7, 0);
    let rotate = fixture.wallets[1].rotate(&ctx(), &draft).unwrap();
    // Insufficient, yet it rotates: the account's next payment is under the new tree.
    let draft = fixture.draft(2, 0, 5_000_000, 0);
    let rotate_poor = fixture.wallets[2].rotate(&ctx(), &draft).unwrap();
    let spend = fixture.pay(3, 2, 900, 0);
    let stale = fixture.pay(1, 0, 1, 1);
    let collect = fixture.pay(4, 0, 6, 0);
    let collect_poor = fixture.pay(4, 0, 1_000, 1);
    let payments = [
        &create,
        &rotate,
        &rotate_poor,
        &spend,
        &stale,
        &collect,
        &collect_poor,
    ];
    let outcomes = [
        Outcome::Applied,
        Outcome::Applied,
        Outcome::InsufficientBalance,
        Outcome::Applied,
        Outcome::OwnerMismatch,
        Outcome::Applied,
        Outcome::InsufficientBalance,
    ];
    let contents = at(10, &payments);
    check(&fixture.state, &contents, &outcomes);

    let mut after = fixture.state.clone();
    execute(&mut after, &ctx(), &contents);
    for (account, nonce) in [(1, 1), (2, 1)] {
        let shown = *after.account(fixture.addresses[account].slot).unwrap();
        assert_eq!(shown.nonce, nonce);
        assert_ne!(shown.owner, shown.key);
        fixture.wallets[account].adopt(shown.owner).unwrap();
    }
    // Three fees of 5 are in the pool when the fee account pays 6 and 5; the second, poor
    // payment collects its own fee again.
    let fee_account = after.account(FEE_SLOT).unwrap();
    assert_eq!((fee_account.balance, after.pool()), (9, 0));
    let supply: u64 = after.accounts().map(|(_, a)| a.balance).sum();
    assert_eq!(supply + after.pool(), 3_000_000);

    fixture.state = after;
    let next: Payment = fixture.pay(1, 2, 1, 1);
    check(&fixture.state, &at(11, &[&next]), &[Outcome::Applied]);
}

#[test]
fn receivers_edge_slots_and_many_payments_prove() {
    let mut fixture = Fixture::new();
    let mut payments = Vec::new();
    for nonce in 0..9u64 {
        payments.push(fixture.pay(0, (nonce % 4) as usize, nonce, nonce));
    }
    let contents = at(10, &payments.iter().collect::<Vec<_>>());
    check(&fixture.state, &contents, &[Outcome::Applied; 9]);
}
