//! When something is due: block time and blocks of f+1 distinct proposers, never time alone.

use bincode::{Decode, Encode};
use conclave_types::{BlockTime, Height};
use serde::Serialize;

/// A moment that a committee's minority cannot bring about by lying about the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Timer {
    /// The height whose block started the timer.
    pub started: Height,
    /// The block time from which it is due.
    pub due: BlockTime,
}

/// Answers whose blocks have appeared since a height.
pub trait ProposerClock {
    /// Whether blocks above `started`, up to the present one, come from distinct proposers of
    /// weight f+1 or more.
    fn enough_proposers_since(&self, started: Height) -> bool;
}

impl Timer {
    /// A timer of `delay_ms` from a block. A delay past the end of time saturates: never due.
    pub const fn after(started: Height, time: BlockTime, delay_ms: u64) -> Self {
        Self {
            started,
            due: BlockTime(time.0.saturating_add(delay_ms)),
        }
    }

    /// Whether the timer is due in a block of this time.
    pub fn is_due(&self, time: BlockTime, clock: &impl ProposerClock) -> bool {
        time >= self.due && clock.enough_proposers_since(self.started)
    }
}
