//! One object of the archive: the rows of some heights, as the store had them.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | [`MAGIC`] |
//! | … | the [`Segment`] in the canonical encoding |
//! | 32 | digest of everything before, domain `archive-segment` |

use bincode::{Decode, Encode};
use conclave_types::{Digest, Domain, Height, codec};

use crate::store::{Identity, Row, Table};

/// The first bytes of every object; the last of them is the format.
pub(super) const MAGIC: &[u8; 8] = b"cvlseg\0\x01";
/// Bytes of one object at most: a segment ends at a whole height, and one height may have ordered 32
/// batches of 4 MiB, kept whole, in shards, and as what was delivered of them.
pub(super) const OBJECT_BYTES_MAX: usize = 512 * 1024 * 1024;

const DIGEST_BYTES: usize = 32;

/// Rows of the heights from `first` to `last`, both included.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Segment {
    pub(crate) owner: Identity,
    pub(crate) first: Height,
    pub(crate) last: Height,
    /// By the name of their table; ascending by key.
    tables: Vec<(String, Vec<Row>)>,
}

/// What the store remembers of a segment, under its first height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SegmentRef {
    pub(crate) last: Height,
    /// Of the whole object.
    pub(crate) bytes: u64,
    /// The one at its end.
    pub(crate) digest: Digest,
}

impl Segment {
    /// Puts rows together, in whatever order they come; of two of one key the later counts.
    pub(crate) fn new(
        owner: Identity,
        (first, last): (Height, Height),
        rows: impl IntoIterator<Item = (Table, Row)>,
    ) -> Self {
        let mut sorted = std::collections::BTreeMap::new();
        for (table, (key, value)) in rows {
            sorted.insert((table, key), value);
        }
        let mut tables: Vec<(String, Vec<Row>)> = Vec::new();
        for ((table, key), value) in sorted {
            match tables.last_mut().filter(|(name, _)| name == table.name()) {
                Some((_, rows)) => rows.push((key, value)),
                None => tables.push((table.name().into(), vec![(key, value)])),
            }
        }
        Self {
            owner,
            first,
            last,
            tables,
        }
    }

    /// The object, and what to remember of it.
    pub(super) fn seal(&self) -> (Vec<u8>, SegmentRef) {
        let mut object = MAGIC.to_vec();
        object.extend(codec::encode(self));
        let digest = Domain::ArchiveSegment.digest(&object);
        object.extend(digest.0);
        let reference = SegmentRef {
            last: self.last,
            bytes: object.len() as u64,
            digest,
        };
        (object, reference)
    }

    /// The segment in an object that must have this digest; else what is wrong with it.
    pub(super) fn open(object: &[u8], expected: &Digest) -> Result<Self, String> {
        if object.len() > OBJECT_BYTES_MAX {
            return Err(format!("it has {} bytes", object.len()));
        }
        let Some((content, digest)) = object
            .len()
            .checked_sub(DIGEST_BYTES)
            .and_then(|end| object.split_at_checked(end))
        else {
            return Err("it is cut short".into());
        };
        if digest != expected.0 || Domain::ArchiveSegment.digest(content) != *expected {
            return Err("its checksum is wrong".into());
        }
        let Some(encoded) = content.strip_prefix(MAGIC) else {
            return Err("it is of another format".into());
        };
        codec::decode(encoded, OBJECT_BYTES_MAX).map_err(|error| error.to_string())
    }

    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        let rows = self.rows(table);
        let at = rows.binary_search_by(|(found, _)| found.as_slice().cmp(key));
        at.ok().map(|at| rows[at].1.as_slice())
    }

    /// All rows of a table, ascending.
    pub(crate) fn rows(&self, table: Table) -> &[Row] {
        let found = self.tables.iter().find(|(name, _)| name == table.name());
        found.map_or(&[], |(_, rows)| rows)
    }
}
