//! Measures what sealing costs per envelope, on one core:
//! `cargo run --release -p conclave-seal --example cost`.

use std::time::Instant;

use conclave_seal::{
    Ceremony, KeyGeneration, KeyShares, SealScheme, Tdh2, seal, verify_payer_signature,
};
use conclave_types::{
    AccountId, Amount, BlockId, Bucket, ChainId, Digest, EdSignature, Envelope, EnvelopeCore,
    EnvelopeHeader, Epoch, Height, LaneKind, Point, ReleaseRule, RollupId, SealingKey, Sequence,
    ShareBundle, ShareContext, ShareGroup, ValidatorIndex, encode_transactions,
};
use ed25519_dalek::{Signer, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    for validators in [4, 16] {
        for count in [16, 256, 1024] {
            measure(validators, count)?;
        }
    }
    Ok(())
}

fn measure(validators: u16, count: u64) -> Fallible<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let weights = vec![1; usize::from(validators)];
    let (own, key) = generate(&weights, &mut rng)?;
    let nodes: Vec<Tdh2> = (0..)
        .map(ValidatorIndex)
        .zip(own)
        .map(|(index, own)| Tdh2::new(&key, &weights, Some((index, own)), [1; 32]))
        .collect::<Result<_, _>>()?;
    println!("{validators} validators, {count} envelopes, µs per envelope:");

    let envelopes = timed("seal", count, || envelopes(&key.key, count, &mut rng))?;
    let headers: Vec<&EnvelopeHeader> = envelopes.iter().map(|made| &made.header).collect();
    let good = timed("check", count, || nodes[0].check(&headers));
    assert!(good.iter().all(|good| *good));
    let signed = || headers.iter().all(|header| verify_payer_signature(header));
    assert!(timed("payer signature", count, signed));
    let points = timed("share points", count, || nodes[0].share_points(&headers));
    let context = ShareContext {
        block: BlockId(Digest([2; 32])),
        height: Height(1),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    };
    let make = || nodes[0].bundle(context, &headers, points);
    let mut bundles: Vec<ShareBundle> = timed("bundle", count, make).into_iter().collect();
    for node in &nodes[1..] {
        bundles.extend(node.bundle(context, &headers, node.share_points(&headers)));
    }
    let open = || nodes[1].open(context, &headers, &bundles);
    let result = timed("open", count, open);
    let openings: Vec<(&EnvelopeHeader, Point)> = headers
        .iter()
        .zip(result.verdicts.unwrap_or_default())
        .filter_map(|(header, verdict)| match verdict {
            conclave_seal::Verdict::Opened(m) => Some((*header, m)),
            conclave_seal::Verdict::Malformed => None,
        })
        .collect();
    let right = timed("verify openings", count, || {
        nodes[2].verify_openings(&openings)
    });
    assert!(right.len() == headers.len() && right.iter().all(|right| *right));

    bundles[0].shares[0].reverse();
    let open = || nodes[1].open(context, &headers, &bundles);
    let result = timed("open with one liar", count, open);
    assert!(result.verdicts.is_some() && result.liars[0].validator == ValidatorIndex(0));
    let mut one_bad = envelopes[0].header.clone();
    one_bad.core.expiry = Height(9);
    let mut headers = headers;
    headers[0] = &one_bad;
    timed("check with one bad", count, || nodes[0].check(&headers));
    Ok(())
}

fn timed<T>(name: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let each = start.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("  {name:20} {each:8.1}");
    result
}

fn generate(weights: &[u16], rng: &mut ChaCha20Rng) -> Fallible<(Vec<KeyShares>, SealingKey)> {
    let mut nodes = Vec::new();
    let mut messages = Vec::new();
    for index in 0..weights.len() as u16 {
        let ceremony = Ceremony {
            context: Digest([3; 32]),
            weights: weights.to_vec(),
        };
        let (node, message) = KeyGeneration::start(ceremony, ValidatorIndex(index), rng)?;
        nodes.push(node);
        messages.push(message);
    }
    for _round in 0..2 {
        let mut next = Vec::new();
        for (to, node) in nodes.iter_mut().enumerate() {
            for (from, message) in messages.iter().enumerate().filter(|(from, _)| *from != to) {
                next.extend(node.handle(ValidatorIndex(from as u16), message)?.send);
            }
        }
        messages = next;
    }
    let mut own = Vec::new();
    let mut key = None;
    for node in nodes {
        let (shares, made) = node.finish()?;
        own.push(shares);
        key = Some(made);
    }
    Ok((own, key.ok_or("no validators")?))
}

fn envelopes(y: &Point, count: u64, rng: &mut ChaCha20Rng) -> Fallible<Vec<Envelope>> {
    let payer = SigningKey::from_bytes(&[1; 32]);
    let text = encode_transactions(&[vec![7; 512]])?;
    let one = |sequence| {
        let core = EnvelopeCore {
            chain: ChainId(Digest([1; 32])),
            epoch: Epoch(0),
            rollup: RollupId(1),
            payer: AccountId(Digest(payer.verifying_key().to_bytes())),
            sequence: Sequence(sequence),
            expiry: Height(100),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(u64::MAX),
        };
        let sign = |digest: &Digest| EdSignature(payer.sign(&digest.0).to_bytes());
        Ok(seal(y, core, &text, rng, sign)?)
    };
    (0..count).map(one).collect()
}
