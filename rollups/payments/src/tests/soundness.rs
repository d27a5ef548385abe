//! What a dishonest prover might try.

use std::collections::BTreeMap;

use winterfell::math::{FieldElement, fields::f64::BaseElement};

use super::checker::Checker;
use super::fixture::{Fixture, at, job};
use crate::layout::{SLOT_ROWS, column as col, row};
use crate::payment::PaymentBody;
use crate::prove::{prove_trace, sort_out, witness};
use crate::statement::ContentsError;
use crate::transition::judge;
use crate::{Address, Outcome, ProveJob, RangeContext, State, VerifyError, prove, verify};

/// The checker of a trace whose prover judges as it likes.
fn lie(job: &ProveJob<'_>, verdict: impl Fn(&State, &PaymentBody) -> Outcome) -> Checker {
    let (payments, _) = sort_out(job);
    let (trace, inputs) = witness(job, &payments, verdict);
    Checker::new(&trace, &inputs)
}

#[test]
fn an_honest_trace_breaks_nothing() {
    let mut fixture = Fixture::new();
    let payments = [
        fixture.pay(0, 3, 5, 0),
        fixture.pay(0, 1, 5, 0),
        fixture.pay(4, 4, 0, 0),
    ];
    let contents = at(10, &payments.each_ref());
    assert!(!lie(&job(&fixture.state, &contents), judge).breaks());
}

/// Each kind of payment, claimed to come to every other outcome that has another effect.
#[test]
fn every_unjustified_verdict_breaks_a_constraint() {
    let mut fixture = Fixture::new();
    fixture
        .state
        .open(fixture.addresses[3], (1 << 62) - 10)
        .unwrap();
    let mut taken = fixture.draft(0, 1, 5, 0);
    taken.receiver = Address {
        slot: fixture.addresses[1].slot,
        key: fixture.addresses[0].key,
    };
    // Both poor and to a taken slot: the nonce must advance.
    let mut poor_and_taken = taken;
    poor_and_taken.amount = 2_000_000;
    let mut absent = fixture.draft(0, 1, 5, 0);
    absent.sender = 77;
    let mut mismatch = fixture.draft(0, 1, 5, 0);
    mismatch.sender = fixture.addresses[1].slot;
    let drafts = [
        (fixture.draft(0, 1, 5, 0), Outcome::Applied),
        (fixture.draft(0, 0, 5, 0), Outcome::Applied),
        (
            fixture.draft(0, 1, 2_000_000, 0),
            Outcome::InsufficientBalance,
        ),
        (poor_and_taken, Outcome::InsufficientBalance),
        (fixture.draft(0, 1, 5, 1), Outcome::WrongNonce),
        (mismatch, Outcome::OwnerMismatch),
        (absent, Outcome::AbsentSender),
        (taken, Outcome::ReceiverSlotTaken),
        (fixture.draft(0, 3, 10, 0), Outcome::BalanceOverflow),
    ];
    let verdicts = [
        Outcome::Applied,
        Outcome::InsufficientBalance,
        Outcome::WrongNonce,
        Outcome::OwnerMismatch,
        Outcome::ReceiverSlotTaken,
        Outcome::BalanceOverflow,
    ];
    for (draft, truth) in drafts {
        let payment = fixture.wallets[0]
            .pay(&super::fixture::ctx(), &draft)
            .unwrap();
        assert_eq!(judge(&fixture.state, &payment.body), truth);
        let contents = at(10, &[&payment]);
        let job = job(&fixture.state, &contents);
        assert!(!lie(&job, judge).breaks(), "{truth:?} is the truth");
        for verdict in verdicts {
            let no_op = |outcome: Outcome| !outcome.advances();
            // Reasons with the same effect are interchangeable when both hold.
            let both_hold = no_op(truth)
                && no_op(verdict)
                && (truth == verdict
                    || truth == Outcome::AbsentSender && verdict == Outcome::OwnerMismatch
                    || verdict == Outcome::WrongNonce && truth == Outcome::AbsentSender);
            let affordable = draft.amount < 1_000_000;
            if truth == verdict || both_hold || (verdict == Outcome::Applied && !affordable) {
                continue;
            }
            // Paying from an empty slot cannot even be written down natively.
            if truth == Outcome::AbsentSender && verdict.advances() {
                continue;
            }
            assert!(
                lie(&job, |_, _| verdict).breaks(),
                "{truth:?} as {verdict:?}"
            );
        }
    }
}

#[test]
fn flags_cannot_be_swapped_cleared_or_added() {
    let mut fixture = Fixture::new();
    let payments = [fixture.pay(0, 1, 2_000_000, 0), fixture.pay(0, 1, 5, 1)];
    let contents = at(10, &payments.each_ref());
    let mut checker = lie(&job(&fixture.state, &contents), judge);
    for slot in 0..2 {
        for flag in col::FLAGS..col::HELD_END {
            let rows = slot * SLOT_ROWS..(slot + 1) * SLOT_ROWS - slot;
            let flip = |checker: &mut Checker| {
                for row in rows.clone() {
                    let cell = &mut checker.columns[flag][row];
                    *cell = BaseElement::ONE - *cell;
                }
            };
            flip(&mut checker);
            assert!(checker.breaks(), "slot {slot}, flag {}", flag - col::FLAGS);
            flip(&mut checker);
        }
    }
    assert!(!checker.breaks());
}

