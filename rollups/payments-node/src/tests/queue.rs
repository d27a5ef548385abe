//! Refusals have reasons, and a sender's payments never overtake each other.

use conclave_payments::{Address, Payment};

use super::fixture::{EXPIRY, Fixture, LIMITS};
use crate::queue::{Queue, Stage};
use crate::{OutcomeKind, PaymentId, Refusal};

struct Case {
    fixture: Fixture,
    queue: Queue,
}

impl Case {
    fn new() -> Self {
        Self {
            fixture: Fixture::new(2),
            queue: Queue::default(),
        }
    }

    fn admit(&mut self, payment: &Payment) -> Result<PaymentId, Refusal> {
        let state = self.fixture.state();
        let bytes = payment.encode();
        let id = PaymentId::of(&bytes);
        let admitted = self.queue.admit(&state, 1, LIMITS, payment, bytes);
        admitted.map(|_| id)
    }
}

#[test]
fn every_implausible_payment_is_refused_with_its_reason() {
    let mut case = Case::new();
    let mut purse = case.fixture.purse(2);
    let context = case.fixture.context;
    let good = case.fixture.draft(2, 0, 3, 10);

    let mut wrong = good;
    wrong.nonce = 5;
    let payment = purse.pay(&context, &wrong).expect("signed");
    let refused = case.admit(&payment);
    assert_eq!(
        refused,
        Err(Refusal::WrongNonce {
            expected: 0,
            found: 5
        })
    );

    let mut wrong = good;
    wrong.sender = 3;
    let payment = purse.pay(&context, &wrong).expect("signed");
    assert!(matches!(
        case.admit(&payment),
        Err(Refusal::OwnerMismatch { slot: 3, .. })
    ));

    let mut wrong = good;
    wrong.sender = 77;
    let payment = purse.pay(&context, &wrong).expect("signed");
    assert_eq!(
        case.admit(&payment),
        Err(Refusal::AbsentSender { slot: 77 })
    );

    let mut wrong = good;
    wrong.amount = 2_000_000_000;
    let payment = purse.pay(&context, &wrong).expect("signed");
    assert!(matches!(
        case.admit(&payment),
        Err(Refusal::InsufficientBalance { .. })
    ));

    let mut wrong = good;
    wrong.receiver.key = purse.address.key;
    let payment = purse.pay(&context, &wrong).expect("signed");
    assert_eq!(
        case.admit(&payment),
        Err(Refusal::ReceiverSlotTaken { slot: 3 })
    );

    let mut wrong = good;
    wrong.expiry = 2;
    let payment = purse.pay(&context, &wrong).expect("signed");
    assert!(matches!(
        case.admit(&payment),
        Err(Refusal::ExpiresTooSoon { .. })
    ));

    let payment = purse.pay(&context, &good).expect("signed");
    let id = case.admit(&payment).expect("good");
    assert_eq!(
        case.admit(&payment),
        Ok(id),
        "the same bytes again are no second payment"
    );
    let again = purse.pay(&context, &good).expect("signed");
    assert!(matches!(
        case.admit(&again),
        Err(Refusal::NonceTaken { .. })
    ));
    assert_eq!(case.queue.len(), 1);
}

#[test]
fn pending_payments_count_against_nonce_and_balance() {
    let mut case = Case::new();
    let mut purse = case.fixture.purse(2);
    let first = case.fixture.pay(&mut purse, 0, 3, 900_000_000);
    case.admit(&first).expect("affordable");
    let second = case.fixture.pay(&mut purse, 1, 3, 900_000_000);
    assert!(matches!(
        case.admit(&second),
        Err(Refusal::InsufficientBalance { .. })
    ));
    let second = case.fixture.pay(&mut purse, 1, 3, 1_000);
    case.admit(&second).expect("affordable");
    let projection = case
        .queue
        .project(&case.fixture.state(), 2)
        .expect("account");
    assert_eq!((projection.nonce, projection.pending), (2, 2));
}

#[test]
fn one_senders_payments_are_never_in_two_envelopes() {
    let mut case = Case::new();
    let (mut one, mut two) = (case.fixture.purse(2), case.fixture.purse(3));
    let mut ids = Vec::new();
    for nonce in 0..3 {
        let payment = case.fixture.pay(&mut one, nonce, 3, 1);
        ids.push(case.admit(&payment).expect("good"));
    }
    let group = case.queue.take(2).expect("a group");
    assert_eq!(group.ids, ids[..2]);
    assert_eq!(
        case.queue.take(2),
        None,
        "the third waits for the first two"
    );
    assert_eq!(case.queue.ready(10), 0);

    let other = case.fixture.pay(&mut two, 0, 2, 1);
    let other = case.admit(&other).expect("good");
    let second = case.queue.take(2).expect("another sender's");
    assert_eq!(second.ids, [other]);

    case.queue.sealed(group.id, [1; 32], 50);
    assert_eq!(case.queue.stage(&ids[0]), Some(Stage::Sealed([1; 32])));
    // The envelope brought the first; the second was lost with it and goes again, in order.
    case.queue.remove(&ids[0]);
    assert!(case.queue.land(&[1; 32]));
    let group = case.queue.take(9).expect("the rest");
    assert_eq!(group.ids, ids[1..]);
    case.queue.unseal(group.id);
    assert_eq!(case.queue.take(9).expect("again").ids, ids[1..]);
}

#[test]
fn an_expired_envelope_gives_its_payments_back_until_they_expire_too() {
    let mut case = Case::new();
    let mut purse = case.fixture.purse(2);
    let payment = case.fixture.pay(&mut purse, 0, 3, 1);
    let id = case.admit(&payment).expect("good");
    let group = case.queue.take(9).expect("a group");
    case.queue.sealed(group.id, [1; 32], 50);
    assert!(case.queue.expired_flights(49).is_empty());
    assert_eq!(case.queue.expired_flights(50), [[1; 32]]);
    case.queue.land(&[1; 32]);
    assert_eq!(case.queue.stage(&id), Some(Stage::Queued));
    assert!(case.queue.expired_payments(EXPIRY - 1).is_empty());
    assert_eq!(case.queue.expired_payments(EXPIRY), [id]);
}

#[test]
fn a_payment_that_will_not_advance_the_nonce_is_not_counted() {
    let mut case = Case::new();
    let mut purse = case.fixture.purse(2);
    let mut draft = case.fixture.draft(2, 0, 3, 1);
    draft.receiver = Address {
        slot: 3,
        key: purse.address.key,
    };
    let taken = purse.pay(&case.fixture.context, &draft).expect("signed");
    let kind = OutcomeKind::ReceiverSlotTaken;
    case.queue
        .admit_unchecked(LIMITS, Some(2), taken.encode(), kind)
        .expect("room");
    let state = case.fixture.state();
    let projection = case.queue.project(&state, 2).expect("account");
    assert_eq!((projection.nonce, projection.pending), (0, 1));
}
