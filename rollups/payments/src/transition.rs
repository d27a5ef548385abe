//! The transition function, executed natively.
//!
//! An ordered payment is judged in this order; the first that holds decides:
//!
//! 1. the sender's slot is empty, has another owner root, or another nonce: nothing changes;
//! 2. the sender cannot pay amount and fee: the nonce advances and the owner root rotates;
//! 3. the receiver's slot is held by another key, or its balance would reach 2^62: nothing changes;
//! 4. the payment applies: the sender is debited, *then* the receiver is credited, and the fee
//!    joins the pool.
//!
//! A payment to oneself is therefore debited and credited on the same account: it costs the fee.
//! Whenever the fee account's nonce advances, the pool joins its balance first.

use crate::exclusion::{ExclusionReason, classify};
use crate::payment::{Payment, PaymentBody, PaymentContext, VALUE_LIMIT};
use crate::state::{Account, State};

/// What became of one ordered transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Money moved.
    Applied,
    /// The nonce advanced and the owner root rotated; no money moved.
    InsufficientBalance,
    /// Nothing changed: the payment's nonce is not the account's.
    WrongNonce,
    /// Nothing changed: the payment states another owner root than the account's.
    OwnerMismatch,
    /// Nothing changed: the sender's slot is empty.
    AbsentSender,
    /// Nothing changed: the receiver's slot is held by another key.
    ReceiverSlotTaken,
    /// Nothing changed: the receiver's balance would reach 2^62.
    BalanceOverflow,
    /// Not a payment of this rollup at all.
    Excluded(ExclusionReason),
}

impl Outcome {
    /// Whether the sender's nonce advanced.
    pub fn advances(self) -> bool {
        matches!(self, Self::Applied | Self::InsufficientBalance)
    }
}

/// Executes ordered contents, each with the height that ordered it.
pub fn execute(
    state: &mut State,
    ctx: &PaymentContext,
    contents: &[(u64, Vec<u8>)],
) -> Vec<Outcome> {
    contents
        .iter()
        .map(|(height, bytes)| match classify(bytes, ctx, *height) {
            Ok(payment) => apply(state, &payment),
            Err(reason) => Outcome::Excluded(reason),
        })
        .collect()
}

/// Executes one authorised payment.
pub fn apply(state: &mut State, payment: &Payment) -> Outcome {
    let body = &payment.body;
    let outcome = judge(state, body);
    if outcome.advances() {
        let paid = outcome == Outcome::Applied;
        let (sender, pool) = debit(state, body, paid);
        state.set(body.sender, sender);
        state.set_pool(pool);
        if paid {
            let receiver = credit(state, body);
            state.set(body.receiver.slot, receiver);
        }
    }
    outcome
}

/// What a payment comes to in this state, without changing it.
pub fn judge(state: &State, body: &PaymentBody) -> Outcome {
    let Some(sender) = state.account(body.sender) else {
        return Outcome::AbsentSender;
    };
    if sender.owner != body.owner {
        return Outcome::OwnerMismatch;
    }
    if sender.nonce != body.nonce {
        return Outcome::WrongNonce;
    }
    if state.spendable(body.sender) < body.total() {
        return Outcome::InsufficientBalance;
    }
    match state.account(body.receiver.slot) {
        Some(receiver) if receiver.key != body.receiver.key => Outcome::ReceiverSlotTaken,
        Some(receiver)
            if body.sender != body.receiver.slot
                && receiver.balance + body.amount >= VALUE_LIMIT =>
        {
            Outcome::BalanceOverflow
        }
        _ => Outcome::Applied,
    }
}

/// The sender's account and the pool after a payment that advances the nonce.
pub(crate) fn debit(state: &State, body: &PaymentBody, paid: bool) -> (Account, u64) {
    let sender = state.account(body.sender).copied().unwrap_or_default();
    let collected = if body.sender == state.fee_slot() {
        state.pool()
    } else {
        0
    };
    let (total, fee) = if paid {
        (body.total(), body.fee)
    } else {
        (0, 0)
    };
    let account = Account {
        owner: body.next_owner(),
        balance: sender.balance + collected - total,
        nonce: sender.nonce + 1,
        ..sender
    };
    (account, state.pool() - collected + fee)
}

/// The receiver's account after an applied payment, read after the sender was debited.
pub(crate) fn credit(state: &State, body: &PaymentBody) -> Account {
    let key = body.receiver.key;
    let receiver = state.account(body.receiver.slot).copied();
    let receiver = receiver.unwrap_or(Account {
        key,
        owner: key,
        ..Account::default()
    });
    Account {
        balance: receiver.balance + body.amount,
        ..receiver
    }
}
