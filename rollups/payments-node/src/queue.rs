//! Payments between acknowledgement and delivery.
//!
//! ```text
//! admit ──▶ queued ──take──▶ group ──sealed──▶ flight ──▶ delivered
//!              ▲               │                  │
//!              └───requeue─────┴───────expired────┘
//! ```
//!
//! Envelopes may be ordered in another order than they were sent in.
//! So the payments of one lane, which is one sender's slot, are never in two envelopes at once: a
//! sender's nonces reach the rollup in the order in which they were accepted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use conclave_payments::{Account, FieldDigest, Payment, PaymentBody, State};

use crate::store::{FlightRecord, PendingRecord};
use crate::{OutcomeKind, PaymentId, Refusal};

/// Plaintext bytes of one envelope's payments, each with its 8-byte length: the largest bucket
/// without the framing of list and padding.
const GROUP_BYTES_MAX: usize = conclave_types::Bucket::LARGEST.plaintext_bytes() - 64;
/// Payments must stay valid for this many blocks when they are accepted.
const EXPIRY_BLOCKS_MIN: u64 = 8;

/// What a sender's account will be once everything pending is executed, leaving out money that
/// others send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Projection {
    pub(crate) nonce: u64,
    pub(crate) owner: FieldDigest,
    pub(crate) spendable: u64,
    /// The account as executed.
    pub(crate) account: Account,
    /// Payments of this lane on their way.
    pub(crate) pending: usize,
}

/// Where a pending payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for an envelope.
    Queued,
    /// In a group that is being sealed.
    Taken(u64),
    /// In an envelope.
    Sealed([u8; 32]),
}

struct Entry {
    order: u64,
    lane: Option<u32>,
    bytes: Vec<u8>,
    body: Option<PaymentBody>,
    /// What whoever made the payment wants it to come to.
    intended: Option<OutcomeKind>,
    stage: Stage,
}

#[derive(Default)]
struct Lane {
    payments: VecDeque<PaymentId>,
    /// How many of them are taken or sealed.
    away: usize,
}

/// Payments for one envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) ids: Vec<PaymentId>,
    pub(crate) payments: Vec<Vec<u8>>,
}

struct Flight {
    expiry: u64,
    payments: Vec<PaymentId>,
}

/// All pending payments.
#[derive(Default)]
pub(crate) struct Queue {
    entries: BTreeMap<PaymentId, Entry>,
    queued: BTreeMap<u64, PaymentId>,
    lanes: BTreeMap<u32, Lane>,
    groups: BTreeMap<u64, Vec<PaymentId>>,
    flights: BTreeMap<[u8; 32], Flight>,
    next_order: u64,
    next_group: u64,
}

/// Bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) pending_max: usize,
    pub(crate) pending_sender_max: usize,
}

impl Queue {
    /// What a restart finds on disk. Payments whose envelope is not known are queued again.
    pub(crate) fn recover(
        pending: Vec<(PaymentId, PendingRecord)>,
        flights: &[([u8; 32], FlightRecord)],
    ) -> Self {
        let mut queue = Self::default();
        for (id, record) in pending {
            let body = Payment::decode(&record.bytes).map(|payment| payment.body);
            queue.next_order = record.order;
            queue.insert(id, record.lane, record.bytes, body, None);
        }
        for (envelope, record) in flights {
            for id in &record.payments {
                queue.set_stage(id, Stage::Sealed(*envelope));
            }
            let flight = Flight {
                expiry: record.expiry,
                payments: record.payments.clone(),
            };
            queue.flights.insert(*envelope, flight);
        }
        queue
    }

    /// Accepts a payment whose signature was checked, or says why not. `Ok(None)` when the very
    /// same bytes are pending already.
    pub(crate) fn admit(
        &mut self,
        state: &State,
        height: u64,
        limits: QueueLimits,
        payment: &Payment,
        bytes: Vec<u8>,
    ) -> Result<Option<(PaymentId, PendingRecord)>, Refusal> {
        let id = PaymentId::of(&bytes);
        if self.entries.contains_key(&id) {
            return Ok(None);
        }
        self.check(state, height, limits, &payment.body)?;
        Ok(Some(self.insert(
            id,
            Some(payment.body.sender),
            bytes,
            Some(payment.body),
            None,
        )))
    }

    /// Accepts bytes unchecked, for the load generator; refused only when the queue is full.
    pub(crate) fn admit_unchecked(
        &mut self,
        limits: QueueLimits,
        lane: Option<u32>,
        bytes: Vec<u8>,
        intended: OutcomeKind,
    ) -> Result<Option<(PaymentId, PendingRecord)>, Refusal> {
        let id = PaymentId::of(&bytes);
        if self.entries.contains_key(&id) {
            return Ok(None);
        }
        self.check_room(limits)?;
        let body = Payment::decode(&bytes).map(|payment| payment.body);
        Ok(Some(self.insert(id, lane, bytes, body, Some(intended))))
    }

