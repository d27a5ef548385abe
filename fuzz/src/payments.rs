//! Payments that were ordered, whatever they say: the outcome of a second implementation of the
//! rules, and the same money before and after.

use std::collections::BTreeMap;

use conclave_payments::{
    Account, Address, FieldDigest, Outcome, Payment, PaymentBody, State, VALUE_LIMIT, apply,
    execute,
};

use crate::choices::Choices;
use crate::rollup::{CONTEXT, EXPIRY, rollup, small};

/// Payments of one input at most.
const PAYMENTS_MAX: usize = 64;

/// Orders payments one after the other.
pub(crate) fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut state = rollup().state.clone();
    let mut model = Model::of(&state);
    for _ in 0..PAYMENTS_MAX {
        if choices.is_empty() {
            break;
        }
        step(&mut state, &mut model, &mut choices);
        model.compare(&state);
    }
}

fn step(state: &mut State, model: &mut Model, choices: &mut Choices<'_>) {
    let signed = &rollup().payments[choices.below(3)];
    match choices.u8() % 8 {
        0 => {
            let length = choices.below(1_024);
            let bytes = choices.bytes(length).to_vec();
            let outcome = execute(state, &CONTEXT, &[(1, bytes)]);
            assert!(matches!(outcome[..], [Outcome::Excluded(_)]), "{outcome:?}");
        }
        1 => {
            let mut bytes = signed.encode();
            let at = choices.below(bytes.len());
            let changed = choices.u8();
            bytes[at] ^= changed;
            let height = choices.near(EXPIRY);
            let outcome = execute(state, &CONTEXT, &[(height, bytes)]);
            if changed == 0 && height <= EXPIRY {
                let expected = model.pay(&signed.body);
                assert_eq!(outcome, [expected]);
            } else {
                assert!(matches!(outcome[..], [Outcome::Excluded(_)]), "{outcome:?}");
            }
        }
        _ => {
            // Whether it is authorised is looked at before; here it is taken for granted.
            let mut payment = signed.clone();
            payment.body = body(state, choices);
            if let Some(payment) = Payment::decode(&payment.encode()) {
                let expected = model.pay(&payment.body);
                assert_eq!(apply(state, &payment), expected, "{:?}", payment.body);
            } else {
                assert!(!is_well_formed(&payment.body), "{:?}", payment.body);
            }
        }
    }
}

/// A payment that may come close to what the state allows.
fn body(state: &State, choices: &mut Choices<'_>) -> PaymentBody {
    let sender = address(choices);
    let account = state.account(sender.slot).copied().unwrap_or_default();
    let owner = match choices.u8() % 8 {
        0 => key(choices),
        _ if account.is_empty() => sender.key,
        _ => account.owner,
    };
    PaymentBody {
        sender: sender.slot,
        owner,
        nonce: choices.near(account.nonce),
        receiver: address(choices),
        amount: choices.near(account.balance),
        fee: match choices.u8() % 4 {
            0 => choices.near(state.pool()),
            _ => choices.u8().into(),
        },
        expiry: EXPIRY,
        new_owner: (choices.u8().is_multiple_of(4)).then(|| key(choices)),
    }
}

fn address(choices: &mut Choices<'_>) -> Address {
    let known = rollup().addresses;
    match choices.u8() % 8 {
        which @ 0..=5 => known[usize::from(which % 3)],
        6 => Address {
            slot: u32::from(choices.u8()),
            key: key(choices),
        },
        _ => Address {
            slot: choices.u64() as u32,
            key: key(choices),
        },
    }
}

fn key(choices: &mut Choices<'_>) -> FieldDigest {
    small(choices.u8() % 4)
}

/// The bounds of a payment's fields, from the table of its encoding.
fn is_well_formed(body: &PaymentBody) -> bool {
    let zero = FieldDigest::default();
    let slots = [body.sender, body.receiver.slot];
    let total = u128::from(body.amount) + u128::from(body.fee);
    slots.iter().all(|slot| *slot < 1 << 24)
        && body.nonce < 1 << 62
        && body.expiry < 1 << 62
        && total < 1 << 62
        && body.owner != zero
        && body.receiver.key != zero
        && body.new_owner != Some(zero)
        && body.new_owner != Some(body.owner)
}

/// The rules as docs/protocol.md tells them, without trees and in wide numbers.
struct Model {
    accounts: BTreeMap<u32, Account>,
    pool: u128,
    fee_slot: u32,
    supply: u128,
}

impl Model {
    fn of(state: &State) -> Self {
        let accounts: BTreeMap<u32, Account> =
            state.accounts().map(|(slot, a)| (slot, *a)).collect();
        let balances: u128 = accounts.values().map(|a| u128::from(a.balance)).sum();
        Self {
            accounts,
            pool: state.pool().into(),
            fee_slot: state.fee_slot(),
            supply: balances + u128::from(state.pool()),
        }
    }

    fn pay(&mut self, body: &PaymentBody) -> Outcome {
        let Some(mut sender) = self.accounts.get(&body.sender).copied() else {
            return Outcome::AbsentSender;
        };
        if sender.owner != body.owner {
            return Outcome::OwnerMismatch;
        }
        if sender.nonce != body.nonce {
            return Outcome::WrongNonce;
        }
        let collects = body.sender == self.fee_slot;
        let mut money = u128::from(sender.balance) + if collects { self.pool } else { 0 };
        let total = u128::from(body.amount) + u128::from(body.fee);
        let pays = money >= total;
        let to = body.receiver;
        let receiver = self.accounts.get(&to.slot).copied();
        if pays {
            if receiver.is_some_and(|receiver| receiver.key != to.key) {
                return Outcome::ReceiverSlotTaken;
            }
            let held = receiver.map_or(0, |receiver| u128::from(receiver.balance));
            let limit = u128::from(VALUE_LIMIT);
            if to.slot != body.sender && held + u128::from(body.amount) >= limit {
                return Outcome::BalanceOverflow;
            }
            money -= total;
        }
        if collects {
            self.pool = 0;
        }
        sender.nonce += 1;
        sender.owner = body.new_owner.unwrap_or(body.owner);
        sender.balance = u64::try_from(money).expect("below the supply");
        self.accounts.insert(body.sender, sender);
        if !pays {
            return Outcome::InsufficientBalance;
        }
        self.pool += u128::from(body.fee);
        let fresh = Account {
            key: to.key,
            owner: to.key,
            ..Account::default()
        };
        let receiver = self.accounts.entry(to.slot).or_insert(fresh);
        receiver.balance += body.amount;
        Outcome::Applied
    }

    fn compare(&self, state: &State) {
        let found: BTreeMap<u32, Account> = state.accounts().map(|(slot, a)| (slot, *a)).collect();
        assert_eq!(found, self.accounts);
        assert_eq!(u128::from(state.pool()), self.pool);
        let balances: u128 = found.values().map(|a| u128::from(a.balance)).sum();
        assert_eq!(balances + self.pool, self.supply, "money came or went");
    }
}
