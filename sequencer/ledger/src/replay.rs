//! The replay window: which of an account's newest sequence numbers are used.

use bincode::{Decode, Encode};
use conclave_types::{Sequence, limits};

const WORDS: usize = (limits::SEQUENCE_WINDOW / 64) as usize;
const _: () = assert!(limits::SEQUENCE_WINDOW.is_multiple_of(64));

/// A ring of one bit per sequence number up to the newest. Gaps are fine; nothing repeats.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ReplayWindow {
    newest: Option<Sequence>,
    used: [u64; WORDS],
}

/// Why a sequence number cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplayRefusal {
    Used,
    TooOld,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self {
            newest: None,
            used: [0; WORDS],
        }
    }
}

impl ReplayWindow {
    /// Whether the number may still be used.
    pub(crate) fn check(&self, sequence: Sequence) -> Result<(), ReplayRefusal> {
        let Some(newest) = self.newest else {
            return Ok(());
        };
        match newest.0.checked_sub(sequence.0) {
            None => Ok(()),
            Some(age) if age >= limits::SEQUENCE_WINDOW => Err(ReplayRefusal::TooOld),
            Some(_) if self.is_used(sequence.0) => Err(ReplayRefusal::Used),
            Some(_) => Ok(()),
        }
    }

    /// Uses a number that [`ReplayWindow::check`] let through.
    pub(crate) fn mark(&mut self, sequence: Sequence) {
        match self.newest {
            Some(newest) if sequence <= newest => {}
            Some(newest) => self.advance(newest.0, sequence),
            None => self.newest = Some(sequence),
        }
        self.used[word(sequence.0)] |= bit(sequence.0);
    }

    /// The newest number used.
    pub(crate) const fn newest(&self) -> Option<Sequence> {
        self.newest
    }

    /// The places of the numbers skipped belong to numbers that have now left the window.
    fn advance(&mut self, newest: u64, sequence: Sequence) {
        if sequence.0 - newest >= limits::SEQUENCE_WINDOW {
            self.used = [0; WORDS];
        } else {
            for skipped in newest + 1..=sequence.0 {
                self.used[word(skipped)] &= !bit(skipped);
            }
        }
        self.newest = Some(sequence);
    }

    fn is_used(&self, sequence: u64) -> bool {
        self.used[word(sequence)] & bit(sequence) != 0
    }
}

const fn word(sequence: u64) -> usize {
    (sequence % limits::SEQUENCE_WINDOW / 64) as usize
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % 64)
}
