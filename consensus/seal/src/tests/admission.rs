//! Nothing but what its payer and its sender made gets in.

use super::*;
use crate::bisect::bisect;
use curve25519_dalek::traits::Identity;

type Change = (&'static str, fn(&mut EnvelopeHeader));

fn other_point(point: &mut Point) {
    let moved = curve::point(point).expect("valid") + curve::base(&Scalar::ONE);
    *point = curve::encode(&moved);
}

const CHANGES: &[Change] = &[
    ("chain", |h| h.core.chain = ChainId(Digest([2; 32]))),
    ("epoch", |h| h.core.epoch = Epoch(1)),
    ("rollup", |h| h.core.rollup = RollupId(8)),
    ("payer", |h| {
        h.core.payer = AccountId(Digest(payer(2).verifying_key().to_bytes()));
    }),
    ("sequence", |h| h.core.sequence = Sequence(77)),
    ("expiry", |h| h.core.expiry = Height(1001)),
    ("release", |h| {
        h.core.release = ReleaseRule::AtClose(AuctionId(1));
    }),
    ("bucket", |h| h.core.bucket = Bucket(1)),
    ("bucket out of range", |h| h.core.bucket = Bucket(255)),
    ("body length", |h| h.body_bytes += 1),
    ("body digest", |h| h.body_digest.0[31] ^= 1),
    ("C", |h| other_point(&mut sealed_mut(h).c)),
    ("D", |h| other_point(&mut sealed_mut(h).d)),
    ("C̄", |h| other_point(&mut sealed_mut(h).c_bar)),
    ("commitment", |h| other_point(&mut sealed_mut(h).commitment)),
    ("second commitment", |h| {
        other_point(&mut sealed_mut(h).commitment_bar);
    }),
    ("response", |h| {
        let response = &mut sealed_mut(h).response;
        let moved = curve::scalar(response).expect("reduced") + Scalar::ONE;
        *response = curve::encode_scalar(&moved);
    }),
    ("payload", |h| h.payload = Payload::Plain),
];

#[test]
fn well_formed_envelopes_are_admitted() {
    let committee = Committee::get(EQUAL);
    let envelopes = envelopes(committee, 9);
    let node = committee.node(0);
    assert_eq!(node.check(&headers(&envelopes)), [true; 9]);
    for envelope in &envelopes {
        assert!(verify_payer_signature(&envelope.header));
        assert!(body_matches(envelope));
        assert_eq!(node.check(&[&envelope.header]), [true]);
    }
    assert!(node.check(&[]).is_empty());
}

#[test]
fn changing_any_header_field_is_refused_by_seal_and_by_signature() {
    let committee = Committee::get(EQUAL);
    let original = envelope(committee, 0).header;
    let changed: Vec<EnvelopeHeader> = CHANGES
        .iter()
        .map(|(_, change)| {
            let mut header = original.clone();
            change(&mut header);
            header
        })
        .collect();
    let node = committee.verifier();
    let together = node.check(&changed.iter().collect::<Vec<_>>());
    for (((name, _), header), verdict) in CHANGES.iter().zip(&changed).zip(together) {
        assert!(!verdict, "{name} in a batch");
        assert_eq!(node.check(&[header]), [false], "{name} alone");
        assert!(!verify_payer_signature(header), "{name}");
    }
}

#[test]
fn flipping_any_bit_of_a_header_is_refused() {
    let committee = Committee::get(EQUAL);
    let bytes = codec::encode(&envelope(committee, 0).header);
    let signature_at = bytes.len() - 64;
    let mut flipped = Vec::new();
    for position in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1 << (position % 8);
        if let Ok(header) = codec::decode::<EnvelopeHeader>(&bytes, 1024) {
            assert!(!verify_payer_signature(&header), "byte {position}");
            if position < signature_at {
                flipped.push(header);
            }
        }
    }
    assert!(flipped.len() > 300);
    let verdicts = committee
        .verifier()
        .check(&flipped.iter().collect::<Vec<_>>());
    assert!(verdicts.iter().all(|verdict| !verdict));
}

