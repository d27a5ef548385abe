//! The words that a scenario file uses for processes and links.

use std::fmt;
use std::str::FromStr;

use crate::byzantine::UnknownLie;

/// A scenario file that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// It is no TOML of this shape.
    #[error("[CV-CHAOS-001] the scenario does not read: {reason}; correct the file")]
    Form { reason: String },
    /// A word that names no process.
    #[error(
        "[CV-CHAOS-002] {word:?} names no process; use leader, next, winner, rollup, validator-I or prover-I"
    )]
    Target { word: String },
    /// A word that names no link.
    #[error("[CV-CHAOS-003] {word:?} names no link; write it as 0>1, 0-1 or 2>*")]
    Link { word: String },
    /// A word that names no conduct.
    #[error(transparent)]
    Lie(#[from] UnknownLie),
    /// Somebody who cannot lie so.
    #[error(
        "[CV-CHAOS-007] {word:?} cannot lie so; who lies is validator-I with one conduct or more, and a twin is validator-0, which dials all others"
    )]
    Liar { word: String },
    /// Something in it cannot be.
    #[error("[CV-CHAOS-004] fault {fault} of the scenario: {reason}; correct the file")]
    Fault { fault: usize, reason: &'static str },
    /// The scenario as a whole cannot be.
    #[error("[CV-CHAOS-005] the scenario {name}: {reason}; correct the file")]
    Scenario { name: String, reason: &'static str },
}

/// Whom a fault hits; the changing ones are looked up when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The validator that leads at that moment, by its own word.
    Leader,
    /// The validators in turn, one at each occurrence.
    Next,
    /// The prover that holds an award and has not delivered.
    Winner,
    /// The payments rollup's node.
    Rollup,
    /// One validator.
    Validator(u16),
    /// One prover.
    Prover(u16),
}

impl Target {
    /// Whether it is a validator, whichever.
    pub fn is_validator(self) -> bool {
        matches!(self, Self::Leader | Self::Next | Self::Validator(_))
    }
}

impl FromStr for Target {
    type Err = ScenarioError;

    fn from_str(word: &str) -> Result<Self, ScenarioError> {
        let numbered = |prefix: &str| word.strip_prefix(prefix)?.parse().ok();
        match word {
            "leader" => Ok(Self::Leader),
            "next" => Ok(Self::Next),
            "winner" => Ok(Self::Winner),
            "rollup" => Ok(Self::Rollup),
            _ => numbered("validator-")
                .map(Self::Validator)
                .or_else(|| numbered("prover-").map(Self::Prover))
                .ok_or_else(|| ScenarioError::Target { word: word.into() }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("the leader"),
            Self::Next => f.write_str("the next validator"),
            Self::Winner => f.write_str("the winning prover"),
            Self::Rollup => f.write_str("the rollup"),
            Self::Validator(index) => write!(f, "validator-{index}"),
            Self::Prover(index) => write!(f, "prover-{index}"),
        }
    }
}

/// A set of links between validators: `0>1` one way, `0-1` both ways, `*` for any validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkPattern {
    from: Option<u16>,
    to: Option<u16>,
    both: bool,
}

impl LinkPattern {
    /// Every link.
    pub const ALL: Self = Self {
        from: None,
        to: None,
        both: true,
    };

    /// The directed links it means among so many validators, ascending.
    pub fn links(self, validators: u16) -> Vec<(u16, u16)> {
        let is = |wanted: Option<u16>, found| wanted.is_none_or(|wanted| wanted == found);
        let matches = |&(a, b): &(u16, u16)| {
            is(self.from, a) && is(self.to, b) || self.both && is(self.from, b) && is(self.to, a)
        };
        all_links(validators).filter(matches).collect()
    }

    /// The largest validator it names.
    pub fn highest(self) -> Option<u16> {
        self.from.max(self.to)
    }
}

impl FromStr for LinkPattern {
    type Err = ScenarioError;

    fn from_str(word: &str) -> Result<Self, ScenarioError> {
        let refuse = || ScenarioError::Link { word: word.into() };
        let end = |text: &str| match text {
            "*" => Ok(None),
            text => text.parse().map(Some).map_err(|_| refuse()),
        };
        let both = !word.contains('>');
        let (from, to) = word
            .split_once(if both { '-' } else { '>' })
            .ok_or_else(refuse)?;
        Ok(Self {
            from: end(from)?,
            to: end(to)?,
            both,
        })
    }
}

/// All directed links among so many validators, ascending.
pub(super) fn all_links(validators: u16) -> impl Iterator<Item = (u16, u16)> {
    (0..validators).flat_map(move |a| {
        (0..validators)
            .filter(move |b| *b != a)
            .map(move |b| (a, b))
    })
}
