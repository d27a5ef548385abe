//! Hostile proofs: edits of real ones, and bytes that are none.

use std::sync::OnceLock;

use conclave_payments::{ProveJob, RangeContext, VerifyError, VerifyReport, prove, verify};

use crate::allocation::measured;
use crate::choices::Choices;
use crate::rollup::{CONTEXT, EXPIRY, rollup};

/// Edits of one proof at most.
const EDITS_MAX: usize = 32;
/// What a refusal may take beyond what the real proof takes, in bytes: the texts of errors.
const SLACK_BYTES: usize = 1 << 20;
/// Header and context of a proof, and the lists at its end: where its structure is dense.
const DENSE_BYTES: usize = 600;

/// A range's statement and a proof of it.
#[derive(Clone, PartialEq)]
struct Claim {
    range: RangeContext,
    contents: Vec<(u64, Vec<u8>)>,
    excluded: Vec<u32>,
    root: [u8; 32],
    proof: Vec<u8>,
}

/// A real one, and what it takes to verify it, in bytes of memory.
struct Honest {
    claim: Claim,
    bytes: usize,
}

/// Tries one claim.
pub(crate) fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let which = choices.below(2);
    let (honest, other) = (&honest()[which], &honest()[1 - which]);
    let mut claim = honest.claim.clone();
    match choices.u8() % 8 {
        0 => claim.proof = choices.rest().to_vec(),
        1 => {
            let kept = choices.below(DENSE_BYTES);
            claim.proof.truncate(kept);
            claim.proof.extend_from_slice(choices.rest());
        }
        _ => {
            for _ in 0..EDITS_MAX {
                if choices.is_empty() {
                    break;
                }
                edit(&mut claim, &other.claim.proof, &mut choices);
            }
        }
    }
    let (answer, bytes) = measured(|| claim.verify());
    let bytes_max = honest.bytes + SLACK_BYTES;
    assert!(bytes <= bytes_max, "took {bytes} bytes of {bytes_max}");
    assert_eq!(answer.is_ok(), claim == honest.claim, "{answer:?}");
}

/// One change of what the prover chooses.
fn edit(claim: &mut Claim, other: &[u8], choices: &mut Choices<'_>) {
    let kind = choices.u8() % 12;
    let proof = &mut claim.proof;
    let at = position(proof.len(), choices);
    match kind {
        0 => set(proof, at, |_| choices.u8()),
        1 => set(proof, at, |byte| byte ^ (1 << (choices.u8() % 8))),
        2 => overwrite(proof, at, choices.bytes(16)),
        3 => {
            let length = choices.below(32);
            proof.splice(at..at, choices.bytes(length).iter().copied());
        }
        4 => {
            let end = (at + 1 + choices.below(0x200)).min(proof.len());
            proof.drain(at.min(end)..end);
        }
        5 => proof.truncate(at),
        6 => {
            let from = position(proof.len(), choices);
            let length = 1 + choices.below(64);
            let part = proof[from..].iter().copied().take(length);
            let part: Vec<u8> = part.collect();
            overwrite(proof, at, &part);
        }
        7 => {
            let length = 1 + choices.below(0x4000);
            let part = other.iter().copied().skip(at).take(length);
            let part: Vec<u8> = part.collect();
            overwrite(proof, at, &part);
        }
        // A length of eight bytes, as the proof system writes one, or a part of it.
        8 => overwrite(
            proof,
            at,
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
        9 => {
            let fill = [0, 0xff, 1, 0x80][choices.below(4)];
            let length = 1 + choices.below(64);
            overwrite(proof, at, &vec![fill; length]);
        }
        10 => claim.root[choices.below(32)] ^= choices.u8(),
        _ => match choices.u8() % 4 {
            0 => claim.excluded.push(choices.u64() as u32),
            1 => drop(claim.excluded.pop()),
            2 => claim.excluded.insert(0, choices.u8().into()),
            _ => claim.range.prover[choices.below(32)] ^= choices.u8(),
        },
    }
}

fn position(length: usize, choices: &mut Choices<'_>) -> usize {
    match choices.u8() % 3 {
        0 => choices.below(DENSE_BYTES).min(length),
        1 => length.saturating_sub(choices.below(DENSE_BYTES)),
        _ => choices.below(length.max(0x1_0001)).min(length),
    }
}

fn set(proof: &mut [u8], at: usize, to: impl FnOnce(u8) -> u8) {
    if let Some(byte) = proof.get_mut(at) {
        *byte = to(*byte);
    }
}

fn overwrite(proof: &mut [u8], at: usize, with: &[u8]) {
    let rest = proof.iter_mut().skip(at);
    rest.zip(with).for_each(|(byte, with)| *byte = *with);
}

impl Claim {
    fn verify(&self) -> Result<VerifyReport, VerifyError> {
        verify(
            &self.range,
            &self.contents,
            &self.excluded,
            &self.root,
            &self.proof,
        )
    }
}

/// Two proven ranges, made at the first call: of one payment, and of two around something that is
/// no payment.
fn honest() -> &'static [Honest; 2] {
    static HONEST: OnceLock<[Honest; 2]> = OnceLock::new();
    HONEST.get_or_init(|| {
        let [first, second, third] = &rollup().payments;
        let one = vec![(10, first.encode())];
        let junk = b"no payment".to_vec();
        let three = vec![(10, second.encode()), (11, junk), (EXPIRY, third.encode())];
        [one, three].map(proven)
    })
}

fn proven(contents: Vec<(u64, Vec<u8>)>) -> Honest {
    let state = &rollup().state;
    let range = RangeContext {
        chain: CONTEXT.chain,
        rollup: CONTEXT.rollup,
        prover: [42; 32],
        from_height: contents.first().map_or(0, |(height, _)| *height),
        to_height: contents.last().map_or(0, |(height, _)| *height),
        from_index: 100,
        to_index: 100 + contents.len() as u64,
        old_root: state.root(),
    };
    let job = ProveJob {
        range,
        state,
        contents: &contents,
    };
    let proven = prove(&job).expect("provable contents");
    let claim = Claim {
        range,
        contents,
        excluded: proven.excluded,
        root: proven.new_root,
        proof: proven.proof,
    };
    // The first time also fills what the program keeps for all its proofs.
    claim.verify().expect("an honest proof");
    let (_, bytes) = measured(|| claim.verify());
    Honest { claim, bytes }
}