    fn check_room(&self, limits: QueueLimits) -> Result<(), Refusal> {
        let pending = self.entries.len();
        match pending < limits.pending_max {
            true => Ok(()),
            false => Err(Refusal::Full { pending }),
        }
    }

    /// The stateful checks, in the transition's order, against the sender's projection.
    fn check(
        &self,
        state: &State,
        height: u64,
        limits: QueueLimits,
        body: &PaymentBody,
    ) -> Result<(), Refusal> {
        self.check_room(limits)?;
        let wanted = height + EXPIRY_BLOCKS_MIN;
        if body.expiry < wanted {
            return Err(Refusal::ExpiresTooSoon {
                expiry: body.expiry,
                height,
                wanted,
            });
        }
        let slot = body.sender;
        let projection = self.project(state, slot);
        let projection = projection.ok_or(Refusal::AbsentSender { slot })?;
        if projection.pending >= limits.pending_sender_max {
            return Err(Refusal::Full {
                pending: projection.pending,
            });
        }
        if let Some(pending) = self.same_nonce(slot, body.nonce) {
            return Err(Refusal::NonceTaken {
                slot,
                pending: pending.to_string(),
            });
        }
        if body.owner != projection.owner {
            return Err(Refusal::OwnerMismatch {
                slot,
                owner: projection.owner.to_string(),
            });
        }
        if body.nonce != projection.nonce {
            return Err(Refusal::WrongNonce {
                expected: projection.nonce,
                found: body.nonce,
            });
        }
        if body.total() > projection.spendable {
            return Err(Refusal::InsufficientBalance {
                slot,
                total: body.total(),
                spendable: projection.spendable,
            });
        }
        match slot_is_taken(state, body) {
            true => Err(Refusal::ReceiverSlotTaken {
                slot: body.receiver.slot,
            }),
            false => Ok(()),
        }
    }

    fn same_nonce(&self, slot: u32, nonce: u64) -> Option<PaymentId> {
        let lane = self.lanes.get(&slot)?;
        let same = |id: &&PaymentId| {
            let body = self.entries.get(id).and_then(|entry| entry.body);
            body.is_some_and(|body| body.nonce == nonce)
        };
        lane.payments.iter().find(same).copied()
    }

    /// What the lane's pending payments will make of the sender's account.
    pub(crate) fn project(&self, state: &State, slot: u32) -> Option<Projection> {
        let account = *state.account(slot)?;
        let mut projection = Projection {
            nonce: account.nonce,
            owner: account.owner,
            spendable: state.spendable(slot),
            account,
            pending: 0,
        };
        let Some(lane) = self.lanes.get(&slot) else {
            return Some(projection);
        };
        projection.pending = lane.payments.len();
        let bodies = lane
            .payments
            .iter()
            .filter_map(|id| self.entries.get(id)?.body);
        for body in bodies {
            if body.owner != projection.owner || body.nonce != projection.nonce {
                continue;
            }
            let pays = body.total() <= projection.spendable;
            if pays && slot_is_taken(state, &body) {
                continue;
            }
            projection.nonce += 1;
            projection.owner = body.next_owner();
            if pays {
                projection.spendable -= body.total();
            }
        }
        Some(projection)
    }

    fn insert(
        &mut self,
        id: PaymentId,
        lane: Option<u32>,
        bytes: Vec<u8>,
        body: Option<PaymentBody>,
        intended: Option<OutcomeKind>,
    ) -> (PaymentId, PendingRecord) {
        let order = self.next_order;
        self.next_order += 1;
        let record = PendingRecord {
            order,
            lane,
            bytes: bytes.clone(),
        };
        if let Some(slot) = lane {
            self.lanes.entry(slot).or_default().payments.push_back(id);
        }
        self.queued.insert(order, id);
        let entry = Entry {
            order,
            lane,
            bytes,
            body,
            intended,
            stage: Stage::Queued,
        };
        self.entries.insert(id, entry);
        (id, record)
    }

