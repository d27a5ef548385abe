//! Scenario files.

use serde::Deserialize;

use super::pieces::{LinkPattern, ScenarioError, Target};
use super::schedule::schedule;
use crate::byzantine::Lie;

/// Seconds a scenario may take at most: an hour.
const SECONDS_MAX: f64 = 3600.0;
/// Faults of one scenario at most, repetitions counted.
const FAULTS_MAX: usize = 1000;
/// The most validators that a scenario may have.
pub const VALIDATORS_MAX: u16 = 16;

/// A scenario: what happens to a network while a load flows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// As on the command line; the file's name.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// How long the load flows.
    pub seconds: f64,
    /// Of the relay's randomness, and that of members that lie.
    pub seed: u64,
    /// Validators, where it needs another number than what is asked for.
    pub validators: Option<u16>,
    /// Validators that lie from the chain's first block on.
    pub byzantine: Vec<Byzantine>,
    /// Envelopes a second that the load submits, in turn at all validators.
    pub envelopes_per_second: f64,
    /// Payments a second at the payments rollup.
    pub payments_per_second: f64,
    /// Prover members.
    pub provers: u16,
    /// From award to deadline.
    pub deadline_ms: u64,
    /// The part of expected windows with progress below which the scenario fails, in percent.
    pub progress_percent_min: f64,
    /// What a killed leader may cost.
    pub leader_cost_ms_max: u64,
    pub faults: Vec<Fault>,
}

/// A validator that lies, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Byzantine {
    pub validator: u16,
    pub lies: Vec<Lie>,
}

/// One fault or one row of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When it first begins, in milliseconds of the scenario.
    pub at_ms: u64,
    /// How long it lasts; 0 for one that is over at once.
    pub lasts_ms: u64,
    /// Between two beginnings.
    pub every_ms: u64,
    /// How often it begins.
    pub times: u32,
    pub kind: FaultKind,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// SIGKILL, and a new start at the end.
    Kill(Target),
    /// A clean stop and an immediate new start.
    Restart(Target),
    /// SIGSTOP, and SIGCONT at the end.
    Pause(Target),
    /// Validators in different groups hear nothing of each other; who is in no group is alone.
    Partition(Vec<Vec<u16>>),
    /// Links that carry nothing.
    Cut(Vec<LinkPattern>),
    /// Links that carry nothing for a period, then all for one, and so on.
    Flap {
        links: Vec<LinkPattern>,
        period_ms: u64,
    },
    /// Links that delay, lose, repeat and reorder.
    Weather {
        links: Vec<LinkPattern>,
        weather: Weather,
    },
    /// The system clock that a validator reads jumps. With `restart` it also starts anew under the
    /// wrong time.
    Clock {
        target: Target,
        seconds: i64,
        restart: bool,
    },
    /// Each sync of the validator's disk takes longer.
    SlowDisk { target: Target, sync_ms: u64 },
    /// The validator is run by somebody who lies, and by an honest operator again at the end.
    Byzantine(Byzantine),
}

