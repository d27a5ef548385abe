//! Hostile proof bytes: whatever they are, `verify` answers with an error.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::fixture::{Fixture, at, job};
use crate::{PROOF_BYTES_MAX, RangeContext, VerifyError, prove, verify};

struct Honest {
    range: RangeContext,
    contents: Vec<(u64, Vec<u8>)>,
    root: [u8; 32],
    proof: Vec<u8>,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let mut fixture = Fixture::new();
        let contents = at(10, &[&fixture.pay(0, 1, 5, 0)]);
        let job = job(&fixture.state, &contents);
        let proven = prove(&job).unwrap();
        Honest {
            range: job.range,
            root: proven.new_root,
            proof: proven.proof,
            contents,
        }
    })
}

impl Honest {
    fn refuses(&self, proof: &[u8]) {
        let run = || verify(&self.range, &self.contents, &[], &self.root, proof);
        let answer = catch_unwind(run).expect("verify must not panic");
        assert!(answer.is_err(), "a mutated proof was accepted");
    }
}

const HEADER: usize = 88;

#[test]
fn mutated_proofs_are_refused_without_a_panic() {
    let honest = honest();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // One byte anywhere, with values that stretch length prefixes.
    for round in 0..1_500u32 {
        let mut proof = honest.proof.clone();
        let at = rng.next_u32() as usize % proof.len();
        let before = proof[at];
        proof[at] = match round % 4 {
            0 => before ^ (1 << (rng.next_u32() % 8)),
            1 => 0x80,
            2 => 0xff,
            _ => rng.next_u32() as u8,
        };
        if proof[at] != before {
            honest.refuses(&proof);
        }
    }
    // Bytes where the structure is dense: the context, and the lists' lengths near the end.
    for at in (0..HEADER + 300).chain(honest.proof.len() - 800..honest.proof.len()) {
        for value in [0x00, 0xff] {
            let mut proof = honest.proof.clone();
            if proof[at] != value {
                proof[at] = value;
                honest.refuses(&proof);
            }
        }
    }
}

#[test]
fn overwritten_windows_are_refused_without_a_panic() {
    let honest = honest();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for round in 0..600u32 {
        let mut proof = honest.proof.clone();
        let length = 1 + rng.next_u32() as usize % 16;
        let at = rng.next_u32() as usize % (proof.len() - length);
        match round % 3 {
            0 => rng.fill_bytes(&mut proof[at..at + length]),
            1 => proof[at..at + length].fill(0),
            // Nine bytes that start with zero encode a 64-bit length.
            _ => {
                proof[at] = 0;
                proof[at + 1..at + length].fill(0xff);
            }
        }
        if proof != honest.proof {
            honest.refuses(&proof);
        }
    }
}

#[test]
fn cut_and_extended_proofs_are_refused() {
    let honest = honest();
    let length = honest.proof.len();
    for cut in (0..length).step_by(length / 300).chain(length - 20..length) {
        honest.refuses(&honest.proof[..cut]);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..300 {
        let at = rng.next_u32() as usize % length;
        let mut inserted = honest.proof.clone();
        inserted.insert(at, rng.next_u32() as u8);
        honest.refuses(&inserted);
        let mut removed = honest.proof.clone();
        removed.remove(at);
        honest.refuses(&removed);
    }
    let trailing = [honest.proof.as_slice(), &[0]].concat();
    honest.refuses(&trailing);
}

#[test]
fn other_shapes_and_sizes_are_refused_before_parsing() {
    let honest = honest();
    let run = |proof: &[u8]| verify(&honest.range, &honest.contents, &[], &honest.root, proof);
    let large = vec![0; PROOF_BYTES_MAX + 1];
    let bytes = large.len();
    assert_eq!(run(&large), Err(VerifyError::TooLarge { bytes }));
    // Width, trace length and every option are in the context.
    let context = crate::proof_bytes::expected_context(1).len();
    for at in HEADER..HEADER + context {
        let mut proof = honest.proof.clone();
        proof[at] ^= 1;
        assert!(matches!(run(&proof), Err(VerifyError::Malformed { .. })));
    }
    let empty: &[u8] = &[];
    assert!(matches!(run(empty), Err(VerifyError::Malformed { .. })));
}

/// The number of partitions is absorbed nowhere, so the proof system lets the prover choose, after
/// the queries are known, which leaf each of them opens. Here it is one, whatever the proof says.
#[test]
fn the_prover_does_not_choose_how_layers_are_partitioned() {
    /// Before the last eight bytes, the nonce.
    const PARTITIONS_FROM_END: usize = 9;
    let honest = honest();
    for power in 1..=u8::MAX {
        let mut proof = honest.proof.clone();
        let at = proof.len() - PARTITIONS_FROM_END;
        assert_eq!(proof[at], 0, "honest proofs have 2^0");
        proof[at] = power;
        let answer = verify(&honest.range, &honest.contents, &[], &honest.root, &proof);
        assert!(matches!(answer, Err(VerifyError::Malformed { .. })));
    }
}

#[test]
fn proofs_are_reproducible() {
    let honest = honest();
    let mut fixture = Fixture::new();
    let contents = at(10, &[&fixture.pay(0, 1, 5, 0)]);
    assert_eq!(contents, honest.contents);
    assert!(verify(&honest.range, &contents, &[], &honest.root, &honest.proof).is_ok());
    let again = prove(&job(&fixture.state, &contents)).unwrap();
    assert_eq!(again.proof, honest.proof);
}
