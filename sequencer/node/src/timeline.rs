//! When this validator's own submissions passed each stage.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use conclave_sdk::api::EnvelopeTimes;
use conclave_types::EnvelopeId;

/// Submissions remembered; the oldest make room. About 10 MiB.
const ENVELOPES_MAX: usize = 65_536;

/// The times of recent own submissions.
#[derive(Default)]
pub(crate) struct Timeline {
    times: HashMap<EnvelopeId, EnvelopeTimes>,
    arrivals: VecDeque<EnvelopeId>,
}

impl Timeline {
    /// The times of a submission, which is remembered from now on.
    pub(crate) fn of(&mut self, id: EnvelopeId) -> &mut EnvelopeTimes {
        if !self.times.contains_key(&id) {
            if self.arrivals.len() == ENVELOPES_MAX
                && let Some(oldest) = self.arrivals.pop_front()
            {
                self.times.remove(&oldest);
            }
            self.arrivals.push_back(id);
        }
        self.times.entry(id).or_default()
    }

    /// Notes that an envelope is readable, if it was submitted here.
    pub(crate) fn opened(&mut self, id: &EnvelopeId, now_us: u64) {
        if let Some(times) = self.times.get_mut(id) {
            times.opened_us = Some(now_us);
        }
    }

    /// The times of a remembered submission.
    pub(crate) fn get(&self, id: &EnvelopeId) -> Option<EnvelopeTimes> {
        self.times.get(id).copied()
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    elapsed.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use conclave_types::Digest;

    use super::*;

    fn id(number: u64) -> EnvelopeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        EnvelopeId(Digest(bytes))
    }

    #[test]
    fn the_oldest_make_room_and_strangers_are_not_remembered() {
        let mut timeline = Timeline::default();
        timeline.opened(&id(0), 1);
        assert_eq!(timeline.get(&id(0)), None);
        for number in 0..=ENVELOPES_MAX as u64 {
            timeline.of(id(number)).acknowledged_us = Some(number);
        }
        timeline.opened(&id(1), 7);
        assert_eq!(timeline.get(&id(0)), None);
        let times = timeline.get(&id(1)).expect("remembered");
        assert_eq!((times.acknowledged_us, times.opened_us), (Some(1), Some(7)));
        assert_eq!(timeline.times.len(), timeline.arrivals.len());
    }
}
