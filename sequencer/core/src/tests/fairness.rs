//! Who floods slows itself: in the mempool, in batches, in blocks, and in others' memory.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::*;
use crate::mempool::Mempool;

/// An envelope that costs as much as a small one, or a large one.
fn envelope(rollup: u32, payer: u8, sequence: u64, large: bool) -> Envelope {
    static LIKE: LazyLock<Envelope> = LazyLock::new(|| batch(1, b"").envelopes[0].clone());
    let mut envelope = LIKE.clone();
    let core = &mut envelope.header.core;
    core.rollup = RollupId(rollup);
    core.payer = AccountId(Digest([payer; 32]));
    core.sequence = Sequence(sequence);
    envelope.body = vec![0; if large { 200_000 } else { 1_168 }];
    envelope.header.body_bytes = envelope.body.len() as u32;
    envelope
}

/// A mempool in which some rollups' payers wait with so many envelopes each.
fn waiting(floods: &[(u32, u8, u64, bool)]) -> Mempool {
    let mut mempool = Mempool::default();
    for (rollup, payer, count, large) in floods {
        for sequence in 0..*count {
            let envelope = envelope(*rollup, *payer, sequence, *large);
            mempool.insert(envelope, Amount::ZERO, 0);
        }
    }
    mempool
}

fn count<K: Ord>(batch: &[Envelope], key: impl Fn(&EnvelopeCore) -> K) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for envelope in batch {
        *counts.entry(key(&envelope.header.core)).or_default() += 1;
    }
    counts
}

#[test]
fn a_batch_has_room_for_every_rollup_whatever_one_of_them_sends() {
    let mut mempool = waiting(&[(1, 1, 5_000, false), (2, 2, 3, false), (3, 3, 1, true)]);
    let batch = mempool.take(|_| true);
    let counts = count(&batch, |core| core.rollup);
    assert_eq!((counts[&RollupId(2)], counts[&RollupId(3)]), (3, 1));
    assert_eq!(
        batch.len(),
        limits::BATCH_ENVELOPES_MAX,
        "none of it is wasted"
    );
    assert!(batch.is_sorted_by_key(|envelope| envelope.header.core.rollup));
}

#[test]
fn rollups_of_large_and_of_small_envelopes_get_the_same_over_many_batches() {
    let mut mempool = waiting(&[(1, 1, 6_000, false), (2, 2, 500, true)]);
    let mut costs: BTreeMap<RollupId, u64> = BTreeMap::new();
    for _ in 0..15 {
        for envelope in mempool.take(|_| true) {
            *costs.entry(envelope.header.core.rollup).or_default() += envelope.header.cost_bytes();
        }
    }
    let (small, large) = (costs[&RollupId(1)], costs[&RollupId(2)]);
    assert!(small.abs_diff(large) < 500_000, "{small} and {large}");
}

#[test]
fn payers_of_one_rollup_take_turns() {
    let mut mempool = waiting(&[(1, 1, 5_000, false), (1, 2, 400, false), (1, 3, 2, false)]);
    let payers = count(&mempool.take(|_| true), |core| core.payer.0.0[0]);
    assert_eq!((payers[&2], payers[&3]), (400, 2));
}

