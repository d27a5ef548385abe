//! Which ledger clients can be shown proofs from: the one that the last executed block names.
//!
//! ```text
//! heights   … ── L ── · ── · ── E          the header of E names the root of ledger L
//!                └── kept ledgers ──┘      and is final and durable here
//! ```
//!
//! A header names a ledger a few blocks behind its own, so the ledgers since the newest named one
//! are kept; clones share what they have in common. After a restart execution begins at a snapshot
//! at or below the ledger that the last final header names (see `recovery`), so that one is passed
//! again before anything new.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_ledger::Ledger;
use conclave_types::{BlockHeader, Height};

use crate::backend::NamedLedger;

/// Ledgers kept at most. Headers trail by the two rounds of votes and by what their proposer
/// executes later than we, a handful of blocks. When they trail by more, proofs stay at the newest
/// named ledger until a header names one of those kept.
const LEDGERS_KEPT: usize = 32;

/// What may be proven, and what may be next.
#[derive(Debug)]
pub(crate) struct Provable {
    newest: Option<NamedLedger>,
    /// Executed ledgers, from the newest named one on.
    executed: BTreeMap<Height, Arc<Ledger>>,
    /// The ledger that each final block names which is not executed yet; as many as the sequencer
    /// holds blocks.
    named: BTreeMap<Height, Height>,
}

impl Provable {
    /// Starts with the restored ledger.
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            newest: None,
            executed: BTreeMap::from([(ledger.height(), ledger)]),
            named: BTreeMap::new(),
        }
    }

    /// A block became final.
    pub(crate) fn committed(&mut self, header: &BlockHeader) {
        self.named.insert(header.height, header.ledger_height);
    }

    /// A block was executed, and it and everything before it can be read.
    pub(crate) fn executed(&mut self, ledger: Arc<Ledger>) {
        let named_by = ledger.height();
        self.executed.insert(named_by, ledger);
        let named = self.named.remove(&named_by);
        self.named = self.named.split_off(&named_by);
        if let Some((height, ledger)) =
            named.and_then(|height| Some((height, self.executed.get(&height)?.clone())))
        {
            self.newest = Some(NamedLedger { ledger, named_by });
            self.executed = self.executed.split_off(&height);
        }
        while self.executed.len() > LEDGERS_KEPT {
            self.executed.pop_first();
        }
    }

    /// The newest ledger that can be proven from; `None` until an executed block names one that was
    /// executed since the start.
    pub(crate) fn newest(&self) -> Option<NamedLedger> {
        self.newest.clone()
    }
}
