//! What a validator sends as its committee grows, in bytes of real encodings. `cargo test -p
//! conclave-sequencer scale -- --nocapture` prints the table of `docs/benchmarks.md`.

use conclave_types::limits::SHARE_PART_ENVELOPES_MAX;

use super::*;

/// Committees of validators of equal weight.
const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];
const ENVELOPES: usize = 1_000;
const BODY_BYTES: usize = 1_152;

/// The bytes that leave a validator for some actions; a broadcast leaves once for each other.
fn leaving(actions: &[Action], size: usize) -> usize {
    let bytes = |action: &Action| match action {
        Action::Send { message, .. } => codec::encode(message).len(),
        Action::Broadcast(message) => codec::encode(message).len() * (size - 1),
        other => panic!("{other:?}"),
    };
    actions.iter().map(bytes).sum()
}

/// A bundle of the size of a real one.
fn sized(context: ShareContext, envelopes: usize) -> ShareBundle {
    let parts = envelopes.div_ceil(SHARE_PART_ENVELOPES_MAX);
    let proof = BatchedDleq {
        challenge: Scalar([0; 32]),
        response: Scalar([0; 32]),
    };
    ShareBundle {
        lists: vec![Digest::ZERO; parts],
        shares: vec![vec![Point([0; 32]); envelopes]],
        proofs: vec![vec![proof; parts]],
        ..bundle(context, 0)
    }
}

/// What validators send of one lane: all their shares, and then all openings. The mean of a
/// committee; in one of openers some combine a run more than others.
fn opening_bytes(size: usize) -> usize {
    let committee = committee_of(&vec![1; size]);
    let context = ShareContext {
        block: BlockId(Digest([9; 32])),
        height: Height(1),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    let key = (context.height, context.lane);
    let envelope = Arc::new(batch(1, b"sealed").envelopes[0].header.clone());
    let mut sent = 0;
    for own in committee.indices() {
        let mut openings = Openings::default();
        let envelopes = vec![envelope.clone(); ENVELOPES];
        openings.start(context, envelopes, Arc::new(committee.clone()), 0);
        let groups = openings.groups(key);
        let bundles = groups
            .iter()
            .map(|(context, envelopes)| sized(*context, envelopes.len()));
        openings.own(key, bundles.collect());
        sent += leaving(&openings.due(key, own, 0), size);
        for (context, envelopes) in groups {
            let result = OpenResult {
                verdicts: Some(vec![Verdict::Opened(Point([1; 32])); envelopes.len()]),
                liars: vec![],
            };
            openings.finish(context, result, None, size);
        }
        sent += leaving(&openings.due(key, own, 0), size);
    }
    sent / size
}

/// The bytes of the bodies' shards that each validator is sent of one batch, paths included.
fn shard_bytes(size: usize) -> usize {
    let committee = committee_of(&vec![1; size]);
    let mut batch = batch(1, b"").as_ref().clone();
    let mut envelope = batch.envelopes[0].clone();
    envelope.body = vec![7; BODY_BYTES];
    envelope.header.body_bytes = BODY_BYTES as u32;
    batch.envelopes = vec![envelope; ENVELOPES];
    let (_, dispersals) = dispersal::encode(&mut Coder::default(), &committee, Box::new(batch));
    codec::encode(&dispersals[0].shards).len()
}

#[test]
fn a_member_of_a_larger_committee_stores_less_of_a_batch() {
    let bytes = SIZES.map(shard_bytes);
    for (size, bytes) in SIZES.iter().zip(bytes) {
        println!("| {size} | shards of a batch | {bytes} |");
    }
    assert!(bytes.is_sorted_by(|a, b| a > b), "{bytes:?}");
    // As f+1 of n shards give the bodies back.
    assert!(bytes[5] < BODY_BYTES * ENVELOPES / 33, "{bytes:?}");
}

#[test]
fn with_openers_shares_cost_a_hundred_validators_less_than_sixteen_without() {
    let bytes = SIZES.map(opening_bytes);
    for (size, bytes) in SIZES.iter().zip(bytes) {
        println!("| {size} | shares and openings of a block | {bytes} |");
    }
    assert!(bytes[5] < bytes[2], "{bytes:?}");
    let all_to_all = 99 * 32 * ENVELOPES;
    assert!(bytes[5] * 10 < all_to_all, "{bytes:?}");
}
