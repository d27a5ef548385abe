//! The mempool's space, and who may take of it.
//!
//! Nothing that was acknowledged can be thrown out, so space is kept free for those who hold little.
//! Half of it is shared by dynamic thresholds (Choudhury and Hahne, 1998): a rollup may hold
//! [`SHARE`] times what is left of that half, so that one alone fills four fifths of it and those
//! that come later still find some. The other half is only for rollups that hold less than
//! [`GUARANTEED`] each. Within a rollup a payer may hold [`SHARE`] times what is left to the rollup.

use std::collections::BTreeMap;

use conclave_types::{AccountId, RollupId, limits};

/// How many times what is left one may hold.
const SHARE: u64 = 4;

/// Envelopes and their bodies' bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) envelopes: u64,
    pub(crate) bytes: u64,
}

/// Why there is no room for one more envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// For nobody.
    Full,
    /// Its rollup holds this much, and others are to find room too.
    Rollup(Held),
    /// Its payer does, of what its rollup may hold.
    Payer(Held),
}

/// Who holds how much.
#[derive(Debug, Default)]
pub(crate) struct Space {
    all: Held,
    rollups: BTreeMap<RollupId, (Held, BTreeMap<AccountId, Held>)>,
}

/// All there is.
const WHOLE: Held = Held {
    envelopes: limits::MEMPOOL_ENVELOPES_MAX as u64,
    bytes: limits::MEMPOOL_BYTES_MAX as u64,
};
/// What is shared by those who hold much.
const SHARED: Held = WHOLE.part(2);
/// What every rollup finds room for while no more than 128 of them fill the mempool.
const GUARANTEED: Held = WHOLE.part(256);

impl Held {
    const ZERO: Self = Self {
        envelopes: 0,
        bytes: 0,
    };

    fn and(self, bytes: usize) -> Self {
        Self {
            envelopes: self.envelopes + 1,
            bytes: self.bytes + bytes as u64,
        }
    }

    fn without(self, bytes: usize) -> Self {
        Self {
            envelopes: self.envelopes - 1,
            bytes: self.bytes - bytes as u64,
        }
    }

    const fn part(self, of: u64) -> Self {
        Self {
            envelopes: self.envelopes / of,
            bytes: self.bytes / of,
        }
    }

    /// What is left of this, several times.
    fn times_left(self, held: Self) -> Self {
        Self {
            envelopes: SHARE * self.envelopes.saturating_sub(held.envelopes),
            bytes: SHARE * self.bytes.saturating_sub(held.bytes),
        }
    }

    fn or_at_least(self, other: Self) -> Self {
        Self {
            envelopes: self.envelopes.max(other.envelopes),
            bytes: self.bytes.max(other.bytes),
        }
    }

    const fn fits(self, room: Self) -> bool {
        self.envelopes <= room.envelopes && self.bytes <= room.bytes
    }
}

impl Space {
    /// Whether one more envelope with a body of this size fits.
    pub(crate) fn check(
        &self,
        rollup: RollupId,
        payer: AccountId,
        bytes: usize,
    ) -> Result<(), NoRoom> {
        let of_rollup = self.rollups.get(&rollup);
        let by_rollup = of_rollup.map_or(Held::ZERO, |(held, _)| *held);
        let payers = of_rollup.map(|(_, payers)| payers);
        let by_payer = payers.and_then(|payers| payers.get(&payer).copied());
        let by_payer = by_payer.unwrap_or_default();
        let all = self.all.and(bytes);
        if !all.fits(WHOLE) {
            return Err(NoRoom::Full);
        }
        let room = SHARED.times_left(all).or_at_least(GUARANTEED);
        if !by_rollup.and(bytes).fits(room) {
            return Err(NoRoom::Rollup(by_rollup));
        }
        match by_payer
            .and(bytes)
            .fits(room.times_left(by_rollup.and(bytes)))
        {
            true => Ok(()),
            false => Err(NoRoom::Payer(by_payer)),
        }
    }

    pub(crate) fn add(&mut self, rollup: RollupId, payer: AccountId, bytes: usize) {
        self.all = self.all.and(bytes);
        let (held, payers) = self.rollups.entry(rollup).or_default();
        *held = held.and(bytes);
        let held = payers.entry(payer).or_default();
        *held = held.and(bytes);
    }

    /// Takes back what was added.
    pub(crate) fn remove(&mut self, rollup: RollupId, payer: AccountId, bytes: usize) {
        self.all = self.all.without(bytes);
        let Some((held, payers)) = self.rollups.get_mut(&rollup) else {
            return;
        };
        *held = held.without(bytes);
        if let Some(held) = payers.get_mut(&payer) {
            *held = held.without(bytes);
            if *held == Held::ZERO {
                payers.remove(&payer);
            }
        }
        if payers.is_empty() {
            self.rollups.remove(&rollup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_types::Digest;

    fn payer(number: u8) -> AccountId {
        AccountId(Digest([number; 32]))
    }

    /// Adds envelopes until one is refused, and why.
    fn flood(space: &mut Space, rollup: u32, by: u8, bytes: usize) -> NoRoom {
        loop {
            match space.check(RollupId(rollup), payer(by), bytes) {
                Ok(()) => space.add(RollupId(rollup), payer(by), bytes),
                Err(no_room) => return no_room,
            }
        }
    }

    #[test]
    fn floods_by_number_and_by_bytes_leave_room_for_others() {
        for bytes in [1_168, 300_000] {
            let mut space = Space::default();
            for rollup in 1..=100 {
                for by in 1..=3 {
                    let refused = flood(&mut space, rollup, by, bytes);
                    assert_ne!(refused, NoRoom::Full, "rollup {rollup}");
                }
                // It is refused, and everybody else is not.
                let other = RollupId(1_000);
                assert_eq!(
                    space.check(other, payer(9), bytes),
                    Ok(()),
                    "after {rollup}"
                );
            }
        }
    }

    #[test]
    fn a_payer_that_floods_leaves_room_for_others_of_its_rollup() {
        let mut space = Space::default();
        assert!(matches!(flood(&mut space, 1, 1, 1_168), NoRoom::Payer(_)));
        assert_eq!(space.check(RollupId(1), payer(2), 1_168), Ok(()));
        assert!(
            space.all.envelopes > SHARED.envelopes / 2,
            "one alone may use most"
        );
    }

    #[test]
    fn what_is_removed_is_free_again() {
        let mut space = Space::default();
        flood(&mut space, 1, 1, 2_000);
        while space.all != Held::ZERO {
            space.remove(RollupId(1), payer(1), 2_000);
        }
        assert!(space.rollups.is_empty());
        assert_eq!(space.check(RollupId(1), payer(1), 2_000), Ok(()));
    }
}
