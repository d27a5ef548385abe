//! Fills the trace: executes the payments once more, and writes down what the constraints check.

mod signature;

use winterfell::TraceTable;
use winterfell::math::{FieldElement, fields::f64::BaseElement};

use crate::domain::{TAG_LEAF, TAG_SIGNATURE};
use crate::fingerprint::NON_RESIDUE;
use crate::hash::{FieldDigest, Node, to_base};
use crate::layout::{SLOT_ROWS, column as col};
use crate::payment::{DEPTH, Entry, PaymentBody, VALUE_LIMIT};
use crate::permutation;
use crate::signature::Signature;
use crate::state::{Account, State};
use crate::transition::{Outcome, credit, debit};

type Base = BaseElement;

/// A payment as the trace takes it.
pub(crate) struct Item<'a> {
    pub(crate) body: &'a PaymentBody,
    pub(crate) signature: &'a Signature,
    pub(crate) entry: Entry,
}

/// One account's change, with the siblings its path has before the change.
struct Change {
    old: Account,
    new: Account,
    siblings: [Node; DEPTH],
}

/// Everything the rows of one payment depend on.
struct Step {
    outcome: Option<Outcome>,
    sender: Change,
    receiver: Change,
    creates: bool,
    is_fee: bool,
    fee_slot: u32,
    pool: (u64, u64),
}

/// Slots for a number of payments: a power of two, and one at least.
pub(crate) fn slots(payments: usize) -> usize {
    payments.next_power_of_two()
}

