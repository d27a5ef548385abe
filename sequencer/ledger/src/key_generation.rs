//! The key generation of the next epoch: who takes part, what they have said, and what comes of it.

use std::cmp::Reverse;

use bincode::{Decode, Encode};
use conclave_seal::{
    Board, Round, check_acknowledgement, check_channel, check_dealing, check_reveal,
};
use conclave_types::{
    AccountId, Contribution, Epoch, EpochRecord, EpochSetup, Height, KeyGenerationMessage,
    KeyGenerationPhase, KeyGenerationPost, SealingKey, ValidatorIndex, ValidatorInfo,
};

use crate::error::OpError;
use crate::events::LedgerEvent;
use crate::execute::Context;
use crate::ledger::Ledger;
use crate::member_set::{Wish, next_weights};
use crate::table::Value;

/// From this attempt on, nobody gets more weight than it has: the committee that orders now can
/// agree on a key by itself, whatever those do who would join it.
const CLOSED_ATTEMPT: u32 = 2;

/// The running key generation, or the one that made the newest key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Attempt {
    pub(crate) epoch: Epoch,
    pub(crate) number: u32,
    pub(crate) phase: KeyGenerationPhase,
    /// The height at whose end the phase began.
    pub(crate) since: Height,
}

/// One slot of the committee to be, frozen with the attempt, and what it has said.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Candidate {
    pub(crate) info: ValidatorInfo,
    pub(crate) said: Contribution,
}

impl Value for Candidate {}

/// A key generation as its members see it: with the seed of a [`conclave_seal::Participant`] it says
/// what to post next, and gives the key shares in the end.
#[derive(Debug)]
pub struct KeyGenerationView<'a> {
    round: Round,
    phase: KeyGenerationPhase,
    since: Height,
    last: Height,
    said: Vec<(ValidatorIndex, &'a Contribution)>,
}

impl KeyGenerationView<'_> {
    /// Which epoch and attempt, and with which weights.
    pub const fn round(&self) -> &Round {
        &self.round
    }

    /// The present phase.
    pub const fn phase(&self) -> KeyGenerationPhase {
        self.phase
    }

    /// The height at whose end the phase began.
    pub const fn since(&self) -> Height {
        self.since
    }

    /// The last height whose messages the phase takes, should it not end before.
    pub const fn last(&self) -> Height {
        self.last
    }

    /// What everyone has said.
    pub fn board(&self) -> Board<'_> {
        Board::new(&self.round, self.phase, self.said.iter().copied())
    }
}

