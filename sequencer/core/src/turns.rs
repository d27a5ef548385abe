//! Who takes the next turn, and for how much: deficit round robin (Shreedhar and Varghese, 1995).
//!
//! A line whose turn it is earns [`QUANTUM`] and takes what that pays for; what is left over
//! it keeps for its next turn, until it is empty. So whatever sizes its items have, a line that is
//! never empty takes as much in a round as every other, give or take one item. Costs are in bytes.

use std::collections::BTreeMap;
use std::ops::Bound;

/// What a line earns with each turn: two small envelopes, or one in seventeen turns of the largest.
pub(crate) const QUANTUM: u64 = 32 * 1024;

/// Something that hands out items one after the other.
pub(crate) trait Line: Default {
    type Item;

    /// The next item and its cost; `None` when nothing waits.
    fn next(&mut self) -> Option<(u64, &Self::Item)>;

    /// Takes that item.
    fn take(&mut self) -> Option<Self::Item>;
}

/// First come, first served. Items are numbered by arrival, so that any of them can be taken out.
#[derive(Debug)]
pub(crate) struct Arrivals<T> {
    items: BTreeMap<u64, (u64, T)>,
}

/// Lines that take turns, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Turns<K, L> {
    lines: BTreeMap<K, Turn<L>>,
    /// Whose turn it is.
    current: Option<K>,
}

#[derive(Debug, Default)]
struct Turn<L> {
    line: L,
    /// Earned and not spent; below the next item's bytes whenever a turn ends.
    credit: u64,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        let items = BTreeMap::new();
        Self { items }
    }
}

impl<K, L> Default for Turns<K, L> {
    fn default() -> Self {
        let (lines, current) = (BTreeMap::new(), None);
        Self { lines, current }
    }
}

impl<T> Arrivals<T> {
    pub(crate) fn insert(&mut self, number: u64, cost: u64, item: T) {
        self.items.insert(number, (cost, item));
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.items.remove(&number);
    }
}

impl<T> Line for Arrivals<T> {
    type Item = T;

    fn next(&mut self) -> Option<(u64, &T)> {
        let (_, (cost, item)) = self.items.first_key_value()?;
        Some((*cost, item))
    }

    fn take(&mut self) -> Option<T> {
        let (_, (_, item)) = self.items.pop_first()?;
        Some(item)
    }
}

impl<K: Ord + Copy, L: Line> Turns<K, L> {
    /// The line of this key; one that is new waits for its turn.
    pub(crate) fn line(&mut self, key: K) -> &mut L {
        let turn = self.lines.entry(key).or_insert_with(|| Turn {
            line: L::default(),
            credit: 0,
        });
        &mut turn.line
    }

    /// Changes a line, and forgets it, with what it had saved, if it is empty then.
    pub(crate) fn change(&mut self, key: K, change: impl FnOnce(&mut L)) {
        if let Some(turn) = self.lines.get_mut(&key) {
            change(&mut turn.line);
            if turn.line.next().is_none() {
                self.lines.remove(&key);
            }
        }
    }

    /// The line whose next item is paid for, and that item's cost.
    fn paid(&mut self) -> Option<(K, u64)> {
        loop {
            let key = match self.current.filter(|key| self.lines.contains_key(key)) {
                Some(key) => key,
                None => self.begin_next()?,
            };
            let turn = self.lines.get_mut(&key)?;
            match turn.line.next().map(|(cost, _)| cost) {
                None => {
                    self.lines.remove(&key);
                }
                Some(cost) if cost <= turn.credit => return Some((key, cost)),
                Some(_) => {
                    self.begin_next()?;
                }
            }
        }
    }

    /// Begins the turn of the line after the current one.
    fn begin_next(&mut self) -> Option<K> {
        let after = match self.current {
            Some(key) => (Bound::Excluded(key), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut following = self.lines.range(after).map(|(key, _)| *key);
        let first = || self.lines.keys().next().copied();
        let key = following.next().or_else(first)?;
        self.current = Some(key);
        let turn = self.lines.get_mut(&key)?;
        turn.credit += QUANTUM;
        Some(key)
    }
}

impl<K: Ord + Copy, L: Line> Line for Turns<K, L> {
    type Item = L::Item;

    fn next(&mut self) -> Option<(u64, &L::Item)> {
        let (key, _) = self.paid()?;
        self.lines.get_mut(&key)?.line.next()
    }

    fn take(&mut self) -> Option<L::Item> {
        let (key, cost) = self.paid()?;
        let turn = self.lines.get_mut(&key)?;
        turn.credit -= cost;
        let item = turn.line.take();
        if turn.line.next().is_none() {
            self.lines.remove(&key);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Turns<u8, Arrivals<(u8, u64)>>;

    /// Lines that always have more, of items of this many bytes each.
    fn endless(bytes: &[u64], items: u64) -> Lines {
        let mut lines = Lines::default();
        for (key, bytes) in (0..).zip(bytes) {
            for number in 0..items {
                lines.line(key).insert(number, *bytes, (key, *bytes));
            }
        }
        lines
    }

    fn bytes_taken(lines: &mut Lines, bytes: u64) -> BTreeMap<u8, u64> {
        let mut taken = BTreeMap::new();
        while taken.values().sum::<u64>() < bytes {
            let Some((key, bytes)) = lines.take() else {
                break;
            };
            *taken.entry(key).or_default() += bytes;
        }
        taken
    }

    #[test]
    fn lines_take_the_same_bytes_whatever_the_sizes_of_their_items() {
        let sizes = [100, 2_000, 30_000, 513 * 1024];
        let mut lines = endless(&sizes, 100_000);
        let share = 1_000_000;
        let mut all: BTreeMap<u8, u64> = BTreeMap::new();
        for round in 1..=8 {
            for (key, bytes) in bytes_taken(&mut lines, share * sizes.len() as u64) {
                *all.entry(key).or_default() += bytes;
            }
            for (key, bytes) in &all {
                // However long it goes on: one item of each kind, and one turn.
                let off = bytes.abs_diff(round * share);
                let slack = sizes[usize::from(*key)] + QUANTUM + sizes[3];
                assert!(off <= slack, "round {round}: line {key} took {bytes}");
            }
        }
    }

    #[test]
    fn who_comes_to_a_long_line_waits_for_one_round() {
        let mut lines = endless(&[2_000, 2_000, 2_000], 10_000);
        bytes_taken(&mut lines, 1_000_000);
        lines.line(9).insert(0, 500, (9, 500));
        let taken = bytes_taken(&mut lines, 3 * (QUANTUM + 2_000));
        assert_eq!(taken.get(&9), Some(&500));
    }

    /// Credit is for those who wait: a line that came and went for a while must not have saved up
    /// for a burst, and one whose head is too large to be paid for is not forgotten.
    #[test]
    fn credit_ends_with_the_line_and_is_bounded_while_it_lasts() {
        let mut lines = endless(&[600_000], 1);
        for number in 0..1_000 {
            lines.line(7).insert(number, 10, (7, 10));
            lines.change(7, |line| line.remove(number));
        }
        assert_eq!(lines.next(), Some((600_000, &(0, 600_000))));
        assert_eq!(lines.lines.len(), 1);
        assert!(lines.lines[&0].credit < 600_000 + QUANTUM);
        assert_eq!(lines.take(), Some((0, 600_000)));
        assert_eq!(lines.take(), None);
        assert_eq!(lines.next(), None);
    }
}
