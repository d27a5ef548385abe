//! The framing of an envelope's plaintext: the encoded list of its transactions.

use crate::codec::{self, CodecError};
use crate::{Bucket, limits};

/// A list of transactions that no envelope can hold, or a plaintext that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionsError {
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
pub fn encode_transactions(transactions: &[Vec<u8>]) -> Result<Vec<u8>, TransactionsError> {
    bounded(transactions.len())?;
    Ok(codec::encode(&transactions))
}

/// The transactions of a plaintext. Everybody gets the same answer for the same bytes.
pub fn decode_transactions(plaintext: &[u8]) -> Result<Vec<Vec<u8>>, TransactionsError> {
    let transactions: Vec<Vec<u8>> = codec::decode(plaintext, Bucket::LARGEST.plaintext_bytes())?;
    bounded(transactions.len())?;
    Ok(transactions)
}

fn bounded(count: usize) -> Result<(), TransactionsError> {
    let count_max = limits::ENVELOPE_TRANSACTIONS_MAX;
    match count <= count_max {
        true => Ok(()),
        false => Err(TransactionsError::TooMany { count, count_max }),
    }
}
