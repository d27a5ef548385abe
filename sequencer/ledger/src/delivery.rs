//! Deliveries: what a block adds to each rollup's stream, and the backlog it leaves to be proven.

use std::collections::BTreeMap;

use conclave_market::ContentsDigest;
use conclave_types::{
    BlockTime, DeliveredEntry, Digest, Domain, EnvelopeId, Height, RollupConfig, RollupId,
    StreamLink, TxIndex, decode_transactions,
};

use crate::block::{Delivery, Outcome};
use crate::ledger::Ledger;
use crate::rollup::Chunk;

/// The digest by which a delivered plaintext enters its stream's digest.
pub(crate) fn plaintext_digest(plaintext: &[u8]) -> Digest {
    Domain::EnvelopeBody.digest(plaintext)
}

/// One block's deliveries while its envelopes act.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(BTreeMap<RollupId, Delivery>);

impl Deliveries {
    /// Appends an envelope to a rollup's part.
    pub(crate) fn push(
        &mut self,
        delivery: impl FnOnce() -> Delivery,
        rollup: RollupId,
        entry: DeliveredEntry,
    ) -> &mut Delivery {
        let delivery = self.0.entry(rollup).or_insert_with(delivery);
        delivery.entries.push(entry);
        delivery
    }
}

impl Ledger {
    /// Appends an envelope to the rollup's stream; `plaintext` if it has one to deliver. Returns
    /// the outcome with the place of its transactions.
    pub(crate) fn deliver(
        &mut self,
        deliveries: &mut Deliveries,
        at: (Height, BlockTime),
        rollup: RollupId,
        envelope: EnvelopeId,
        outcome: Outcome,
        plaintext: Option<&[u8]>,
    ) -> Outcome {
        let Some(stream) = self.state.streams.get(&rollup).copied() else {
            return outcome;
        };
        if at.0 <= stream.registered {
            return outcome;
        }
        let first = stream.next;
        let mut transactions = Vec::new();
        let outcome = match (outcome, plaintext) {
            (Outcome::Delivered { .. }, Some(plaintext)) => match decode_transactions(plaintext) {
                Ok(decoded) => {
                    transactions = decoded;
                    Outcome::Delivered {
                        first,
                        transactions: transactions.len() as u32,
                    }
                }
                Err(_) => Outcome::Undecodable,
            },
            (outcome, _) => outcome,
        };
        if let Some(stream) = self.state.streams.get_mut(&rollup) {
            stream.next = TxIndex(first.0 + transactions.len() as u64);
        }
        let entry = DeliveredEntry {
            envelope,
            outcome: outcome.in_stream(),
            plaintext: plaintext.map_or(Digest::ZERO, plaintext_digest),
        };
        let fresh = || Delivery {
            rollup,
            height: at.0,
            first,
            entries: Vec::new(),
            transactions: Vec::new(),
            digest: Digest::ZERO,
        };
        self.extend_backlog(rollup, first, at, &transactions);
        let delivery = deliveries.push(fresh, rollup, entry);
        delivery.transactions.append(&mut transactions);
        outcome
    }

    /// Chains the finished deliveries into their streams' digests.
    pub(crate) fn seal_deliveries(&mut self, deliveries: Deliveries) -> Vec<Delivery> {
        let mut sealed: Vec<Delivery> = deliveries.0.into_values().collect();
        for delivery in &mut sealed {
            if let Some(stream) = self.state.streams.get_mut(&delivery.rollup) {
                let link = StreamLink::new(delivery.height, &delivery.entries);
                stream.digest = link.digest(&stream.digest);
                stream.height = delivery.height;
                delivery.digest = stream.digest;
            }
        }
        sealed
    }

    /// Adds transactions to the rollup's backlog, if its ranges are to be proven.
    fn extend_backlog(
        &mut self,
        rollup: RollupId,
        first: TxIndex,
        (height, time): (Height, BlockTime),
        transactions: &[Vec<u8>],
    ) {
        let proven = self.state.rollups.get(&rollup);
        let Some(proven) = proven.filter(|rollup| rollup.is_proven()) else {
            return;
        };
        let config = proven.config.clone();
        let mut next = first;
        for transaction in transactions {
            let chunk = self.open_chunk((rollup, &config), next, height, time);
            chunk.contents = chunk.contents.with(height, transaction);
            chunk.bytes += transaction.len() as u64;
            chunk.to_height = height;
            next = TxIndex(next.0 + 1);
            chunk.to = next;
        }
    }

    /// The chunk that ends before `next` and is not full, or a fresh one.
    fn open_chunk(
        &mut self,
        (rollup, config): (RollupId, &RollupConfig),
        next: TxIndex,
        height: Height,
        time: BlockTime,
    ) -> &mut Chunk {
        let chunks = self
            .state
            .backlog
            .range((rollup, TxIndex(0))..=(rollup, next));
        let last = chunks
            .into_iter()
            .next_back()
            .map(|(key, chunk)| (*key, *chunk));
        let key = match last {
            Some((key, chunk)) if chunk.to == next && !chunk.is_full(key.1, config) => key,
            _ => (rollup, next),
        };
        self.state.backlog.get_or_insert(key, || Chunk {
            to: next,
            from_height: height,
            to_height: height,
            oldest: time,
            contents: ContentsDigest::EMPTY,
            bytes: 0,
        })
    }
}
