//! What was done to a network and what was seen of it, in milliseconds since the load began.

use std::collections::BTreeMap;

use conclave_types::{EnvelopeId, Height};

/// Which fault of the scenario, and which repetition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId {
    /// Its place in the file, from 0.
    pub fault: usize,
    /// From 0.
    pub occurrence: u32,
}

/// What a fault takes away from the committee while it lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// Validators that do not take part.
    pub down: Vec<u16>,
    /// Directed links that cannot be relied on.
    pub cut: Vec<(u16, u16)>,
    /// Whether the validator that led was killed.
    pub killed_leader: bool,
}

/// A fault as it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    /// In words, with whom it hit.
    pub what: String,
    pub began_ms: u64,
    /// When it was over: for what was killed, when it was ready again. `None` if that never was.
    pub ended_ms: Option<u64>,
    pub impact: Impact,
}

/// A validator's word on how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub at_ms: u64,
    pub validator: u16,
    pub committed: Height,
}

/// A receipt whose signature was checked: the validator owes the envelope's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    pub envelope: EnvelopeId,
    pub by: u16,
    pub at_ms: u64,
}

/// A span in which the machine kept a thread that only sleeps from waking up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When it should have woken up, and when it did.
    pub from_ms: u64,
    pub to_ms: u64,
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub faults: BTreeMap<FaultId, FaultRecord>,
    pub readings: Vec<Reading>,
    pub acknowledged: Vec<Acknowledged>,
    /// Submissions that were refused or got no answer; nobody owes anything for them.
    pub refused: u64,
    /// Validators that lie at some time. Nothing is expected of them.
    pub liars: Vec<u16>,
    /// In the order of time.
    pub stalls: Vec<Stall>,
    /// When the load ended.
    pub end_ms: u64,
}

/// The committee's state from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub at_ms: u64,
    /// Validators that do not take part, each once.
    pub down: Vec<u16>,
    /// Directed links that are cut, each once.
    pub cut: Vec<(u16, u16)>,
    /// Validators that lie: they may take part or not, whatever is cut.
    pub liars: Vec<u16>,
}

impl History {
    /// The moments at which somebody saw a height that nobody had seen before, ascending.
    pub fn commits(&self) -> Vec<(u64, Height)> {
        let mut readings = self.readings.clone();
        readings.sort_by_key(|reading| reading.at_ms);
        let mut highest = Height(0);
        let mut commits = Vec::new();
        for reading in readings {
            if reading.committed > highest {
                highest = reading.committed;
                commits.push((reading.at_ms, highest));
            }
        }
        commits
    }

    /// How many milliseconds of a span the machine stood still.
    pub fn stalled_ms(&self, from_ms: u64, to_ms: u64) -> u64 {
        let within = |stall: &Stall| {
            stall
                .to_ms
                .min(to_ms)
                .saturating_sub(stall.from_ms.max(from_ms))
        };
        self.stalls.iter().map(within).sum()
    }

    /// Every moment at which a fault began or ended, with what is missing from then on. The first
    /// is the start.
    pub fn changes(&self) -> Vec<Change> {
        let mut moments: Vec<u64> = vec![0];
        for fault in self.faults.values() {
            moments.push(fault.began_ms);
            moments.extend(fault.ended_ms);
        }
        moments.sort_unstable();
        moments.dedup();
        moments.into_iter().map(|at_ms| self.at(at_ms)).collect()
    }

    fn at(&self, at_ms: u64) -> Change {
        let lasts = |fault: &&FaultRecord| {
            fault.began_ms <= at_ms && fault.ended_ms.is_none_or(|end| end > at_ms)
        };
        let (mut down, mut cut) = (Vec::new(), Vec::new());
        for fault in self.faults.values().filter(lasts) {
            down.extend(&fault.impact.down);
            cut.extend(&fault.impact.cut);
        }
        down.sort_unstable();
        down.dedup();
        cut.sort_unstable();
        cut.dedup();
        Change {
            at_ms,
            down,
            cut,
            liars: self.liars.clone(),
        }
    }
}

impl Change {
    /// Whether so many of the validators that can be relied on are up and all connected to each
    /// other, both ways: then blocks must become final.
    pub fn has_quorum(&self, validators: u16, quorum: u16) -> bool {
        let is_up = |index: &u16| !self.down.contains(index) && !self.liars.contains(index);
        self.is_connected(&(0..validators).filter(is_up).collect::<Vec<_>>(), quorum)
    }

    /// Whether so many may be, with those that lie taken to be connected to everybody: otherwise
    /// nothing can become final.
    pub fn may_have_quorum(&self, validators: u16, quorum: u16) -> bool {
        let is_up = |index: &u16| !self.down.contains(index) && !self.liars.contains(index);
        let liars = self.liars.iter().filter(|index| !self.down.contains(index));
        let honest = quorum.saturating_sub(liars.count() as u16);
        self.is_connected(&(0..validators).filter(is_up).collect::<Vec<_>>(), honest)
    }

    /// Whether so many of these are all connected to each other.
    fn is_connected(&self, up: &[u16], wanted: u16) -> bool {
        (0_u32..1 << up.len()).any(|subset| {
            let members: Vec<u16> = up
                .iter()
                .enumerate()
                .filter(|(bit, _)| subset >> bit & 1 == 1)
                .map(|(_, index)| *index)
                .collect();
            members.len() >= usize::from(wanted)
                && !self
                    .cut
                    .iter()
                    .any(|(a, b)| members.contains(a) && members.contains(b))
        })
    }
}
