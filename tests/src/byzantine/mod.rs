//! Members of the committee that lie. Each is an honest replica with an actor around it, which
//! bends what goes in and what comes out at the boundary of events and effects, with the member's
//! keys for signing lies. Nothing in here knows of the simulator: the same actors stand between a
//! real replica and its shell in the program `conclave-byzantine`, which `conclave chaos` runs.
//!
//! ```text
//!           sees                        sends
//! Event ─▶ actors ─▶ Replica ─▶ Effects ─▶ actors ─▶ Effects
//!             └──────── lies of their own ─────────▶
//! ```

mod availability_liar;
mod bad_shares;
mod censor;
mod double_voter;
mod equivocator;
mod false_coder;
mod flooder;
mod forge;
mod garbage;
mod liar;
mod selective_sender;
mod share_withholder;
mod slow_drip;
mod stale_proposer;
mod time_jumper;
mod vote_withholder;
mod wrong_openings;

use std::fmt;
use std::str::FromStr;

use conclave_crypto::{Committee, EdSecret, Signatures};
use conclave_node::{Effect, Event, PeerMessage};
use conclave_types::{ChainId, Signers, ValidatorIndex};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

pub use self::liar::Liar;

/// A word that names no way to lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "[CV-CHAOS-006] {word:?} names no conduct; use one of {}",
    Lie::names()
)]
pub struct UnknownLie {
    word: String,
}

/// The ways to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Proposes two blocks in one view, to different members, and in views of others.
    Equivocator,
    /// Votes for every block it hears of, in both phases, and gives up every view as well.
    DoubleVoter,
    /// Keeps some of its votes and timeouts to itself.
    VoteWithholder,
    /// Names an old certificate in its timeouts, and builds on the lowest that it can justify.
    StaleProposer,
    /// Runs twice under the same keys.
    Twin,
    /// Never sends to some of the members.
    SelectiveSender,
    /// Signs "stored" and neither stores nor serves anything.
    AvailabilityLiar,
    /// Codes its batches falsely, so that no bodies belong to them.
    FalseCoder,
    /// Sends no shares.
    ShareWithholder,
    /// Sends shares that are not what it should have computed.
    BadShares,
    /// Publishes wrong openings, and its shares for another block, height, lane, group or member
    /// than they are for.
    WrongOpenings,
    /// Says everything many times.
    Flooder,
    /// Says everything late.
    SlowDrip,
    /// Sends bytes that were damaged.
    Garbage,
    /// Proposes blocks of the future.
    TimeJumper,
    /// Leaves one author's batches out of its blocks.
    Censor,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Equivocator,
        Self::DoubleVoter,
        Self::VoteWithholder,
        Self::StaleProposer,
        Self::Twin,
        Self::SelectiveSender,
        Self::AvailabilityLiar,
        Self::FalseCoder,
        Self::ShareWithholder,
        Self::BadShares,
        Self::WrongOpenings,
        Self::Flooder,
        Self::SlowDrip,
        Self::Garbage,
        Self::TimeJumper,
        Self::Censor,
    ];

    /// As in a scenario file; the actor's file is named so too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equivocator => "equivocator",
            Self::DoubleVoter => "double-voter",
            Self::VoteWithholder => "vote-withholder",
            Self::StaleProposer => "stale-proposer",
            Self::Twin => "twin",
            Self::SelectiveSender => "selective-sender",
            Self::AvailabilityLiar => "availability-liar",
            Self::FalseCoder => "false-coder",
            Self::ShareWithholder => "share-withholder",
            Self::BadShares => "bad-shares",
            Self::WrongOpenings => "wrong-openings",
            Self::Flooder => "flooder",
            Self::SlowDrip => "slow-drip",
            Self::Garbage => "garbage",
            Self::TimeJumper => "time-jumper",
            Self::Censor => "censor",
        }
    }

    /// Whether a few seconds of it under load leave evidence that anyone can verify. The others
    /// may, or need not: an equivocator leaves some once it leads, and may be cut off before that
    /// for proposing in the views of others.
    pub const fn leaves_evidence(self) -> bool {
        matches!(self, Self::DoubleVoter | Self::FalseCoder)
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn actor(self, random: &mut ChaCha20Rng) -> Option<Box<dyn Actor>> {
        Some(match self {
            Self::Equivocator => Box::<equivocator::Equivocator>::default(),
            Self::DoubleVoter => Box::<double_voter::DoubleVoter>::default(),
            Self::VoteWithholder => Box::new(vote_withholder::VoteWithholder::new(random)),
            Self::StaleProposer => Box::<stale_proposer::StaleProposer>::default(),
            // Whoever runs the member runs it twice.
            Self::Twin => return None,
            Self::SelectiveSender => Box::new(selective_sender::SelectiveSender::new(random)),
            Self::AvailabilityLiar => Box::new(availability_liar::AvailabilityLiar),
            Self::FalseCoder => Box::<false_coder::FalseCoder>::default(),
            Self::ShareWithholder => Box::new(share_withholder::ShareWithholder),
            Self::BadShares => Box::new(bad_shares::BadShares),
            Self::WrongOpenings => Box::new(wrong_openings::WrongOpenings),
            Self::Flooder => Box::<flooder::Flooder>::default(),
            Self::SlowDrip => Box::<slow_drip::SlowDrip>::default(),
            Self::Garbage => Box::new(garbage::Garbage),
            Self::TimeJumper => Box::<time_jumper::TimeJumper>::default(),
            Self::Censor => Box::new(censor::Censor::new(random)),
        })
    }
}

