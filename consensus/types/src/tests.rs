//! The encoding is canonical and pinned; thresholds are exact; domains are distinct.

use std::collections::BTreeSet;

use super::*;

mod genesis;
mod wire;

fn header() -> EnvelopeHeader {
    EnvelopeHeader {
        core: EnvelopeCore {
            chain: ChainId(Digest([1; 32])),
            epoch: Epoch(0),
            rollup: RollupId(7),
            payer: AccountId(Digest([2; 32])),
            sequence: Sequence(3),
            expiry: Height(4),
            release: ReleaseRule::AtClose(AuctionId(5)),
            bucket: Bucket(0),
            fee_max: Amount(10),
        },
        body_bytes: 9,
        body_digest: Digest([6; 32]),
        payload: Payload::Plain,
        signature: EdSignature([8; 64]),
    }
}

#[test]
fn decoding_then_encoding_gives_the_same_bytes() {
    let bytes = codec::encode(&header());
    let back: EnvelopeHeader = codec::decode(&bytes, 1024).expect("own encoding");
    assert_eq!(codec::encode(&back), bytes);
    assert_eq!(back, header());
}

#[test]
fn the_envelope_header_encoding_is_pinned() {
    let digest = Domain::Envelope.digest(&codec::encode(&header()));
    assert_eq!(codec::encode(&header()).len(), 217);
    assert_eq!(
        digest.to_string(),
        "5e79542c2d3c01b2dfa155f7854328352f38989bd2aa53cfa9fac21ac6c2da9f",
        "the wire format changed: bump the protocol version and say so in docs/wire-format.md"
    );
}

/// The key of a domain is derived once and kept; what is hashed under it must be what BLAKE3's own
/// derivation gives.
#[test]
fn a_domain_is_its_string_as_a_blake3_context() {
    for domain in Domain::ALL {
        let mut plain = blake3::Hasher::new_derive_key(domain.as_str());
        plain.update(&3_u64.to_le_bytes()).update(b"abc");
        assert_eq!(domain.digest(b"abc").0, *plain.finalize().as_bytes());
    }
}

#[test]
fn trailing_bytes_long_input_and_absurd_lengths_are_refused() {
    let mut bytes = codec::encode(&vec![1_u8, 2, 3]);
    bytes.push(0);
    let trailing = codec::decode::<Vec<u8>>(&bytes, 64);
    assert_eq!(trailing, Err(codec::CodecError::Trailing { bytes: 1 }));
    let long = codec::decode::<Vec<u8>>(&bytes, 4);
    assert!(matches!(long, Err(codec::CodecError::TooLong { .. })));
    let absurd = codec::decode::<Vec<u8>>(&u64::MAX.to_le_bytes(), 64);
    assert!(matches!(absurd, Err(codec::CodecError::Malformed { .. })));
    let large = codec::decode::<Vec<[u8; 32]>>(&(1_u64 << 32).to_le_bytes(), 64);
    assert!(matches!(large, Err(codec::CodecError::Malformed { .. })));
}

#[test]
fn the_envelope_id_ignores_only_the_signature() {
    let original = header();
    let mut resigned = header();
    resigned.signature = EdSignature([0; 64]);
    assert_eq!(original.id(), resigned.id());
    let mut other = header();
    other.core.payer = AccountId(Digest([9; 32]));
    assert_ne!(original.id(), other.id());
}

#[test]
fn thresholds_are_exact_and_other_totals_refused() {
    for total in [1, 4, 7, 10, 31, 64, 100, 256] {
        let threshold = Threshold::for_total(total).expect("3f+1");
        assert_eq!(u64::from(threshold.total()), total);
        assert_eq!(threshold.quorum() + threshold.faults(), threshold.total());
        assert!(2 * threshold.quorum() - threshold.total() >= threshold.one_honest());
    }
    for total in [0, 2, 3, 5, 6, 257, 259] {
        assert!(Threshold::for_total(total).is_err(), "{total}");
    }
}

#[test]
fn domains_are_distinct() {
    let strings: BTreeSet<_> = Domain::ALL.iter().map(|domain| domain.as_str()).collect();
    assert_eq!(strings.len(), Domain::ALL.len());
}

#[test]
fn signers_are_a_set() {
    let mut signers = Signers::default();
    assert!(signers.insert(ValidatorIndex(200)));
    assert!(!signers.insert(ValidatorIndex(200)));
    assert!(!signers.insert(ValidatorIndex(256)));
    assert!(signers.insert(ValidatorIndex(3)));
    assert_eq!(
        signers.iter().collect::<Vec<_>>(),
        [ValidatorIndex(3), ValidatorIndex(200)]
    );
    assert_eq!(signers.count(), 2);
}

#[test]
fn buckets_hold_what_they_say() {
    assert_eq!(Bucket::holding(0), Some(Bucket(0)));
    assert_eq!(Bucket::holding(1152), Some(Bucket(0)));
    assert_eq!(Bucket::holding(1153), Some(Bucket(1)));
    assert_eq!(Bucket::holding(Bucket::LARGEST.plaintext_bytes() + 1), None);
    assert!(Bucket::LARGEST.plaintext_bytes() + 16 <= limits::SEALED_BODY_BYTES_MAX);
}
