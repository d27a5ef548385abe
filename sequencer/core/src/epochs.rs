//! Which committees and sealing keys are in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_crypto::Committee;
use conclave_types::{Epoch, Height};

use crate::pipeline::Config;

/// The committee of the next block, and those before whose keys may still have to open something.
#[derive(Debug)]
pub(crate) struct Epochs {
    committees: BTreeMap<Epoch, Arc<Committee>>,
    current: Arc<Committee>,
    /// The first height of the current epoch.
    first: Height,
    grace_blocks: u64,
    /// The newest epoch whose key was said to be retired.
    retired: Option<Epoch>,
}

impl Epochs {
    /// As the configuration says; there is always a committee.
    pub(crate) fn new(config: &Config) -> Self {
        let committees: BTreeMap<Epoch, Arc<Committee>> = config
            .committees
            .iter()
            .map(|committee| (committee.epoch, Arc::clone(committee)))
            .collect();
        let Some((_, current)) = committees.last_key_value() else {
            unreachable!("a sequencer without a committee");
        };
        Self {
            current: Arc::clone(current),
            committees,
            first: config.epoch_first,
            grace_blocks: config.grace_blocks,
            retired: None,
        }
    }

    /// The epoch of the next block.
    pub(crate) fn current(&self) -> Epoch {
        self.current.epoch
    }

    /// Its committee.
    pub(crate) fn committee(&self) -> &Arc<Committee> {
        &self.current
    }

    /// The committee of an epoch whose key is not retired.
    pub(crate) fn of(&self, epoch: Epoch) -> Option<&Arc<Committee>> {
        self.committees.get(&epoch)
    }

    /// The oldest key that a block above `read` may order something under.
    pub(crate) fn oldest_key(&self, read: Height) -> Epoch {
        let grace_over = read.next().0 >= self.first.0.saturating_add(self.grace_blocks);
        match grace_over {
            true => self.current(),
            false => Epoch(
                self.current()
                    .0
                    .saturating_sub(if read.next() >= self.first { 1 } else { 2 }),
            ),
        }
    }

    /// Takes up the next epoch, whose blocks begin at `first`.
    pub(crate) fn begin(&mut self, committee: Arc<Committee>, first: Height) {
        self.committees
            .insert(committee.epoch, Arc::clone(&committee));
        self.current = committee;
        self.first = first;
    }

    /// The newest key that has just become one that no envelope will have to be opened under any
    /// more, if there is one: with `executed` executed its grace is over, and no bid that the ledger
    /// holds, `held` being the oldest key among them, is sealed to it.
    pub(crate) fn retire(&mut self, executed: Height, held: Option<Epoch>) -> Option<Epoch> {
        if executed.next() < self.first {
            return None;
        }
        let grace_over = executed.next().0 >= self.first.0.saturating_add(self.grace_blocks);
        // An envelope is ordered under the key of its block's epoch or of the one before.
        let behind = if grace_over { 1 } else { 2 };
        let newest = self.current().0.checked_sub(behind)?;
        let newest = match held {
            Some(held) => newest.min(held.0.checked_sub(1)?),
            None => newest,
        };
        if self.retired >= Some(Epoch(newest)) {
            return None;
        }
        self.retired = Some(Epoch(newest));
        self.committees.retain(|epoch, _| epoch.0 > newest);
        self.retired
    }
}