impl FromStr for Lie {
    type Err = UnknownLie;

    fn from_str(word: &str) -> Result<Self, UnknownLie> {
        let found = Self::ALL.into_iter().find(|lie| lie.name() == word);
        found.ok_or_else(|| UnknownLie { word: word.into() })
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The member that an actor speaks for.
pub struct Member<'a> {
    pub chain: ChainId,
    pub committee: &'a Committee,
    /// Its place in the committee.
    pub index: ValidatorIndex,
    /// Signs votes with its key.
    pub signatures: &'a dyn Signatures,
    /// Signs "stored".
    pub transport: &'a EdSecret,
    /// By its clock.
    pub now_ms: u64,
    pub random: &'a mut ChaCha20Rng,
}

impl Member<'_> {
    /// Everyone else.
    pub fn others(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        let own = self.index;
        self.committee.indices().filter(move |index| *index != own)
    }

    /// Some of the others: at least one, and not all.
    pub fn some_others(&mut self) -> Signers {
        let others: Vec<ValidatorIndex> = self.others().collect();
        let mut chosen = Signers::default();
        let count = self.random.gen_range(1..others.len().max(2));
        let start = self.random.gen_range(0..others.len());
        for other in others.iter().cycle().skip(start).take(count) {
            chosen.insert(*other);
        }
        chosen
    }
}

/// One way to lie. Deterministic: randomness comes from the member.
pub trait Actor: Send {
    /// The member sees an event; what the actor does about it goes to `out`. `false` hides the
    /// event from the honest replica.
    fn sees(&mut self, _: &mut Member<'_>, _event: &Event, _out: &mut Vec<Effect>) -> bool {
        true
    }

    /// Its honest replica would send this message to another member; what is done instead goes to
    /// `out`.
    fn sends(
        &mut self,
        _: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Send { to, message });
    }

    /// Whether it answers when asked for blocks, batches and shares.
    fn serves(&self) -> bool {
        true
    }
}

/// All the actors around one replica; what one sends, the next one bends.
pub struct Byzantine {
    actors: Vec<Box<dyn Actor>>,
}

impl Byzantine {
    /// A member that lies in these ways.
    pub fn new(lies: &[Lie], random: &mut ChaCha20Rng) -> Self {
        let actors = lies.iter().filter_map(|lie| lie.actor(random));
        Self {
            actors: actors.collect(),
        }
    }

    /// What the member does about an event, `replica` being what an honest one would do.
    pub fn handle(
        &mut self,
        member: &mut Member<'_>,
        event: Event,
        replica: impl FnOnce(Event) -> Vec<Effect>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut shown = true;
        for actor in &mut self.actors {
            shown &= actor.sees(member, &event, &mut effects);
        }
        if shown {
            for effect in replica(event) {
                self.bend(member, effect, &mut effects);
            }
        }
        effects
    }

    /// Whether it answers requests.
    pub fn serves(&self) -> bool {
        self.actors.iter().all(|actor| actor.serves())
    }

    fn bend(&mut self, member: &mut Member<'_>, effect: Effect, out: &mut Vec<Effect>) {
        match effect {
            Effect::Durable { records, then } => {
                let mut bent = Vec::new();
                for effect in then {
                    self.bend(member, effect, &mut bent);
                }
                let then = bent;
                out.push(Effect::Durable { records, then });
            }
            Effect::Broadcast(message) => {
                for to in member.others() {
                    self.send(member, to, message.clone(), out);
                }
            }
            Effect::Send { to, message } if to != member.index => {
                self.send(member, to, message, out);
            }
            other => out.push(other),
        }
    }

    fn send(
        &mut self,
        member: &mut Member<'_>,
        to: ValidatorIndex,
        message: PeerMessage,
        out: &mut Vec<Effect>,
    ) {
        let mut effects = vec![Effect::Send { to, message }];
        for actor in &mut self.actors {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Send { to, message } => actor.sends(member, to, message, &mut next),
                    other => next.push(other),
                }
            }
            effects = next;
        }
        out.extend(effects);
    }
}
