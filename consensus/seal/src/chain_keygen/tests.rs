//! A key generation as the ledger runs it, with members that do as a test tells them.

mod attacks;
mod completion;

use std::collections::BTreeMap;

use conclave_types::*;
use curve25519_dalek::scalar::Scalar;

use super::*;
use crate::{KeyShares, curve, lagrange};

/// f of 3f+1 members of one share each, and of mixed weights.
const FOUR: &[u16] = &[1, 1, 1, 1];
const SEVEN: &[u16] = &[1, 1, 1, 1, 1, 1, 1];
const MIXED: &[u16] = &[2, 1, 0, 1, 3];
const SIXTEEN: &[u16] = &[1; 16];

const CHAIN: ChainId = ChainId(Digest([3; 32]));

/// What a member does with the message that it would post; `None` to stay silent.
type Conduct<'a> = &'a mut dyn FnMut(
    ValidatorIndex,
    &Board<'_>,
    KeyGenerationMessage,
) -> Option<KeyGenerationMessage>;

/// The chain: what was said, and nothing else.
struct Chain {
    round: Round,
    phase: KeyGenerationPhase,
    said: BTreeMap<ValidatorIndex, Contribution>,
}

impl Chain {
    fn new(weights: &[u16]) -> Self {
        let slots = (0..weights.len() as u16).map(ValidatorIndex);
        Self {
            round: Round::new(CHAIN, Epoch(3), 1, weights).expect("3f+1"),
            phase: KeyGenerationPhase::Channel,
            said: slots.map(|slot| (slot, Contribution::default())).collect(),
        }
    }

    /// A key generation whose members conduct themselves so.
    fn run(weights: &[u16], conduct: Conduct<'_>) -> Self {
        let mut chain = Self::new(weights);
        while chain.phase != KeyGenerationPhase::Done {
            chain.play(conduct);
            chain.next_phase();
        }
        chain
    }

    /// Everyone says what it has to say in this phase.
    fn play(&mut self, conduct: Conduct<'_>) {
        let members: Vec<ValidatorIndex> = self.round.members().collect();
        for member in members {
            let message = participant(member).next(&self.board());
            let message = message.and_then(|message| conduct(member, &self.board(), message));
            if let Some(message) = message {
                // What is refused is as if it had not been said.
                let _ = self.post(member, message);
            }
        }
    }

    fn next_phase(&mut self) {
        use KeyGenerationPhase::{Acknowledge, Channel, Deal, Done, Reveal};
        self.phase = match self.phase {
            Channel => Deal,
            Deal => Acknowledge,
            Acknowledge => Reveal,
            Reveal | Done => Done,
        };
    }

    fn board(&self) -> Board<'_> {
        let said = self.said.iter().map(|(slot, said)| (*slot, said));
        Board::new(&self.round, self.phase, said)
    }

    fn post(
        &mut self,
        from: ValidatorIndex,
        message: KeyGenerationMessage,
    ) -> Result<(), KeyGenerationFault> {
        let board = self.board();
        match &message {
            KeyGenerationMessage::Channel(offer) => check_channel(&board, from, offer)?,
            KeyGenerationMessage::Deal(dealing) => check_dealing(&board, from, dealing)?,
            KeyGenerationMessage::Acknowledge { dealers } => {
                check_acknowledgement(&board, from, dealers)?;
            }
            KeyGenerationMessage::Reveal { shares } => check_reveal(&board, from, shares)?,
        }
        let said = self.said.get_mut(&from).expect("checked");
        match message {
            KeyGenerationMessage::Channel(offer) => said.channel = Some(offer),
            KeyGenerationMessage::Deal(dealing) => said.dealing = Some(dealing),
            KeyGenerationMessage::Acknowledge { dealers } => said.acknowledged = Some(dealers),
            KeyGenerationMessage::Reveal { shares } => said.revealed = Some(shares),
        }
        Ok(())
    }

    /// The key and the shares of these members, each of which checked that they are right.
    fn finish(&self, members: impl IntoIterator<Item = u16>) -> (SealingKey, Vec<KeyShares>) {
        let board = self.board();
        let key = board.outcome().expect("enough qualify");
        let shares = members
            .into_iter()
            .map(|index| {
                let member = participant(ValidatorIndex(index));
                member.finish(&board, &key).expect("a member")
            })
            .collect();
        (key, shares)
    }
}

fn seed(member: ValidatorIndex) -> [u8; 32] {
    [member.0 as u8 + 1; 32]
}

fn participant(member: ValidatorIndex) -> Participant {
    Participant::new(member, &seed(member))
}

fn secrets(chain: &Chain, member: u16) -> secrets::Secrets {
    let member = ValidatorIndex(member);
    secrets::Secrets::derive(&seed(member), &chain.round, member)
}

/// Everyone does as it should.
fn honest(
    _: ValidatorIndex,
    _: &Board<'_>,
    message: KeyGenerationMessage,
) -> Option<KeyGenerationMessage> {
    Some(message)
}

/// What a set of secret shares interpolates to, in the exponent.
fn interpolate(shares: &[(ShareIndex, Scalar)]) -> Point {
    let (indices, secrets): (Vec<ShareIndex>, Vec<Scalar>) = shares.iter().copied().unzip();
    let factors = lagrange::at_zero(&indices);
    let secret: Scalar = factors.iter().zip(&secrets).map(|(f, s)| f * s).sum();
    curve::encode(&curve::base(&secret))
}

/// All single shares of some validators.
fn singles(shares: &[KeyShares]) -> Vec<(ShareIndex, Scalar)> {
    let single = |own: &KeyShares| -> Vec<(ShareIndex, Scalar)> {
        own.indices().zip(own.secrets().iter().copied()).collect()
    };
    shares.iter().flat_map(single).collect()
}
