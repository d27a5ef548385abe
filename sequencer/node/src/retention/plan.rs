//! What is to be done next, from the store alone.

use conclave_consensus::ANCESTRY_BLOCKS;
use conclave_types::{Height, limits};

use super::{Free, forget, heights};
use crate::archive::{Segment, SegmentRef};
use crate::records::decoded;
use crate::store::{Identity, KeyRange, Snapshot, StoreError, Table, WriteBatch, keys};

const _: () = assert!(
    limits::RETENTION_BLOCKS_MIN
        >= ANCESTRY_BLOCKS as u64
            + crate::records::SNAPSHOT_AGE_BLOCKS_MAX
            + limits::ARCHIVE_SEGMENT_BLOCKS
);

/// The next thing to do.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    /// These rows are archived and too old.
    Forget(WriteBatch),
    /// These heights are too old and not archived.
    Archive(Segment),
}

/// Plans one step. `free` says which deliveries nobody needs for a proof.
pub(super) fn next(
    snapshot: &Snapshot,
    owner: Identity,
    blocks: u64,
    executed: Height,
    free: &Free,
) -> Result<Step, StoreError> {
    let Some(limit) = limit(snapshot, blocks, executed)? else {
        return Ok(Step::Nothing);
    };
    let archived = archived_through(snapshot)?;
    let rows = forget::next(snapshot, archived.min(limit), free)?;
    if !rows.is_empty() {
        return Ok(Step::Forget(rows));
    }
    let after = KeyRange::from(&keys::height(archived.next()));
    let first = snapshot.keys(Table::Blocks, &after, 1)?;
    let Some(first) = first.first().and_then(|key| keys::parse_height(key)) else {
        return Ok(Step::Nothing);
    };
    // Whole segments only, so that a node that repeats one makes the same.
    if first.0 + limits::ARCHIVE_SEGMENT_BLOCKS - 1 > limit.0 {
        return Ok(Step::Nothing);
    }
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, first);
    let rollups = heights::rollups(snapshot)?;
    for height in (first.0..first.0 + limits::ARCHIVE_SEGMENT_BLOCKS).map(Height) {
        // Where this node was away and came back by a snapshot, heights are missing.
        let Some(found) = heights::rows(snapshot, height, &rollups)? else {
            break;
        };
        let size = |(_, (key, value)): &heights::TableRow| key.len() + value.len();
        bytes += found.iter().map(size).sum::<usize>();
        rows.extend(found);
        last = height;
        if bytes >= limits::ARCHIVE_SEGMENT_BYTES {
            break;
        }
    }
    Ok(Step::Archive(Segment::new(owner, (first, last), rows)))
}

/// The last height that may go: older than the setting, and than what a restart or a joining node needs
/// of the oldest snapshot.
fn limit(snapshot: &Snapshot, blocks: u64, executed: Height) -> Result<Option<Height>, StoreError> {
    let oldest = snapshot.keys(Table::LedgerSnapshots, &KeyRange::all(), 1)?;
    let Some(oldest) = oldest.first().and_then(|key| keys::parse_height(key)) else {
        return Ok(None);
    };
    let needed = oldest.0.min(executed.0).checked_sub(ANCESTRY_BLOCKS as u64);
    let wanted = executed.0.checked_sub(blocks);
    let limit = needed
        .zip(wanted)
        .map(|(needed, wanted)| needed.min(wanted));
    Ok(limit.filter(|limit| *limit > 0).map(Height))
}

/// The last archived height.
fn archived_through(snapshot: &Snapshot) -> Result<Height, StoreError> {
    let Some((_, value)) = snapshot.last(Table::Archive, &KeyRange::all())? else {
        return Ok(Height(0));
    };
    let last: SegmentRef = decoded(Table::Archive, &value)?;
    Ok(last.last)
}