/// Executes the payments on `state` and gives the trace.
///
/// `judge` says what each payment comes to; with any other judge than the transition's, the trace
/// breaks a constraint.
pub(crate) fn build(
    state: &mut State,
    start: FieldDigest,
    commitment: FieldDigest,
    items: &[Item<'_>],
    padding: &Item<'_>,
    judge: impl Fn(&State, &PaymentBody) -> Outcome,
) -> TraceTable<Base> {
    let slots = slots(items.len());
    let mut rows = Rows::new(slots * SLOT_ROWS);
    rows.set(col::ROOT, &state.opening().accounts.elements());
    rows.set(col::COMMITMENT, &commitment.elements());
    rows.row[col::POOL] = Base::new(state.opening().pool);
    for item in items {
        let outcome = judge(state, item.body);
        let step = execute(state, item.body, Some(outcome));
        rows.payment(start, item, &step);
    }
    for _ in items.len()..slots {
        let step = execute(state, padding.body, None);
        rows.payment(start, padding, &step);
    }
    rows.fill_last();
    TraceTable::init(rows.columns)
}

/// Applies one judged payment, or padding when there is no outcome, and records both changes.
fn execute(state: &mut State, body: &PaymentBody, outcome: Option<Outcome>) -> Step {
    let applied = outcome == Some(Outcome::Applied);
    let read = |state: &State, slot| state.account(slot).copied().unwrap_or_default();

    let pool = state.pool();
    let old = read(state, body.sender);
    let siblings = state.siblings(body.sender);
    let new = if outcome.is_some_and(Outcome::advances) {
        let (account, pool) = debit(state, body, applied);
        state.set(body.sender, account);
        state.set_pool(pool);
        account
    } else {
        old
    };
    let sender = Change { old, new, siblings };

    let slot = body.receiver.slot;
    let old = read(state, slot);
    let siblings = state.siblings(slot);
    let new = if applied {
        let account = credit(state, body);
        state.set(slot, account);
        account
    } else {
        old
    };
    Step {
        outcome,
        creates: applied && old.is_empty(),
        is_fee: body.sender == state.fee_slot(),
        fee_slot: state.fee_slot(),
        pool: (pool, state.pool()),
        sender,
        receiver: Change { old, new, siblings },
    }
}

/// Writes rows one after another; a column keeps its value until it is set again.
struct Rows {
    columns: Vec<Vec<Base>>,
    row: Vec<Base>,
    digest: [Base; 4],
    shift: [u64; 2],
}

fn number(value: u64) -> Base {
    Base::new(value)
}

fn base_node(node: Node) -> [Base; 4] {
    node.map(to_base)
}

fn join(left: [Base; 4], right: [Base; 4]) -> [Base; 8] {
    core::array::from_fn(|i| if i < 4 { left[i] } else { right[i - 4] })
}

fn multiply(a: [Base; 2], b: [Base; 2]) -> [Base; 2] {
    let seven = Base::new(NON_RESIDUE);
    [a[0] * b[0] + seven * a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

impl Rows {
    fn new(length: usize) -> Self {
        Self {
            columns: (0..col::WIDTH)
                .map(|_| Vec::with_capacity(length))
                .collect(),
            row: vec![Base::ZERO; col::WIDTH],
            digest: [Base::ZERO; 4],
            shift: [0; 2],
        }
    }

    fn set(&mut self, column: usize, values: &[Base]) {
        self.row[column..column + values.len()].copy_from_slice(values);
    }

    fn four(&self, column: usize) -> [Base; 4] {
        core::array::from_fn(|i| self.row[column + i])
    }

    fn two(&self, column: usize) -> [Base; 2] {
        [self.row[column], self.row[column + 1]]
    }

    /// Writes one row and sets the delay for the next.
    fn emit(&mut self, input: [Base; 8]) {
        self.set(0, &input);
        let output = permutation::fill(&mut self.row[..permutation::CELLS]);
        self.digest = core::array::from_fn(|i| output[i] + input[i]);
        for (column, value) in self.columns.iter_mut().zip(&self.row) {
            column.push(*value);
        }
        let digest = self.digest;
        self.set(col::DELAY, &digest);
    }

    /// The story of one payment, in row order.
    fn payment(&mut self, start: FieldDigest, item: &Item<'_>, step: &Step) {
        self.hold(item, step);
        self.message(start, item, step);
        self.one_time_key(item);
        self.key_path(item.signature);
        self.account(&step.sender, item.body.sender, |rows, place| {
            rows.sender_witness(place, item.body, step);
        });
        self.account(&step.receiver, item.body.receiver.slot, |rows, place| {
            rows.receiver_witness(place, item.body, step);
        });
        let point = self.two(col::POINT);
        let value = self.two(col::FINGERPRINT);
        let right = [point[0], point[1], value[0], value[1]];
        self.emit(join(self.four(col::COMMITMENT), right));
        self.extend_commitment(step);
        self.row[col::POOL] = number(step.pool.1);
        while !self.columns[0].len().is_multiple_of(SLOT_ROWS) {
            self.emit([Base::ZERO; 8]);
        }
    }

    fn hold(&mut self, item: &Item<'_>, step: &Step) {
        let body = item.body;
        self.row[col::SENDER] = number(u64::from(body.sender));
        self.row[col::RECEIVER] = number(u64::from(body.receiver.slot));
        self.row[col::NONCE] = number(body.nonce);
        self.row[col::AMOUNT] = number(body.amount);
        self.row[col::FEE] = number(body.fee);
        self.set(col::OWNER, &body.owner.elements());
        self.set(col::RECEIVER_KEY, &body.receiver.key.elements());
        self.set(col::NEXT_OWNER, &body.next_owner().elements());
        let point = item.entry.point.map(number);
        self.set(col::POINT, &point);
        self.set(col::POINT_SQUARED, &multiply(point, point));
        self.set(col::FLAGS, &[Base::ZERO; 8]);
        let flag = match step.outcome {
            Some(Outcome::AbsentSender | Outcome::OwnerMismatch) => Some(col::WRONG_OWNER),
            Some(Outcome::WrongNonce) => Some(col::WRONG_NONCE),
            Some(Outcome::InsufficientBalance) => Some(col::INSUFFICIENT),
            Some(Outcome::ReceiverSlotTaken) => Some(col::SLOT_TAKEN),
            Some(Outcome::BalanceOverflow) => Some(col::OVERFLOW),
            Some(Outcome::Applied) => Some(col::APPLIED),
            Some(Outcome::Excluded(_)) | None => None,
        };
        if let Some(flag) = flag {
            self.row[flag] = Base::ONE;
        }
        self.row[col::CREATES] = Base::from(u8::from(step.creates));
        self.row[col::IS_FEE] = Base::from(u8::from(step.is_fee));
    }

    fn message(&mut self, start: FieldDigest, item: &Item<'_>, step: &Step) {
        self.row[col::SIDE] = Base::ZERO;
        self.set(col::BIT, &[Base::ZERO; 2]);
        self.digest = start.elements();
        for block in item.body.blocks() {
            self.emit(join(self.digest, block.map(number)));
        }
        let message = self.digest;
        let salt = item.signature.salt.map(number);
        let block = [salt[0], salt[1], Base::ZERO, number(TAG_SIGNATURE)];
        self.emit(join(message, block));
        self.shift = [item.entry.codeword.0, item.entry.codeword.1];
        self.write_shift();
        self.set(col::FINGERPRINT, &salt);
        self.emit(join(self.four(col::COMMITMENT), message));
        self.extend_commitment(step);
    }

    fn extend_commitment(&mut self, step: &Step) {
        if step.outcome.is_some() {
            let digest = self.digest;
            self.set(col::COMMITMENT, &digest);
        }
    }

    fn write_shift(&mut self) {
        let shift = self.shift.map(number);
        self.set(col::SHIFT, &shift);
    }

    fn path_row(&mut self, right: bool, node: [Base; 4], sibling: [Base; 4]) {
        self.row[col::SIDE] = Base::from(u8::from(right));
        self.emit(if right {
            join(sibling, node)
        } else {
            join(node, sibling)
        });
    }

    /// Old and new leaf, then old and new path, interleaved.
    fn account(&mut self, change: &Change, slot: u32, witness: impl Fn(&mut Self, usize)) {
        let accounts = [&change.old, &change.new];
        let mut nodes = [[Base::ZERO; 4]; 2];
        for (i, account) in accounts.into_iter().enumerate() {
            witness(self, i);
            self.emit(join(account.key.elements(), account.owner.elements()));
            nodes[i] = self.digest;
        }
        for (i, account) in accounts.into_iter().enumerate() {
            let numbers = [account.balance, account.nonce, 0, TAG_LEAF];
            witness(self, 2 + i);
            self.emit(join(nodes[i], numbers.map(number)));
            nodes[i] = self.digest;
            if i == 1 {
                self.shift_two_bits();
            }
        }
        for (level, sibling) in change.siblings.iter().enumerate() {
            let position = slot >> level;
            self.row[col::POSITION] = number(u64::from(position));
            for node in &mut nodes {
                self.give_two_bits();
                self.path_row(position & 1 == 1, *node, base_node(*sibling));
                *node = self.digest;
                self.shift_two_bits();
            }
        }
        self.set(col::ROOT, &nodes[1]);
        self.row[col::SIDE] = Base::ZERO;
    }

    /// Loads a number to be range-checked; one that is out of range breaks the constraints.
    fn load_range(&mut self, value: u64) {
        self.shift = [value, 0];
        self.write_shift();
        self.give_two_bits();
    }

    fn give_two_bits(&mut self) {
        let value = self.shift[0];
        self.set(col::BIT, &[number(value & 1), number((value >> 1) & 1)]);
    }

    fn shift_two_bits(&mut self) {
        self.shift[0] >>= 2;
        self.write_shift();
    }

    /// Witnesses of the sender's four leaf rows.
    fn sender_witness(&mut self, place: usize, body: &PaymentBody, step: &Step) {
        let old = &step.sender.old;
        match place {
            0 => {
                let gap = differences(old.owner, body.owner);
                self.set(col::WITNESS, &inverse_of_first(gap));
            }
            1 => {
                let gap = number(u64::from(body.sender)) - number(u64::from(step.fee_slot));
                self.row[col::WITNESS] = gap.inv();
            }
            2 => self.row[col::WITNESS] = (number(old.nonce) - number(body.nonce)).inv(),
            _ => {
                let collected = if step.is_fee { step.pool.0 } else { 0 };
                let spendable = old.balance + collected;
                self.load_range(match step.outcome {
                    Some(
                        Outcome::Applied | Outcome::ReceiverSlotTaken | Outcome::BalanceOverflow,
                    ) => spendable.wrapping_sub(body.total()),
                    Some(Outcome::InsufficientBalance) => {
                        body.total().wrapping_sub(spendable).wrapping_sub(1)
                    }
                    _ => 0,
                });
            }
        }
    }

    /// Witnesses of the receiver's four leaf rows.
    fn receiver_witness(&mut self, place: usize, body: &PaymentBody, step: &Step) {
        let old = &step.receiver.old;
        match place {
            0 => {
                let gap = differences(old.key, body.receiver.key);
                self.set(col::WITNESS, &inverse_of_first(gap));
            }
            1 => self.set(col::WITNESS, &inverse_of_first(old.key.elements())),
            2 => {}
            _ => {
                let apart = u64::from(body.sender);
                let apart = number(apart) - number(u64::from(body.receiver.slot));
                self.row[col::WITNESS] = apart.inv();
                self.load_range(match step.outcome {
                    Some(Outcome::Applied) => old.balance + body.amount,
                    Some(Outcome::BalanceOverflow) => {
                        (old.balance + body.amount).wrapping_sub(VALUE_LIMIT)
                    }
                    _ => 0,
                });
            }
        }
    }

    /// Overwrites the last row, which no constraint looks at, with values that give every column
    /// full degree: declared degrees then hold whatever the payments are.
    fn fill_last(&mut self) {
        let mut value = Base::new(0x9e37_79b9_7f4a_7c15);
        for column in &mut self.columns {
            value = value * value + Base::new(0x2545_f491_4f6c_dd1d);
            if let Some(last) = column.last_mut() {
                *last = value;
            }
        }
    }
}

fn differences(a: FieldDigest, b: FieldDigest) -> [Base; 4] {
    let (a, b) = (a.elements(), b.elements());
    core::array::from_fn(|i| a[i] - b[i])
}

/// A vector whose product with `values` is 1, when any of them is not zero.
fn inverse_of_first(values: [Base; 4]) -> [Base; 4] {
    let mut witness = [Base::ZERO; 4];
    if let Some(i) = values.iter().position(|value| *value != Base::ZERO) {
        witness[i] = values[i].inv();
    }
    witness
}