    /// The only place that moves an entry between stages.
    fn set_stage(&mut self, id: &PaymentId, stage: Stage) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let (was, is) = (entry.stage == Stage::Queued, stage == Stage::Queued);
        entry.stage = stage;
        match is {
            true => self.queued.insert(entry.order, *id),
            false => self.queued.remove(&entry.order),
        };
        if let Some(lane) = entry.lane.and_then(|slot| self.lanes.get_mut(&slot)) {
            match (was, is) {
                (true, false) => lane.away += 1,
                (false, true) => lane.away -= 1,
                _ => {}
            }
        }
    }

    /// Takes up to `count_max` payments for one envelope; `None` when none can go.
    pub(crate) fn take(&mut self, count_max: usize) -> Option<Group> {
        let mut group = Group {
            id: self.next_group,
            ids: Vec::new(),
            payments: Vec::new(),
        };
        let mut bytes = 0;
        for id in self.queued.values() {
            let Some(entry) = self.entries.get(id) else {
                continue;
            };
            let lane = entry.lane.and_then(|slot| self.lanes.get(&slot));
            if lane.is_some_and(|lane| lane.away > 0) {
                continue;
            }
            let more = entry.bytes.len() + 8;
            if group.ids.len() >= count_max || bytes + more > GROUP_BYTES_MAX {
                break;
            }
            bytes += more;
            group.ids.push(*id);
            group.payments.push(entry.bytes.clone());
        }
        if group.ids.is_empty() {
            return None;
        }
        self.next_group += 1;
        for id in &group.ids {
            self.set_stage(id, Stage::Taken(group.id));
        }
        self.groups.insert(group.id, group.ids.clone());
        Some(group)
    }

    /// How many payments [`take`](Self::take) would find, counted up to `count_max`.
    pub(crate) fn ready(&self, count_max: usize) -> usize {
        let ready = |id: &&PaymentId| {
            let lane = self.entries.get(id).and_then(|entry| entry.lane);
            let lane = lane.and_then(|slot| self.lanes.get(&slot));
            lane.is_none_or(|lane| lane.away == 0)
        };
        self.queued.values().filter(ready).take(count_max).count()
    }

    /// Records the envelope a group was sealed into. `None` for a group that is not known.
    pub(crate) fn sealed(
        &mut self,
        group: u64,
        envelope: [u8; 32],
        expiry: u64,
    ) -> Option<Vec<PaymentId>> {
        let payments = self.groups.remove(&group)?;
        for id in &payments {
            self.set_stage(id, Stage::Sealed(envelope));
        }
        let flight = Flight {
            expiry,
            payments: payments.clone(),
        };
        self.flights.insert(envelope, flight);
        Some(payments)
    }

    /// Puts a group back that could not be sealed.
    pub(crate) fn unseal(&mut self, group: u64) {
        for id in self.groups.remove(&group).unwrap_or_default() {
            self.set_stage(&id, Stage::Queued);
        }
    }

    /// Ends a flight: the envelope was delivered or never will be. Payments of it that were not
    /// delivered are queued again. `false` when it is not known.
    pub(crate) fn land(&mut self, envelope: &[u8; 32]) -> bool {
        let Some(flight) = self.flights.remove(envelope) else {
            return false;
        };
        for id in flight.payments {
            self.set_stage(&id, Stage::Queued);
        }
        true
    }

    /// Envelopes that can no longer be ordered once everything up to `height` is executed.
    pub(crate) fn expired_flights(&self, height: u64) -> Vec<[u8; 32]> {
        let expired = self.flights.iter().filter(|(_, f)| f.expiry <= height);
        expired.map(|(envelope, _)| *envelope).collect()
    }

    /// Queued payments whose own expiry has passed.
    pub(crate) fn expired_payments(&self, height: u64) -> Vec<PaymentId> {
        let expired = |id: &&PaymentId| {
            let entry = self.entries.get(id);
            // Deliberately expired payments are sent all the same.
            entry.is_some_and(|entry| {
                entry.intended != Some(OutcomeKind::Expired)
                    && entry.body.is_some_and(|body| body.expiry <= height)
            })
        };
        self.queued.values().filter(expired).copied().collect()
    }

    /// Forgets a payment: it was delivered, or gave up. Answers what it was intended to come to;
    /// `None` when it is not known.
    pub(crate) fn remove(&mut self, id: &PaymentId) -> Option<Option<OutcomeKind>> {
        let stage = self.entries.get(id)?.stage;
        self.set_stage(id, Stage::Queued);
        let entry = self.entries.remove(id)?;
        self.queued.remove(&entry.order);
        if let Some(slot) = entry.lane
            && let Some(lane) = self.lanes.get_mut(&slot)
        {
            lane.payments.retain(|other| other != id);
            if lane.payments.is_empty() {
                self.lanes.remove(&slot);
            }
        }
        let holder = match stage {
            Stage::Taken(group) => self.groups.get_mut(&group),
            Stage::Sealed(envelope) => self.flights.get_mut(&envelope).map(|f| &mut f.payments),
            Stage::Queued => None,
        };
        if let Some(payments) = holder {
            payments.retain(|other| other != id);
        }
        Some(entry.intended)
    }

    /// Where a payment is.
    pub(crate) fn stage(&self, id: &PaymentId) -> Option<Stage> {
        self.entries.get(id).map(|entry| entry.stage)
    }

    /// Slots that pending payments will open or credit.
    pub(crate) fn claimed_slots(&self) -> BTreeSet<u32> {
        let bodies = self.entries.values().filter_map(|entry| entry.body);
        bodies.map(|body| body.receiver.slot).collect()
    }

    /// Payments on their way.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Envelopes on their way.
    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }
}

fn slot_is_taken(state: &State, body: &PaymentBody) -> bool {
    let holder = state.account(body.receiver.slot);
    holder.is_some_and(|account| account.key != body.receiver.key)
}
