//! What was acknowledged survives, and a restart ends where a replay would.

use conclave_payments::{Payment, execute, verify_path};

use super::fixture::Fixture;
use crate::owner::{AccountQuery, At, PaymentAnswer, SealedGroup};
use crate::queue::Stage;
use crate::{OutcomeKind, PaymentId, RollupError};

/// What `kill -9` leaves: the file as it is now, while the process still has it open.
fn killed(fixture: &Fixture, name: &str) -> std::path::PathBuf {
    let copy = fixture.folder.path().join(name);
    std::fs::copy(fixture.database(), &copy).expect("copied");
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_payment_survives_a_kill_at_every_stage() {
    let fixture = Fixture::new(2);
    let mut purse = fixture.purse(2);
    let payment = fixture.pay(&mut purse, 0, 3, 5);
    let (bytes, id) = (payment.encode(), PaymentId::of(&payment.encode()));
    let first = fixture.start(&fixture.database());
    first
        .handle
        .accept(payment, bytes.clone())
        .await
        .expect("accepted");

    let after = fixture.start(&killed(&fixture, "accepted.redb"));
    let answer = after.handle.payment(id).await.expect("answer");
    assert!(
        matches!(answer, PaymentAnswer::Pending(Stage::Queued)),
        "{answer:?}"
    );
    let group = after
        .handle
        .take(9)
        .await
        .expect("answer")
        .expect("a group");
    assert_eq!(group.payments, std::slice::from_ref(&bytes));
    after.stop().await;

    let group = first
        .handle
        .take(9)
        .await
        .expect("answer")
        .expect("a group");
    let sealed = SealedGroup {
        group: group.id,
        id: [4; 32],
        envelope: vec![1, 2, 3],
        expiry: 100,
    };
    let _end = first.handle.sealed(sealed).await.expect("recorded");
    let mut after = fixture.start(&killed(&fixture, "sealed.redb"));
    let flights = std::mem::take(&mut after.flights);
    assert_eq!(flights.len(), 1);
    assert_eq!(
        flights[0].envelope,
        [1, 2, 3],
        "the same envelope is submitted again"
    );
    let answer = after.handle.payment(id).await.expect("answer");
    assert!(
        matches!(answer, PaymentAnswer::Pending(Stage::Sealed(_))),
        "{answer:?}"
    );
    assert_eq!(after.handle.take(9).await.expect("answer"), None);
    after.stop().await;

    let delivery = fixture.delivery(0, 7, &[bytes], [4; 32]);
    first.handle.deliver(delivery).await.expect("executed");
    let after = fixture.start(&killed(&fixture, "delivered.redb"));
    assert!(after.flights.is_empty());
    assert_eq!(after.position, (8, 1));
    match after.handle.payment(id).await.expect("answer") {
        PaymentAnswer::Done(result) => {
            assert!(result.ordered);
            assert_eq!((result.outcome, result.height), (OutcomeKind::Applied, 7));
        }
        other => panic!("{other:?}"),
    }
    after.stop().await;
    first.stop().await;
}

/// Valid and wrong payments of two accounts.
fn contents(fixture: &Fixture, count: u64) -> Vec<Vec<u8>> {
    let (mut one, mut two) = (fixture.purse(2), fixture.purse(3));
    let mut contents = Vec::new();
    for nonce in 0..count {
        let payment: Payment = fixture.pay(&mut one, nonce, 3, 10 + nonce);
        contents.push(payment.encode());
        // Every second one has the nonce of the one before.
        let payment = fixture.pay(&mut two, nonce / 2, 2, 3);
        contents.push(payment.encode());
        contents.push(vec![nonce as u8; 40]);
    }
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_from_snapshot_and_log_equals_a_replay() {
    let fixture = Fixture::new(2);
    let contents = contents(&fixture, 10);
    let mut replay = fixture.state();
    let mut settled = Vec::new();
    for (height, bytes) in (1..).zip(&contents) {
        execute(&mut replay, &fixture.context, &[(height, bytes.clone())]);
        settled.push(replay.root());
    }
    let deliver = async |running: &super::fixture::Running, range: std::ops::Range<usize>| {
        for at in range {
            let one = &contents[at..=at];
            let delivery = fixture.delivery(at as u64, at as u64 + 1, one, [at as u8; 32]);
            running.handle.deliver(delivery).await.expect("executed");
        }
    };

    let first = fixture.start(&fixture.database());
    deliver(&first, 0..12).await;
    first.handle.settle(5, settled[4]).await.expect("told");
    first.stop().await;

    let second = fixture.start(&fixture.database());
    assert_eq!(second.position, (13, 12));
    deliver(&second, 12..30).await;
    second.handle.settle(20, settled[19]).await.expect("told");
    let before = second.handle.status().await.expect("status");
    assert_eq!(before.root, replay.root());
    assert_eq!(
        (before.settled_index, before.settled_root),
        (20, settled[19])
    );

    // No snapshot was written since the restart: the head comes from the log.
    let third = fixture.start(&killed(&fixture, "killed.redb"));
    let after = third.handle.status().await.expect("status");
    assert_eq!((after.root, after.index), (before.root, 30));
    assert_eq!(after.counts, before.counts);
    assert_eq!(
        after.settled_index, 5,
        "the ledger tells again what is settled"
    );
    third.handle.settle(20, settled[19]).await.expect("told");
    let after = third.handle.status().await.expect("status");
    assert_eq!((after.settled_index, after.settled_root), (20, settled[19]));
    third.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_account_verifies_against_the_root_and_nothing_else_does() {
    let fixture = Fixture::new(2);
    let contents = contents(&fixture, 4);
    let running = fixture.start(&fixture.database());
    let delivery = fixture.delivery(0, 1, &contents, [1; 32]);
    running.handle.deliver(delivery).await.expect("executed");
    let mut state = fixture.state();
    let ordered: Vec<_> = contents[..6]
        .iter()
        .map(|bytes| (1, bytes.clone()))
        .collect();
    execute(&mut state, &fixture.context, &ordered);
    running.handle.settle(6, state.root()).await.expect("told");

    let query = AccountQuery {
        key: fixture.address(2).key,
        slot: None,
        at: At::Settled,
    };
    let answer = running
        .handle
        .account(query)
        .await
        .expect("answer")
        .expect("account");
    let (root, path) = answer.proof.expect("proof");
    assert_eq!(root, state.root());
    assert_eq!(Some(&answer.account), state.account(2));
    assert!(verify_path(&root, 2, &answer.account, &path));
    let mut richer = answer.account;
    richer.balance += 1;
    assert!(!verify_path(&root, 2, &richer, &path));
    let head = AccountQuery {
        at: At::Head,
        ..query
    };
    let head = running
        .handle
        .account(head)
        .await
        .expect("answer")
        .expect("account");
    assert!(
        head.account.nonce > answer.account.nonce,
        "the head is ahead"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_or_another_settled_root_stops_the_node() {
    let fixture = Fixture::new(2);
    let running = fixture.start(&fixture.database());
    let delivery = fixture.delivery(1, 1, &[vec![1]], [1; 32]);
    assert!(running.handle.deliver(delivery).await.is_err());
    let error = running.thread.join().expect("no panic");
    assert!(
        matches!(
            error,
            Err(RollupError::Gap {
                expected: 0,
                found: 1
            })
        ),
        "{error:?}"
    );

    let running = fixture.start(&fixture.database());
    running.handle.settle(0, [1; 32]).await.expect("told");
    let error = running.thread.join().expect("no panic");
    assert!(
        matches!(error, Err(RollupError::Diverged { .. })),
        "{error:?}"
    );
}
