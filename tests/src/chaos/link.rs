//! What one direction of one link does to packets.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::history::FaultId;
use super::scenario::Weather;

/// How long after the longest ordinary delay a packet that is held back is let go.
const REORDER_MS: u64 = 5;

/// One thing that is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Nothing passes.
    Cut,
    /// Nothing passes in the first period since then, all in the second, and so on.
    Flap { since_ms: u64, period_ms: u64 },
    /// Packets are late, lost, repeated, reordered.
    Weather(Weather),
}

/// One direction between two validators. It decides, without sending anything itself.
#[derive(Debug)]
pub struct Link {
    conditions: Vec<(FaultId, Condition)>,
    random: ChaCha8Rng,
}

impl Link {
    /// A link on which all is well. The seed decides what it will do under each condition.
    pub fn new(seed: u64, from: u16, to: u16) -> Self {
        let lane = u64::from(from) << 16 | u64::from(to);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(lane);
        Self {
            conditions: Vec::new(),
            random,
        }
    }

    /// A condition begins.
    pub fn begin(&mut self, fault: FaultId, condition: Condition) {
        self.conditions.push((fault, condition));
    }

    /// A fault ends.
    pub fn end(&mut self, fault: FaultId) {
        self.conditions.retain(|(of, _)| *of != fault);
    }

    /// What happens to a packet: after how many milliseconds each copy of it arrives; none if it is
    /// lost.
    pub fn fate(&mut self, now_ms: u64) -> Vec<u64> {
        let mut copies = vec![0];
        let conditions = self.conditions.clone();
        for (_, condition) in conditions {
            match condition {
                Condition::Cut => return Vec::new(),
                Condition::Flap {
                    since_ms,
                    period_ms,
                } => {
                    let period = now_ms.saturating_sub(since_ms) / period_ms.max(1);
                    if period % 2 == 0 {
                        return Vec::new();
                    }
                }
                Condition::Weather(weather) => self.weather(weather, &mut copies),
            }
        }
        copies
    }

    fn weather(&mut self, weather: Weather, copies: &mut Vec<u64>) {
        let random = &mut self.random;
        let Weather {
            delay_ms: (least, most),
            drop,
            duplicate,
            reorder,
        } = weather;
        if random.gen_bool(drop) {
            copies.clear();
            return;
        }
        if random.gen_bool(duplicate) {
            copies.extend_from_within(..);
        }
        for copy in copies {
            *copy += random.gen_range(least..=most);
            if random.gen_bool(reorder) {
                *copy += most + REORDER_MS;
            }
        }
    }
}
