//! What all members have said so far, and what follows from it.

use std::collections::BTreeMap;

use conclave_types::{
    Contribution, Dealing, Digest, Domain, KeyGenerationPhase, SealingKey, ValidatorIndex, codec,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::traits::IsIdentity;

use super::Round;
use super::check::decode_commitment;
use crate::{curve, key, public};

/// The messages of one attempt that were found right.
///
/// It is public, and the same for everybody at one height.
#[derive(Debug, Clone)]
pub struct Board<'a> {
    round: &'a Round,
    phase: KeyGenerationPhase,
    contributions: BTreeMap<ValidatorIndex, &'a Contribution>,
}

impl<'a> Board<'a> {
    /// The board of a round in a phase, with what each slot has said.
    pub fn new(
        round: &'a Round,
        phase: KeyGenerationPhase,
        contributions: impl IntoIterator<Item = (ValidatorIndex, &'a Contribution)>,
    ) -> Self {
        Self {
            round,
            phase,
            contributions: contributions.into_iter().collect(),
        }
    }

    /// The attempt.
    pub const fn round(&self) -> &Round {
        self.round
    }

    /// Which messages are taken now.
    pub const fn phase(&self) -> KeyGenerationPhase {
        self.phase
    }

    /// What a validator has said; `None` for a stranger.
    pub fn contribution(&self, validator: ValidatorIndex) -> Option<&Contribution> {
        self.contributions.get(&validator).copied()
    }

    /// Whether everyone who may speak in this phase has spoken, so that it need not last longer.
    pub fn is_complete(&self) -> bool {
        let waits = |validator: ValidatorIndex| {
            let Some(said) = self.contribution(validator) else {
                return self.phase == KeyGenerationPhase::Channel;
            };
            match self.phase {
                KeyGenerationPhase::Channel => said.channel.is_none(),
                KeyGenerationPhase::Deal => said.channel.is_some() && said.dealing.is_none(),
                KeyGenerationPhase::Acknowledge => {
                    said.channel.is_some() && said.acknowledged.is_none()
                }
                KeyGenerationPhase::Reveal => {
                    said.revealed.is_none()
                        && self.owed(validator).is_some_and(|owed| !owed.is_empty())
                }
                KeyGenerationPhase::Done => false,
            }
        };
        !self.round.members().any(waits)
    }

    /// Who did not do its part of this phase, ascending: did not speak, or after the last phase does
    /// not qualify.
    pub fn fell_short(&self) -> Vec<ValidatorIndex> {
        let qualified = match self.phase {
            KeyGenerationPhase::Reveal => self.qualified(),
            _ => Vec::new(),
        };
        let spoke = |said: &Contribution| match self.phase {
            KeyGenerationPhase::Channel => said.channel.is_some(),
            KeyGenerationPhase::Deal => said.dealing.is_some(),
            KeyGenerationPhase::Acknowledge => said.acknowledged.is_some(),
            KeyGenerationPhase::Reveal | KeyGenerationPhase::Done => false,
        };
        let short = |member: &ValidatorIndex| {
            !self.contribution(*member).is_some_and(spoke) && !qualified.contains(member)
        };
        self.round.members().filter(short).collect()
    }

    /// Whether so many have done their part of this phase that the attempt can succeed.
    pub fn may_succeed(&self) -> bool {
        let silent = self.weigh(self.fell_short());
        silent <= self.round.threshold().faults()
    }

    /// The members whose shares a dealer must reveal, ascending: those that did not acknowledge it.
    /// `None` for whoever did not deal or was acknowledged by less than 2f+1, itself included: such
    /// a dealer is out.
    pub fn owed(&self, dealer: ValidatorIndex) -> Option<Vec<ValidatorIndex>> {
        self.dealing(dealer)?;
        let acknowledges = |member: &ValidatorIndex| {
            let said = self.contribution(*member);
            let dealers = said.and_then(|said| said.acknowledged);
            *member == dealer || dealers.is_some_and(|dealers| dealers.contains(dealer))
        };
        let (satisfied, owed): (Vec<_>, Vec<_>) = self.round.members().partition(acknowledges);
        (self.weigh(satisfied) >= self.round.threshold().quorum()).then_some(owed)
    }

    /// The dealers that qualify, ascending.
    pub fn qualified(&self) -> Vec<ValidatorIndex> {
        let qualifies = |dealer: &ValidatorIndex| match self.owed(*dealer) {
            None => false,
            Some(owed) if owed.is_empty() => true,
            Some(_) => {
                let said = self.contribution(*dealer);
                said.is_some_and(|said| said.revealed.is_some())
            }
        };
        self.round.members().filter(qualifies).collect()
    }

    /// The key, if dealers of weight 2f+1 qualify. After the last phase only.
    ///
    /// Costs n·(2f+1) multiplications by numbers of a byte: the dealings are added up first.
    pub fn outcome(&self) -> Option<SealingKey> {
        let qualified = self.qualified();
        if self.weigh(qualified.iter().copied()) < self.round.threshold().quorum() {
            return None;
        }
        let mut combined = vec![RistrettoPoint::default(); self.round.coefficients()];
        for dealer in &qualified {
            let commitment = decode_commitment(&self.dealing(*dealer)?.commitment)?;
            for (sum, point) in combined.iter_mut().zip(commitment) {
                *sum += point;
            }
        }
        let y = combined.first().filter(|y| !y.is_identity())?;
        let share = |position| public::evaluate(&combined, key::index_of(position));
        let shares = (0..usize::from(self.round.threshold().total())).map(share);
        Some(SealingKey {
            key: curve::encode(y),
            shares: shares.map(|share| curve::encode(&share)).collect(),
            transcript: self.transcript(),
        })
    }

    /// What a member dealt.
    pub fn dealing(&self, dealer: ValidatorIndex) -> Option<&Dealing> {
        self.contribution(dealer)?.dealing.as_ref()
    }

    /// Whether a dealer encrypts shares to a member.
    pub(super) fn receives(&self, dealer: ValidatorIndex, member: ValidatorIndex) -> bool {
        let channel = |said: &Contribution| said.channel.is_some();
        dealer != member
            && self.round.weight(member) > 0
            && self.contribution(member).is_some_and(channel)
    }

    /// Of everything that was said, by slot.
    fn transcript(&self) -> Digest {
        let start = Domain::KeyGeneration.hasher().part(&self.round.context().0);
        self.contributions
            .iter()
            .fold(start, |hasher, (slot, said)| {
                hasher
                    .part(&slot.0.to_le_bytes())
                    .part(&codec::encode(*said))
            })
            .digest()
    }

    fn weigh(&self, validators: impl IntoIterator<Item = ValidatorIndex>) -> u16 {
        let weights = validators
            .into_iter()
            .map(|member| self.round.weight(member));
        weights.sum()
    }
}
