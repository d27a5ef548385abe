//! The boundary for hostile proof bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use winterfell::AcceptableOptions;

use crate::air::PaymentsAir;
use crate::commitment::{BoundedTree, Coin, Hash};
use crate::exclusion::classify;
use crate::hash::FieldDigest;
use crate::program::{SecurityBits, options, security_bits};
use crate::proof_bytes::{ProofHeader, read_proof};
use crate::statement::{ContentsError, PublicInputs, RangeContext, included_entries};

/// Bytes of a proof at most.
pub const PROOF_BYTES_MAX: usize = conclave_types::limits::PROOF_BYTES_MAX;

/// What a verified proof covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyReport {
    /// Transactions in the range.
    pub count: u32,
    /// Of these, payments judged inside the proof.
    pub included: u32,
    /// The proof's security.
    pub security: SecurityBits,
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Contents, range and exclusions do not fit together.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The proof is longer than any honest one.
    #[error("[CV-PAY-060] the proof has {bytes} bytes, at most {PROOF_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
    /// The bytes are not a proof with the registered shape and options.
    #[error("[CV-PAY-061] the proof is malformed: {reason}")]
    Malformed { reason: &'static str },
    /// The openings do not hash to the roots.
    #[error("[CV-PAY-062] the proof opens other roots than the statement's")]
    WrongRoot,
    /// The proof does not show the statement.
    #[error("[CV-PAY-063] the proof does not show the statement")]
    Rejected,
}

/// Verifies that the payments among `contents` turn the range's old root into `new_root`.
///
/// `contents` are the ordered transactions, each with the height that ordered it, and `excluded`
/// the indices that the submitter says are no valid payments. Only `proof` and `excluded` come
/// from the prover; both may be hostile. Runs for some milliseconds of CPU; call it from a worker.
///
/// It must not run in a process that aborts on panic: the proof system's parser asserts, and the
/// panic is caught here.
pub fn verify(
    range: &RangeContext,
    contents: &[(u64, Vec<u8>)],
    excluded: &[u32],
    new_root: &[u8; 32],
    proof: &[u8],
) -> Result<VerifyReport, VerifyError> {
    // 1. What is cheap: sizes, bounds, and the openings of both roots.
    range.check_contents(contents)?;
    check_exclusions(contents.len(), excluded)?;
    if proof.len() > PROOF_BYTES_MAX {
        return Err(VerifyError::TooLarge { bytes: proof.len() });
    }
    let (header, bytes) = ProofHeader::split(proof).ok_or(VerifyError::Malformed {
        reason: "the header is not canonical",
    })?;
    let same_fee_account = header.old.fee_slot == header.new.fee_slot;
    let opens = header.old.root() == range.old_root && header.new.root() == *new_root;
    if !opens || !same_fee_account {
        return Err(VerifyError::WrongRoot);
    }

    // 2. The proof's shape, before anything in it is believed.
    let included = contents.len() - excluded.len();
    let proof =
        contain(|| read_proof(bytes, included))
            .flatten()
            .ok_or(VerifyError::Malformed {
                reason: "shape, options or length are not the registered ones",
            })?;

    // 3. The commitment, from the contents minus the exclusions, each of which is checked.
    let ctx = range.payment_context();
    let entries = included_entries(&ctx, contents, excluded)?;
    for &index in excluded {
        let index = index as usize;
        let (height, bytes) = &contents[index];
        if classify(bytes, &ctx, *height).is_ok() {
            return Err(ContentsError::ValidExcluded { index }.into());
        }
    }
    let first_commitment = range.first_commitment();
    let last = entries
        .iter()
        .fold(first_commitment.node(), |c, entry| entry.extend(c));

    // 4. The proof itself.
    let inputs = PublicInputs {
        range: *range,
        new_root: *new_root,
        count: included as u32,
        old: header.old,
        new: header.new,
        first_commitment,
        last_commitment: FieldDigest::from_node(last),
    };
    let options = AcceptableOptions::OptionSet(vec![options()]);
    contain(|| winterfell::verify::<PaymentsAir, Hash, Coin, BoundedTree>(proof, inputs, &options))
        .and_then(Result::ok)
        .ok_or(VerifyError::Rejected)?;
    Ok(VerifyReport {
        count: contents.len() as u32,
        included: included as u32,
        security: security_bits(included),
    })
}

fn check_exclusions(contents: usize, excluded: &[u32]) -> Result<(), ContentsError> {
    let increasing = excluded.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = excluded
        .last()
        .is_none_or(|last| (*last as usize) < contents);
    if increasing && inside {
        Ok(())
    } else {
        Err(ContentsError::WrongExclusions)
    }
}

/// Runs a part of the proof system on hostile bytes; its assertions become `None`.
///
/// Nothing is shared with the closure that a panic could leave half changed.
fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
