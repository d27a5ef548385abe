//! Who combines which of a lane's envelopes, and who is sent shares of them when.
//!
//! In a small committee everybody combines everything. In a larger one that would cost every
//! validator n shares an envelope, in bytes and in work. There a lane is cut into groups, one per
//! *opener*: it and the next validator combine the group and publish what came out, which
//! everybody can check. Each [`TURN_MS`] without an end the next validator takes over, and after
//! [`TURNS_MAX`] turns the shares go to all.
//!
//! An opener can do no harm but to be slow: a wrong opening is refused, and that there is none is
//! believed nobody.

use std::collections::BTreeMap;

use conclave_crypto::Committee;
use conclave_types::{
    BlockId, Domain, LaneKind, ShareGroup, ShareIndex, ShareLane, ValidatorIndex, codec, limits,
};

/// Envelopes in a row with one opener. Their shares take as many bytes as what a bundle holds
/// besides, so that bundles of a few envelopes do not cost more than the shares in them.
const RUN: usize = 8;

/// How long openers have before the next validator takes over, in milliseconds: shares are under
/// way for one message delay and openings for another, which is 200 ms around the world.
pub(crate) const TURN_MS: u64 = 250;

/// After so many turns shares go to all. By then five validators had their chance; that all of
/// them are faulty has a chance below 1 in 240.
pub(crate) const TURNS_MAX: u64 = 4;

/// Who is sent something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receivers {
    All,
    Some(Vec<ValidatorIndex>),
}

impl Receivers {
    pub(crate) fn contains(&self, validator: ValidatorIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(some) => some.contains(&validator),
        }
    }
}

/// The groups of a lane, each with the positions of its envelopes, ascending.
///
/// Runs go round the key shares, from one that the block's id decides: openers carry work by their
/// weight, evenly, and who seals an envelope cannot choose its opener.
pub(crate) fn groups(
    committee: &Committee,
    block: BlockId,
    lane: ShareLane,
    envelopes: usize,
) -> BTreeMap<ShareGroup, Vec<usize>> {
    let mut groups: BTreeMap<ShareGroup, Vec<usize>> = BTreeMap::new();
    // Malformed envelopes are few, and their certificate takes a quorum's shares anyway.
    let small = committee.size() <= limits::SHARES_TO_ALL_VALIDATORS_MAX;
    if small || lane.kind == LaneKind::Malformed {
        groups.insert(ShareGroup::Whole, (0..envelopes).collect());
        return groups;
    }
    let total = u64::from(committee.threshold.total());
    let first = first_share(block, lane) % total;
    for place in 0..envelopes {
        let share = (first + (place / RUN) as u64) % total;
        let owner = committee.share_owner(ShareIndex(share as u16 + 1));
        let group = owner.map_or(ShareGroup::Whole, ShareGroup::Of);
        groups.entry(group).or_default().push(place);
    }
    groups
}

fn first_share(block: BlockId, lane: ShareLane) -> u64 {
    let hasher = Domain::Opener.hasher();
    let digest = hasher.part(&codec::encode(&(block, lane))).digest();
    let mut low = [0; 8];
    low.copy_from_slice(&digest.0[..8]);
    u64::from_le_bytes(low)
}

/// Who is sent shares of a group in a turn, counted from 0: two openers, and one more each turn.
pub(crate) fn receivers(committee: &Committee, group: ShareGroup, turn: u64) -> Receivers {
    let ShareGroup::Of(opener) = group else {
        return Receivers::All;
    };
    if turn >= TURNS_MAX {
        return Receivers::All;
    }
    // Slots without weight hold no shares and combine nothing.
    let members = |from: u16, to: u16| {
        let slots = (from..to).map(ValidatorIndex);
        slots.filter(|slot| committee.weight(*slot) > 0)
    };
    let size = committee.size() as u16;
    let in_turn = members(opener.0, size).chain(members(0, opener.0));
    Receivers::Some(in_turn.take(2 + turn as usize).collect())
}

#[cfg(test)]
mod tests;
