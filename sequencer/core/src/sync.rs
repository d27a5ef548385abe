//! Plans a download in parts from several peers: whom to ask for which part, until when, and who
//! is asked less or no more.
//!
//! ```text
//! next(now) ─▶ asks ─▶ the host asks, verifies the answer ─▶ delivered | lacks | failed | lied
//! ```
//!
//! Parts are asked for in order, from several peers at a time; who answers well is asked first. A
//! part that is late is asked of another peer, and the late one's score is halved. Whoever sends
//! what does not verify is never asked again. Nothing here knows what a part is.

use std::collections::{BTreeMap, BTreeSet};

use conclave_types::ValidatorIndex;

/// Questions open at one peer at a time: half of what the transport allows, so that other questions
/// find room.
pub const PART_ASKS_PER_PEER_MAX: usize = 4;
/// Milliseconds for one part. A peer that does not send 1 MiB in it is slower than 2 Mbit/s.
pub const PART_TIMEOUT_MS: u64 = 4_000;
/// Milliseconds that a peer is left alone after it did not answer, so that one that is not connected
/// is not asked over and over.
pub const PEER_REST_MS: u64 = 500;
/// The best score; everyone begins in the middle.
const SCORE_MAX: u32 = 100;
/// What a good answer adds.
const SCORE_STEP: u32 = 10;

/// One question to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub part: u64,
    pub from: ValidatorIndex,
    /// When it counts as failed, in milliseconds.
    pub deadline: u64,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchProgress {
    pub done: u64,
    pub total: u64,
    /// Parts in a second since the beginning, times 1000.
    pub parts_per_1000_s: u64,
    /// Seconds until the end at this rate; `None` while there is none.
    pub seconds_left: Option<u64>,
}

/// The plan of one download.
#[derive(Debug, Clone)]
pub struct Fetches {
    started: u64,
    total: u64,
    /// Not delivered yet.
    missing: BTreeMap<u64, Part>,
    sources: BTreeMap<ValidatorIndex, Source>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    asked: Option<(ValidatorIndex, u64)>,
    lacking: BTreeSet<ValidatorIndex>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    score: u32,
    open: usize,
    rests_until: u64,
}

impl Fetches {
    /// A download of parts 0 to `total` from these peers.
    pub fn new(total: u64, sources: impl IntoIterator<Item = ValidatorIndex>, now: u64) -> Self {
        let source = Source {
            score: SCORE_MAX / 2,
            open: 0,
            rests_until: 0,
        };
        Self {
            started: now,
            total,
            missing: (0..total).map(|part| (part, Part::default())).collect(),
            sources: sources.into_iter().map(|index| (index, source)).collect(),
        }
    }

    /// What to ask now, after giving up what is overdue. At most `parts_ahead` parts from the first
    /// missing one on are under way, so that what must be used in order does not pile up.
    pub fn next(&mut self, now: u64, parts_ahead: usize) -> Vec<Ask> {
        let overdue: Vec<(u64, ValidatorIndex)> = self
            .missing
            .iter()
            .filter_map(|(part, state)| Some((*part, state.asked?)))
            .filter(|(_, (_, deadline))| *deadline <= now)
            .map(|(part, (from, _))| (part, from))
            .collect();
        for (part, from) in overdue {
            self.failed(from, part, now);
        }
        let mut asks = Vec::new();
        for (number, part) in self.missing.iter_mut().take(parts_ahead) {
            if part.asked.is_some() {
                continue;
            }
            let free = self.sources.iter_mut().filter(|(index, source)| {
                source.open < PART_ASKS_PER_PEER_MAX
                    && source.rests_until <= now
                    && !part.lacking.contains(index)
            });
            // The best of those with the least to do; of equals the first.
            let best = free.max_by_key(|(index, source)| {
                let spread = u32::try_from(source.open + 1).unwrap_or(u32::MAX);
                (source.score / spread, core::cmp::Reverse(index.0))
            });
            let Some((index, source)) = best else {
                continue;
            };
            source.open += 1;
            let deadline = now.saturating_add(PART_TIMEOUT_MS);
            part.asked = Some((*index, deadline));
            asks.push(Ask {
                part: *number,
                from: *index,
                deadline,
            });
        }
        asks
    }

