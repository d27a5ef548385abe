//! The load comes to what it was made for, whatever order the envelopes are in.

use std::collections::BTreeMap;

use conclave_payments::{Address, execute};

use super::fixture::{Fixture, LIMITS};
use crate::load::{Generator, GeneratorOptions};
use crate::owner::Outlook;
use crate::purse::Purse;
use crate::queue::Queue;
use crate::{OutcomeKind, PaymentId, devnet};

#[test]
fn every_kind_of_wrong_payment_is_made_and_judged_as_intended() {
    let fixture = Fixture::new(4);
    let mut state = fixture.state();
    let mut purses: Vec<Purse> = (2..5).map(|number| fixture.purse(number)).collect();
    // One account lost its wallet's file: it rotates before it pays.
    std::fs::remove_file(fixture.config.data.join("wallets/5.leaves")).expect("removed");
    let key = fixture.address(5).key;
    let wallet = devnet::recover_wallet(&fixture.config.data, fixture.devnet(), 5, key);
    purses.push(Purse {
        address: fixture.address(5),
        wallet: wallet.expect("restored").expect("the seed's"),
    });
    let options = GeneratorOptions {
        context: fixture.context,
        invalid_percent: 45,
        expiry_blocks: 100,
        seed: 7,
    };
    let mut generator = Generator::new(options, purses);
    let mut queue = Queue::default();
    let mut seen = BTreeMap::new();
    let mut slots = Vec::new();
    for height in 1..=30 {
        if height == 5 {
            let wallet = devnet::create_wallet(&fixture.config.data, fixture.devnet(), 6);
            let wallet = wallet.expect("newcomer");
            let address = Address {
                slot: 4_711,
                key: wallet.owner(),
            };
            generator.welcome(Purse { address, wallet });
        }
        slots = generator.slots();
        let senders = slots.iter().map(|slot| queue.project(&state, *slot));
        let outlook = Outlook {
            height,
            senders: senders.collect(),
        };
        let made = generator.make(&outlook, 14).expect("signed");
        for payment in made.payments {
            let admitted =
                queue.admit_unchecked(LIMITS, payment.lane, payment.bytes, payment.intended);
            assert!(admitted.expect("room").is_some());
        }
        // Two envelopes at a time, ordered the other way round; what does not fit stays queued.
        let groups: Vec<_> = (0..2).filter_map(|_| queue.take(8)).collect();
        for group in groups.into_iter().rev() {
            for bytes in group.payments {
                let id = PaymentId::of(&bytes);
                let outcomes = execute(&mut state, &fixture.context, &[(height + 1, bytes)]);
                let outcome = OutcomeKind::from(outcomes[0]);
                let intended = queue.remove(&id).flatten();
                assert_eq!(Some(outcome), intended, "at height {height}");
                *seen.entry(outcome).or_insert(0) += 1;
            }
        }
    }
    let unreachable = OutcomeKind::BalanceOverflow;
    for kind in OutcomeKind::ALL
        .into_iter()
        .filter(|kind| *kind != unreachable)
    {
        assert!(
            seen.get(&kind).is_some_and(|count| *count >= 5),
            "{kind:?}: {seen:?}"
        );
    }
    let restored = state.account(5).expect("account");
    assert_ne!(restored.owner, restored.key, "the restored wallet rotated");
    assert!(restored.nonce > 1, "and paid then");
    let newcomer = state.account(slots[4]).expect("the newcomer was credited");
    assert!(newcomer.balance > 0);
}
