//! What a seed's faults and load are: lists that a run follows and the minimiser shortens.

use std::fmt;

use crate::byzantine::Lie;

/// Microseconds in a millisecond and in a second.
pub(crate) const MS: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// A time without messages from one side of a cut to the other.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
    /// One bit per node: on which side it is.
    pub(crate) side: u32,
    /// Messages from the nodes whose bit is not set still pass.
    pub(crate) one_way: bool,
}

/// A node that loses everything that is not durable, and comes back.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    pub(crate) node: usize,
    pub(crate) at_us: u64,
    pub(crate) back_us: u64,
}

/// A member that lies, in one way or several at once.
#[derive(Debug, Clone)]
pub(crate) struct Liar {
    pub(crate) node: usize,
    pub(crate) lies: Vec<Lie>,
}

/// An envelope that a client sends; what is in it is drawn from `draw` alone, so that leaving one
/// out changes none of the others.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) at_us: u64,
    pub(crate) draw: u64,
}

/// How a prover treats the jobs it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Never delivers, so that standbys are needed.
    Lazy,
    /// Delivers proofs that show something else, or nothing.
    Lying,
}

/// The faults and the load of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Of the committee; each has weight one.
    pub(crate) nodes: usize,
    /// How many blocks an epoch lasts at least; 0 for one that lasts for ever.
    pub(crate) epoch_blocks: u64,
    /// In a thousand messages.
    pub(crate) drop_permille: u32,
    pub(crate) duplicate_permille: u32,
    pub(crate) delay_us: (u64, u64),
    pub(crate) disk_us: (u64, u64),
    /// How far each node's clock is ahead, in milliseconds.
    pub(crate) ahead_ms: Vec<u64>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) liar: Option<Liar>,
    /// Those who ask to leave, soon; they stay up, and weigh nothing from the next epoch on.
    pub(crate) leavers: Vec<usize>,
    /// Until then no honest leader's proposal arrives.
    pub(crate) muted_us: u64,
    /// The member that keeps every share it is sent, if there is no liar.
    pub(crate) curious: usize,
    /// Faults of network and disks end here; from then on everything must go on.
    pub(crate) heal_us: u64,
    /// By then everything must be done.
    pub(crate) end_us: u64,
    pub(crate) submissions: Vec<Submission>,
    /// What the first prover does with what it wins; the others are honest.
    pub(crate) first_prover: Conduct,
}

impl Plan {
    /// Four nodes, a quick network, a submission every 150 ms, and nothing wrong.
    pub(crate) fn calm() -> Self {
        let submission = |number: u64| Submission {
            at_us: 300 * MS + number * 150 * MS,
            draw: number,
        };
        Self {
            nodes: 4,
            epoch_blocks: 0,
            drop_permille: 0,
            duplicate_permille: 0,
            delay_us: (200, 10 * MS),
            disk_us: (100, 2 * MS),
            ahead_ms: vec![0; 4],
            partitions: Vec::new(),
            crashes: Vec::new(),
            liar: None,
            leavers: Vec::new(),
            muted_us: 0,
            curious: 3,
            heal_us: 5 * SECOND,
            end_us: 125 * SECOND,
            submissions: (0..30).map(submission).collect(),
            first_prover: Conduct::Honest,
        }
    }

    /// One member leaves an author out, and for a while nobody else's proposals arrive.
    pub(crate) fn censored() -> Self {
        let muted_us = 40 * SECOND;
        Self {
            liar: Some(Liar {
                node: 0,
                lies: vec![Lie::Censor],
            }),
            muted_us,
            heal_us: muted_us + SECOND,
            end_us: muted_us + 125 * SECOND,
            ..Self::calm()
        }
    }

    /// For a program whose proofs take a while: less to do, and always a prover that fails, so
    /// that real verification refuses something.
    pub(crate) fn for_real_proofs(&mut self) {
        let mut last_us = 0;
        self.submissions.retain(|submission| {
            let kept = submission.at_us >= last_us + 400 * MS;
            if kept {
                last_us = submission.at_us;
            }
            kept
        });
        if self.first_prover == Conduct::Honest {
            self.first_prover = Conduct::Lying;
        }
    }

    /// The member whose word counts for nothing.
    pub(crate) fn liar(&self) -> Option<usize> {
        self.liar.as_ref().map(|liar| liar.node)
    }

    /// Who collects shares: the liar, or an honest member that is curious.
    pub(crate) fn coalition(&self) -> usize {
        self.liar().unwrap_or(self.curious)
    }

    /// Whether two instances run under the liar's keys.
    pub(crate) fn has_twin(&self) -> bool {
        let mut lies = self.liar.iter().flat_map(|liar| &liar.lies);
        lies.any(|lie| *lie == Lie::Twin)
    }

    /// Whether a message from one place to the other passes at this time.
    pub(crate) fn connected(&self, at_us: u64, from: usize, to: usize) -> bool {
        let mut cut = self
            .partitions
            .iter()
            .filter(|p| (p.from_us..p.to_us).contains(&at_us));
        !cut.any(|p| {
            let (from, to) = (p.side >> from & 1, p.side >> to & 1);
            from != to && (!p.one_way || from == 1)
        })
    }

    /// The plan as a list of events in the order of their times.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events: Vec<(u64, String)> = Vec::new();
        for crash in &self.crashes {
            events.push((crash.at_us, format!("node {} crashes", crash.node)));
            events.push((crash.back_us, format!("node {} is back", crash.node)));
        }
        for partition in &self.partitions {
            let side = |bit| -> Vec<usize> {
                let mut all = (0..self.nodes + usize::from(self.has_twin())).collect::<Vec<_>>();
                all.retain(|node| partition.side >> node & 1 == bit);
                all
            };
            let arrow = if partition.one_way { "to" } else { "and" };
            let cut = format!(
                "no messages from {:?} {arrow} {:?} until {} ms",
                side(1),
                side(0),
                partition.to_us / MS
            );
            events.push((partition.from_us, cut));
        }
        for submission in &self.submissions {
            events.push((submission.at_us, "a client submits an envelope".into()));
        }
        events.sort();
        let line = |(at, what): &(u64, String)| format!("{:>8} ms  {what}", at / MS);
        events.iter().map(line).collect()
    }
}

/// What holds all the time.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes, {} of 1000 messages lost and {} repeated, delays {} to {} us, disks {} to {} us",
            self.nodes,
            self.drop_permille,
            self.duplicate_permille,
            self.delay_us.0,
            self.delay_us.1,
            self.disk_us.0,
            self.disk_us.1
        )?;
        if self.ahead_ms.iter().any(|ahead| *ahead > 0) {
            write!(f, ", clocks ahead by {:?} ms", self.ahead_ms)?;
        }
        if let Some(liar) = &self.liar {
            write!(f, ", node {} lies: {:?}", liar.node, liar.lies)?;
        }
        if !self.leavers.is_empty() {
            write!(f, ", nodes {:?} leave", self.leavers)?;
        }
        if self.first_prover != Conduct::Honest {
            write!(f, ", one prover is {:?}", self.first_prover)?;
        }
        write!(f, ", healed after {} ms", self.heal_us / MS)
    }
}
