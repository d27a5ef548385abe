//! One member's part: what it says next, and its key shares in the end.

use conclave_types::{
    ChannelOffer, Contribution, Dealing, KeyGenerationMessage, KeyGenerationPhase, Point,
    RevealedShares, SealingKey, Signers, ValidatorIndex,
};
use curve25519_dalek::scalar::Scalar;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::check::{self, SHARE_BYTES};
use super::secrets::{Secrets, encode_share};
use super::{Board, Round};
use crate::curve;
use crate::key::{self, CommitteeKey, KeyError, KeyShares};

/// A member of a key generation over the chain. It does no IO and keeps nothing but its seed.
///
/// The seed is the whole secret: everything it says and its shares in the end are functions of the
/// seed and the board. So the owner makes a seed of 32 random bytes for each epoch, writes it to a
/// file durably *before* the first message leaves, and goes on with it after a crash; whoever lost it
/// is silent for the rest of the attempt. When the shares are stored, the seed is destroyed, since
/// with the public board it gives them again.
#[derive(ZeroizeOnDrop)]
pub struct Participant {
    #[zeroize(skip)]
    own: ValidatorIndex,
    seed: [u8; 32],
}

/// Why there are no key shares for this member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParticipantError {
    /// Its weight is 0 in the committee that the key is for.
    #[error(
        "[CV-SEAL-037] validator {validator} is not in the committee of this key generation; it has no key shares"
    )]
    Stranger { validator: ValidatorIndex },
    /// What the chain has of it was not made with this seed.
    #[error(
        "[CV-SEAL-038] validator {validator} took part with another seed; restore the file it was kept in, or go without key shares for this epoch"
    )]
    Seed { validator: ValidatorIndex },
    /// A qualified dealer's shares for it neither decrypt nor are public.
    #[error(
        "[CV-SEAL-039] the shares that validator {dealer} dealt are not to be had; check that the key file is this validator's"
    )]
    Share { dealer: ValidatorIndex },
    /// The shares are not those of the key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The shares of one dealer for this member.
type Shares = Zeroizing<Vec<Scalar>>;

impl Participant {
    /// The part of the validator in a slot.
    pub fn new(own: ValidatorIndex, seed: &[u8; 32]) -> Self {
        Self { own, seed: *seed }
    }

    /// What it should post now; `None` when it has nothing to say in this phase, or has said it.
    ///
    /// The same board gives the same message. Acknowledging costs n·(2f+1) multiplications by numbers
    /// of a byte for each key share, so call it when the board has changed.
    pub fn next(&self, board: &Board<'_>) -> Option<KeyGenerationMessage> {
        let round = board.round();
        if round.weight(self.own) == 0 {
            return None;
        }
        let secrets = Secrets::derive(&self.seed, round, self.own);
        let said = board.contribution(self.own);
        if board.phase() == KeyGenerationPhase::Channel {
            let silent = said.is_none_or(|said| said.channel.is_none());
            return silent.then(|| self.offer(round, &secrets));
        }
        let said = said.filter(|said| is_of(said, &secrets))?;
        match board.phase() {
            KeyGenerationPhase::Deal if said.dealing.is_none() => self.deal(board, &secrets),
            KeyGenerationPhase::Acknowledge if said.acknowledged.is_none() => {
                let dealers = self.acknowledge(board, &secrets);
                Some(KeyGenerationMessage::Acknowledge { dealers })
            }
            KeyGenerationPhase::Reveal if said.revealed.is_none() => self.reveal(board, &secrets),
            _ => None,
        }
    }

    /// Its shares of the key that [`Board::outcome`] gave.
    ///
    /// # Errors
    /// It is not a member, its seed is another than it took part with, or the board is of another
    /// chain than the key.
    pub fn finish(
        &self,
        board: &Board<'_>,
        sealing: &SealingKey,
    ) -> Result<KeyShares, ParticipantError> {
        let (round, own) = (board.round(), self.own);
        let positions = round.positions(own);
        if positions.is_empty() {
            return Err(ParticipantError::Stranger { validator: own });
        }
        let key = CommitteeKey::new(sealing, &round.weights())?;
        let secrets = Secrets::derive(&self.seed, round, own);
        let mut sums = Zeroizing::new(vec![Scalar::ZERO; positions.len()]);
        for dealer in board.qualified() {
            let shares = self
                .received(board, &secrets, dealer)
                .ok_or_else(|| self.blame(board, &secrets, dealer))?;
            for (sum, share) in sums.iter_mut().zip(shares.iter()) {
                *sum += share;
            }
        }
        let first = key::index_of(positions.start);
        let shares = KeyShares::new(first, core::mem::take(&mut *sums));
        match shares.belong_to(&key, own) {
            true => Ok(shares),
            false => Err(KeyError::NotOwn { validator: own }.into()),
        }
    }

    fn offer(&self, round: &Round, secrets: &Secrets) -> KeyGenerationMessage {
        KeyGenerationMessage::Channel(ChannelOffer {
            channel: secrets.channel(),
            possession: secrets.prove_channel(round, self.own),
        })
    }