/// What a bad link does to packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// The least and the most it delays each packet.
    pub delay_ms: (u64, u64),
    /// The part of packets it loses, 0 to 1.
    pub drop: f64,
    /// The part it delivers twice.
    pub duplicate: f64,
    /// The part it holds back until later ones have passed.
    pub reorder: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    seconds: f64,
    #[serde(default = "one")]
    seed: u64,
    validators: Option<u16>,
    #[serde(default)]
    byzantine: Vec<FileByzantine>,
    #[serde(default = "envelopes")]
    envelopes_per_second: f64,
    #[serde(default = "payments")]
    payments_per_second: f64,
    #[serde(default = "provers")]
    provers: u16,
    #[serde(default = "deadline")]
    deadline_ms: u64,
    #[serde(default = "progress")]
    progress_percent_min: f64,
    #[serde(default = "leader_cost")]
    leader_cost_ms_max: u64,
    #[serde(default, rename = "fault")]
    faults: Vec<FileFault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFault {
    at: f64,
    #[serde(rename = "for", default)]
    lasts: f64,
    #[serde(default)]
    every: f64,
    #[serde(default = "once")]
    times: u32,
    kill: Option<String>,
    restart: Option<String>,
    pause: Option<String>,
    partition: Option<Vec<Vec<u16>>>,
    cut: Option<Vec<String>>,
    flap: Option<FileFlap>,
    weather: Option<FileWeather>,
    clock: Option<FileClock>,
    slow_disk: Option<FileDisk>,
    byzantine: Option<FileByzantine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFlap {
    links: Vec<String>,
    period: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWeather {
    #[serde(default)]
    links: Option<Vec<String>>,
    #[serde(default)]
    delay_ms: (u64, u64),
    #[serde(default)]
    drop: f64,
    #[serde(default)]
    duplicate: f64,
    #[serde(default)]
    reorder: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileClock {
    who: String,
    seconds: i64,
    #[serde(default)]
    restart: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDisk {
    who: String,
    sync_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileByzantine {
    who: String,
    conduct: Words,
}

/// One word or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    All(Vec<String>),
}

const fn one() -> u64 {
    1
}
const fn once() -> u32 {
    1
}
const fn envelopes() -> f64 {
    20.0
}
const fn payments() -> f64 {
    1.0
}
const fn provers() -> u16 {
    1
}
const fn deadline() -> u64 {
    90_000
}
const fn progress() -> f64 {
    99.9
}
const fn leader_cost() -> u64 {
    1_000
}

impl Scenario {
    /// Reads a scenario file.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text).map_err(|error| ScenarioError::Form {
            reason: error.to_string(),
        })?;
        let faults = file.faults.into_iter().enumerate();
        let faults = faults.map(|(index, fault)| fault.check(index + 1));
        let byzantine = file.byzantine.into_iter().map(FileByzantine::check);
        let scenario = Self {
            name: name.into(),
            about: file.about,
            seconds: file.seconds,
            seed: file.seed,
            validators: file.validators,
            byzantine: byzantine.collect::<Result<_, _>>()?,
            envelopes_per_second: file.envelopes_per_second,
            payments_per_second: file.payments_per_second,
            provers: file.provers,
            deadline_ms: file.deadline_ms,
            progress_percent_min: file.progress_percent_min,
            leader_cost_ms_max: file.leader_cost_ms_max,
            faults: faults.collect::<Result<_, _>>()?,
        };
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let refuse = |reason| {
            let name = self.name.clone();
            Err(ScenarioError::Scenario { name, reason })
        };
        if !(1.0..=SECONDS_MAX).contains(&self.seconds) {
            return refuse("seconds must be between 1 and 3600");
        }
        if self.validators.is_some_and(|count| count > VALIDATORS_MAX) {
            return refuse("validators must be 4, 7, 10, 13 or 16");
        }
        if !(0.1..=1000.0).contains(&self.envelopes_per_second) {
            return refuse("envelopes_per_second must be between 0.1 and 1000");
        }
        if !(0.0..=100.0).contains(&self.payments_per_second) {
            return refuse("payments_per_second must be between 0 and 100");
        }
        if !(1..=9).contains(&self.provers) {
            return refuse("provers must be between 1 and 9");
        }
        let steps = schedule(self);
        if steps.len() > 2 * FAULTS_MAX {
            return refuse("it has more than 1000 faults");
        }
        if steps
            .last()
            .is_some_and(|step| step.at_ms > self.length_ms())
        {
            return refuse("a fault begins or ends after the scenario's end");
        }
        Ok(())
    }

    /// Every way to lie, by whom.
    pub fn lies(&self) -> impl Iterator<Item = &Byzantine> {
        let faults = self.faults.iter().filter_map(|fault| match &fault.kind {
            FaultKind::Byzantine(byzantine) => Some(byzantine),
            _ => None,
        });
        self.byzantine.iter().chain(faults)
    }

    /// Validators that lie at any time: they are not relied on, not asked, and not judged.
    pub fn liars(&self) -> Vec<u16> {
        let mut liars: Vec<u16> = self.lies().map(|one| one.validator).collect();
        liars.sort_unstable();
        liars.dedup();
        liars
    }

    /// Whether any validator runs twice.
    pub fn has_twin(&self) -> bool {
        self.lies().any(|one| one.lies.contains(&Lie::Twin))
    }

    /// How long the load flows, in milliseconds.
    pub fn length_ms(&self) -> u64 {
        (self.seconds * 1000.0) as u64
    }

    /// The validators whose clock may jump; `None` when it may be any.
    pub fn clocks(&self) -> Option<Vec<u16>> {
        self.validators(|kind| match kind {
            FaultKind::Clock { target, .. } => Some(*target),
            _ => None,
        })
    }

    /// Whether any disk becomes slow.
    pub fn has_slow_disk(&self) -> bool {
        let is_slow = |fault: &Fault| matches!(fault.kind, FaultKind::SlowDisk { .. });
        self.faults.iter().any(is_slow)
    }

    /// The highest validator and prover that it names.
    pub fn highest(&self) -> (Option<u16>, Option<u16>) {
        let (mut validator, mut prover) = (self.liars().last().copied(), None);
        for fault in &self.faults {
            match &fault.kind {
                FaultKind::Kill(target)
                | FaultKind::Restart(target)
                | FaultKind::Pause(target)
                | FaultKind::Clock { target, .. }
                | FaultKind::SlowDisk { target, .. } => match target {
                    Target::Validator(index) => validator = validator.max(Some(*index)),
                    Target::Prover(index) => prover = prover.max(Some(*index)),
                    _ => {}
                },
                FaultKind::Partition(groups) => {
                    validator = validator.max(groups.iter().flatten().copied().max());
                }
                FaultKind::Cut(links)
                | FaultKind::Flap { links, .. }
                | FaultKind::Weather { links, .. } => {
                    let highest = links.iter().filter_map(|link| link.highest()).max();
                    validator = validator.max(highest);
                }
                FaultKind::Byzantine(_) => {}
            }
        }
        (validator, prover)
    }

    fn validators(&self, of: impl Fn(&FaultKind) -> Option<Target>) -> Option<Vec<u16>> {
        let mut found = Vec::new();
        for target in self.faults.iter().filter_map(|fault| of(&fault.kind)) {
            match target {
                Target::Validator(index) => found.push(index),
                _ => return None,
            }
        }
        Some(found)
    }
}

impl FileFault {
    fn check(self, fault: usize) -> Result<Fault, ScenarioError> {
        let refuse = |reason| ScenarioError::Fault { fault, reason };
        for seconds in [self.at, self.lasts, self.every] {
            if !(0.0..=SECONDS_MAX).contains(&seconds) {
                return Err(refuse("a time is not between 0 and 3600 seconds"));
            }
        }
        let mut kinds = Vec::new();
        for (word, kind) in [
            (self.kill, FaultKind::Kill as fn(Target) -> FaultKind),
            (self.restart, FaultKind::Restart),
            (self.pause, FaultKind::Pause),
        ] {
            if let Some(word) = word {
                kinds.push(kind(word.parse()?));
            }
        }
        if let Some(groups) = self.partition {
            let mut all: Vec<u16> = groups.iter().flatten().copied().collect();
            all.sort_unstable();
            if all.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(refuse("a validator is in two groups"));
            }
            kinds.push(FaultKind::Partition(groups));
        }
        if let Some(words) = self.cut {
            kinds.push(FaultKind::Cut(links(&words)?));
        }
        if let Some(flap) = self.flap {
            if !(0.05..=60.0).contains(&flap.period) {
                return Err(refuse("period must be between 0.05 and 60 seconds"));
            }
            kinds.push(FaultKind::Flap {
                links: links(&flap.links)?,
                period_ms: (flap.period * 1000.0) as u64,
            });
        }
        if let Some(file) = self.weather {
            kinds.push(file.check().map_err(|error| {
                error.unwrap_or_else(|| {
                    refuse("delay_ms must ascend up to 10000, and each part be between 0 and 0.9")
                })
            })?);
        }
        if let Some(clock) = self.clock {
            kinds.push(FaultKind::Clock {
                target: clock.who.parse()?,
                seconds: clock.seconds,
                restart: clock.restart,
            });
        }
        if let Some(disk) = self.slow_disk {
            if !(1..=10_000).contains(&disk.sync_ms) {
                return Err(refuse("sync_ms must be between 1 and 10000"));
            }
            kinds.push(FaultKind::SlowDisk {
                target: disk.who.parse()?,
                sync_ms: disk.sync_ms,
            });
        }
        if let Some(byzantine) = self.byzantine {
            kinds.push(FaultKind::Byzantine(byzantine.check()?));
        }
        let Ok([kind]) = <[FaultKind; 1]>::try_from(kinds) else {
            return Err(refuse("it must do exactly one thing"));
        };
        let fault = Fault {
            at_ms: (self.at * 1000.0) as u64,
            lasts_ms: (self.lasts * 1000.0) as u64,
            every_ms: (self.every * 1000.0) as u64,
            times: self.times,
            kind,
        };
        fault.check().map_err(refuse)?;
        Ok(fault)
    }
}

