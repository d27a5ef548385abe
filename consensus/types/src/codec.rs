//! The one encoding of the wire and the disk: bincode 2 derive, little-endian, fixed width.
//!
//! Decoding bounds what a hostile length prefix can make us allocate by the length of the input,
//! refuses trailing bytes, and is canonical.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};

/// Bytes that are not the canonical encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The input is longer than this kind of message may be.
    #[error(
        "[CV-CODEC-001] message of {bytes} bytes, at most {bytes_max} are allowed; send less at once"
    )]
    TooLong { bytes: usize, bytes_max: usize },
    /// The input ends early, holds an unknown tag, or claims impossible lengths.
    #[error("[CV-CODEC-002] malformed message: {reason}; encode it with the same protocol version")]
    Malformed { reason: String },
    /// The value ended before the input did.
    #[error("[CV-CODEC-003] {bytes} bytes follow the message; remove them")]
    Trailing { bytes: usize },
}

type Config<L> = Configuration<LittleEndian, Fixint, L>;

const fn config<const N: usize>() -> Config<Limit<N>> {
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<N>()
}

/// Encodes a value. Our own types always encode.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    match bincode::encode_to_vec(value, bincode::config::standard().with_fixed_int_encoding()) {
        Ok(bytes) => bytes,
        // Encoding to memory fails only for types that refuse themselves, and we define none.
        Err(error) => unreachable!("encoding to memory failed: {error}"),
    }
}

/// Decodes exactly one value from `bytes`, which may hold at most `bytes_max` bytes.
pub fn decode<T: Decode<()>>(bytes: &[u8], bytes_max: usize) -> Result<T, CodecError> {
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong {
            bytes: bytes.len(),
            bytes_max,
        });
    }
    // A length prefix may reserve at most the tier above four times the input: an element of a
    // list takes at most about four times its shortest encoding in memory.
    let decoded = match bytes.len() {
        0..=0x3ff => bincode::decode_from_slice(bytes, config::<0x1_0000>()),
        0x400..=0xffff => bincode::decode_from_slice(bytes, config::<0x8_0000>()),
        0x1_0000..=0xf_ffff => bincode::decode_from_slice(bytes, config::<0x80_0000>()),
        _ => bincode::decode_from_slice(bytes, config::<0x2000_0000>()),
    };
    let (value, read) = decoded.map_err(|error| CodecError::Malformed {
        reason: error.to_string(),
    })?;
    match bytes.len() - read {
        0 => Ok(value),
        rest => Err(CodecError::Trailing { bytes: rest }),
    }
}
