//! Reading what was delivered to a rollup, in order and without gaps; the stream and the list of
//! contents both read through here.

use conclave_sdk::api::{ContentsView, DeliveryView};
use conclave_types::{Height, RollupId};

use super::error::Failure;
use super::limits::{ANSWER_BYTES, SCAN_HEIGHTS};
use super::view;
use crate::backend::Backend;

/// A position in a rollup's deliveries.
#[derive(Debug, Clone)]
pub(super) struct DeliveryReader {
    rollup: RollupId,
    /// Whether every height is answered, with its block.
    proofs: bool,
    /// The next height to look at.
    next: Height,
    /// The delivery before `next`, in short: its next index and its digest. Known once the first
    /// height without contents needed it.
    carried: Option<(u64, String)>,
}

/// What one read came to.
pub(super) enum Reading {
    /// The next delivery; all heights up to it are covered.
    Delivery(Box<DeliveryView>),
    /// Nothing more was delivered up to this height.
    Covered(Height),
}

impl DeliveryReader {
    /// Reads from a height on; nothing is ever delivered at the genesis.
    pub(super) fn new(rollup: RollupId, from: Height, proofs: bool) -> Self {
        Self {
            rollup,
            proofs,
            next: from.max(Height(1)),
            carried: None,
        }
    }

    /// The next height to look at.
    pub(super) const fn next(&self) -> Height {
        self.next
    }

    /// Reads on, up to `to`, which must be executed and at least [`DeliveryReader::next`], and
    /// over a bounded number of heights.
    pub(super) fn read<B: Backend>(&mut self, backend: &B, to: Height) -> Result<Reading, Failure> {
        let last = match self.proofs {
            true => self.next,
            false => to.min(Height(self.next.0.saturating_add(SCAN_HEIGHTS - 1))),
        };
        let last = up_to_gap(backend, self.next, last)?;
        let found = backend.next_delivery(self.rollup, self.next, last);
        let reading = match (found, self.proofs) {
            (Some(height), _) => {
                let delivery = backend.delivery(self.rollup, height)?;
                let delivery =
                    delivery.ok_or_else(|| Failure::missing("the delivery", height.0))?;
                self.carried = Some((view::next_index(&delivery), delivery.stream_digest.clone()));
                Reading::Delivery(Box::new(delivery))
            }
            (None, true) => Reading::Delivery(Box::new(self.nothing(backend, last)?)),
            (None, false) => Reading::Covered(last),
        };
        let reading = match reading {
            Reading::Delivery(delivery) if self.proofs => {
                Reading::Delivery(Box::new(with_block(backend, *delivery)?))
            }
            other => other,
        };
        self.next = match &reading {
            Reading::Delivery(delivery) => Height(delivery.height).next(),
            Reading::Covered(height) => height.next(),
        };
        Ok(reading)
    }

    /// The delivery of nothing: the stream stands where it stood.
    fn nothing<B: Backend>(
        &mut self,
        backend: &B,
        height: Height,
    ) -> Result<DeliveryView, Failure> {
        let (first_index, stream_digest) = match self.carried.take() {
            Some(carried) => carried,
            None => match backend.last_delivery(self.rollup, height) {
                found if gap_since(backend, found, height).is_some() => {
                    return Err(Failure::no_history(height));
                }
                Some(at) => {
                    let delivery = backend.delivery(self.rollup, at)?;
                    let delivery =
                        delivery.ok_or_else(|| Failure::missing("the delivery", at.0))?;
                    (view::next_index(&delivery), delivery.stream_digest)
                }
                None => (0, view::stream_start()),
            },
        };
        self.carried = Some((first_index, stream_digest.clone()));
        Ok(DeliveryView {
            malformed_evidence: Vec::new(),
            inconsistent_evidence: vec![],
            rollup: self.rollup.0,
            height: height.0,
            time_ms: 0,
            first_index,
            envelopes: Vec::new(),
            stream_digest,
            block: None,
        })
    }
}

/// The deliveries from a height to another, `to`, both executed; as many as fit an answer.
pub(super) fn contents<B: Backend>(
    backend: &B,
    rollup: RollupId,
    proofs: bool,
    from: Height,
    to: Height,
) -> Result<ContentsView, Failure> {
    let mut reader = DeliveryReader::new(rollup, from, proofs);
    let end = to.min(Height(from.0.saturating_add(SCAN_HEIGHTS - 1)));
    let mut deliveries = Vec::new();
    let mut bytes = 0;
    while reader.next() <= end && bytes <= ANSWER_BYTES {
        if let Reading::Delivery(delivery) = reader.read(backend, end)? {
            bytes += view::delivery_bytes(&delivery);
            deliveries.push(*delivery);
        }
    }
    Ok(ContentsView {
        rollup: rollup.0,
        from_height: from.0,
        to_height: reader.next().0 - 1,
        deliveries,
    })
}

/// How far contents can be read from a height on: up to the next that this node was not there for.
pub(super) fn up_to_gap<B: Backend>(
    backend: &B,
    from: Height,
    to: Height,
) -> Result<Height, Failure> {
    match backend.gap(from, to) {
        Some((first, last)) if first <= from => Err(Failure::no_history(last)),
        Some((first, _)) => Ok(Height(first.0 - 1)),
        None => Ok(to),
    }
}

/// Whether something may have been delivered after the last delivery that is known.
pub(super) fn gap_since<B: Backend>(
    backend: &B,
    known: Option<Height>,
    height: Height,
) -> Option<(Height, Height)> {
    backend.gap(known.unwrap_or_default().next(), height)
}

fn with_block<B: Backend>(
    backend: &B,
    mut delivery: DeliveryView,
) -> Result<DeliveryView, Failure> {
    let block = backend.block(Height(delivery.height))?;
    let block = block.ok_or_else(|| Failure::missing("the block", delivery.height))?;
    delivery.time_ms = block.block.header.time.0;
    delivery.block = Some(view::block(&block));
    Ok(delivery)
}