    /// A part came and verified; `false` if it was here already.
    pub fn delivered(&mut self, from: ValidatorIndex, part: u64) -> bool {
        self.close(from, part);
        if let Some(source) = self.sources.get_mut(&from) {
            source.score = (source.score + SCORE_STEP).min(SCORE_MAX);
        }
        self.missing.remove(&part).is_some()
    }

    /// The peer does not have the part, and is not asked for it again.
    pub fn lacks(&mut self, from: ValidatorIndex, part: u64) {
        self.close(from, part);
        if let Some(part) = self.missing.get_mut(&part) {
            part.lacking.insert(from);
        }
    }

    /// A part of the part came; the rest is to be asked for.
    pub fn again(&mut self, from: ValidatorIndex, part: u64) {
        self.close(from, part);
    }

    /// No answer came in time.
    pub fn failed(&mut self, from: ValidatorIndex, part: u64, now: u64) {
        if self.close(from, part)
            && let Some(source) = self.sources.get_mut(&from)
        {
            source.score /= 2;
            source.rests_until = now.saturating_add(PEER_REST_MS);
        }
    }

    /// What came does not verify: the peer is never asked again.
    pub fn lied(&mut self, from: ValidatorIndex) {
        self.sources.remove(&from);
        for part in self.missing.values_mut() {
            if part.asked.is_some_and(|(asked, _)| asked == from) {
                part.asked = None;
            }
        }
    }

    /// Whether every part is here.
    pub fn is_done(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether nobody is left to be asked for some part: another download must be planned.
    pub fn is_stuck(&self) -> bool {
        let nobody = |part: &Part| {
            self.sources
                .keys()
                .all(|index| part.lacking.contains(index))
        };
        self.missing.values().any(nobody)
    }

    /// When [`Self::next`] gives something up, or a peer has rested.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let asked = self.missing.values().filter_map(|part| part.asked);
        let rests = self.sources.values().map(|source| source.rests_until);
        asked
            .map(|(_, deadline)| deadline)
            .chain(rests.filter(|until| *until > now))
            .min()
    }

    /// How far it is.
    pub fn progress(&self, now: u64) -> FetchProgress {
        let missing = self.missing.len() as u64;
        FetchProgress::over(
            self.total - missing,
            self.total,
            now - self.started.min(now),
        )
    }

    /// Ends what is asked, if it is asked of this peer.
    fn close(&mut self, from: ValidatorIndex, part: u64) -> bool {
        let Some(part) = self.missing.get_mut(&part) else {
            return false;
        };
        if part.asked.is_none_or(|(asked, _)| asked != from) {
            return false;
        }
        part.asked = None;
        if let Some(source) = self.sources.get_mut(&from) {
            source.open = source.open.saturating_sub(1);
        }
        true
    }
}

