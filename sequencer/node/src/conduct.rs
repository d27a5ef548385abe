//! What stands between the replica and the outside: nothing, in a validator.
//!
//! ```text
//! Event ─▶ Conduct ─▶ Replica ─▶ Effects ─▶ Conduct ─▶ shell
//! ```
//!
//! With the feature `conduct`, which only tests of the others turn on, a validator can be run that
//! lies: something else bends what goes into its replica and what comes out. A build without the
//! feature has no place to put such a thing.

use crate::replica::{Effect, Event, Replica};

/// Bends events and effects at the time in milliseconds; the last argument is what the honest
/// replica would do about an event.
#[cfg(feature = "conduct")]
pub type Bend =
    Box<dyn FnMut(u64, Event, &mut dyn FnMut(Event) -> Vec<Effect>) -> Vec<Effect> + Send>;

/// How a validator behaves; by default as its replica says.
#[derive(Default)]
pub(crate) struct Conduct {
    #[cfg(feature = "conduct")]
    pub(crate) bend: Option<Bend>,
    /// Whether it leaves requests of peers unanswered.
    #[cfg(feature = "conduct")]
    pub(crate) mute: bool,
}

impl Conduct {
    /// What the validator does about an event.
    pub(crate) fn handle(
        &mut self,
        replica: &mut Replica,
        now_ms: u64,
        event: Event,
    ) -> Vec<Effect> {
        #[cfg(feature = "conduct")]
        if let Some(bend) = &mut self.bend {
            return bend(now_ms, event, &mut |event| replica.handle(now_ms, event));
        }
        replica.handle(now_ms, event)
    }

    /// Whether it answers requests of peers.
    pub(crate) fn serves(&self) -> bool {
        #[cfg(feature = "conduct")]
        if self.mute {
            return false;
        }
        true
    }
}
