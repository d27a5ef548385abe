//! Certificates of batches that no final block holds, and which of them a leader takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use conclave_crypto::Committee;
use conclave_types::{BatchHeader, BatchId, BatchRef, Epoch, Signers, ValidatorIndex, limits};

use crate::proposer::{Slot, slot};

/// A certificate that no final block holds.
#[derive(Debug)]
struct Certified {
    reference: BatchRef,
    since_ms: u64,
    /// When it was last sent, or came.
    sent_ms: u64,
    /// Who says that they hold it and that it waits for its order.
    reported_by: Signers,
    /// Since when a quorum says so.
    overdue_since: Option<u64>,
}

/// Certificates by batch, and each author's in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    certified: BTreeMap<BatchId, Certified>,
    authors: BTreeMap<ValidatorIndex, VecDeque<BatchId>>,
}

impl Certificates {
    /// Takes up a verified certificate of a batch that is not ordered; `false` when it was known,
    /// or its author has more than it can have.
    pub(crate) fn add(&mut self, id: BatchId, reference: BatchRef, now: u64) -> bool {
        let of_author = self.authors.entry(reference.header.author).or_default();
        let surplus = of_author.len() >= limits::AUTHOR_CERTIFICATES_MAX;
        if surplus || self.certified.contains_key(&id) {
            return false;
        }
        of_author.push_back(id);
        let certified = Certified {
            reference,
            since_ms: now,
            sent_ms: now,
            reported_by: Signers::default(),
            overdue_since: None,
        };
        self.certified.insert(id, certified);
        true
    }

    pub(crate) fn get(&self, id: BatchId) -> Option<&BatchRef> {
        let certified = self.certified.get(&id);
        certified.map(|certified| &certified.reference)
    }

    /// Removes and names those of an author that can be ordered no more.
    pub(crate) fn forget(
        &mut self,
        author: ValidatorIndex,
        over: impl Fn(&BatchHeader) -> bool,
    ) -> Vec<BatchId> {
        let Some(of_author) = self.authors.get_mut(&author) else {
            return Vec::new();
        };
        let certified = &mut self.certified;
        let mut ended = Vec::new();
        of_author.retain(|id| {
            let kept = certified
                .get(id)
                .is_some_and(|certified| !over(&certified.reference.header));
            if !kept {
                certified.remove(id);
                ended.push(*id);
            }
            kept
        });
        if of_author.is_empty() {
            self.authors.remove(&author);
        }
        ended
    }

    /// Removes and names those of earlier epochs than this.
    pub(crate) fn abandon_before(&mut self, epoch: Epoch) -> Vec<BatchId> {
        let authors: Vec<ValidatorIndex> = self.authors.keys().copied().collect();
        let of_author = |author| self.forget(author, |header| header.epoch < epoch);
        authors.into_iter().flat_map(of_author).collect()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &BatchRef> {
        self.certified
            .values()
            .map(|certified| &certified.reference)
    }

    /// Up to `max` batches whose slots no ancestor holds, each slot once. Authors take turns, one
    /// batch each, its oldest first; who has waited longest begins.
    pub(crate) fn orderable(&self, ancestors: &[Slot], max: usize) -> Vec<BatchRef> {
        let mut taken: BTreeSet<Slot> = ancestors.iter().copied().collect();
        let mut lines: Vec<VecDeque<&Certified>> = Vec::new();
        for ids in self.authors.values() {
            let mut line = VecDeque::new();
            for certified in ids.iter().filter_map(|id| self.certified.get(id)) {
                if line.len() < max && taken.insert(slot(&certified.reference.header)) {
                    line.push_back(certified);
                }
            }
            lines.push(line);
        }
        lines.retain(|line| !line.is_empty());
        lines.sort_by_key(|line| line.front().map(|certified| certified.since_ms));
        let mut orderable = Vec::new();
        while orderable.len() < max && !lines.is_empty() {
            let turn = lines.iter_mut().filter_map(VecDeque::pop_front);
            let room = max - orderable.len();
            orderable.extend(turn.take(room).map(|certified| certified.reference.clone()));
            lines.retain(|line| !line.is_empty());
        }
        orderable
    }

    /// Since when a batch has waited whose slot is in no block that is on its way to being final.
    pub(crate) fn orderable_since(&self, uncommitted: &[Slot]) -> Option<u64> {
        let waiting = self
            .certified
            .values()
            .filter(|certified| !uncommitted.contains(&slot(&certified.reference.header)));
        waiting.map(|certified| certified.since_ms).min()
    }

    /// Those that have waited this long, and in no block on its way, oldest first.
    pub(crate) fn waiting(&self, now: u64, age_ms: u64, uncommitted: &[Slot]) -> Vec<BatchId> {
        let old = self.certified.iter().filter(|(_, certified)| {
            now >= certified.since_ms + age_ms
                && !uncommitted.contains(&slot(&certified.reference.header))
        });
        let mut waiting: Vec<(u64, BatchId)> = old
            .map(|(id, certified)| (certified.since_ms, *id))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id).collect()
    }

    /// Notes that a validator holds a certificate and waits for its order. What we do not hold
    /// ourselves is said again when we do. The word of who weighs nothing is not counted.
    pub(crate) fn reported(
        &mut self,
        id: BatchId,
        by: ValidatorIndex,
        now: u64,
        committee: &Committee,
    ) {
        if committee.weight(by) == 0 {
            return;
        }
        if let Some(certified) = self.certified.get_mut(&id) {
            certified.reported_by.insert(by);
            if committee.has_quorum(&certified.reported_by) {
                certified.overdue_since.get_or_insert(now);
            }
        }
    }

    /// Who has a vote and has not said that they hold it.
    pub(crate) fn silent(&self, id: BatchId, committee: &Committee) -> Vec<ValidatorIndex> {
        let reported = self
            .certified
            .get(&id)
            .map(|certified| certified.reported_by);
        let reported = reported.unwrap_or_default();
        let silent = committee
            .indices()
            .filter(|index| committee.weight(*index) > 0 && !reported.contains(*index));
        silent.collect()
    }

    /// Those that a quorum has reported for this long.
    pub(crate) fn overdue(&self, now: u64, patience_ms: u64) -> impl Iterator<Item = &BatchRef> {
        let overdue = self.certified.values().filter(move |certified| {
            let since = certified.overdue_since;
            since.is_some_and(|since| now >= since + patience_ms)
        });
        overdue.map(|certified| &certified.reference)
    }

    /// An author's certificates that were last sent this long ago and are not ordered yet.
    pub(crate) fn resend(
        &mut self,
        author: ValidatorIndex,
        now: u64,
        age_ms: u64,
    ) -> Vec<BatchRef> {
        let own = self
            .certified
            .values_mut()
            .filter(|c| c.reference.header.author == author);
        let overdue = own.filter(|certified| now >= certified.sent_ms + age_ms);
        overdue
            .map(|certified| {
                certified.sent_ms = now;
                certified.reference.clone()
            })
            .collect()
    }
}