#[test]
fn a_forged_balance_breaks_the_old_root() {
    let mut fixture = Fixture::new();
    let payment = fixture.pay(0, 1, 2_000_000, 0);
    let contents = at(10, &[&payment]);
    let mut forged = fixture.state.clone();
    let mut account = *forged.account(fixture.addresses[0].slot).unwrap();
    account.balance = 9_000_000;
    forged.set(fixture.addresses[0].slot, account);
    let job = job(&forged, &contents);
    let (payments, _) = sort_out(&job);
    let (trace, mut inputs) = witness(&job, &payments, judge);
    assert!(!Checker::new(&trace, &inputs).breaks());
    inputs.old = fixture.state.opening();
    assert!(Checker::new(&trace, &inputs).breaks_assertions());
    // Starting from the honest root, the forged leaf's path does not lead there.
    let mut checker = Checker::new(&trace, &inputs);
    for i in 0..4 {
        for row in 0..=row::SEND + row::TOP_NEW {
            checker.columns[col::ROOT + i][row] = inputs.old.accounts.elements()[i];
        }
    }
    assert!(checker.breaks());
}

/// Changes every cell of a payment's rows. The cells that no constraint reads are listed, so that
/// a constraint lost by accident shows up here.
#[test]
fn every_cell_that_matters_is_bound() {
    let mut fixture = Fixture::new();
    let payments = [
        fixture.pay(0, 3, 5, 0),
        fixture.pay(0, 1, 5, 1),
        fixture.pay(1, 0, 5, 0),
    ];
    let contents = at(10, &payments.each_ref());
    let mut checker = lie(&job(&fixture.state, &contents), judge);
    let mut free: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for column in 0..col::WIDTH {
        for row in SLOT_ROWS..2 * SLOT_ROWS {
            checker.columns[column][row] += BaseElement::new(2);
            if !checker.breaks_at(row - 1) && !checker.breaks_at(row) {
                free.entry(column).or_default().push(row - SLOT_ROWS);
            }
            checker.columns[column][row] -= BaseElement::new(2);
        }
    }
    let unused = row::KEY + 1;
    let last = SLOT_ROWS - 1;
    let mut expected: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    // Nothing is fingerprinted before the salt; the fingerprint is committed to at the end.
    for column in [col::FINGERPRINT, col::FINGERPRINT + 1] {
        expected.insert(
            column,
            vec![(0, row::SALT), (row::COMMIT_FINGERPRINT + 1, last)],
        );
    }
    // Shifts work between the salt and the key path, and in both range checks.
    let send_range = row::SEND + row::SECOND_NEW;
    let receive_range = row::RECEIVE + row::SECOND_NEW;
    expected.insert(
        col::SHIFT,
        vec![
            (0, row::SALT),
            (unused, send_range - 1),
            (send_range + row::RANGE_ROWS + 1, receive_range - 1),
            (receive_range + row::RANGE_ROWS + 1, last),
        ],
    );
    expected.insert(col::SHIFT + 1, vec![(0, row::SALT), (unused, last)]);
    // Registers of the one-time key. Witness 0 also shows whether the sender is the fee account.
    let before = (0, row::COMMIT_DIGEST);
    expected.insert(col::ABSORB, vec![before, (row::KEY, last)]);
    let fee_row = row::SEND + row::LEAF_NEW;
    expected.insert(
        col::WITNESS,
        vec![before, (row::KEY, fee_row - 1), (fee_row + 1, last)],
    );
    for column in col::WITNESS + 1..col::WITNESS + 4 {
        expected.insert(column, vec![before, (row::KEY, last)]);
    }
    for column in [
        col::PAIR,
        col::TREE,
        col::TREE + 1,
        col::CODE,
        col::CODE + 1,
    ] {
        expected.insert(column, vec![before, (unused, last)]);
    }
    // A position is read along a path only.
    let outside_paths = vec![
        before,
        (row::SEND, send_range),
        (row::RECEIVE, receive_range),
        (row::COMMIT_FINGERPRINT, last),
    ];
    expected.insert(col::POSITION, outside_paths);
    let found: BTreeMap<_, _> = free
        .iter()
        .map(|(column, rows)| (*column, runs(rows)))
        .collect();
    assert_eq!(found, expected);
}

fn runs(rows: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *row => *end = *row,
            _ => runs.push((*row, *row)),
        }
    }
    runs
}

