//! What is inside an envelope's body: a plaintext, padded to the size bucket.
//!
//! Padded plaintext: 4 bytes length (little-endian), the plaintext, zeros up to the bucket's size.
//! Only this one padding of a plaintext is accepted.

use conclave_types::Bucket;

/// The length in front of the padded plaintext.
const LENGTH_BYTES: usize = 4;

/// The smallest bucket that holds a plaintext of so many bytes with its padding, if any does.
pub fn bucket_for(plaintext_bytes: usize) -> Option<Bucket> {
    Bucket::holding(plaintext_bytes.checked_add(LENGTH_BYTES)?)
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
