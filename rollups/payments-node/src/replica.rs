//! The executed state: at the head of the stream, and at the ledger's settled root.
//!
//! ```text
//! stream ──▶ judged transactions ──▶ head ──▶ log entries ──(the ledger settles)──▶ settled
//! ```
//!
//! Invariants: transactions are executed in order without a gap; the settled state follows from
//! the same log entries that the head made, and its root is the ledger's.

use std::collections::{BTreeMap, BTreeSet};

use conclave_payments::{
    ExclusionReason, FieldDigest, Payment, PaymentContext, State, apply, classify,
};

use crate::store::{Cursor, LogEntry, Snapshot};
use crate::{OutcomeKind, PaymentId, RollupError};

/// A delivered transaction whose stateless checks are done, which is most of its cost.
pub(crate) struct Judged {
    /// The height that ordered it.
    pub(crate) height: u64,
    pub(crate) id: PaymentId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) verdict: Result<Payment, ExclusionReason>,
}

impl Judged {
    /// Checks encoding, expiry and signature.
    pub(crate) fn new(ctx: &PaymentContext, height: u64, bytes: Vec<u8>) -> Self {
        Self {
            height,
            id: PaymentId::of(&bytes),
            verdict: classify(&bytes, ctx, height),
            bytes,
        }
    }
}

/// A run of the stream: all of the rollup's transactions up to a height.
pub(crate) struct Delivery {
    /// The index of the first transaction, or of the next one when there are none.
    pub(crate) first_index: u64,
    /// The height after the last that this delivery covers.
    pub(crate) next_height: u64,
    pub(crate) transactions: Vec<Judged>,
    /// The envelopes these transactions came in, and those ordered without any.
    pub(crate) envelopes: Vec<[u8; 32]>,
}

/// Both states and where they stand.
pub(crate) struct Replica {
    head: State,
    cursor: Cursor,
    settled: State,
    settled_index: u64,
    slots: BTreeMap<FieldDigest, BTreeSet<u32>>,
}

impl Replica {
    /// The rollup before its first transaction.
    pub(crate) fn genesis(state: &State) -> Self {
        let cursor = Cursor {
            height: 1,
            index: 0,
            counts: vec![0; OutcomeKind::ALL.len()],
        };
        Self::at(state.clone(), cursor, state.clone(), 0)
    }

    fn at(head: State, cursor: Cursor, settled: State, settled_index: u64) -> Self {
        let mut slots = BTreeMap::<_, BTreeSet<_>>::new();
        for (slot, account) in head.accounts() {
            slots.entry(account.key).or_default().insert(slot);
        }
        Self {
            head,
            cursor,
            settled,
            settled_index,
            slots,
        }
    }

    /// Resumes from snapshots and the log between the older of them and the cursor.
    ///
    /// `log` gives entries of a range of indices; a snapshot that is missing starts from genesis.
    pub(crate) fn resume(
        genesis: &State,
        cursor: Cursor,
        head: Option<Snapshot>,
        settled: Option<Snapshot>,
        log: impl Fn(u64, u64) -> Result<Vec<LogEntry>, RollupError>,
    ) -> Result<Self, RollupError> {
        if cursor.counts.len() != OutcomeKind::ALL.len() {
            return Err(wrong("the cursor counts other outcomes".into()));
        }
        let open = |snapshot: Option<Snapshot>| match snapshot {
            Some(Snapshot { index, state }) => Ok((index, State::from_bytes(&state)?)),
            None => Ok::<_, RollupError>((0, genesis.clone())),
        };
        let (head_index, mut head) = open(head)?;
        let (settled_index, settled) = open(settled)?;
        if head_index > cursor.index || settled_index > cursor.index {
            return Err(wrong("a snapshot is ahead of the cursor".into()));
        }
        // In pages, so that a long log is not in memory at once.
        for from in (head_index..cursor.index).step_by(4096) {
            let to = cursor.index.min(from + 4096);
            replay(&mut head, from, &log(from, to)?)?;
        }
        Ok(Self::at(head, cursor, settled, settled_index))
    }

    /// Executes a delivery.
    pub(crate) fn execute(
        &mut self,
        delivery: &Delivery,
    ) -> Result<Vec<(u64, LogEntry)>, RollupError> {
        if delivery.first_index != self.cursor.index || delivery.next_height < self.cursor.height {
            return Err(RollupError::Gap {
                expected: self.cursor.index,
                found: delivery.first_index,
            });
        }
        let mut entries = Vec::with_capacity(delivery.transactions.len());
        for transaction in &delivery.transactions {
            let outcome = match &transaction.verdict {
                Ok(payment) => self.apply(payment),
                Err(reason) => OutcomeKind::from(*reason),
            };
            let effect = outcome.advances().then(|| transaction.bytes.clone());
            entries.push((self.cursor.index, LogEntry { outcome, effect }));
            self.cursor.counts[outcome.position()] += 1;
            self.cursor.index += 1;
        }
        self.cursor.height = delivery.next_height;
        Ok(entries)
    }

    fn apply(&mut self, payment: &Payment) -> OutcomeKind {
        let outcome = OutcomeKind::from(apply(&mut self.head, payment));
        if outcome == OutcomeKind::Applied {
            let receiver = payment.body.receiver;
            self.slots
                .entry(receiver.key)
                .or_default()
                .insert(receiver.slot);
        }
        outcome
    }

    /// Moves the settled state to `index`, by the log entries from
    /// [`settled_index`](Self::settled_index) on, and checks it against the ledger's root.
    pub(crate) fn settle(
        &mut self,
        index: u64,
        root: &[u8; 32],
        entries: &[LogEntry],
    ) -> Result<(), RollupError> {
        replay(&mut self.settled, self.settled_index, entries)?;
        self.settled_index = index;
        let executed = self.settled.root();
        match executed == *root {
            true => Ok(()),
            false => Err(RollupError::Diverged {
                index,
                settled: hex::encode(root),
                executed: hex::encode(executed),
            }),
        }
    }

    /// The state after everything executed.
    pub(crate) fn head(&self) -> &State {
        &self.head
    }

    /// The state under the ledger's settled root.
    pub(crate) fn settled(&self) -> &State {
        &self.settled
    }

    /// How many transactions the settled state covers.
    pub(crate) fn settled_index(&self) -> u64 {
        self.settled_index
    }

    /// How far the head is.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The slots that hold accounts of a key, ascending. One key may hold several: whoever pays a
    /// newcomer chooses the slot.
    pub(crate) fn slots(&self, key: &FieldDigest) -> Vec<u32> {
        let slots = self.slots.get(key).into_iter().flatten();
        slots.copied().collect()
    }

    /// Snapshots of head and settled state.
    pub(crate) fn snapshots(&self) -> (Snapshot, Snapshot) {
        let head = Snapshot {
            index: self.cursor.index,
            state: self.head.to_bytes(),
        };
        let settled = Snapshot {
            index: self.settled_index,
            state: self.settled.to_bytes(),
        };
        (head, settled)
    }
}

/// Applies logged effects again; the outcomes must be the logged ones.
fn replay(state: &mut State, from: u64, entries: &[LogEntry]) -> Result<(), RollupError> {
    for (index, entry) in (from..).zip(entries) {
        let Some(bytes) = &entry.effect else {
            continue;
        };
        let outcome = Payment::decode(bytes).map(|payment| apply(state, &payment).into());
        if outcome != Some(entry.outcome) {
            return Err(wrong(format!("transaction {index} replays differently")));
        }
    }
    Ok(())
}

fn wrong(reason: String) -> RollupError {
    RollupError::WrongData { reason }
}