#[test]
fn changing_any_ciphertext_byte_is_refused() {
    let committee = Committee::get(EQUAL);
    let original = envelope(committee, 0);
    for position in 0..original.body.len() {
        let mut changed = original.clone();
        changed.body[position] ^= 0x80;
        assert!(!body_matches(&changed), "byte {position}");
    }
    let mut longer = original.clone();
    longer.body.push(0);
    assert!(!body_matches(&longer));
    // An attacker who also fixes the digest breaks the seal.
    let mut changed = original;
    changed.body[5] ^= 1;
    changed.header.body_digest = Domain::EnvelopeBody.digest(&changed.body);
    assert!(body_matches(&changed));
    assert_eq!(committee.verifier().check(&[&changed.header]), [false]);
}

#[test]
fn identity_and_non_canonical_points_and_scalars_are_refused() {
    let committee = Committee::get(EQUAL);
    // The identity, the field's prime (zero again), a negative element, a non-square.
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    let bad = [[0; 32], prime, [1; 32], [0xff; 32]].map(Point);
    let node = committee.verifier();
    let fields: [fn(&mut SealedKey) -> &mut Point; 5] = [
        |s| &mut s.c,
        |s| &mut s.d,
        |s| &mut s.c_bar,
        |s| &mut s.commitment,
        |s| &mut s.commitment_bar,
    ];
    for field in fields {
        for point in bad {
            let mut header = envelope(committee, 0).header;
            *field(sealed_mut(&mut header)) = point;
            assert_eq!(node.check(&[&header]), [false], "{point}");
        }
    }
    // The response plus the group order is the same number in another encoding.
    let mut header = envelope(committee, 0).header;
    let order = (-Scalar::ONE).to_bytes();
    let response = &mut sealed_mut(&mut header).response.0;
    let mut carry = 1;
    for (byte, order) in response.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(node.check(&[&header]), [false]);
}

#[test]
fn the_all_zero_seal_is_refused() {
    // With every point the identity and the response 0, both equations of the proof hold.
    let committee = Committee::get(EQUAL);
    let mut header = envelope(committee, 0).header;
    let zero = Point([0; 32]);
    *sealed_mut(&mut header) = SealedKey {
        c: zero,
        d: zero,
        c_bar: zero,
        commitment: zero,
        commitment_bar: zero,
        response: ScalarBytes([0; 32]),
    };
    assert_eq!(committee.verifier().check(&[&header]), [false]);
}

#[test]
fn a_proven_seal_with_the_identity_as_d_is_refused() {
    let committee = Committee::get(EQUAL);
    let made = forged(committee, 1, |_, _, rng| {
        (Scalar::random(rng), RistrettoPoint::identity())
    });
    assert_eq!(committee.verifier().check(&[&made.header]), [false]);
}

/// A seal whose sender cheats: log_Ḡ C̄ is off by `claim`, the second commitment by `commitment`,
/// and the response satisfies only one of the two equations.
fn half_proven(
    committee: &Committee,
    number: u64,
    claim: Scalar,
    commitment: Scalar,
    second_holds: bool,
) -> EnvelopeHeader {
    let (r, s) = (Scalar::from(number + 5), Scalar::from(number + 6));
    let mut header = forged(committee, number, |y, _, _| (r, y * r + y)).header;
    let label = hashes::label_of(&header);
    let sealed = sealed_mut(&mut header);
    let g_bar = hashes::generator(&label, &sealed.c, &sealed.d);
    sealed.c_bar = curve::encode(&(g_bar * (r + claim)));
    sealed.commitment = curve::encode(&curve::base(&s));
    sealed.commitment_bar = curve::encode(&(g_bar * (s + commitment)));
    let challenge = hashes::Statement {
        y: &committee.key.key,
        label: &label,
        c: &sealed.c,
        d: &sealed.d,
        c_bar: &sealed.c_bar,
        commitment: &sealed.commitment,
        commitment_bar: &sealed.commitment_bar,
    }
    .challenge();
    let response = match second_holds {
        true => s + commitment + challenge * (r + claim),
        false => s + challenge * r,
    };
    sealed.response = curve::encode_scalar(&response);
    header
}

