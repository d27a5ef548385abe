//! A range of heights, one block after the other, and the chain of digests over it.

use std::collections::BTreeMap;

use conclave_types::{BlockId, Digest, Height, RollupId, StreamLink, TxIndex};

use super::{Auditor, ProvenLedger, RangeReport, VerifiedDelivery, VerifyError};
use crate::OrderedTransaction;
use crate::api::{DeliveryView, LinksView};

/// The blocks so far.
pub(super) struct Walk {
    rollup: RollupId,
    from: Height,
    pub(super) next: Height,
    /// The last final block, once there is one.
    parent: Option<BlockId>,
    first_index: Option<TxIndex>,
    /// The stream's digest before `next`. What the walk began with needs no proof of its own: only
    /// the right one leads to the digest that is proven at the end.
    digest: Digest,
    envelopes: u64,
    outcomes: BTreeMap<String, u64>,
    transactions: Vec<OrderedTransaction>,
}

impl Walk {
    /// Starts at a height after the rollup's registration; `digest` is the stream's before it.
    pub(super) fn new(rollup: RollupId, from: Height, registered: Height, digest: Digest) -> Self {
        Self {
            rollup,
            from,
            next: from,
            parent: None,
            // Nothing is ordered up to the registration.
            first_index: (from == registered.next()).then_some(TxIndex(0)),
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
    ) -> Result<(RangeReport, Vec<OrderedTransaction>), VerifyError> {
        let first_index = self.first_index.unwrap_or_default();
        let next_index = TxIndex(first_index.0 + self.transactions.len() as u64);
        let to = Height(self.next.0 - 1);
        // Without transactions, nothing but the ledger says where the stream stands.
        if self.digest == ledger.stream.digest && next_index != ledger.stream.next {
            return Err(VerifyError::Index {
                height: to,
                expected: ledger.stream.next,
                found: next_index,
            });
        }
        let report = RangeReport {
            rollup: self.rollup,
            from: self.from,
            to,
            blocks: self.next.0 - self.from.0,
            envelopes: self.envelopes,
            outcomes: self.outcomes,
            first_index,
            next_index,
            ledger,
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
