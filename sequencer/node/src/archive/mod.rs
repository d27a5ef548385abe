//! Where history goes that the store no longer holds, and where it is read from again.
//!
//! ```text
//! store rows of up to 256 heights ─▶ Segment ─▶ one object, checksummed ─▶ folder or S3 bucket
//! reader ─▶ History ─▶ store; else the segment of that height ─▶ checked ─▶ the same row
//! ```
//!
//! A segment holds rows as they were stored, so whatever could be read of a height can be read again.
//!
//! Invariants:
//! - An object is written whole, read back and compared before anything of it leaves the store.
//! - An object's name holds its chain, validator, heights and digest: it never changes, and no two
//!   writers ever mean different bytes by one name.
//! - Nothing of an object is used before its digest was compared with what the store, or the name,
//!   says. A damaged or missing one is an error with a code, never an answer.
//! - At most [`READS_AT_ONCE`] objects are fetched at a time, each within [`READ_TIMEOUT`].

mod error;
mod history;
mod https;
mod objects;
mod place;
mod segment;

#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub use place::ArchivePlace;

pub(crate) use history::{History, HistoryError};
pub(crate) use objects::Archive;
#[cfg(doc)]
use objects::{READ_TIMEOUT, READS_AT_ONCE};
pub(crate) use segment::{Segment, SegmentRef};
