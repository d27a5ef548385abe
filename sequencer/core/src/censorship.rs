//! Which proposals leave out what their leader must have known for long.
//!
//! ```text
//! certificate held, unordered for a while ─▶ Waiting, to all ─▶ a quorum says so ─▶ patience ─▶ a proposal
//!                                              │                                             without it
//!                                              └─▶ the certificate, to those who do not say so   is refused
//! ```
//!
//! A voter counts only certificates that it holds, and time by its own clock. The quorum has honest
//! members, each of which has sent the certificate to everybody who did not report it, so that an
//! honest leader holds it when the patience ends, and orders all that it holds. The argument, also
//! for networks that are slower than that, is in docs/adr/0009-censorship.md.

use std::collections::{BTreeMap, BTreeSet};

use conclave_types::{BatchRef, ValidatorIndex, limits};

use crate::proposer::{PendingCheck, Slot, lags, slot, slots_of};

/// How long a certificate waits for its order before it is reported, and between two reports. Most
/// wait for a tenth of it.
pub(crate) const REPORT_MS: u64 = 500;

/// How long a voter waits before it holds the silence against a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) view_timeout_ms: u64,
    pub(crate) view_timeout_ms_max: u64,
    /// f+1: among so many leaders in a row one is honest, unless some lead twice.
    pub(crate) one_honest: u16,
}

/// What was refused lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Since the last final block.
    in_a_row: u32,
    /// Since the start.
    pub(crate) total: u64,
}

impl Refusals {
    /// One more proposal was refused.
    pub(crate) fn add(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.total += 1;
    }

    /// A block became final.
    pub(crate) fn end(&mut self) {
        self.in_a_row = 0;
    }

    /// Two rounds of reports, in which whoever lacks the certificate is sent it, and a view's timer
    /// for it to arrive. When f+1 proposals in a row were refused, one of them probably was an
    /// honest leader's, and the network slower than that: then the timer doubles, as agreement's.
    pub(crate) fn patience_ms(&self, patience: &Patience) -> u64 {
        let doublings = self.in_a_row / u32::from(patience.one_honest.max(1));
        let timer = patience.view_timeout_ms << doublings.min(20);
        let longest = patience.view_timeout_ms_max.max(patience.view_timeout_ms);
        2 * REPORT_MS + timer.min(longest)
    }
}

/// The overdue certificates that a proposal leaves out although it has room for them. A full block
/// has none for an author that gets as many places as any other, or one less.
pub(crate) fn left_out<'a>(
    check: &PendingCheck,
    overdue: impl Iterator<Item = &'a BatchRef>,
) -> Vec<&'a BatchRef> {
    let (header, batches) = (&check.block.header, &check.block.batches);
    if lags(header.height, header.ledger_height) {
        return Vec::new();
    }
    let own = batches.iter().map(|batch| slot(&batch.header));
    let held: BTreeSet<Slot> = slots_of(&check.ancestors).into_iter().chain(own).collect();
    let left_out = overdue.filter(|reference| !held.contains(&slot(&reference.header)));
    if batches.len() < limits::BLOCK_BATCHES_MAX {
        return left_out.collect();
    }
    let mut places: BTreeMap<ValidatorIndex, usize> = BTreeMap::new();
    for batch in batches {
        *places.entry(batch.header.author).or_default() += 1;
    }
    let most = places.values().copied().max().unwrap_or(0);
    let slighted = |reference: &&BatchRef| {
        let got = places.get(&reference.header.author);
        got.copied().unwrap_or(0) + 1 < most
    };
    left_out.filter(slighted).collect()
}