impl FileByzantine {
    fn check(self) -> Result<Byzantine, ScenarioError> {
        let Target::Validator(validator) = self.who.parse()? else {
            return Err(ScenarioError::Liar { word: self.who });
        };
        let words = match self.conduct {
            Words::One(word) => vec![word],
            Words::All(words) => words,
        };
        let lies: Result<Vec<Lie>, _> = words.iter().map(|word| word.parse()).collect();
        let lies = lies?;
        // Of two validators the lower one dials, so that only the lowest reaches all others twice.
        if lies.is_empty() || (lies.contains(&Lie::Twin) && validator != 0) {
            return Err(ScenarioError::Liar { word: self.who });
        }
        Ok(Byzantine { validator, lies })
    }
}

impl FileWeather {
    /// The error is `None` for numbers out of range.
    fn check(self) -> Result<FaultKind, Option<ScenarioError>> {
        let (least, most) = self.delay_ms;
        let parts = [self.drop, self.duplicate, self.reorder];
        if least > most || most > 10_000 || !parts.iter().all(|part| (0.0..=0.9).contains(part)) {
            return Err(None);
        }
        Ok(FaultKind::Weather {
            links: match self.links {
                Some(words) => links(&words).map_err(Some)?,
                None => vec![LinkPattern::ALL],
            },
            weather: Weather {
                delay_ms: self.delay_ms,
                drop: self.drop,
                duplicate: self.duplicate,
                reorder: self.reorder,
            },
        })
    }
}

