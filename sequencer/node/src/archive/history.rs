//! Reading a height wherever it is: in the store, or else in the archive.

use std::sync::Arc;

use bincode::Decode;
use conclave_types::{BatchId, Height};

use super::{Archive, ArchiveError, Segment, SegmentRef};
use crate::records::decoded;
use crate::store::{KeyRange, Snapshot, StoreError, Table, keys};

/// A read that failed: the node's own file, which stops it, or the archive, which does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Both, as of one moment of the store.
pub(crate) struct History<'a> {
    pub(crate) snapshot: &'a Snapshot,
    archive: &'a Archive,
}

impl<'a> History<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, archive: &'a Archive) -> Self {
        Self { snapshot, archive }
    }

    /// The stored value of a key that belongs to a height.
    pub(crate) fn get(
        &self,
        table: Table,
        key: &[u8],
        height: Height,
    ) -> Result<Option<Vec<u8>>, HistoryError> {
        if let Some(found) = self.snapshot.get(table, key)? {
            return Ok(Some(found));
        }
        let segment = self.segment(height)?;
        Ok(segment.and_then(|segment| segment.get(table, key).map(<[u8]>::to_vec)))
    }

    /// The decoded value of a key that belongs to a height.
    pub(crate) fn value<T: Decode<()>>(
        &self,
        table: Table,
        key: &[u8],
        height: Height,
    ) -> Result<Option<T>, HistoryError> {
        let found = self.get(table, key, height)?;
        Ok(found.map(|value| decoded(table, &value)).transpose()?)
    }

    /// The decoded value under a batch's id.
    pub(crate) fn of_batch<T: Decode<()>>(
        &self,
        table: Table,
        id: BatchId,
    ) -> Result<Option<T>, HistoryError> {
        if let Some(found) = self.snapshot.get_value(table, id.as_bytes())? {
            return Ok(Some(found));
        }
        match self
            .snapshot
            .get_value(Table::BatchHeights, id.as_bytes())?
        {
            Some(height) => self.value(table, id.as_bytes(), height),
            None => Ok(None),
        }
    }

    /// The segment with a height.
    pub(crate) fn segment(&self, height: Height) -> Result<Option<Arc<Segment>>, HistoryError> {
        match segment_of(self.snapshot, height)? {
            Some((first, reference)) => Ok(Some(self.archive.read(first, &reference)?)),
            None => Ok(None),
        }
    }
}

/// What the store remembers of the segment with a height.
pub(crate) fn segment_of(
    snapshot: &Snapshot,
    height: Height,
) -> Result<Option<(Height, SegmentRef)>, StoreError> {
    let up_to = KeyRange::through(&keys::height(Height(0)), &keys::height(height));
    let Some((key, value)) = snapshot.last(Table::Archive, &up_to)? else {
        return Ok(None);
    };
    let reference: SegmentRef = decoded(Table::Archive, &value)?;
    let first = keys::parse_height(&key).unwrap_or_default();
    Ok((height <= reference.last).then_some((first, reference)))
}