impl Ledger {
    /// The key generation that runs or, until the next one begins, the one that made the newest
    /// key: whoever missed its end still gets its key shares from it.
    pub fn key_generation(&self) -> Option<KeyGenerationView<'_>> {
        let attempt = self.state.key_generation?;
        let candidates = || self.state.candidates.iter();
        let weights: Vec<u16> = candidates().map(|(_, c)| c.info.weight).collect();
        let chain = self.state.parameters.chain;
        let round = Round::new(chain, attempt.epoch, attempt.number, &weights);
        Some(KeyGenerationView {
            // The set was frozen because it adds up.
            round: round.ok()?,
            phase: attempt.phase,
            since: attempt.since,
            last: self.last_of(&attempt),
            said: candidates().map(|(slot, c)| (*slot, &c.said)).collect(),
        })
    }

    /// Whether a key generation runs.
    pub(crate) fn is_generating(&self) -> bool {
        let attempt = self.state.key_generation;
        attempt.is_some_and(|attempt| attempt.phase != KeyGenerationPhase::Done)
    }

    /// Takes a member's message, if it is right.
    pub(crate) fn post_key_generation(
        &mut self,
        author: AccountId,
        post: KeyGenerationPost,
    ) -> Result<(), OpError> {
        let attempt = self.state.key_generation;
        let wanted = attempt.map(|attempt| (attempt.epoch, attempt.number));
        if wanted != Some((post.epoch, post.attempt)) {
            return Err(OpError::KeyGenerationOver);
        }
        let slot = post.validator;
        let candidate = self.state.candidates.get(&slot);
        if candidate.is_none_or(|candidate| candidate.info.account != author) {
            return Err(OpError::NotOperator);
        }
        let view = self.key_generation().ok_or(OpError::KeyGenerationOver)?;
        let board = view.board();
        let checked = match &post.message {
            KeyGenerationMessage::Channel(offer) => check_channel(&board, slot, offer),
            KeyGenerationMessage::Deal(dealing) => check_dealing(&board, slot, dealing),
            KeyGenerationMessage::Acknowledge { dealers } => {
                check_acknowledgement(&board, slot, dealers)
            }
            KeyGenerationMessage::Reveal { shares } => check_reveal(&board, slot, shares),
        };
        checked.map_err(|fault| OpError::KeyGeneration { fault })?;
        if let Some(candidate) = self.state.candidates.get_mut(&slot) {
            let said = &mut candidate.said;
            match post.message {
                KeyGenerationMessage::Channel(offer) => said.channel = Some(offer),
                KeyGenerationMessage::Deal(dealing) => said.dealing = Some(dealing),
                KeyGenerationMessage::Acknowledge { dealers } => said.acknowledged = Some(dealers),
                KeyGenerationMessage::Reveal { shares } => said.revealed = Some(shares),
            }
        }
        Ok(())
    }

    /// Begins a key generation when the epoch is half over, and ends the phases that are over.
    pub(crate) fn advance_key_generation(&mut self, context: &mut Context) {
        if self.is_begin(context.height) {
            self.begin_attempt(context, 0);
        }
        while let Some(attempt) = self.state.key_generation
            && let Some(phase) = self.phase_after(&attempt, context.height)
        {
            match phase {
                Next::Phase(phase) => self.enter_phase(context.height, phase),
                Next::Ready(sealing) => self.ready(context, *sealing),
                Next::Failed => self.fail(context, attempt.number),
            }
        }
    }

    fn is_begin(&self, height: Height) -> bool {
        let epoch = self.state.meta.epoch;
        let first = self
            .state
            .epochs
            .get(&epoch)
            .and_then(|record| record.first);
        let (Some(first), Some(blocks)) = (first, self.epoch_blocks()) else {
            return false;
        };
        let attempt = self.state.key_generation;
        attempt.is_none_or(|attempt| attempt.epoch == epoch)
            && height.0 >= first.0.saturating_add(blocks / 2)
    }

    /// The last height of the present phase.
    fn last_of(&self, attempt: &Attempt) -> Height {
        let window = self.state.parameters.consensus.keygen_phase_blocks.max(1);
        Height(attempt.since.0.saturating_add(window))
    }

    /// What follows the present phase, if it is over: everyone has spoken, or the window is past.
    fn phase_after(&self, attempt: &Attempt, height: Height) -> Option<Next> {
        use KeyGenerationPhase::{Acknowledge, Channel, Deal, Done, Reveal};
        if attempt.phase == Done {
            return None;
        }
        let late = height >= self.last_of(attempt);
        let view = self.key_generation()?;
        let board = view.board();
        if !late && !board.is_complete() {
            return None;
        }
        if !board.may_succeed() {
            return Some(Next::Failed);
        }
        Some(match attempt.phase {
            Channel => Next::Phase(Deal),
            Deal => Next::Phase(Acknowledge),
            Acknowledge => Next::Phase(Reveal),
            Reveal | Done => match board.outcome() {
                Some(sealing) => Next::Ready(Box::new(sealing)),
                None => Next::Failed,
            },
        })
    }

    fn enter_phase(&mut self, since: Height, phase: KeyGenerationPhase) {
        if let Some(attempt) = &mut self.state.key_generation {
            attempt.phase = phase;
            attempt.since = since;
        }
    }

    /// The next epoch's committee and key stand.
    fn ready(&mut self, context: &mut Context, sealing: SealingKey) {
        let epoch = self.state.meta.epoch.next();
        let candidates = self.state.candidates.iter();
        let setup = EpochSetup {
            epoch,
            validators: candidates.map(|(_, c)| c.info.clone()).collect(),
            sealing,
        };
        let digest = setup.digest();
        let record = EpochRecord {
            setup: digest,
            ready: context.height,
            first: None,
            last: None,
            ended: None,
        };
        self.state.epochs.insert(epoch, record);
        self.state.setups.insert(epoch, setup);
        self.enter_phase(context.height, KeyGenerationPhase::Done);
        let setup = digest;
        context
            .events
            .push(LedgerEvent::EpochReady { epoch, setup });
    }

    /// Starts again with another set. Wishes for more weight of those that fell short wait for the
    /// epoch after, so that nobody can keep a committee from its key by asking to join it.
    fn fail(&mut self, context: &mut Context, number: u32) {
        let short = self.key_generation().map(|view| view.board().fell_short());
        let later = self.state.meta.epoch.next().next();
        let epoch = self.state.meta.epoch.next();
        let attempt = number;
        let short = short.unwrap_or_default();
        for slot in &short {
            let present = self.present_weight(*slot);
            let record = self.state.validators.get_mut(slot);
            if let Some(record) = record.filter(|record| record.info.weight > present) {
                record.not_before = later;
            }
        }
        context.events.push(LedgerEvent::KeyGenerationFailed {
            epoch,
            attempt,
            short,
        });
        self.begin_attempt(context, number.saturating_add(1));
        self.settle_bonds(context);
    }

    fn begin_attempt(&mut self, context: &mut Context, number: u32) {
        let members = self.next_members(number);
        let stale: Vec<_> = self
            .state
            .candidates
            .iter()
            .map(|(slot, _)| *slot)
            .collect();
        for slot in stale {
            self.state.candidates.remove(&slot);
        }
        for (slot, info) in (0..).map(ValidatorIndex).zip(members) {
            let said = Contribution::default();
            self.state.candidates.insert(slot, Candidate { info, said });
        }
        let epoch = self.state.meta.epoch.next();
        self.state.key_generation = Some(Attempt {
            epoch,
            number,
            phase: KeyGenerationPhase::Channel,
            since: context.height,
        });
        let attempt = number;
        let event = LedgerEvent::KeyGenerationBegun { epoch, attempt };
        context.events.push(event);
    }

    fn present_weight(&self, slot: ValidatorIndex) -> u16 {
        let member = self.state.setup().validators.get(usize::from(slot.0));
        member.map_or(0, |member| member.weight)
    }

    /// The next committee by slot, as of now.
    fn next_members(&self, attempt: u32) -> Vec<ValidatorInfo> {
        let next = self.state.meta.epoch.next();
        let present = |slot| self.present_weight(slot);
        let weights: Vec<u16> = self.validators().map(|(slot, _)| present(slot)).collect();
        let wishes = self.validators().filter_map(|(slot, record)| {
            let weight = record.info.weight;
            let waits = attempt >= CLOSED_ATTEMPT || record.not_before > next;
            let taken = weight < present(slot) || weight > present(slot) && !waits;
            taken.then_some(Wish {
                unbonded: Reverse(record.bond.forfeited.is_some()),
                request: record.request,
                slot,
                weight,
            })
        });
        let weights = next_weights(&weights, wishes.collect());
        let members = self.validators().zip(weights);
        members
            .map(|((_, record), weight)| ValidatorInfo {
                weight,
                ..record.info.clone()
            })
            .collect()
    }
}

/// What follows a phase.
enum Next {
    Phase(KeyGenerationPhase),
    Ready(Box<SealingKey>),
    Failed,
}