impl Fault {
    fn check(&self) -> Result<(), &'static str> {
        if self.times == 0 || self.times as usize > FAULTS_MAX {
            return Err("times must be between 1 and 1000");
        }
        if self.times > 1 && self.every_ms <= self.lasts_ms {
            return Err("every must be longer than for");
        }
        let needs_validator = |target: &Target| match target.is_validator() {
            true => Ok(()),
            false => Err("this happens to validators only"),
        };
        let lasts = |wanted| match (self.lasts_ms > 0) == wanted {
            true => Ok(()),
            false => {
                Err("`for` says how long it lasts, except for a restart, which takes its time")
            }
        };
        match &self.kind {
            FaultKind::Restart(_) => lasts(false),
            FaultKind::Clock { target, .. } | FaultKind::SlowDisk { target, .. } => {
                needs_validator(target)?;
                lasts(true)
            }
            FaultKind::Kill(_) | FaultKind::Pause(_) | FaultKind::Byzantine(_) => lasts(true),
            FaultKind::Partition(groups) => {
                let in_range = groups.iter().flatten().all(|index| *index < VALIDATORS_MAX);
                match in_range {
                    true => lasts(true),
                    false => Err("a validator's index is above 15"),
                }
            }
            FaultKind::Cut(_) | FaultKind::Flap { .. } | FaultKind::Weather { .. } => lasts(true),
        }
    }
}

fn links(words: &[String]) -> Result<Vec<LinkPattern>, ScenarioError> {
    words.iter().map(|word| word.parse()).collect()
}
