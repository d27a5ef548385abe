//! The key generation of the genesis: every validator deals, nobody is trusted.
//!
//! ```text
//! start ──▶ Commitments ──(to all)──▶ handle … all n in ──▶ Shares ──(to all)──▶ handle … all n in ──▶ finish
//! ```
//!
//! A validator of weight w runs w participants of the Pedersen key generation of FROST
//! (`frost_ristretto255::keys::dkg`), whose proofs of knowledge refuse rogue keys. Its messages
//! travel to all, over channels that authenticate the sender; the shares inside are encrypted to
//! their receiver under a key that only the two know.
//!
//! Everyone must take part: one silent or lying validator stops the ceremony and is named, and it
//! is started again without it. The second message names the digest of all first ones, so that
//! telling different things to different validators shows; in the end the caller compares
//! [`SealingKey::transcript`] with all others before it uses the key.
//!
//! Secrecy: the last dealer to speak can shift Y by an offset that it knows, since it must prove
//! knowledge of what it deals. That does not help against the scheme: Diffie–Hellman problems for
//! a key shifted by a known offset are as hard as for the key itself.

mod dealing;
mod error;
mod message;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use conclave_types::codec;
use conclave_types::{
    Digest, Domain, Hasher, Point, SealingKey, Threshold, ValidatorIndex, limits,
};
use curve25519_dalek::scalar::Scalar;
use frost_ristretto255::Identifier;
use frost_ristretto255::keys::dkg::{self, round1, round2};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::channel::ChannelKey;
use crate::key::{self, CommitteeKey, KeyError, KeyShares};
pub use error::KeyGenerationError;
use message::{Commitments, Message, Shares};

/// What all participants agree on beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// Separates this ceremony from all others: the digest of the genesis draft.
    pub context: Digest,
    /// The validators' weights, in committee order.
    pub weights: Vec<u16>,
}

/// What follows from a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// A message for all other validators.
    pub send: Option<Vec<u8>>,
    /// Whether every message has arrived, so that [`KeyGeneration::finish`] will decide.
    pub complete: bool,
}

/// One validator's part in a key generation. It does no IO and reads no clock.
pub struct KeyGeneration {
    ceremony: Ceremony,
    threshold: Threshold,
    holdings: Vec<core::ops::Range<usize>>,
    own: ValidatorIndex,
    channel: ChannelKey,
    stage: Stage,
    /// By sender, as received; decoded again where needed.
    commitments: BTreeMap<ValidatorIndex, (Vec<u8>, Commitments)>,
    shares: BTreeMap<ValidatorIndex, (Vec<u8>, Shares)>,
}

/// The secrets of one's own participants, by position.
enum Stage {
    Committing(Vec<round1::SecretPackage>),
    Dealing(Dealt),
    Failed,
}

/// What one participant received, by dealer.
type Packages = BTreeMap<Identifier, round2::Package>;

struct Dealt {
    secrets: Vec<round2::SecretPackage>,
    /// What one's own participants deal to each other: (from, to) by position.
    own: BTreeMap<(usize, usize), round2::Package>,
    /// Of all first messages.
    commitments: Digest,
}