    fn deal(&self, board: &Board<'_>, secrets: &Secrets) -> Option<KeyGenerationMessage> {
        let round = board.round();
        let commitment = secrets.commitment();
        let slots = (0..round.slots() as u16).map(ValidatorIndex);
        let sealed = slots.map(|to| match board.receives(self.own, to) {
            true => self.seal_to(board, secrets, &commitment, to),
            false => Some(Vec::new()),
        });
        let sealed = sealed.collect::<Option<_>>()?;
        Some(KeyGenerationMessage::Deal(Dealing {
            sealed,
            knowledge: secrets.prove_constant(round, self.own),
            commitment,
        }))
    }

    fn seal_to(
        &self,
        board: &Board<'_>,
        secrets: &Secrets,
        commitment: &Vec<Point>,
        to: ValidatorIndex,
    ) -> Option<Vec<u8>> {
        let round = board.round();
        let theirs = channel_of(board, to)?;
        let keys = (&secrets.channel(), theirs);
        let channel = secrets.channel_with(round, theirs, keys, commitment)?;
        let positions = round.positions(to);
        let mut plaintext = Zeroizing::new(Vec::with_capacity(SHARE_BYTES * positions.len()));
        for position in positions {
            let share = Zeroizing::new(secrets.share(position).to_bytes());
            plaintext.extend_from_slice(share.as_slice());
        }
        channel.seal(self.own, to, &plaintext)
    }

    fn acknowledge(&self, board: &Board<'_>, secrets: &Secrets) -> Signers {
        let mut dealers = Signers::default();
        for dealer in board.round().members() {
            if self.received(board, secrets, dealer).is_some() {
                dealers.insert(dealer);
            }
        }
        dealers
    }

    /// The shares that it owes; a dealer that is out reveals nothing.
    fn reveal(&self, board: &Board<'_>, secrets: &Secrets) -> Option<KeyGenerationMessage> {
        let owed = board.owed(self.own).filter(|owed| !owed.is_empty())?;
        let round = board.round();
        let revealed = |receiver: ValidatorIndex| RevealedShares {
            receiver,
            shares: round
                .positions(receiver)
                .map(|position| encode_share(&secrets.share(position)))
                .collect(),
        };
        Some(KeyGenerationMessage::Reveal {
            shares: owed.into_iter().map(revealed).collect(),
        })
    }

    /// A dealer's shares for this member, if they are right: its own, published, or decrypted.
    fn received(
        &self,
        board: &Board<'_>,
        secrets: &Secrets,
        dealer: ValidatorIndex,
    ) -> Option<Shares> {
        let dealing = board.dealing(dealer)?;
        let positions = board.round().positions(self.own);
        if dealer == self.own {
            let mut shares = Shares::default();
            shares.extend(positions.map(|position| *secrets.share(position)));
            return Some(shares);
        }
        if let Some(shares) = self.published(board, dealer) {
            return Some(shares);
        }
        let plaintext = self.open_from(board, secrets, dealer)?;
        let mut shares = Zeroizing::new(Vec::with_capacity(positions.len()));
        for chunk in plaintext.chunks_exact(SHARE_BYTES) {
            let share: Option<Scalar> = Scalar::from_canonical_bytes(chunk.try_into().ok()?).into();
            shares.push(share?);
        }
        let commitment = check::decode_commitment(&dealing.commitment)?;
        let right = shares.len() == positions.len()
            && positions
                .zip(shares.iter())
                .all(|(position, share)| check::is_value(&commitment, position, share));
        right.then_some(shares)
    }

    /// Whether a reveal holds shares for this member; it was checked before it went on the board.
    fn published(&self, board: &Board<'_>, dealer: ValidatorIndex) -> Option<Shares> {
        let revealed = board.contribution(dealer)?.revealed.as_ref()?;
        let mut to_us = revealed.iter().filter(|shares| shares.receiver == self.own);
        let shares = to_us.next()?.shares.iter().map(curve::scalar);
        shares.collect::<Option<Vec<Scalar>>>().map(Zeroizing::new)
    }

    fn open_from(
        &self,
        board: &Board<'_>,
        secrets: &Secrets,
        dealer: ValidatorIndex,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let theirs = channel_of(board, dealer)?;
        let dealing = board.dealing(dealer)?;
        let sealed = dealing.sealed.get(usize::from(self.own.0))?;
        let keys = (theirs, &secrets.channel());
        let round = board.round();
        let channel = secrets.channel_with(round, theirs, keys, &dealing.commitment)?;
        channel.open(dealer, self.own, sealed)
    }

    fn blame(
        &self,
        board: &Board<'_>,
        secrets: &Secrets,
        dealer: ValidatorIndex,
    ) -> ParticipantError {
        let validator = self.own;
        let said = board.contribution(validator);
        match said.is_some_and(|said| said.channel.is_none() || is_of(said, secrets)) {
            true => ParticipantError::Share { dealer },
            false => ParticipantError::Seed { validator },
        }
    }
}

/// Whether the member took part with these secrets.
fn is_of(said: &Contribution, secrets: &Secrets) -> bool {
    said.channel
        .is_some_and(|offer| offer.channel == secrets.channel())
}

fn channel_of<'a>(board: &'a Board<'_>, member: ValidatorIndex) -> Option<&'a Point> {
    let said = board.contribution(member)?;
    said.channel.as_ref().map(|offer| &offer.channel)
}