/// What would be ordered for nothing takes no place in a batch, and its turn comes when the price
/// has fallen.
#[test]
fn envelopes_that_cannot_pay_wait_for_a_lower_price() {
    let mut mempool = waiting(&[(1, 1, 5, false), (2, 2, 5, false)]);
    let cheap = |header: &EnvelopeHeader| header.core.rollup == RollupId(2);
    assert_eq!(mempool.take(cheap).len(), 5);
    assert_eq!((mempool.waiting(), mempool.len()), (0, 10));
    mempool.unpark(cheap);
    assert_eq!(mempool.waiting(), 0);
    mempool.unpark(|_| true);
    let sequences = mempool.take(|_| true);
    let sequences = sequences
        .iter()
        .map(|envelope| envelope.header.core.sequence.0);
    assert_eq!(sequences.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn what_leaves_the_mempool_leaves_no_trace() {
    let mut mempool = waiting(&[(1, 1, 3, false), (2, 2, 3, false)]);
    let batched = mempool.take(|header| header.core.rollup == RollupId(1));
    assert_eq!(batched.len(), 3);
    mempool.insert(envelope(3, 3, 0, false), Amount(7), 0);
    assert_eq!(mempool.expire(Height(1_000)).len(), 7);
    assert_eq!((mempool.len(), mempool.waiting()), (0, 0));
    mempool.unpark(|_| true);
    assert!(mempool.take(|_| true).is_empty());
    assert_eq!(mempool.owed(AccountId(Digest([3; 32]))), Amount::ZERO);
}

/// A certificate of any author; signatures are not looked at here.
fn of_author(author: u16, sequence: u64) -> BatchRef {
    static LIKE: LazyLock<BatchRef> = LazyLock::new(|| certified(&batch(1, b"any")));
    let mut reference = LIKE.clone();
    reference.header.author = ValidatorIndex(author);
    reference.header.sequence = sequence;
    reference
}

#[test]
fn a_block_takes_authors_in_turn_each_ones_oldest_first() {
    let mut availability = Availability::default();
    let mut certify = |author, sequence, now| {
        let reference = of_author(author, sequence);
        availability.certify(reference.header.id(), reference, now)
    };
    for sequence in 0..40 {
        assert!(certify(1, sequence, sequence));
    }
    assert!(certify(2, 7, 50) && certify(3, 9, 45) && certify(3, 8, 60));
    let taken = |ancestors: &[(ValidatorIndex, u64)], max| -> Vec<(u16, u64)> {
        let taken = availability.orderable(ancestors, max);
        let header = taken.iter().map(|reference| &reference.header);
        header
            .map(|header| (header.author.0, header.sequence))
            .collect()
    };
    assert_eq!(
        taken(&[], 6),
        [(1, 0), (3, 9), (2, 7), (1, 1), (3, 8), (1, 2)]
    );
    assert_eq!(taken(&[], 2), [(1, 0), (3, 9)]);
    assert_eq!(
        taken(&[(ValidatorIndex(3), 9), (ValidatorIndex(1), 0)], 3),
        [(1, 1), (2, 7), (3, 8)]
    );
    assert_eq!(taken(&[], 32).len(), 32);
    assert_eq!(taken(&[], 100).len(), 43);
}

/// A lying author has as many batches stored as it likes to send, and never lets one be ordered.
#[test]
fn an_author_cannot_have_more_kept_than_its_quota() {
    let mut node = Node::new();
    let mut signed = 0;
    for sequence in 0..2 * limits::AUTHOR_BATCHES_MAX as u64 {
        let batch = batch(sequence, b"never ordered");
        let checks = |a: &Action| matches!(a, Action::Work(Work::CheckDispersal { .. }));
        if node.dispersed(&batch).iter().any(checks) {
            node.checked(&batch);
            signed += 1;
        }
    }
    assert_eq!(signed, limits::AUTHOR_BATCHES_MAX);
    // What is ordered makes room, and whatever else had its number.
    let first = certified(&batch(0, b"another"));
    node.commit(block(1, vec![first], node.root));
    let next = batch(1_000, b"next");
    assert!(!node.dispersed(&next).is_empty());
}

#[test]
fn nor_more_bytes() {
    let mut quotas = crate::quota::Quotas::default();
    let mut manifest = batch(1, b"any").manifest();
    manifest.envelopes[0].body_bytes = (limits::BATCH_BYTES_MAX) as u32;
    let mut kept = 0;
    while quotas.admits(&manifest, 0) {
        manifest.header.sequence += 1;
        quotas.keep(manifest.header.id(), &manifest);
        kept += 1;
    }
    assert_eq!(
        kept,
        limits::AUTHOR_BYTES_MAX / limits::BATCH_BYTES_MAX as u64
    );
    let other = Manifest {
        header: of_author(2, 1).header,
        envelopes: vec![],
    };
    assert!(quotas.admits(&other, 0), "others are not affected");
    quotas.forget(ValidatorIndex(1), |_| true);
    assert!(quotas.admits(&manifest, 0));
}

/// Certificates are bounded too: others may have signed what we did not.
#[test]
fn certificates_of_one_author_are_bounded() {
    let mut availability = Availability::default();
    let mut certify = |author, sequence| {
        let reference = of_author(author, sequence);
        availability.certify(reference.header.id(), reference, 0)
    };
    let kept = (0..1_000).filter(|sequence| certify(1, *sequence)).count();
    assert_eq!(kept, limits::AUTHOR_CERTIFICATES_MAX);
    assert!(certify(2, 0));
}