impl KeyGeneration {
    /// Starts validator `own`'s part; the bytes go to all other validators.
    pub fn start<R: RngCore + CryptoRng>(
        ceremony: Ceremony,
        own: ValidatorIndex,
        rng: &mut R,
    ) -> Result<(Self, Vec<u8>), KeyGenerationError> {
        let total = ceremony.weights.iter().map(|weight| u64::from(*weight));
        let threshold = Threshold::for_total(total.sum())?;
        let refuse = |reason| KeyGenerationError::Committee { reason };
        if threshold.faults() == 0 {
            return Err(refuse(
                "its total weight is 1, so there is nobody to share with",
            ));
        }
        if let Some(validator) = ceremony.weights.iter().position(|weight| *weight == 0) {
            let validator = ValidatorIndex(validator as u16);
            return Err(KeyError::Weight { validator }.into());
        }
        let holdings = key::holdings(&ceremony.weights);
        let positions = holdings
            .get(usize::from(own.0))
            .ok_or_else(|| refuse("this validator is not a member"))?;

        let mut secrets = Vec::new();
        let mut packages = Vec::new();
        for position in positions.clone() {
            let (n, quorum) = (threshold.total(), threshold.quorum());
            let (secret, package) = dkg::part1(identifier(position)?, n, quorum, &mut *rng)
                .map_err(|_| refuse("its size is not supported"))?;
            secrets.push(secret);
            packages.push(package);
        }
        let (channel, commitments) =
            Commitments::new(&ceremony, own, &packages, rng).ok_or(KeyGenerationError::Failed)?;
        let message = codec::encode(&Message::Commitments(commitments.clone()));
        let mut generation = Self {
            ceremony,
            threshold,
            holdings,
            own,
            channel,
            stage: Stage::Committing(secrets),
            commitments: BTreeMap::new(),
            shares: BTreeMap::new(),
        };
        let first = (message.clone(), commitments);
        generation.commitments.insert(own, first);
        Ok((generation, message))
    }

    /// Takes a message, in any order; `from` is who the channel says it is. A repeated message
    /// changes nothing. After `Dishonest` or `Disagreement` the ceremony is over; after the other
    /// errors the message was merely not taken.
    pub fn handle(
        &mut self,
        from: ValidatorIndex,
        bytes: &[u8],
    ) -> Result<Progress, KeyGenerationError> {
        if matches!(self.stage, Stage::Failed) {
            return Err(KeyGenerationError::Failed);
        }
        if from == self.own || usize::from(from.0) >= self.holdings.len() {
            return Err(KeyGenerationError::Sender { from });
        }
        let limit = limits::KEY_GENERATION_MESSAGE_BYTES_MAX;
        let message = codec::decode(bytes, limit).map_err(|error| {
            let culprit = from;
            KeyGenerationError::Encoding { culprit, error }
        })?;
        let result = match message {
            Message::Commitments(commitments) => self.on_commitments(from, bytes, commitments),
            Message::Shares(shares) => self.on_shares(from, bytes, shares),
        };
        if result.is_err() {
            self.stage = Stage::Failed;
        }
        result
    }

    /// Whose messages are still to come.
    pub fn missing(&self) -> Vec<ValidatorIndex> {
        let all = (0..self.holdings.len() as u16).map(ValidatorIndex);
        all.filter(|index| {
            !self.commitments.contains_key(index) || !self.shares.contains_key(index)
        })
        .collect()
    }

    /// Opens the shares dealt to this validator, checks them, and gives its secrets and the
    /// committee's key.
    pub fn finish(self) -> Result<(KeyShares, SealingKey), KeyGenerationError> {
        let missing = self.missing().len();
        if missing > 0 {
            return Err(KeyGenerationError::Incomplete { missing });
        }
        let Stage::Dealing(dealt) = &self.stage else {
            return Err(KeyGenerationError::Failed);
        };
        let positions = self.positions(self.own);
        let mut received = self.receive(dealt)?;
        let mut secrets = Zeroizing::new(Vec::with_capacity(positions.len()));
        let mut public = None;
        for (secret, position) in dealt.secrets.iter().zip(positions.clone()) {
            let packages = received.remove(&position).unwrap_or_default();
            let others = self.packages_for(position)?;
            let (own, key) = dkg::part3(secret, &others, &packages)
                .map_err(|error| self.blame(&error, "dealt a false share"))?;
            let bytes = Zeroizing::new(own.signing_share().serialize());
            secrets.push(scalar(&bytes).ok_or(KeyGenerationError::Failed)?);
            public = Some(key);
        }
        let key = public
            .and_then(|key| self.sealing_key(&key))
            .ok_or(KeyGenerationError::Failed)?;
        let own = KeyShares::new(
            key::index_of(positions.start),
            core::mem::take(&mut *secrets),
        );
        let checked = CommitteeKey::new(&key, &self.ceremony.weights)?;
        match own.belong_to(&checked, self.own) {
            true => Ok((own, key)),
            false => Err(KeyGenerationError::Failed),
        }
    }

