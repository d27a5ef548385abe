//! What came before its block was final here.

use std::collections::BTreeMap;

use conclave_types::{Height, ShareBundle, ShareContext, ShareLane, ValidatorIndex};

use crate::message::GroupOpenings;

/// Messages of one peer that may wait for their blocks, of up to 4 MiB each. As an opener one gets
/// two bundles of each peer a block, and of two peers in a hundred two openings.
const PER_SIGNER_MAX: usize = 32;

/// Shares or openings of a group.
#[derive(Debug)]
pub(super) enum Word {
    Shares(ShareBundle),
    Openings(GroupOpenings),
}

impl Word {
    fn context(&self) -> &ShareContext {
        match self {
            Self::Shares(bundle) => &bundle.context,
            Self::Openings(openings) => &openings.context,
        }
    }
}

/// What orders a peer's words: by height first, so that the lowest are kept.
type Key = (Height, ShareLane, ShareContext, bool);

/// The words that wait, by sender.
#[derive(Debug, Default)]
pub(super) struct Early(BTreeMap<ValidatorIndex, BTreeMap<Key, Word>>);

impl Early {
    /// Keeps what came before its block, the lowest heights first; what is dropped comes again.
    pub(super) fn keep(&mut self, from: ValidatorIndex, word: Word) {
        let context = *word.context();
        let opens = matches!(word, Word::Openings(_));
        let words = self.0.entry(from).or_default();
        words.insert((context.height, context.lane, context, opens), word);
        if words.len() > PER_SIGNER_MAX {
            words.pop_last();
        }
    }

    /// Hands out what waited for a lane, in the order of the senders.
    pub(super) fn take(&mut self, height: Height, lane: ShareLane) -> Vec<(ValidatorIndex, Word)> {
        let mut taken = Vec::new();
        for (from, words) in &mut self.0 {
            let (now, later) = std::mem::take(words)
                .into_iter()
                .partition(|((at, of, ..), _)| (*at, *of) == (height, lane));
            *words = later;
            let now: BTreeMap<Key, Word> = now;
            taken.extend(now.into_values().map(|word| (*from, word)));
        }
        taken
    }

    /// Forgets everything up to a height.
    pub(super) fn forget(&mut self, height: Height) {
        for words in self.0.values_mut() {
            words.retain(|(at, ..), _| *at > height);
        }
    }

    #[cfg(test)]
    pub(super) fn heights(&self, from: ValidatorIndex) -> Vec<u64> {
        let words = self.0.get(&from).into_iter().flatten();
        words.map(|((height, ..), _)| height.0).collect()
    }
}
