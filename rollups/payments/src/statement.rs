//! What a proof states, and the form of it the proof system absorbs.

use winterfell::math::{ToElements, fields::f64::BaseElement};

use crate::domain::RANGE_CONTEXT;
use crate::exclusion::read_unexpired;
use crate::hash::{ElementStream, FieldDigest};
use crate::payment::{Entry, PaymentContext};
use crate::program::program_version;
use crate::state::RootOpening;

/// Contents in one proven range at most.
pub const RANGE_CONTENTS_MAX: usize = 1024;

/// The statement's side of a range that does not depend on its contents: who proves which range
/// of which rollup, from which root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeContext {
    /// The chain id: the digest of the genesis.
    pub chain: [u8; 32],
    /// The rollup.
    pub rollup: u32,
    /// Who is paid for the proof.
    pub prover: [u8; 32],
    /// The height that ordered the range's first transaction.
    pub from_height: u64,
    /// The height that ordered the range's last transaction.
    pub to_height: u64,
    /// The first transaction's position in the rollup's whole stream.
    pub from_index: u64,
    /// The position after the last transaction's.
    pub to_index: u64,
    /// The settled root the range starts from.
    pub old_root: [u8; 32],
}

/// Why a list of exclusions does not fit its contents, or an included payment is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// The range's bounds and the number of contents disagree, or there are too many.
    #[error("[CV-PAY-030] the range names {range} transactions, and {contents} were given")]
    WrongCount { range: u64, contents: usize },
    /// Heights fall, or leave the range's.
    #[error("[CV-PAY-031] the height of transaction {index} is outside the range or falls")]
    WrongHeight { index: usize },
    /// Excluded indices are not strictly increasing, or leave the range.
    #[error("[CV-PAY-032] excluded indices must increase strictly and stay inside the range")]
    WrongExclusions,
    /// An excluded transaction is a valid payment.
    #[error("[CV-PAY-033] transaction {index} is a valid payment and must not be excluded")]
    ValidExcluded { index: usize },
    /// An included transaction cannot be a valid payment.
    #[error("[CV-PAY-034] transaction {index} is no valid payment and must be excluded")]
    InvalidIncluded { index: usize },
}

impl RangeContext {
    /// What the range's payments are signed for.
    pub fn payment_context(&self) -> PaymentContext {
        PaymentContext {
            chain: self.chain,
            rollup: self.rollup,
        }
    }

    /// c0: the commitment chain of this range before any payment.
    pub(crate) fn first_commitment(&self) -> FieldDigest {
        let mut hasher = blake3::Hasher::new_derive_key(RANGE_CONTEXT);
        hasher.update(&program_version());
        hasher
            .update(&self.chain)
            .update(&self.rollup.to_le_bytes());
        for bound in [
            self.from_height,
            self.to_height,
            self.from_index,
            self.to_index,
        ] {
            hasher.update(&bound.to_le_bytes());
        }
        ElementStream::new(&hasher).next_digest()
    }

    /// Checks contents against the range's own bounds.
    pub(crate) fn check_contents(&self, contents: &[(u64, Vec<u8>)]) -> Result<(), ContentsError> {
        let range = self.to_index.saturating_sub(self.from_index);
        let counted = u64::try_from(contents.len()) == Ok(range);
        if !counted || contents.is_empty() || contents.len() > RANGE_CONTENTS_MAX {
            return Err(ContentsError::WrongCount {
                range,
                contents: contents.len(),
            });
        }
        let mut last = self.from_height;
        for (index, (height, _)) in contents.iter().enumerate() {
            if *height < last || *height > self.to_height {
                return Err(ContentsError::WrongHeight { index });
            }
            last = *height;
        }
        Ok(())
    }
}

/// The entries of the included transactions, in order: contents minus the named exclusions.
///
/// It checks that every included transaction decodes, is not expired and has a codeword. That its
/// signature verifies is what the proof shows.
pub(crate) fn included_entries(
    ctx: &PaymentContext,
    contents: &[(u64, Vec<u8>)],
    excluded: &[u32],
) -> Result<Vec<Entry>, ContentsError> {
    let mut excluded = excluded.iter().copied().peekable();
    let mut entries = Vec::with_capacity(contents.len());
    for (index, (height, bytes)) in contents.iter().enumerate() {
        if excluded.next_if(|next| *next as usize == index).is_some() {
            continue;
        }
        let entry = read_unexpired(bytes, *height)
            .ok()
            .and_then(|payment| payment.entry(ctx, bytes))
            .ok_or(ContentsError::InvalidIncluded { index })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The public inputs of the proof; every field is absorbed before the first challenge.
#[derive(Debug, Clone)]
pub(crate) struct PublicInputs {
    pub(crate) range: RangeContext,
    pub(crate) new_root: [u8; 32],
    pub(crate) count: u32,
    pub(crate) old: RootOpening,
    pub(crate) new: RootOpening,
    pub(crate) first_commitment: FieldDigest,
    pub(crate) last_commitment: FieldDigest,
}

impl ToElements<BaseElement> for PublicInputs {
    /// 32-byte digests of BLAKE3 are absorbed as eight 32-bit limbs, numbers as two, so that
    /// nothing is reduced modulo the field's order.
    fn to_elements(&self) -> Vec<BaseElement> {
        let range = &self.range;
        let mut elements = Vec::new();
        let version = program_version();
        let digests = [
            &range.chain,
            &version,
            &range.prover,
            &range.old_root,
            &self.new_root,
        ];
        for digest in digests {
            elements.extend(
                digest
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|limb| BaseElement::from(u32::from_le_bytes(*limb))),
            );
        }
        let numbers = [
            u64::from(range.rollup),
            range.from_height,
            range.to_height,
            range.from_index,
            range.to_index,
            u64::from(self.count),
            self.old.pool,
            u64::from(self.old.fee_slot),
            self.new.pool,
            u64::from(self.new.fee_slot),
        ];
        for number in numbers {
            elements.push(BaseElement::from(number as u32));
            elements.push(BaseElement::from((number >> 32) as u32));
        }
        let nodes = [
            self.old.accounts,
            self.new.accounts,
            self.first_commitment,
            self.last_commitment,
        ];
        elements.extend(nodes.iter().flat_map(|node| node.elements()));
        elements
    }
}
