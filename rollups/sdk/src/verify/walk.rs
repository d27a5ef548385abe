//! A range of heights, one block after the other, and the chain of digests over it.

use std::collections::BTreeMap;

use conclave_types::{
    BlockId, Digest, Height, RollupId, StateRoot, StreamLink, StreamOutcome, TxIndex,
};

use super::{Auditor, ProvenLedger, RangeReport, VerifiedDelivery, VerifyError};
use crate::OrderedTransaction;
use crate::api::{DeliveryView, LinksView};

/// The blocks so far.
pub(super) struct Walk {
    rollup: RollupId,
    from: Height,
    to: Height,
    pub(super) next: Height,
    /// The last final block, once there is one.
    parent: Option<BlockId>,
    first_index: Option<TxIndex>,
    /// Whether the digest covers the indices: the walk starts with the stream, or an opened
    /// envelope has been on the way.
    counted: bool,
    /// The stream's digest before `next`. What the walk began with needs no proof of its own: only
    /// the right one leads to the digest that is proven at the end.
    digest: Digest,
    envelopes: u64,
    outcomes: BTreeMap<String, u64>,
    transactions: Vec<OrderedTransaction>,
}

impl Walk {
    /// Starts at a height after the rollup's registration and goes up to another; `digest` is the
    /// stream's before it.
    pub(super) fn new(
        rollup: RollupId,
        (from, to): (Height, Height),
        registered: Height,
        digest: Digest,
    ) -> Self {
        // Nothing is ordered up to the registration.
        let from_start = from == registered.next();
        Self {
            rollup,
            from,
            to,
            next: from,
            parent: None,
            first_index: from_start.then_some(TxIndex(0)),
            counted: from_start,
            digest,
            envelopes: 0,
            outcomes: BTreeMap::new(),
            transactions: Vec::new(),
        }
    }

    /// Goes on over the next height.
    pub(super) fn take(
        &mut self,
        auditor: &Auditor,
        view: &DeliveryView,
    ) -> Result<(), VerifyError> {
        let height = self.next;
        let malformed = |what| VerifyError::Malformed { height, what };
        if height > self.to {
            return Err(malformed("a page that ends with the heights asked for"));
        }
        let block = view.block.as_ref().ok_or_else(|| malformed("the block"))?;
        if view.height != height.0 || block.height != height.0 {
            return Err(malformed("the delivery of this height"));
        }
        let final_block = auditor.block(block)?;
        let found = final_block.block.header.parent;
        if let Some(expected) = self.parent.filter(|expected| *expected != found) {
            return Err(VerifyError::Fork {
                height,
                found,
                expected,
            });
        }
        let delivery = auditor.delivery(self.rollup, &final_block.block, view)?;
        self.check_index(&delivery)?;
        if !delivery.entries.is_empty() {
            self.digest = StreamLink::new(height, &delivery.entries).digest(&self.digest);
        }
        if view.stream_digest != self.digest.to_string() {
            return Err(VerifyError::Digest { height });
        }
        self.parent = Some(final_block.id);
        self.next = height.next();
        self.envelopes += delivery.entries.len() as u64;
        for entry in &delivery.entries {
            self.counted |= matches!(entry.outcome, StreamOutcome::Opened { .. });
            let name = entry.outcome.name().to_owned();
            *self.outcomes.entry(name).or_default() += 1;
        }
        self.transactions.extend(delivery.transactions);
        Ok(())
    }

    fn check_index(&mut self, delivery: &VerifiedDelivery) -> Result<(), VerifyError> {
        let found = delivery.first_index;
        let expected = *self.first_index.get_or_insert(found);
        let expected = TxIndex(expected.0 + self.transactions.len() as u64);
        match found == expected {
            true => Ok(()),
            false => Err(VerifyError::Index {
                height: delivery.height,
                expected,
                found,
            }),
        }
    }

    /// Starts the way from the range's end to the ledger that proves it.
    pub(super) fn tail(&self) -> Tail {
        Tail {
            next: self.next,
            digest: self.digest,
        }
    }

    /// The report without proofs, and all transactions.
    pub(super) fn finish(
        self,
        ledger: ProvenLedger,
        anchor: Option<StateRoot>,
    ) -> Result<(RangeReport, Vec<OrderedTransaction>), VerifyError> {
        let transactions = self.transactions.len() as u64;
        // Where the range ends with the stream, the ledger says which index that is.
        let at_end = self.digest == ledger.stream.digest;
        let next_index = self
            .first_index
            .map(|first| TxIndex(first.0 + transactions));
        if let Some(found) = next_index.filter(|found| at_end && *found != ledger.stream.next) {
            return Err(VerifyError::Index {
                height: self.to,
                expected: ledger.stream.next,
                found,
            });
        }
        let report = RangeReport {
            rollup: self.rollup,
            from: self.from,
            to: self.to,
            blocks: self.next.0 - self.from.0,
            envelopes: self.envelopes,
            outcomes: self.outcomes,
            first_index: self.first_index.filter(|_| self.counted || at_end),
            transactions,
            ledger,
            anchor,
            proofs: Vec::new(),
            proofs_skipped: 0,
        };
        Ok((report, self.transactions))
    }
}

/// The chain of digests after a range.
pub(super) struct Tail {
    pub(super) next: Height,
    pub(super) digest: Digest,
}

impl Tail {
    /// Goes on over links up to a height.
    pub(super) fn take(&mut self, page: &LinksView, to: Height) -> Result<(), VerifyError> {
        let height = self.next;
        let malformed = |what| VerifyError::Malformed { height, what };
        for link in &page.links {
            let link = StreamLink {
                height: Height(link.height),
                entries: link
                    .entries
                    .parse()
                    .map_err(|_| malformed("a link's digest"))?,
            };
            if link.height > to {
                break;
            }
            if link.height < self.next {
                return Err(malformed("a link in its order"));
            }
            self.digest = link.digest(&self.digest);
            self.next = link.height.next();
        }
        if page.to_height < height.0 {
            return Err(malformed("a link after this height"));
        }
        self.next = self.next.max(Height(page.to_height.min(to.0)).next());
        Ok(())
    }
}
