//! Typed keys. All are big-endian, so that their byte order is the order of their numbers.

use conclave_types::{Epoch, Height, LaneKind, RollupId, ShareLane, TxIndex};

/// The one key of [`Table::Safety`](super::Table::Safety).
pub const SAFETY: &[u8] = b"state";

/// By height: 8 bytes.
pub fn height(height: Height) -> [u8; 8] {
    height.0.to_be_bytes()
}

/// By epoch: 8 bytes.
pub fn epoch(epoch: Epoch) -> [u8; 8] {
    epoch.0.to_be_bytes()
}

/// The height of a key that starts with one, as those of [`height`], [`height_lane`] and
/// [`height_number`] do.
pub fn parse_height(key: &[u8]) -> Option<Height> {
    key.first_chunk()
        .map(|bytes| Height(u64::from_be_bytes(*bytes)))
}

/// By height and kind of lane, the prefix of [`height_lane`]: 9 bytes.
pub fn height_kind(at: Height, kind: LaneKind) -> [u8; 9] {
    let kind = match kind {
        LaneKind::OnCommit => 0,
        LaneKind::AtClose => 1,
        LaneKind::Malformed => 2,
    };
    join(height(at), [kind])
}

/// By height and lane: 17 bytes.
pub fn height_lane(at: Height, lane: ShareLane) -> [u8; 17] {
    join(height_kind(at, lane.kind), lane.key.0.to_be_bytes())
}

/// By height and a number inside it: 12 bytes.
pub fn height_number(at: Height, number: u32) -> [u8; 12] {
    join(height(at), number.to_be_bytes())
}

/// All of one rollup: 4 bytes, the prefix of [`rollup_height`] and [`rollup_index`].
pub fn rollup(rollup: RollupId) -> [u8; 4] {
    rollup.0.to_be_bytes()
}

/// By rollup and height: 12 bytes.
pub fn rollup_height(of: RollupId, at: Height) -> [u8; 12] {
    join(rollup(of), height(at))
}

/// The height of a key of [`rollup_height`].
pub fn parse_rollup_height(key: &[u8]) -> Option<Height> {
    key.get(4..).and_then(parse_height)
}

/// By rollup and transaction index: 12 bytes.
pub fn rollup_index(of: RollupId, index: TxIndex) -> [u8; 12] {
    join(rollup(of), index.0.to_be_bytes())
}

/// The index of a key of [`rollup_index`].
pub fn parse_rollup_index(key: &[u8]) -> Option<TxIndex> {
    parse_rollup_height(key).map(|number| TxIndex(number.0))
}

fn join<const A: usize, const B: usize, const C: usize>(left: [u8; A], right: [u8; B]) -> [u8; C] {
    const { assert!(A + B == C) };
    let mut key = [0; C];
    key[..A].copy_from_slice(&left);
    key[A..].copy_from_slice(&right);
    key
}
