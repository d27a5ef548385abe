//! What those pay who order more than their fair share while the validators are strained.
//!
//! Block time is cut into windows. At the end of each, what was ordered in it is compared with what
//! the validators order without strain: everybody is given what they took, and if that does not
//! fit, nobody more than a level at which it does (max-min fairness). A tariff rises by up to an
//! eighth while its rollup is above that level, and falls by up to an eighth otherwise. So a rollup
//! that floods pays more and more, one below its share never does, whatever the others do, and
//! while everything fits nobody does.
//!
//! All of it follows from headers, and what the next block charges from the blocks before it.

use bincode::{Decode, Encode};
use conclave_types::{AccountId, BlockTime, EnvelopeHeader, RollupId, limits};

use crate::table::{Table, Value};

/// Who has a tariff of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) enum TariffKey {
    Rollup(RollupId),
    /// A payer of rollup 0, which belongs to nobody: who floods it must not make it dear for the
    /// others. Together they count as one rollup, however many accounts there are.
    Operator(AccountId),
}

/// A tariff, and what was ordered under it in the present window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Tariff {
    /// Thousandths of the genesis' fees.
    tariff: u32,
    /// [`EnvelopeHeader::cost_bytes`] of what was charged.
    ordered: u64,
}

/// All tariffs but those at [`limits::TARIFF_BASE`] that ordered nothing.
#[derive(Debug, Clone, Encode, Decode)]
pub(crate) struct Tariffs {
    pub(crate) table: Table<TariffKey, Tariff>,
    /// When the present window began.
    pub(crate) window: BlockTime,
}

/// How much of a capacity each may have who shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All that they took, and so much more.
    Left(u64),
    /// At most this.
    AtMost(u64),
}

impl Value for Tariff {}

impl TariffKey {
    pub(crate) const fn of(rollup: RollupId, payer: AccountId) -> Self {
        match rollup {
            RollupId::SYSTEM => Self::Operator(payer),
            rollup => Self::Rollup(rollup),
        }
    }
}

impl Tariffs {
    pub(crate) fn new(start: BlockTime) -> Self {
        Self {
            table: Table::default(),
            window: start,
        }
    }

    pub(crate) fn of(&self, key: TariffKey) -> u32 {
        let entry = self.table.get(&key);
        entry.map_or(limits::TARIFF_BASE, |entry| entry.tariff)
    }

    pub(crate) fn highest(&self) -> u32 {
        let tariffs = self.table.iter().map(|(_, entry)| entry.tariff);
        tariffs.max().unwrap_or(limits::TARIFF_BASE)
    }

    /// Counts an envelope that was charged.
    pub(crate) fn count(&mut self, header: &EnvelopeHeader) {
        let key = TariffKey::of(header.core.rollup, header.core.payer);
        let entry = self.table.get_or_insert(key, || Tariff {
            tariff: limits::TARIFF_BASE,
            ordered: 0,
        });
        entry.ordered = entry.ordered.saturating_add(header.cost_bytes());
    }

    /// Ends the window if it is over at the time of the block that was just ordered.
    pub(crate) fn close_window(&mut self, time: BlockTime, target_bytes_per_second: u64) {
        let elapsed = time.0.saturating_sub(self.window.0);
        if elapsed < limits::TARIFF_WINDOW_MS {
            return;
        }
        self.window = time;
        let capacity = match target_bytes_per_second {
            0 => u64::MAX,
            target => {
                let capacity = u128::from(target) * u128::from(elapsed) / 1_000;
                u64::try_from(capacity).unwrap_or(u64::MAX)
            }
        };
        let entries: Vec<(TariffKey, Tariff)> = self.table.iter().map(|(k, v)| (*k, *v)).collect();
        let ordered = |of_rollups: bool| {
            let of_kind = entries
                .iter()
                .filter(move |(key, _)| matches!(key, TariffKey::Rollup(_)) == of_rollups);
            of_kind.map(|(_, entry)| entry.ordered)
        };
        let operators = ordered(false).fold(0, u64::saturating_add);
        let rollups = Level::of(capacity, ordered(true).chain([operators]).collect());
        let operators = Level::of(rollups.allows(operators), ordered(false).collect());
        for (key, entry) in entries {
            let level = match key {
                TariffKey::Rollup(_) => rollups,
                TariffKey::Operator(_) => operators,
            };
            match step(entry.tariff, entry.ordered, level.allows(entry.ordered)) {
                limits::TARIFF_BASE => drop(self.table.remove(&key)),
                tariff => self.table.insert(key, Tariff { tariff, ordered: 0 }),
            }
        }
    }
}

impl Level {
    /// Shares a capacity among those who took this much of it.
    fn of(capacity: u64, mut taken: Vec<u64>) -> Self {
        taken.sort_unstable();
        let mut left = capacity;
        let mut sharers = taken.len() as u64;
        for taken in taken {
            if taken > left / sharers {
                return Self::AtMost(left / sharers);
            }
            left -= taken;
            sharers -= 1;
        }
        Self::Left(left)
    }

    /// What one may have who took this much.
    fn allows(self, taken: u64) -> u64 {
        match self {
            Self::Left(left) => taken.saturating_add(left),
            Self::AtMost(level) => level,
        }
    }
}

