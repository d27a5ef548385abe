//! Acknowledged envelopes that wait for a batch, fair between rollups and between their payers.

use std::collections::{BTreeMap, BTreeSet};

use conclave_types::{
    AccountId, Amount, Envelope, EnvelopeHeader, EnvelopeId, Epoch, Height, RollupId, Sequence,
    limits,
};

use crate::space::{NoRoom, Space};
use crate::turns::{Arrivals, Line, Turns};

/// What an envelope's header takes of a batch, rounded up.
const HEADER_BYTES: u64 = 1024;

/// Rollups take turns, and within a rollup its payers.
type Queue = Turns<RollupId, Turns<AccountId, Arrivals<EnvelopeId>>>;

/// An envelope of ours that is not ordered yet.
#[derive(Debug)]
struct Entry {
    envelope: Envelope,
    admitted_ms: u64,
    fee: Amount,
    /// Its number among all that were ever admitted.
    arrival: u64,
    place: Place,
}

/// Where an envelope waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// For its turn.
    Queue,
    /// For its batch's order.
    Batch,
    /// For a lower fee: what its payer would pay at most is less than ordering costs now. Or for its
    /// end: no block takes its key any more.
    Parked,
}

/// Acknowledged envelopes, until they are ordered or expire.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    entries: BTreeMap<EnvelopeId, Entry>,
    by_payer: BTreeMap<(AccountId, Sequence), EnvelopeId>,
    owed: BTreeMap<AccountId, Amount>,
    expiries: BTreeSet<(Height, EnvelopeId)>,
    queue: Queue,
    parked: BTreeSet<EnvelopeId>,
    space: Space,
    arrivals: u64,
    waiting: usize,
}

impl Entry {
    /// What it takes of a batch.
    fn size(&self) -> u64 {
        self.envelope.body.len() as u64 + HEADER_BYTES
    }
}