#[test]
fn another_statement_is_refused() {
    let mut fixture = Fixture::new();
    let payments = [fixture.pay(0, 1, 5, 0), fixture.pay(1, 0, 7, 0)];
    let mut contents = at(10, &payments.each_ref());
    contents.push((11, vec![1, 2, 3]));
    let job = job(&fixture.state, &contents);
    let proven = prove(&job).unwrap();
    let run = |range: &RangeContext, contents: &[_], excluded: &[u32], root: &[u8; 32]| {
        verify(range, contents, excluded, root, &proven.proof)
    };
    let (range, root) = (job.range, proven.new_root);
    assert!(run(&range, &contents, &[2], &root).is_ok());

    let rejected = Err(VerifyError::Rejected);
    let statements = [
        RangeContext {
            prover: [43; 32],
            ..range
        },
        RangeContext {
            from_height: 9,
            ..range
        },
        RangeContext {
            to_height: 12,
            ..range
        },
        RangeContext {
            from_index: range.from_index + 1,
            to_index: range.to_index + 1,
            ..range
        },
    ];
    for statement in statements {
        assert_eq!(run(&statement, &contents, &[2], &root), rejected);
    }
    // Another chain or rollup changes what the payments sign: their salts give no codeword.
    for statement in [
        RangeContext { rollup: 4, ..range },
        RangeContext {
            chain: [8; 32],
            ..range
        },
    ] {
        let refused = run(&statement, &contents, &[2], &root);
        assert!(matches!(
            refused,
            Err(VerifyError::Contents(_) | VerifyError::Rejected)
        ));
    }
    let other_root = RangeContext {
        old_root: root,
        ..range
    };
    assert_eq!(
        run(&other_root, &contents, &[2], &root),
        Err(VerifyError::WrongRoot)
    );
    assert_eq!(
        run(&range, &contents, &[2], &[0; 32]),
        Err(VerifyError::WrongRoot)
    );

    let mut swapped = contents.clone();
    swapped.swap(0, 1);
    assert_eq!(run(&range, &swapped, &[2], &root), rejected);
    let mut replaced = contents.clone();
    replaced[1].1 = fixture.pay(1, 0, 8, 0).encode();
    assert_eq!(run(&range, &replaced, &[2], &root), rejected);

    let contents_error = |error| Err(VerifyError::Contents(error));
    let cases: [(&[u32], ContentsError); 4] = [
        (&[2, 1], ContentsError::WrongExclusions),
        (&[2, 2], ContentsError::WrongExclusions),
        (&[3], ContentsError::WrongExclusions),
        (&[0], ContentsError::InvalidIncluded { index: 2 }),
    ];
    for (excluded, error) in cases {
        assert_eq!(
            run(&range, &contents, excluded, &root),
            contents_error(error)
        );
    }
    let short = ContentsError::WrongCount {
        range: 3,
        contents: 2,
    };
    assert_eq!(
        run(&range, &contents[..2], &[], &root),
        contents_error(short)
    );
}

/// The prover leaves out a valid payment and proves the rest, calling it excluded.
#[test]
fn a_valid_payment_cannot_be_excluded() {
    let mut fixture = Fixture::new();
    let payments = [fixture.pay(0, 1, 5, 0), fixture.pay(1, 0, 7, 0)];
    let contents = at(10, &payments.each_ref());
    let job = job(&fixture.state, &contents);
    let (mut included, _) = sort_out(&job);
    included.remove(0);
    let (trace, inputs) = witness(&job, &included, judge);
    let header = crate::proof_bytes::ProofHeader {
        old: inputs.old,
        new: inputs.new,
    };
    let root = inputs.new_root;
    let proof = header.prepend(&prove_trace(trace, inputs).unwrap());
    assert_eq!(
        verify(&job.range, &contents, &[0], &root, &proof),
        Err(VerifyError::Contents(ContentsError::ValidExcluded {
            index: 0
        }))
    );
}

/// A payment whose ordered signature is broken cannot be included with the valid signature that
/// its owner made for the same message: the fingerprint differs.
#[test]
fn another_signature_for_the_same_message_does_not_include_a_broken_payment() {
    let mut fixture = Fixture::new();
    let good = fixture.pay(0, 1, 5, 0);
    let honest = at(10, &[&good]);
    let proven = prove(&job(&fixture.state, &honest)).unwrap();
    type Break = fn(&mut crate::Signature);
    let breaks: [Break; 5] = [
        |s| s.chains[0][0] ^= 1,
        |s| s.chains[123][1] ^= 1,
        |s| s.tree[1] ^= 1,
        |s| s.leaf ^= 1,
        |s| s.path[9].0[3] ^= 1,
    ];
    for damage in breaks {
        let mut broken = good.clone();
        damage(&mut broken.signature);
        let contents = at(10, &[&broken]);
        let job = job(&fixture.state, &contents);
        // The proof of the valid bytes does not carry over.
        let refused = verify(&job.range, &contents, &[], &proven.new_root, &proven.proof);
        assert_eq!(refused, Err(VerifyError::Rejected));
        // Nor does the valid signature as a witness for the broken bytes' entry.
        let entry = broken
            .entry(&super::fixture::ctx(), &contents[0].1)
            .unwrap();
        let (trace, inputs) = witness(&job, &[(good.clone(), entry)], judge);
        assert!(Checker::new(&trace, &inputs).breaks_assertions());
    }
}