    fn on_commitments(
        &mut self,
        from: ValidatorIndex,
        bytes: &[u8],
        commitments: Commitments,
    ) -> Result<Progress, KeyGenerationError> {
        if let Some((before, _)) = self.commitments.get(&from) {
            return self.repeated(from, before == bytes);
        }
        commitments
            .check(&self.ceremony, &self.threshold, from)
            .map_err(|what| KeyGenerationError::Dishonest {
                culprit: from,
                what,
            })?;
        self.commitments.insert(from, (bytes.to_vec(), commitments));
        if self.commitments.len() < self.holdings.len() {
            return Ok(Progress::default());
        }
        let send = Some(self.deal()?);
        let early: Vec<ValidatorIndex> = self.shares.keys().copied().collect();
        early
            .into_iter()
            .try_for_each(|index| self.check_shares(index))?;
        Ok(Progress {
            send,
            complete: self.missing().is_empty(),
        })
    }

    fn on_shares(
        &mut self,
        from: ValidatorIndex,
        bytes: &[u8],
        shares: Shares,
    ) -> Result<Progress, KeyGenerationError> {
        if let Some((before, _)) = self.shares.get(&from) {
            return self.repeated(from, before == bytes);
        }
        self.shares.insert(from, (bytes.to_vec(), shares));
        self.check_shares(from)?;
        Ok(Progress {
            send: None,
            complete: self.missing().is_empty(),
        })
    }

    fn repeated(
        &self,
        culprit: ValidatorIndex,
        same: bool,
    ) -> Result<Progress, KeyGenerationError> {
        let what = "sent two different messages of one kind";
        match same {
            true => Ok(Progress {
                send: None,
                complete: self.missing().is_empty(),
            }),
            false => Err(KeyGenerationError::Dishonest { culprit, what }),
        }
    }

    /// Whether a second message fits the first ones, as soon as those are all in.
    fn check_shares(&self, from: ValidatorIndex) -> Result<(), KeyGenerationError> {
        let (Stage::Dealing(dealt), Some((_, shares))) = (&self.stage, self.shares.get(&from))
        else {
            return Ok(());
        };
        if shares.commitments != dealt.commitments {
            return Err(KeyGenerationError::Disagreement { validator: from });
        }
        if shares.sealed.len() != self.holdings.len() {
            return Err(KeyGenerationError::Dishonest {
                culprit: from,
                what: "dealt to another number of validators",
            });
        }
        Ok(())
    }

    fn positions(&self, validator: ValidatorIndex) -> core::ops::Range<usize> {
        let positions = self.holdings.get(usize::from(validator.0));
        positions.cloned().unwrap_or_default()
    }

    /// Of all first messages, in committee order.
    fn commitments_digest(&self) -> Digest {
        self.hash_commitments().digest()
    }

    /// Of all first messages, then all second ones, in committee order.
    fn transcript(&self) -> Digest {
        let shares = self.shares.values();
        shares
            .fold(self.hash_commitments(), |hasher, (bytes, _)| {
                hasher.part(bytes)
            })
            .digest()
    }

    fn hash_commitments(&self) -> Hasher {
        let start = Domain::KeyGeneration
            .hasher()
            .part(&self.ceremony.context.0)
            .part(&codec::encode(&self.ceremony.weights));
        self.commitments
            .values()
            .fold(start, |hasher, (bytes, _)| hasher.part(bytes))
    }
}

/// The participant that holds the share at a position.
fn identifier(position: usize) -> Result<Identifier, KeyGenerationError> {
    Identifier::try_from(key::index_of(position).0).map_err(|_| KeyGenerationError::Failed)
}

fn point(bytes: &[u8]) -> Option<Point> {
    bytes.try_into().ok().map(Point)
}

fn scalar(bytes: &[u8]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(bytes.try_into().ok()?).into()
}