#[test]
fn both_equations_of_the_proof_count() {
    let committee = Committee::get(EQUAL);
    let node = committee.verifier();
    let (zero, one) = (Scalar::ZERO, Scalar::ONE);
    let honest = half_proven(committee, 1, zero, zero, true);
    assert_eq!(node.check(&[&honest]), [true], "the helper can be honest");
    for (claim, commitment) in [(one, zero), (zero, one), (one, one)] {
        for second_holds in [true, false] {
            let cheat = half_proven(committee, 2, claim, commitment, second_holds);
            assert_eq!(node.check(&[&cheat]), [false]);
            assert_eq!(node.check(&[&honest, &cheat, &honest]), [true, false, true]);
        }
    }
}

#[test]
fn cheats_that_cancel_under_equal_weights_are_caught() {
    let committee = Committee::get(EQUAL);
    let error = Scalar::from(1234_u64);
    let plus = half_proven(committee, 1, Scalar::ZERO, error, true);
    let minus = half_proven(committee, 2, Scalar::ZERO, -error, true);
    assert_eq!(committee.verifier().check(&[&plus, &minus]), [false, false]);
}

#[test]
fn a_header_without_its_payers_signature_is_refused() {
    let committee = Committee::get(EQUAL);
    let mut header = envelope(committee, 0).header;
    header.signature = EdSignature([0; 64]);
    assert!(!verify_payer_signature(&header));
    header.signature = sign(&payer(2))(&header.signing_digest());
    assert!(!verify_payer_signature(&header), "another key's signature");
    // The identity as a payer's key would make one signature fit every message.
    let mut weak = [0; 32];
    weak[0] = 1;
    header.core.payer = AccountId(Digest(weak));
    let mut signature = [0; 64];
    signature[0] = 1;
    header.signature = EdSignature(signature);
    assert!(!verify_payer_signature(&header), "a key of small order");
}

#[test]
fn a_copy_under_another_payer_fails() {
    let committee = Committee::get(EQUAL);
    let thief = payer(2);
    let mut header = envelope(committee, 0).header;
    header.core.payer = AccountId(Digest(thief.verifying_key().to_bytes()));
    header.signature = sign(&thief)(&header.signing_digest());
    assert!(verify_payer_signature(&header), "the thief can sign");
    assert_eq!(committee.verifier().check(&[&header]), [false]);
}

#[test]
fn a_seal_for_another_committee_is_refused() {
    let header = envelope(Committee::get(EQUAL), 0).header;
    let other = Committee::get(WEIGHTED).verifier();
    assert_eq!(other.check(&[&header]), [false]);
}

#[test]
fn a_plain_header_has_no_seal() {
    let committee = Committee::get(EQUAL);
    let payer = payer(1);
    let made = plain(core_of(&payer, 1), vec![1, 2, 3], sign(&payer)).expect("short");
    assert!(verify_payer_signature(&made.header) && body_matches(&made));
    assert_eq!(committee.verifier().check(&[&made.header]), [false]);
    let long = vec![0; limits::PLAIN_BODY_BYTES_MAX + 1];
    let refused = plain(core_of(&payer, 1), long, sign(&payer));
    assert!(matches!(refused, Err(SealError::PlainTooLong { .. })));
}

#[test]
fn one_bad_envelope_does_not_touch_the_others() {
    let committee = Committee::get(EQUAL);
    let mut envelopes = envelopes(committee, 20);
    for bad in [3, 4, 19] {
        other_point(&mut sealed_mut(&mut envelopes[bad].header).c_bar);
    }
    let expected: Vec<bool> = (0..20).map(|k| ![3, 4, 19].contains(&k)).collect();
    for index in 0..4 {
        assert_eq!(committee.node(index).check(&headers(&envelopes)), expected);
    }
}

