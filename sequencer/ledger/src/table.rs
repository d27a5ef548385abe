//! Tables: ordered maps that know which entries changed and how much money they hold.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use rpds::RedBlackTreeMapSync;

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// A value of a table.
pub(crate) trait Value: Encode + Clone {
    /// The money that this entry holds; what conservation adds up.
    fn money(&self) -> u128 {
        0
    }
}

/// An ordered map. Its encoding is the list of entries, ascending.
///
/// Every executed block keeps the ledger before it, for readers; so a clone shares all entries with
/// its original, and a change copies the few nodes on the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Table<K: Ord, V> {
    entries: RedBlackTreeMapSync<K, V>,
    /// Changed keys since the last [`Table::drain`], with the money they held before.
    dirty: BTreeMap<K, u128>,
    /// The money of all entries as of the last [`Table::drain`].
    sum: u128,
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: RedBlackTreeMapSync::new_sync(),
            dirty: BTreeMap::new(),
            sum: 0,
        }
    }
}

impl<K: Ord + Copy, V: Value> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let money = self.entries.get(key)?.money();
        self.dirty.entry(*key).or_insert(money);
        self.entries.get_mut(key)
    }

    /// The entry, made by `fresh` if it is not there.
    pub(crate) fn get_or_insert(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        self.touch(key);
        if !self.contains(&key) {
            self.entries.insert_mut(key, fresh());
        }
        match self.entries.get_mut(&key) {
            Some(value) => value,
            None => unreachable!("it is there or was just inserted"),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.touch(key);
        self.entries.insert_mut(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.touch(*key);
        let removed = self.entries.get(key).cloned();
        self.entries.remove_mut(key);
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub(crate) fn range(
        &self,
        range: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.range(range)
    }

    /// Hands every changed entry to `visit` (`None`: removed) and brings the sum up to date.
    pub(crate) fn drain(&mut self, mut visit: impl FnMut(&K, Option<&V>)) {
        for (key, before) in std::mem::take(&mut self.dirty) {
            let value = self.entries.get(&key);
            self.sum = self.sum - before + value.map_or(0, Value::money);
            visit(&key, value);
        }
    }

    /// The money of all entries as of the last [`Table::drain`].
    pub(crate) const fn sum(&self) -> u128 {
        self.sum
    }

    fn touch(&mut self, key: K) {
        let money = || self.entries.get(&key).map_or(0, Value::money);
        self.dirty.entry(key).or_insert_with(money);
    }
}

impl<K: Encode + Ord, V: Encode> Encode for Table<K, V> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.entries.size() as u64).encode(encoder)?;
        for (key, value) in &self.entries {
            key.encode(encoder)?;
            value.encode(encoder)?;
        }
        Ok(())
    }
}

impl<C, K: Decode<C> + Ord + Copy, V: Decode<C> + Value> Decode<C> for Table<K, V> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::of_ascending(Vec::decode(decoder)?)
    }
}

impl<'de, C, K, V> BorrowDecode<'de, C> for Table<K, V>
where
    K: BorrowDecode<'de, C> + Ord + Copy,
    V: BorrowDecode<'de, C> + Value,
{
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::of_ascending(Vec::borrow_decode(decoder)?)
    }
}

impl<K: Ord + Copy, V: Value> Table<K, V> {
    /// Anything but ascending entries would be a second encoding of the same table.
    fn of_ascending(entries: Vec<(K, V)>) -> Result<Self, DecodeError> {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::Other("table entries are not ascending"));
        }
        let mut table = Self::default();
        for (key, value) in entries {
            table.insert(key, value);
        }
        Ok(table)
    }
}
