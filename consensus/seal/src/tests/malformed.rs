//! A malformed envelope gets one verdict everywhere, and no lie brings it about.

use super::opening::{liars, opened, pick, subsets, weight_of};
use super::*;
use curve25519_dalek::traits::Identity;

#[test]
fn a_malformed_envelope_gets_the_same_verdict_from_every_quorum_and_keeps_its_index() {
    for weights in [EQUAL, WEIGHTED] {
        let committee = Committee::get(weights);
        let identity = forged(committee, 4, |y, label, _| {
            let r = right_exponent(committee, &RistrettoPoint::identity(), label);
            (r, y * r)
        });
        let wild = forged(committee, 5, |_, _, rng| {
            (Scalar::random(rng), RistrettoPoint::random(rng))
        });
        let envelopes = vec![
            envelope(committee, 0),
            malformed(committee, 1),
            envelope(committee, 2),
            identity,
            wild,
        ];
        let headers = headers(&envelopes);
        assert_eq!(
            committee.verifier().check(&headers),
            [true; 5],
            "the seals pass admission"
        );
        let bundles = committee.bundles(context(), &headers);
        let mut verdicts = Vec::new();
        for set in subsets(weights.len()) {
            let node = committee.node(set.first().map_or(0, |index| *index as u16));
            if weight_of(committee, &set) >= node.threshold().quorum() {
                let result = node.open(context(), &headers, &pick(&bundles, &set));
                assert_eq!(result.liars, []);
                verdicts.push(result.verdicts.expect("a quorum"));
            }
        }
        assert!(verdicts.len() > 4 && verdicts.windows(2).all(|pair| pair[0] == pair[1]));
        use Verdict::{Malformed, Opened};
        assert!(matches!(
            verdicts[0][..],
            [Opened(_), Malformed, Opened(_), Malformed, Malformed]
        ));
    }
}

#[test]
fn a_liar_cannot_make_a_good_envelope_malformed_nor_a_malformed_one_open() {
    let committee = Committee::get(EQUAL);
    let envelopes = vec![envelope(committee, 0), malformed(committee, 1)];
    let headers = headers(&envelopes);
    let mut bundles = committee.bundles(context(), &headers);
    bundles[0].shares[0] = (0..2)
        .map(|k| curve::encode(&RistrettoPoint::random(&mut rng(k))))
        .collect();
    let result = committee.verifier().open(context(), &headers, &bundles);
    assert_eq!(liars(&result), [0]);
    let verdicts = result.verdicts.expect("three honest bundles");
    assert!(matches!(
        verdicts[..],
        [Verdict::Opened(_), Verdict::Malformed]
    ));
}

#[test]
fn headers_that_admission_would_refuse_are_malformed_everywhere() {
    let committee = Committee::get(EQUAL);
    let payer = payer(1);
    let plain = plain(core_of(&payer, 1), vec![1], sign(&payer)).expect("short");
    let mut broken = envelope(committee, 2);
    sealed_mut(&mut broken.header).c = Point([0xff; 32]);
    let envelopes = vec![plain, broken, envelope(committee, 3)];
    let headers = headers(&envelopes);
    let bundles = committee.bundles(context(), &headers);
    let result = committee.verifier().open(context(), &headers, &bundles);
    assert_eq!(result.liars, []);
    let verdicts = result.verdicts.expect("a quorum");
    assert!(matches!(
        verdicts[..],
        [Verdict::Malformed, Verdict::Malformed, Verdict::Opened(_)]
    ));
}

