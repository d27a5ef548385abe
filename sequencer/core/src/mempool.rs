//! Acknowledged envelopes that wait for a batch, fair per rollup.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use conclave_types::{
    AccountId, Amount, Envelope, EnvelopeId, Epoch, Height, RollupId, Sequence, limits,
};

/// Bytes that one rollup may add to a batch before the next one's turn: the largest sealed body,
/// so that every turn makes progress.
const TURN_BYTES: usize = limits::PLAIN_BODY_BYTES_MAX + 1024;

/// An envelope of ours that is not ordered yet.
#[derive(Debug)]
struct Entry {
    envelope: Envelope,
    admitted_ms: u64,
    fee: Amount,
    batched: bool,
}

/// Acknowledged envelopes, until they are ordered or expire.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    entries: BTreeMap<EnvelopeId, Entry>,
    by_payer: BTreeMap<(AccountId, Sequence), EnvelopeId>,
    owed: BTreeMap<AccountId, Amount>,
    expiries: BTreeSet<(Height, EnvelopeId)>,
    queues: BTreeMap<RollupId, VecDeque<EnvelopeId>>,
    /// The rollup whose turn is next.
    turn: RollupId,
    bytes: usize,
    waiting: usize,
}

impl Mempool {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Envelopes that no batch holds yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn contains(&self, id: EnvelopeId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(crate) fn is_batched(&self, id: EnvelopeId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.batched)
    }

    pub(crate) fn uses(&self, payer: AccountId, sequence: Sequence) -> bool {
        self.by_payer.contains_key(&(payer, sequence))
    }

    /// Fees of the payer's waiting envelopes.
    pub(crate) fn owed(&self, payer: AccountId) -> Amount {
        self.owed.get(&payer).copied().unwrap_or(Amount::ZERO)
    }

    /// Whether one more of this size fits.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < limits::MEMPOOL_ENVELOPES_MAX
            && self.bytes + bytes <= limits::MEMPOOL_BYTES_MAX
    }

    pub(crate) fn insert(&mut self, envelope: Envelope, fee: Amount, admitted_ms: u64) {
        let id = envelope.header.id();
        let core = &envelope.header.core;
        let owed = self.owed.entry(core.payer).or_default();
        *owed = owed.checked_add(fee).unwrap_or(Amount(u64::MAX));
        self.by_payer.insert((core.payer, core.sequence), id);
        self.expiries.insert((core.expiry, id));
        self.queues.entry(core.rollup).or_default().push_back(id);
        self.bytes += envelope.body.len();
        self.waiting += 1;
        self.entries.insert(
            id,
            Entry {
                envelope,
                admitted_ms,
                fee,
                batched: false,
            },
        );
    }

    /// Forgets an envelope that was ordered or expired; when it was admitted.
    pub(crate) fn remove(&mut self, id: EnvelopeId) -> Option<u64> {
        let entry = self.entries.remove(&id)?;
        let core = &entry.envelope.header.core;
        self.by_payer.remove(&(core.payer, core.sequence));
        self.expiries.remove(&(core.expiry, id));
        self.bytes -= entry.envelope.body.len();
        if !entry.batched {
            self.waiting -= 1;
        }
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
        if let Some(entry) = self.entries.get_mut(&id)
            && !entry.batched
        {
            entry.batched = true;
            self.waiting -= 1;
        }
    }

    /// Queues everything again, in order of admission: the batches that held some of it will not be
    /// ordered.
    pub(crate) fn repack(&mut self) {
        self.queues.clear();
        self.waiting = self.entries.len();
        let mut all: Vec<(u64, RollupId, EnvelopeId)> = Vec::with_capacity(self.entries.len());
        for (id, entry) in &mut self.entries {
            entry.batched = false;
            all.push((entry.admitted_ms, entry.envelope.header.core.rollup, *id));
        }
        all.sort_unstable();
        for (_, rollup, id) in all {
            self.queues.entry(rollup).or_default().push_back(id);
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

    /// Takes envelopes for a batch: rollup by rollup in turn, one turn's bytes each, until the
    /// batch is full. Grouped by rollup ascending, in order of admission within a rollup.
    pub(crate) fn take(&mut self) -> Vec<Envelope> {
        let mut taken: BTreeMap<RollupId, Vec<Envelope>> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        while count < limits::BATCH_ENVELOPES_MAX {
            let next = self
                .queues
                .range(self.turn..)
                .next()
                .or(self.queues.iter().next());
            let Some((&rollup, _)) = next else { break };
            let Some(queue) = self.queues.get_mut(&rollup) else {
                break;
            };
            let mut turn_bytes = 0;
            let mut full = false;
            while let Some(id) = queue.front() {
                let Some(entry) = self.entries.get_mut(id).filter(|entry| !entry.batched) else {
                    queue.pop_front();
                    continue;
                };
                let size = entry.envelope.body.len() + 1024;
                full =
                    count == limits::BATCH_ENVELOPES_MAX || bytes + size > limits::BATCH_BYTES_MAX;
                if full || turn_bytes + size > TURN_BYTES {
                    break;
                }
                entry.batched = true;
                self.waiting -= 1;
                taken
                    .entry(rollup)
                    .or_default()
                    .push(entry.envelope.clone());
                queue.pop_front();
                count += 1;
                bytes += size;
                turn_bytes += size;
            }
            if queue.is_empty() {
                self.queues.remove(&rollup);
            }
            if full {
                break;
            }
            self.turn = RollupId(rollup.0.wrapping_add(1));
        }
        taken.into_values().flatten().collect()
    }
}
