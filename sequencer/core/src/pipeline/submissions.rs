//! From a client's envelope to its receipt.

use super::*;
use crate::space::{Held, NoRoom};

impl Sequencer {
    pub(super) fn submit(
        &mut self,
        ticket: u64,
        envelope: Box<Envelope>,
        actions: &mut Vec<Action>,
    ) {
        match self.admissible(&envelope) {
            Ok(()) => self.unchecked.push((ticket, envelope)),
            Err(refusal) => actions.push(Action::Answer {
                ticket,
                answer: Err(refusal),
            }),
        }
    }

    /// The checks that are cheap or may change between now and the signature's check.
    pub(super) fn admissible(&self, envelope: &Envelope) -> Result<(), Refusal> {
        admission::check_shape(self.config.chain, envelope)?;
        let core = &envelope.header.core;
        let (next, epoch) = (self.committed.next(), self.epochs.current());
        if !self.fees.takes_key(core.epoch, next, epoch) {
            return Err(Refusal::epoch(format!(
                "the envelope is sealed to the key of epoch {}, the key of epoch {epoch} is in use",
                core.epoch
            )));
        }
        if core.rollup != RollupId::SYSTEM && self.ledger.rollup(core.rollup).is_none() {
            return Err(Refusal::rollup(format!(
                "rollup {} is not registered",
                core.rollup
            )));
        }
        let latest = self.committed.0 + limits::EXPIRY_AHEAD_BLOCKS_MAX;
        if core.expiry <= self.committed || core.expiry.0 > latest {
            return Err(Refusal::expiry(format!(
                "expiry {} is not within {} and {latest}",
                core.expiry,
                self.committed.next()
            )));
        }
        let preview = self.fees.preview(&envelope.header, next, epoch);
        let used = matches!(
            preview,
            Disposition::Duplicate | Disposition::SequenceTooOld
        );
        if used || self.mempool.uses(core.payer, core.sequence) {
            return Err(Refusal::sequence(format!(
                "sequence {} cannot be used",
                core.sequence
            )));
        }
        let fee = self.fee(&envelope.header);
        if fee > core.fee_max {
            return Err(Refusal::price(format!(
                "the envelope costs {fee} by now and its payer would pay {} at most",
                core.fee_max
            )));
        }
        let owed = self.mempool.owed(core.payer).checked_add(fee);
        let available = self.fees.balance(&core.payer);
        if owed.is_none_or(|owed| owed > available) {
            return Err(Refusal::funds(format!(
                "the fee account holds {available} and the envelope costs {fee}"
            )));
        }
        let crowded = |who, held: Held| {
            Refusal::crowded(format!(
                "{who} has {} envelopes of {} bytes waiting here, and others are to find room too",
                held.envelopes, held.bytes
            ))
        };
        match self.mempool.has_room(envelope) {
            Ok(()) => Ok(()),
            Err(NoRoom::Full) => Err(Refusal::full("the mempool is full")),
            Err(NoRoom::Rollup(held)) => Err(crowded(format!("rollup {}", core.rollup), held)),
            Err(NoRoom::Payer(held)) => Err(crowded("the payer".into(), held)),
        }
    }

    /// What the next block would charge for an envelope.
    pub(super) fn fee(&self, header: &EnvelopeHeader) -> Amount {
        let core = &header.core;
        self.fees.quote(core.rollup, core.payer, header.body_bytes)
    }

    /// One check runs at a time, over all that came meanwhile.
    pub(super) fn check_submissions(&mut self, actions: &mut Vec<Action>) {
        if self.checking || self.unchecked.is_empty() {
            return;
        }
        self.checking = true;
        let rest = self
            .unchecked
            .split_off(self.unchecked.len().min(CHECK_TOGETHER_MAX));
        let together = std::mem::replace(&mut self.unchecked, rest);
        actions.push(Action::Work(Work::CheckEnvelopes(together)));
    }

    pub(super) fn admit(
        &mut self,
        now: u64,
        checked: Vec<(u64, Box<Envelope>, bool)>,
        actions: &mut Vec<Action>,
    ) {
        self.checking = false;
        let mut writes = Vec::new();
        let mut answers = Vec::new();
        for (ticket, envelope, valid) in checked {
            let verdict = if valid {
                self.admissible(&envelope)
            } else {
                Err(Refusal::seal(
                    "the payer's signature or the seal does not verify",
                ))
            };
            let answer = verdict.map(|()| {
                let id = envelope.header.id();
                let fee = self.fee(&envelope.header);
                self.mempool.insert((*envelope).clone(), fee, now);
                writes.push(Write::Admit(id, envelope));
                self.receipt(id)
            });
            answers.push(Action::Answer { ticket, answer });
        }
        actions.push(Action::Durable {
            writes,
            then: answers,
        });
    }

    pub(super) fn receipt(&self, envelope: EnvelopeId) -> Receipt {
        let mut receipt = Receipt {
            chain: self.config.chain,
            envelope,
            validator: self.config.index,
            height: self.committed,
            deadline: Height(self.committed.0 + self.config.order_deadline_blocks),
            signature: EdSignature([0; 64]),
        };
        receipt.signature = (self.config.sign)(&receipt.message());
        receipt
    }
}