impl Mempool {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Envelopes whose turn is to come.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn contains(&self, id: EnvelopeId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(crate) fn is_batched(&self, id: EnvelopeId) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.place == Place::Batch)
    }

    pub(crate) fn uses(&self, payer: AccountId, sequence: Sequence) -> bool {
        self.by_payer.contains_key(&(payer, sequence))
    }

    /// Fees of the payer's waiting envelopes, as they were when they came.
    pub(crate) fn owed(&self, payer: AccountId) -> Amount {
        self.owed.get(&payer).copied().unwrap_or(Amount::ZERO)
    }

    /// Whether this envelope fits.
    pub(crate) fn has_room(&self, envelope: &Envelope) -> Result<(), NoRoom> {
        let core = &envelope.header.core;
        let bytes = envelope.body.len();
        self.space.check(core.rollup, core.payer, bytes)
    }

    pub(crate) fn insert(&mut self, envelope: Envelope, fee: Amount, admitted_ms: u64) {
        let id = envelope.header.id();
        let core = &envelope.header.core;
        let owed = self.owed.entry(core.payer).or_default();
        *owed = owed.checked_add(fee).unwrap_or(Amount(u64::MAX));
        self.by_payer.insert((core.payer, core.sequence), id);
        self.expiries.insert((core.expiry, id));
        let bytes = envelope.body.len();
        self.space.add(core.rollup, core.payer, bytes);
        self.arrivals += 1;
        let entry = Entry {
            envelope,
            admitted_ms,
            fee,
            arrival: self.arrivals,
            place: Place::Queue,
        };
        self.entries.insert(id, entry);
        self.enqueue(id);
    }

    /// Puts an envelope in line, at the place that it came to.
    fn enqueue(&mut self, id: EnvelopeId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.place = Place::Queue;
            let core = &entry.envelope.header.core;
            let line = self.queue.line(core.rollup).line(core.payer);
            line.insert(entry.arrival, entry.envelope.header.cost_bytes(), id);
            self.waiting += 1;
        }
    }

    /// Takes an envelope from wherever it waits for its turn.
    fn dequeue(&mut self, id: EnvelopeId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut entry.place, place) {
            Place::Queue => {
                let core = &entry.envelope.header.core;
                let arrival = entry.arrival;
                self.queue.change(core.rollup, |payers| {
                    payers.change(core.payer, |line| line.remove(arrival));
                });
                self.waiting -= 1;
            }
            Place::Parked => {
                self.parked.remove(&id);
            }
            Place::Batch => {}
        }
    }

    /// Forgets an envelope that was ordered or expired; when it was admitted.
    pub(crate) fn remove(&mut self, id: EnvelopeId) -> Option<u64> {
        self.dequeue(id, Place::Batch);
        let entry = self.entries.remove(&id)?;
        let core = &entry.envelope.header.core;
        self.by_payer.remove(&(core.payer, core.sequence));
        self.expiries.remove(&(core.expiry, id));
        let bytes = entry.envelope.body.len();
        self.space.remove(core.rollup, core.payer, bytes);
        if let Some(owed) = self.owed.get_mut(&core.payer) {
            *owed = owed.checked_sub(entry.fee).unwrap_or(Amount::ZERO);
            if *owed == Amount::ZERO {
                self.owed.remove(&core.payer);
            }
        }
        Some(entry.admitted_ms)
    }

    /// Marks what a batch of ours, found again after a restart, already holds.
    pub(crate) fn mark_batched(&mut self, id: EnvelopeId) {
        self.dequeue(id, Place::Batch);
    }

    /// Puts back in line what batches hold that will not be ordered.
    pub(crate) fn repack(&mut self) {
        let batched = self.entries.iter();
        let batched = batched.filter(|(_, entry)| entry.place == Place::Batch);
        for id in batched.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.enqueue(id);
        }
    }

    /// Removes and names what can no longer be ordered after `height`.
    pub(crate) fn expire(&mut self, height: Height) -> Vec<EnvelopeId> {
        let expired: Vec<EnvelopeId> = self
            .expiries
            .iter()
            .take_while(|(expiry, _)| *expiry <= height)
            .map(|(_, id)| *id)
            .collect();
        for id in &expired {
            self.remove(*id);
        }
        expired
    }

    /// Removes and names what is sealed to the key of an earlier epoch than `oldest`: no block will
    /// order it.
    pub(crate) fn expire_keys(&mut self, oldest: Epoch) -> Vec<EnvelopeId> {
        let entries = self.entries.iter();
        let late = entries.filter(|(_, entry)| entry.envelope.header.core.epoch < oldest);
        let late: Vec<EnvelopeId> = late.map(|(id, _)| *id).collect();
        for id in &late {
            self.remove(*id);
        }
        late
    }

    /// Takes envelopes for a batch, turn by turn, until the batch is full; grouped by rollup
    /// ascending. Those that are not `fit` would be ordered for nothing, and are parked.
    pub(crate) fn take(&mut self, fit: impl Fn(&EnvelopeHeader) -> bool) -> Vec<Envelope> {
        let mut taken: BTreeMap<RollupId, Vec<Envelope>> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some((_, &id)) = self.queue.next() {
            let Some(entry) = self.entries.get_mut(&id) else {
                unreachable!("what waits in line is in the mempool");
            };
            let size = entry.size();
            if count == limits::BATCH_ENVELOPES_MAX || bytes + size > limits::BATCH_BYTES_MAX as u64
            {
                break;
            }
            self.queue.take();
            self.waiting -= 1;
            if !fit(&entry.envelope.header) {
                entry.place = Place::Parked;
                self.parked.insert(id);
                continue;
            }
            entry.place = Place::Batch;
            let of_rollup = taken.entry(entry.envelope.header.core.rollup).or_default();
            of_rollup.push(entry.envelope.clone());
            count += 1;
            bytes += size;
        }
        taken.into_values().flatten().collect()
    }

    /// Puts back in line what was parked and is `affordable` by now.
    pub(crate) fn unpark(&mut self, affordable: impl Fn(&EnvelopeHeader) -> bool) {
        let parked = self.parked.iter().copied().filter(|id| {
            let entry = self.entries.get(id);
            entry.is_some_and(|entry| affordable(&entry.envelope.header))
        });
        for id in parked.collect::<Vec<_>>() {
            self.parked.remove(&id);
            self.enqueue(id);
        }
    }
}
