//! Writes that belong together, and ranges of keys.

use bincode::Encode;
use conclave_types::codec;

use super::Table;

/// Writes that are applied together and in order. The later write of one key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    writes: Vec<(Table, Write)>,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
    DeleteRange(KeyRange),
}

/// Keys from a first one up to, and without, a last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub(super) start: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
}

impl WriteBatch {
    /// No writes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a value.
    pub fn put(&mut self, table: Table, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.as_ref().to_vec(), value.into());
        self.bytes += key.len() + value.len();
        self.writes.push((table, Write::Put { key, value }));
    }

    /// Writes a value in its canonical encoding.
    pub fn put_value(&mut self, table: Table, key: impl AsRef<[u8]>, value: &impl Encode) {
        self.put(table, key, codec::encode(value));
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, table: Table, key: impl AsRef<[u8]>) {
        let key = key.as_ref().to_vec();
        self.bytes += key.len();
        self.writes.push((table, Write::Delete { key }));
    }

    /// Removes every key of a range: pruning.
    pub fn delete_range(&mut self, table: Table, range: KeyRange) {
        self.bytes += range.start.len();
        self.writes.push((table, Write::DeleteRange(range)));
    }

    /// Adds the writes of another batch after these.
    pub fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.writes.extend(other.writes);
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn writes_to(&self, table: Table) -> impl Iterator<Item = &Write> {
        self.writes
            .iter()
            .filter(move |(of, _)| *of == table)
            .map(|(_, write)| write)
    }
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::from(&[])
    }

    /// Every key from `start` on.
    pub fn from(start: &[u8]) -> Self {
        Self {
            start: start.to_vec(),
            end: None,
        }
    }

    /// Every key after `key`: where a page that ended with it goes on.
    pub fn after(key: &[u8]) -> Self {
        Self {
            start: successor(key),
            end: None,
        }
    }

    /// Every key from `start` on that is less than `end`.
    pub fn between(start: &[u8], end: &[u8]) -> Self {
        Self {
            start: start.to_vec(),
            end: Some(end.to_vec()),
        }
    }

    /// Every key from `start` to `last`, both included.
    pub fn through(start: &[u8], last: &[u8]) -> Self {
        Self {
            start: start.to_vec(),
            end: Some(successor(last)),
        }
    }

    /// The same without the keys after `last`.
    #[must_use]
    pub fn up_to(mut self, last: &[u8]) -> Self {
        self.end = Some(successor(last));
        self
    }

    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let end = prefix
            .iter()
            .rposition(|byte| *byte != u8::MAX)
            .map(|place| {
                let mut end = prefix[..=place].to_vec();
                end[place] += 1;
                end
            });
        Self {
            start: prefix.to_vec(),
            end,
        }
    }

    /// Whether no key can be in it.
    pub(super) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    pub(super) fn bounds(&self) -> (core::ops::Bound<&[u8]>, core::ops::Bound<&[u8]>) {
        use core::ops::Bound;
        let end = match &self.end {
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        (Bound::Included(self.start.as_slice()), end)
    }
}

/// The least key greater than `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}
