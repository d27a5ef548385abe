//! A stored value with its checksum, so that every read notices a damaged one by itself.
//!
//! ```text
//! stored = first 8 bytes of H_store-record(table, key, value) ‖ value
//! ```
//!
//! redb's own checksums cover pages and are looked at only when the whole file is checked. These
//! are looked at on every read. They cover table and key too: a value in another one's place is as
//! wrong as a changed one.

use conclave_types::Domain;

use super::Table;

/// Bytes of a checksum: one damaged value in 2^64 goes unnoticed.
const SUM_BYTES: usize = 8;

/// What is stored for a value.
pub(super) fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(SUM_BYTES + value.len());
    stored.extend(sum(table, key, value));
    stored.extend(value);
    stored
}

/// The value of what was stored; `None` if it is not what was written here.
pub(super) fn open<'a>(table: Table, key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (expected, value) = stored.split_first_chunk::<SUM_BYTES>()?;
    (sum(table, key, value) == *expected).then_some(value)
}

fn sum(table: Table, key: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    let digest = Domain::StoreRecord
        .hasher()
        .part(table.name().as_bytes())
        .part(key)
        .part(value)
        .digest();
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&digest.0[..SUM_BYTES]);
    sum
}