/// The next tariff of one that ordered so much and was allowed so much.
fn step(tariff: u32, ordered: u64, allowed: u64) -> u32 {
    let allowed = allowed.max(1);
    // An eighth at most, so it fits.
    let part = |difference: u64| {
        let part = u128::from(tariff) * u128::from(difference.min(allowed))
            / (u128::from(allowed) * u128::from(limits::TARIFF_STEP));
        part.max(1) as u32
    };
    match ordered > allowed {
        true => (tariff + part(ordered - allowed)).min(limits::TARIFF_MAX),
        false => tariff
            .saturating_sub(part(allowed - ordered))
            .max(limits::TARIFF_BASE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_types::Digest;

    const TARGET: u64 = 1_000_000;

    fn take(tariffs: &mut Tariffs, key: TariffKey, bytes: u64) {
        let fresh = || Tariff {
            tariff: limits::TARIFF_BASE,
            ordered: 0,
        };
        tariffs.table.get_or_insert(key, fresh).ordered += bytes;
    }

    /// Windows of a second in which each takes this much; the tariffs after them.
    fn run(tariffs: &mut Tariffs, windows: u64, takers: &[(TariffKey, u64)]) -> Vec<u32> {
        for _ in 0..windows {
            for (key, bytes) in takers {
                take(tariffs, *key, *bytes);
            }
            let end = BlockTime(tariffs.window.0 + 1_000);
            tariffs.close_window(end, TARGET);
        }
        takers.iter().map(|(key, _)| tariffs.of(*key)).collect()
    }

    fn rollup(id: u32) -> TariffKey {
        TariffKey::of(RollupId(id), AccountId(Digest::ZERO))
    }

    fn operator(number: u8) -> TariffKey {
        TariffKey::of(RollupId::SYSTEM, AccountId(Digest([number; 32])))
    }

    const BASE: u32 = limits::TARIFF_BASE;

    #[test]
    fn a_level_is_what_fits() {
        assert_eq!(Level::of(100, vec![]), Level::Left(100));
        assert_eq!(Level::of(100, vec![60, 10, 30]), Level::Left(0));
        assert_eq!(Level::of(100, vec![61, 10, 30]), Level::AtMost(60));
        assert_eq!(Level::of(100, vec![50, 50, 50]), Level::AtMost(33));
        assert_eq!(Level::of(0, vec![1]), Level::AtMost(0));
        for taken in [vec![5, 90, 40, 7], vec![100; 9], vec![1, 2, 3, 400]] {
            let Level::AtMost(level) = Level::of(100, taken.clone()) else {
                panic!("{taken:?} do not fit");
            };
            let given: u64 = taken.iter().map(|taken| *taken.min(&level)).sum();
            assert!(
                given <= 100 && given + taken.len() as u64 > 100,
                "{taken:?}"
            );
        }
    }

    #[test]
    fn while_all_fits_nobody_pays_more_however_unequal() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        let takers = [(rollup(1), TARGET - 2_000), (rollup(2), 1_000)];
        assert_eq!(run(&mut tariffs, 50, &takers), [BASE, BASE]);
        assert!(tariffs.table.iter().next().is_none(), "nothing to remember");
    }

    #[test]
    fn a_flood_pays_rising_fees_up_to_the_most_and_nobody_else_does() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        let takers = [
            (rollup(1), 50 * TARGET),
            (rollup(2), TARGET / 3),
            (operator(1), 9_000),
        ];
        let mut last = BASE;
        for _ in 0..60 {
            let now = run(&mut tariffs, 1, &takers);
            assert!(now[0] > last || now[0] == limits::TARIFF_MAX);
            assert!(u64::from(now[0]) <= u64::from(last) * 9 / 8 + 1);
            assert_eq!(now[1..], [BASE, BASE]);
            last = now[0];
        }
        assert_eq!(last, limits::TARIFF_MAX);
        // It ends by itself.
        let after = run(&mut tariffs, 60, &[(rollup(2), 1_000)]);
        assert_eq!((after[0], tariffs.highest()), (BASE, BASE));
    }

    #[test]
    fn who_is_at_its_share_pays_no_more_than_before() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        let takers = [(rollup(1), TARGET / 2), (rollup(2), TARGET)];
        let now = run(&mut tariffs, 20, &takers);
        assert_eq!(now[0], BASE);
        assert!(now[1] > 2 * BASE);
    }

    /// Whoever floods rollup 0 makes its own operations dear; and a thousand accounts of one
    /// flooder take the share of one rollup, not of a thousand.
    #[test]
    fn operators_pay_each_for_themselves_and_share_as_one() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        let flooders: Vec<(TariffKey, u64)> = (10..110).map(|n| (operator(n), TARGET)).collect();
        let mut takers = vec![(operator(1), 1_000), (rollup(1), TARGET / 3)];
        takers.extend(flooders);
        let now = run(&mut tariffs, 10, &takers);
        assert_eq!(now[..2], [BASE, BASE]);
        assert!(now[2..].iter().all(|tariff| *tariff > 2 * BASE));
    }

    #[test]
    fn without_a_target_and_within_a_window_nothing_changes() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        take(&mut tariffs, rollup(1), u64::MAX);
        tariffs.close_window(BlockTime(limits::TARIFF_WINDOW_MS - 1), 1);
        assert_eq!(tariffs.of(rollup(1)), BASE);
        tariffs.close_window(BlockTime(limits::TARIFF_WINDOW_MS), 0);
        assert_eq!(tariffs.of(rollup(1)), BASE);
        assert!(tariffs.table.iter().next().is_none());
    }

    #[test]
    fn a_long_window_allows_as_much_more() {
        let mut tariffs = Tariffs::new(BlockTime(0));
        take(&mut tariffs, rollup(1), 10 * TARGET);
        tariffs.close_window(BlockTime(10_000), TARGET);
        assert_eq!(tariffs.of(rollup(1)), BASE);
    }
}
