//! What must always hold of sealing, on keys that the real key generation made.

mod admission;
mod evidence;
mod keys;
mod malformed;
mod opening;
mod sources;

use std::sync::OnceLock;

use conclave_types::Scalar as ScalarBytes;
use conclave_types::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::keygen::tests::generate;
use crate::*;

/// n = 4 with one key share each.
const EQUAL: &[u16] = &[1, 1, 1, 1];
/// n = 7 with several key shares for some.
const WEIGHTED: &[u16] = &[2, 1, 1, 3];

/// A committee after its key generation.
struct Committee {
    weights: &'static [u16],
    key: SealingKey,
    shares: Vec<Vec<u8>>,
}

impl Committee {
    fn get(weights: &'static [u16]) -> &'static Self {
        static MADE: [OnceLock<Committee>; 2] = [OnceLock::new(), OnceLock::new()];
        MADE[usize::from(weights == WEIGHTED)].get_or_init(|| {
            let made = generate(weights, 7);
            Self {
                weights,
                key: made[0].1.clone(),
                shares: made
                    .iter()
                    .map(|(shares, _)| shares.encode().to_vec())
                    .collect(),
            }
        })
    }

    fn node(&self, index: u16) -> Tdh2 {
        let shares = KeyShares::decode(&self.shares[usize::from(index)]).expect("own encoding");
        let own = Some((ValidatorIndex(index), shares));
        Tdh2::new(&self.key, self.weights, own, [index as u8; 32]).expect("own key")
    }

    fn verifier(&self) -> Tdh2 {
        Tdh2::new(&self.key, self.weights, None, [99; 32]).expect("valid key")
    }

    fn bundles(&self, context: ShareContext, headers: &[&EnvelopeHeader]) -> Vec<ShareBundle> {
        (0..self.weights.len() as u16)
            .map(|index| {
                let node = self.node(index);
                let points = node.share_points(headers);
                node.bundle(context, headers, points).expect("has shares")
            })
            .collect()
    }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn payer(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn sign(payer: &SigningKey) -> impl FnOnce(&Digest) -> EdSignature {
    |digest| EdSignature(payer.sign(&digest.0).to_bytes())
}

fn core_of(payer: &SigningKey, sequence: u64) -> EnvelopeCore {
    EnvelopeCore {
        chain: ChainId(Digest([1; 32])),
        epoch: Epoch(0),
        rollup: RollupId(7),
        payer: AccountId(Digest(payer.verifying_key().to_bytes())),
        sequence: Sequence(sequence),
        expiry: Height(1000),
        release: ReleaseRule::OnCommit,
        bucket: Bucket(0),
        fee_max: Amount(u64::MAX),
    }
}

fn plaintext(number: u64) -> Vec<u8> {
    encode_transactions(&[number.to_le_bytes().to_vec(), b"pay".to_vec()]).expect("few")
}

fn envelope(committee: &Committee, number: u64) -> Envelope {
    let payer = payer(1);
    let core = core_of(&payer, number);
    let (y, text) = (&committee.key.key, plaintext(number));
    seal(y, core, &text, &mut rng(number), sign(&payer)).expect("fits")
}

fn envelopes(committee: &Committee, count: u64) -> Vec<Envelope> {
    (0..count)
        .map(|number| envelope(committee, number))
        .collect()
}

fn headers(envelopes: &[Envelope]) -> Vec<&EnvelopeHeader> {
    envelopes.iter().map(|envelope| &envelope.header).collect()
}

fn context() -> ShareContext {
    ShareContext {
        block: BlockId(Digest([5; 32])),
        height: Height(12),
        lane: LaneKind::OnCommit.of(Epoch(0)),
        group: ShareGroup::Whole,
    }
}

/// An envelope with a good proof for an exponent and a D of the sender's choice.
fn forged(
    committee: &Committee,
    number: u64,
    choose: impl FnOnce(&RistrettoPoint, &Digest, &mut ChaCha20Rng) -> (Scalar, RistrettoPoint),
) -> Envelope {
    let (payer, mut rng) = (payer(1), rng(number));
    let y = curve::point(&committee.key.key).expect("valid");
    let core = core_of(&payer, number);
    let body = vec![7; Bucket(0).plaintext_bytes() + TAG_BYTES];
    let digest = Domain::EnvelopeBody.digest(&body);
    let label = hashes::label(&core, body.len() as u32, &digest);
    let (r, d) = choose(&y, &label, &mut rng);
    let (c, d) = (curve::encode(&curve::base(&r)), curve::encode(&d));
    let sealed = sealing::prove(&committee.key.key, &label, c, d, &r, &mut rng);
    let mut header = EnvelopeHeader {
        core,
        body_bytes: body.len() as u32,
        body_digest: digest,
        payload: Payload::Sealed(sealed),
        signature: EdSignature([0; 64]),
    };
    header.signature = sign(&payer)(&header.signing_digest());
    Envelope { header, body }
}

/// The exponent that the rules ask for.
fn right_exponent(committee: &Committee, m: &RistrettoPoint, label: &Digest) -> Scalar {
    hashes::exponent(&committee.key.key, &curve::encode(m), label)
}

/// A well-proven envelope whose exponent is not the hash of its M.
fn malformed(committee: &Committee, number: u64) -> Envelope {
    forged(committee, number, |y, _, rng| {
        let (r, m) = (Scalar::random(rng), RistrettoPoint::random(rng));
        (r, m + y * r)
    })
}

fn sealed_mut(header: &mut EnvelopeHeader) -> &mut SealedKey {
    match &mut header.payload {
        Payload::Sealed(sealed) => sealed,
        Payload::Plain => panic!("a sealed header was expected"),
    }
}
