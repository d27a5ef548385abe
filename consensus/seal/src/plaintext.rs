//! What is inside an envelope's body: a list of transactions, padded to the size bucket.
//!
//! Padded plaintext: 4 bytes length (little-endian), the plaintext, zeros up to the bucket's size.
//! Only this one padding of a plaintext is accepted.

use conclave_types::codec::{self, CodecError};
use conclave_types::{Bucket, limits};

/// The length in front of the padded plaintext.
const LENGTH_BYTES: usize = 4;

/// A list of transactions that cannot be sealed, or a plaintext that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaintextError {
    /// More transactions than one envelope may hold.
    #[error(
        "[CV-SEAL-001] {count} transactions in one envelope, at most {count_max} are allowed; split them"
    )]
    TooMany { count: usize, count_max: usize },
    /// The plaintext is not a list of transactions.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The plaintext of a list of transactions.
pub fn encode_transactions(transactions: &[Vec<u8>]) -> Result<Vec<u8>, PlaintextError> {
    bounded(transactions.len())?;
    Ok(codec::encode(&transactions))
}

/// The transactions of a plaintext. Every node gets the same answer for the same bytes.
pub fn decode_transactions(plaintext: &[u8]) -> Result<Vec<Vec<u8>>, PlaintextError> {
    let transactions: Vec<Vec<u8>> = codec::decode(plaintext, Bucket::LARGEST.plaintext_bytes())?;
    bounded(transactions.len())?;
    Ok(transactions)
}

/// The smallest bucket that holds a plaintext of so many bytes with its padding, if any does.
pub fn bucket_for(plaintext_bytes: usize) -> Option<Bucket> {
    Bucket::holding(plaintext_bytes.checked_add(LENGTH_BYTES)?)
}

fn bounded(count: usize) -> Result<(), PlaintextError> {
    let count_max = limits::ENVELOPE_TRANSACTIONS_MAX;
    match count <= count_max {
        true => Ok(()),
        false => Err(PlaintextError::TooMany { count, count_max }),
    }
}

/// The padded size of a bucket in bytes; `None` for a bucket that does not exist.
pub(crate) fn padded_bytes(bucket: Bucket) -> Option<usize> {
    (bucket <= Bucket::LARGEST).then(|| bucket.plaintext_bytes())
}

/// Pads to the bucket; `None` when the plaintext does not fit or the bucket does not exist.
pub(crate) fn pad(plaintext: &[u8], bucket: Bucket) -> Option<Vec<u8>> {
    let bytes = padded_bytes(bucket)?;
    let length = u32::try_from(plaintext.len()).ok()?;
    if plaintext.len() + LENGTH_BYTES > bytes {
        return None;
    }
    let mut padded = Vec::with_capacity(bytes + crate::TAG_BYTES);
    padded.extend_from_slice(&length.to_le_bytes());
    padded.extend_from_slice(plaintext);
    padded.resize(bytes, 0);
    Some(padded)
}

/// Removes the padding; `None` when it is not the one that [`pad`] makes.
pub(crate) fn unpad(padded: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (plaintext, padding) = rest.split_at_checked(length)?;
    padding
        .iter()
        .all(|byte| *byte == 0)
        .then(|| plaintext.to_vec())
}