#[test]
fn an_opening_certificate_convinces_anyone_of_a_malformed_envelope() {
    let committee = Committee::get(WEIGHTED);
    let lane = ShareContext {
        lane: LaneKind::Malformed.of(Epoch(0)),
        ..context()
    };
    let envelopes = vec![malformed(committee, 0), malformed(committee, 1)];
    let headers = headers(&envelopes);
    let mut bundles = committee.bundles(lane, &headers);
    bundles[1].shares[0].swap(0, 1);
    bundles.reverse();
    let node = committee.node(0);
    let certificate =
        OpeningCertificate::assemble(&node, lane, &headers, &bundles).expect("6 of 7 are honest");
    let bytes = codec::encode(&certificate);
    let certificate: OpeningCertificate = codec::decode(&bytes, 1 << 16).expect("own encoding");
    let reader = committee.verifier();
    let expected = vec![Verdict::Malformed; 2];
    assert_eq!(certificate.verify(&reader, &headers), Ok(expected));

    let mut short = certificate.clone();
    short.parts.truncate(2);
    assert_eq!(
        short.verify(&reader, &headers),
        Err(CertificateError::TooFew)
    );
    let mut forged = certificate.clone();
    for part in &mut forged.parts {
        part.shares[0].swap(0, 1);
    }
    assert_eq!(
        forged.verify(&reader, &headers),
        Err(CertificateError::TooFew)
    );
    let mut doubled = certificate.clone();
    doubled.parts.push(doubled.parts[0].clone());
    assert_eq!(
        doubled.verify(&reader, &headers),
        Err(CertificateError::Order)
    );
    let mut moved = certificate;
    moved.context.height = Height(99);
    assert_eq!(moved.verify(&reader, &headers), Err(CertificateError::Part));
    let few = OpeningCertificate::assemble(&node, lane, &headers, &bundles[..1]);
    assert_eq!(few, None);
}

#[test]
fn a_certificate_cannot_call_a_good_envelope_malformed() {
    let committee = Committee::get(EQUAL);
    let lane = ShareContext {
        lane: LaneKind::Malformed.of(Epoch(0)),
        ..context()
    };
    let envelopes = envelopes(committee, 1);
    let headers = headers(&envelopes);
    let mut parts = committee.bundles(lane, &headers);
    let node = committee.verifier();
    let honest = OpeningCertificate {
        context: lane,
        parts: parts.clone(),
    };
    let verdicts = honest.verify(&node, &headers).expect("proven");
    assert!(matches!(verdicts[..], [Verdict::Opened(_)]));
    parts[0].shares[0][0] = curve::encode(&curve::base(&Scalar::ONE));
    parts.truncate(3);
    let forged = OpeningCertificate {
        context: lane,
        parts,
    };
    assert_eq!(
        forged.verify(&node, &headers),
        Err(CertificateError::TooFew)
    );
}

#[test]
fn a_body_that_does_not_decrypt_under_a_valid_opening_reads_as_nothing() {
    let committee = Committee::get(EQUAL);
    // The sender is honest about M and puts rubbish, or bad padding, into the body.
    let payer = payer(1);
    let core = core_of(&payer, 0);
    let m = RistrettoPoint::random(&mut rng(5));
    let m_bytes = curve::encode(&m);
    let mut body = sealing::encrypt(&m_bytes, &core, b"text").expect("fits");
    body[0] ^= 1;
    let digest = Domain::EnvelopeBody.digest(&body);
    let label = hashes::label(&core, body.len() as u32, &digest);
    let (y, mut rng) = (committee.key.key, rng(6));
    let r = hashes::exponent(&y, &m_bytes, &label);
    let c = curve::encode(&curve::base(&r));
    let d = curve::encode(&(m + curve::point(&y).expect("valid") * r));
    let payload = Payload::Sealed(sealing::prove(&y, &label, c, d, &r, &mut rng));
    let header = EnvelopeHeader {
        core,
        body_bytes: body.len() as u32,
        body_digest: digest,
        payload,
        signature: EdSignature([0; 64]),
    };
    let envelope = Envelope { header, body };
    let headers = [&envelope.header];
    let node = committee.verifier();
    assert_eq!(node.check(&headers), [true]);
    let result = node.open(context(), &headers, &committee.bundles(context(), &headers));
    assert_eq!(opened(&result), [m_bytes]);
    assert_eq!(node.decrypt(&envelope, &m_bytes), None);
}