#[test]
fn a_bad_envelope_in_a_batch_costs_a_bounded_bisection() {
    for count in [1_usize, 2, 3, 100, 1024] {
        for bad in [0, 1, 2, 3, 17] {
            let bad: Vec<usize> = (0..bad.min(count)).map(|k| k * 7919 % count).collect();
            let mut calls = 0;
            let verdicts = bisect(count, |range| {
                calls += 1;
                !range.into_iter().any(|k| bad.contains(&k))
            });
            let expected: Vec<bool> = (0..count).map(|k| !bad.contains(&k)).collect();
            assert_eq!(verdicts, expected);
            let depth = count.next_power_of_two().trailing_zeros() as usize;
            assert!(
                calls <= 1 + 2 * bad.len() * depth,
                "{calls} for {bad:?} of {count}"
            );
        }
    }
    assert!(bisect(0, |_| unreachable!("nothing to check")).is_empty());
}

#[test]
fn the_sealed_envelope_encoding_is_pinned() {
    let y = curve::encode(&curve::base(&Scalar::from(42_u64)));
    let payer = payer(1);
    let core = core_of(&payer, 3);
    let made = seal(&y, core, b"pinned", &mut rng(1), sign(&payer)).expect("fits");
    let digest = Domain::Envelope.digest(&codec::encode(&made));
    assert_eq!(
        digest.to_string(),
        "a4f2e9cba95b47e758fece4f0f31771042750ee42f9d3ec7e11c5d7623e9ac88",
        "the sealed format changed: bump the protocol version and say so in docs/wire-format.md"
    );
}

#[test]
fn framing_and_padding_are_unambiguous() {
    let none: Vec<Vec<u8>> = Vec::new();
    let many = vec![vec![1; 3]; limits::ENVELOPE_TRANSACTIONS_MAX];
    for transactions in [none, vec![Vec::new()], vec![vec![0; 9], vec![128]], many] {
        let text = encode_transactions(&transactions).expect("bounded");
        assert_eq!(decode_transactions(&text), Ok(transactions));
    }
    let more = vec![Vec::new(); limits::ENVELOPE_TRANSACTIONS_MAX + 1];
    assert!(matches!(
        encode_transactions(&more),
        Err(TransactionsError::TooMany { .. })
    ));
    let smuggled = codec::encode(&more);
    assert!(matches!(
        decode_transactions(&smuggled),
        Err(TransactionsError::TooMany { .. })
    ));
    assert!(matches!(
        decode_transactions(&[9; 40]),
        Err(TransactionsError::Codec(_))
    ));

    let bucket = Bucket(0);
    for length in [0, 1, 1147, 1148] {
        let text = vec![0x80; length];
        let mut padded = plaintext::pad(&text, bucket).expect("fits");
        assert_eq!(padded.len(), bucket.plaintext_bytes());
        assert_eq!(plaintext::unpad(&padded), Some(text));
        if length < 1148 {
            *padded.last_mut().expect("not empty") = 1;
            assert_eq!(plaintext::unpad(&padded), None);
        }
    }
    assert_eq!(plaintext::pad(&[0; 1149], bucket), None);
    assert_eq!(plaintext::unpad(&u32::MAX.to_le_bytes()), None);
    assert_eq!(plaintext::unpad(&[1, 0]), None);
    assert_eq!(bucket_for(1148), Some(Bucket(0)));
    assert_eq!(bucket_for(1149), Some(Bucket(1)));
    assert_eq!(bucket_for(usize::MAX), None);
}

#[test]
fn what_does_not_fit_is_not_sealed() {
    let committee = Committee::get(EQUAL);
    let payer = payer(1);
    let (y, core) = (&committee.key.key, core_of(&payer, 1));
    let long = seal(y, core.clone(), &[0; 1149], &mut rng(1), sign(&payer));
    assert_eq!(
        long,
        Err(SealError::TooLong {
            bytes: 1149,
            bucket: 0
        })
    );
    let mut nowhere = core.clone();
    nowhere.bucket = Bucket(200);
    assert!(seal(y, nowhere, b"", &mut rng(1), sign(&payer)).is_err());
    let identity = seal(&Point([0; 32]), core, b"", &mut rng(1), sign(&payer));
    assert_eq!(identity, Err(SealError::Key));
}
