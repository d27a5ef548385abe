//! The part of a rollup's stream that is not settled yet, by index.

use std::collections::VecDeque;

use conclave_sdk::OrderedTransaction;
use conclave_sdk::api::DeliveryView;
use conclave_types::{Height, TxIndex};

/// Consecutive transactions from an index on.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    first: TxIndex,
    transactions: VecDeque<OrderedTransaction>,
}

/// A delivery that does not follow what is here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentsError {
    /// Transactions are missing before it.
    #[error(
        "[CV-PROVER-030] the stream goes on at transaction {found}, expected {expected}; delete the snapshot if it is of another chain"
    )]
    Gap { expected: TxIndex, found: TxIndex },
    /// A transaction is not hexadecimal.
    #[error("[CV-PROVER-031] height {height} delivers a malformed transaction; use another node")]
    Malformed { height: Height },
}

impl Contents {
    /// Nothing yet, from an index on.
    pub(crate) fn from(first: TxIndex) -> Self {
        Self {
            first,
            transactions: VecDeque::new(),
        }
    }

    /// The index that the next transaction will have.
    pub(crate) fn next(&self) -> TxIndex {
        TxIndex(self.first.0 + self.transactions.len() as u64)
    }

    /// Appends a delivery; what is here already, after a resume inside a block, is skipped.
    pub(crate) fn append(&mut self, delivery: &DeliveryView) -> Result<(), ContentsError> {
        let (expected, found) = (self.next(), TxIndex(delivery.first_index));
        let Some(known) = expected.0.checked_sub(found.0) else {
            return Err(ContentsError::Gap { expected, found });
        };
        let height = Height(delivery.height);
        let texts = delivery.envelopes.iter().flat_map(|e| &e.transactions);
        for text in texts.skip(usize::try_from(known).unwrap_or(usize::MAX)) {
            let bytes = hex::decode(text).map_err(|_| ContentsError::Malformed { height })?;
            self.transactions
                .push_back(OrderedTransaction { height, bytes });
        }
        Ok(())
    }

    /// The transactions `from..to`; `None` while some are missing, or gone.
    pub(crate) fn range(&self, from: TxIndex, to: TxIndex) -> Option<Vec<OrderedTransaction>> {
        if from > to || to > self.next() {
            return None;
        }
        let start = usize::try_from(from.0.checked_sub(self.first.0)?).ok()?;
        let count = usize::try_from(to.0 - from.0).ok()?;
        Some(
            self.transactions
                .iter()
                .skip(start)
                .take(count)
                .cloned()
                .collect(),
        )
    }

    /// Forgets everything before an index.
    pub(crate) fn forget_before(&mut self, index: TxIndex) {
        while self.first < index && self.transactions.pop_front().is_some() {
            self.first.0 += 1;
        }
    }
}
