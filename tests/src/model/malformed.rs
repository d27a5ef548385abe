//! A real seal that passes admission and opens to nothing: its sender knows the exponent and
//! proves it, but did not derive it from M. Written from the scheme's definition, because the
//! scheme's own code makes right seals only.

use conclave_crypto::EdSecret;
use conclave_types::{
    Domain, EdSignature, Envelope, EnvelopeCore, EnvelopeHeader, Payload, Point,
    Scalar as ScalarBytes, SealedKey, codec,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

/// What the body's cipher adds.
const TAG_BYTES: usize = 16;

fn encode(point: &RistrettoPoint) -> Point {
    Point(point.compress().to_bytes())
}

/// Such an envelope under the committee key `y`.
pub(crate) fn malformed(
    y: &Point,
    core: EnvelopeCore,
    random: &mut ChaCha20Rng,
    payer: &EdSecret,
) -> Envelope {
    let mut body = vec![0; core.bucket.plaintext_bytes() + TAG_BYTES];
    random.fill_bytes(&mut body);
    let body_digest = Domain::EnvelopeBody.digest(&body);
    let body_bytes = body.len() as u32;
    let label = Domain::SealLabel
        .hasher()
        .part(&codec::encode(&core))
        .part(&body_bytes.to_le_bytes())
        .part(&body_digest.0)
        .digest();

    // C = r·G and D = M + r·Y, for an r of its own choice.
    let key = CompressedRistretto(y.0).decompress().expect("a valid key");
    let (r, s) = (Scalar::random(random), Scalar::random(random));
    let m = RistrettoPoint::random(random);
    let (c, d) = (
        encode(&RistrettoPoint::mul_base(&r)),
        encode(&(m + key * r)),
    );
    let generator = Domain::SealGenerator.hasher();
    let generator = generator.part(&label.0).part(&c.0).part(&d.0).wide();
    let g_bar = RistrettoPoint::from_uniform_bytes(&generator);
    let c_bar = encode(&(g_bar * r));
    let commitment = encode(&RistrettoPoint::mul_base(&s));
    let commitment_bar = encode(&(g_bar * s));
    let mut challenge = Domain::SealChallenge.hasher().part(&y.0).part(&label.0);
    for point in [&c, &d, &c_bar, &commitment, &commitment_bar] {
        challenge = challenge.part(&point.0);
    }
    let challenge = Scalar::from_bytes_mod_order_wide(&challenge.wide());
    let sealed = SealedKey {
        c,
        d,
        c_bar,
        commitment,
        commitment_bar,
        response: ScalarBytes((s + challenge * r).to_bytes()),
    };
    let mut header = EnvelopeHeader {
        core,
        body_bytes,
        body_digest,
        payload: Payload::Sealed(sealed),
        signature: EdSignature([0; 64]),
    };
    header.signature = payer.sign(&header.signing_digest());
    Envelope { header, body }
}