impl FetchProgress {
    /// After so many milliseconds.
    pub fn over(done: u64, total: u64, elapsed_ms: u64) -> Self {
        let rate = done.saturating_mul(1_000_000) / elapsed_ms.max(1);
        let left = total.saturating_sub(done);
        Self {
            done,
            total,
            parts_per_1000_s: rate,
            seconds_left: (rate > 0).then(|| left.saturating_mul(1000).div_ceil(rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(count: u16) -> impl Iterator<Item = ValidatorIndex> {
        (0..count).map(ValidatorIndex)
    }

    fn asked(asks: &[Ask]) -> Vec<(u64, u16)> {
        asks.iter().map(|ask| (ask.part, ask.from.0)).collect()
    }

    /// Runs a download whose peers behave as `answer` says, one question at a time.
    fn run(
        fetches: &mut Fetches,
        mut answer: impl FnMut(&mut Fetches, Ask),
    ) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        let mut now = 0;
        for _ in 0..10_000 {
            if fetches.is_done() || fetches.is_stuck() {
                return counts;
            }
            let asks = fetches.next(now, 64);
            for ask in &asks {
                *counts.entry(ask.from.0).or_default() += 1;
                answer(fetches, *ask);
            }
            now = match asks.is_empty() {
                true => fetches.wake_at(now).expect("something is under way"),
                false => now + 10,
            };
        }
        panic!("the download never ends");
    }

    #[test]
    fn parts_are_spread_over_all_peers() {
        let mut fetches = Fetches::new(6, peers(3), 0);
        let asks = fetches.next(0, 64);
        assert_eq!(
            asked(&asks),
            [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]
        );
        assert!(fetches.next(1, 64).is_empty(), "all are under way");
        for ask in asks {
            assert!(fetches.delivered(ask.from, ask.part));
            assert!(!fetches.delivered(ask.from, ask.part), "only once");
        }
        assert!(fetches.is_done());
    }

    #[test]
    fn at_most_so_many_parts_ahead_and_questions_to_one_peer() {
        let mut fetches = Fetches::new(100, peers(1), 0);
        assert_eq!(fetches.next(0, 64).len(), PART_ASKS_PER_PEER_MAX);
        let mut fetches = Fetches::new(100, peers(9), 0);
        assert_eq!(fetches.next(0, 5).len(), 5);
        fetches.delivered(ValidatorIndex(3), 3);
        let more = fetches.next(0, 5);
        assert_eq!(more.len(), 1);
        assert_eq!(more[0].part, 5);
    }

    #[test]
    fn a_silent_peer_is_replaced_and_asked_less() {
        let mut fetches = Fetches::new(200, peers(4), 0);
        let counts = run(&mut fetches, |fetches, ask| {
            if ask.from.0 != 2 {
                fetches.delivered(ask.from, ask.part);
            }
        });
        assert!(fetches.is_done());
        assert!(counts[&2] <= 3 * PART_ASKS_PER_PEER_MAX, "{counts:?}");
    }

    #[test]
    fn a_peer_that_is_not_there_rests_before_it_is_asked_again() {
        let mut fetches = Fetches::new(1, peers(1), 0);
        let ask = fetches.next(0, 64)[0];
        fetches.failed(ask.from, ask.part, 10);
        assert!(fetches.next(11, 64).is_empty());
        let rested = fetches.wake_at(11).expect("it rests");
        assert_eq!(rested, 10 + PEER_REST_MS);
        assert_eq!(fetches.next(rested, 64).len(), 1, "it may be back");
    }

    #[test]
    fn a_liar_is_asked_once() {
        let mut fetches = Fetches::new(200, peers(4), 0);
        let counts = run(&mut fetches, |fetches, ask| match ask.from.0 {
            1 => fetches.lied(ask.from),
            _ => drop(fetches.delivered(ask.from, ask.part)),
        });
        assert!(fetches.is_done());
        assert!(counts[&1] <= PART_ASKS_PER_PEER_MAX, "{counts:?}");
    }

    #[test]
    fn a_late_answer_counts_and_one_that_was_replaced_does_no_harm() {
        let mut fetches = Fetches::new(1, peers(2), 0);
        let first = fetches.next(0, 64)[0];
        let second = fetches.next(first.deadline, 64)[0];
        assert_ne!(first.from, second.from);
        assert!(fetches.delivered(first.from, 0), "better late than twice");
        fetches.failed(second.from, 0, first.deadline);
        assert!(!fetches.delivered(second.from, 0));
        assert!(fetches.is_done());
    }

    #[test]
    fn what_nobody_has_ends_the_plan() {
        let mut fetches = Fetches::new(3, peers(2), 0);
        run(&mut fetches, |fetches, ask| match (ask.part, ask.from.0) {
            (1, _) => fetches.lacks(ask.from, ask.part),
            _ => drop(fetches.delivered(ask.from, ask.part)),
        });
        assert!(fetches.is_stuck() && !fetches.is_done());
        fetches.lied(ValidatorIndex(0));
        fetches.lied(ValidatorIndex(1));
        assert!(fetches.is_stuck());
    }

    #[test]
    fn progress_tells_rate_and_time_left() {
        let mut fetches = Fetches::new(100, peers(1), 1000);
        assert_eq!(fetches.progress(1000).seconds_left, None);
        for part in 0..20 {
            fetches.delivered(ValidatorIndex(0), part);
        }
        let progress = fetches.progress(3000);
        assert_eq!((progress.done, progress.total), (20, 100));
        assert_eq!(progress.parts_per_1000_s, 10_000, "10 a second");
        assert_eq!(progress.seconds_left, Some(8));
    }
}
