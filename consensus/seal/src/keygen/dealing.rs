//! Dealing shares to the others, and taking what they dealt.

use std::collections::BTreeMap;

use conclave_types::{Digest, SealingKey, ValidatorIndex, codec};
use frost_ristretto255::Identifier;
use frost_ristretto255::keys::dkg::{self, round1, round2};
use frost_ristretto255::keys::{PublicKeyPackage, SigningShare};
use zeroize::Zeroizing;

use super::message::{Message, Shares};
use super::{Dealt, KeyGeneration, KeyGenerationError, Packages, Stage, identifier, point};

impl KeyGeneration {
    /// Once all commitments are in: verifies their proofs of knowledge, and deals.
    pub(super) fn deal(&mut self) -> Result<Vec<u8>, KeyGenerationError> {
        let Stage::Committing(secrets) = core::mem::replace(&mut self.stage, Stage::Failed) else {
            return Err(KeyGenerationError::Failed);
        };
        let commitments = self.commitments_digest();
        let positions = self.positions(self.own);
        let mut dealt = Dealt {
            secrets: Vec::new(),
            own: BTreeMap::new(),
            commitments,
        };
        let mut outgoing: BTreeMap<(usize, usize), round2::Package> = BTreeMap::new();
        for (secret, from) in secrets.into_iter().zip(positions) {
            let others = self.packages_for(from)?;
            let (secret, packages) = dkg::part2(secret, &others)
                .map_err(|error| self.blame(&error, "has no proof of its secret"))?;
            dealt.secrets.push(secret);
            for to in (0..usize::from(self.threshold.total())).filter(|to| *to != from) {
                if let Some(package) = packages.get(&identifier(to)?) {
                    outgoing.insert((from, to), package.clone());
                }
            }
        }
        let sealed = (0..self.holdings.len() as u16)
            .map(ValidatorIndex)
            .map(|to| self.seal_to(to, &outgoing, &commitments))
            .collect::<Option<_>>()
            .ok_or(KeyGenerationError::Failed)?;
        let own = self.positions(self.own);
        outgoing.retain(|(_, to), _| own.contains(to));
        dealt.own = outgoing;
        let shares = Shares {
            commitments,
            sealed,
        };
        let message = codec::encode(&Message::Shares(shares.clone()));
        self.shares.insert(self.own, (message.clone(), shares));
        self.stage = Stage::Dealing(dealt);
        Ok(message)
    }

    /// The shares for one validator: 32 bytes each, by own participant, then by its participant.
    fn seal_to(
        &self,
        to: ValidatorIndex,
        outgoing: &BTreeMap<(usize, usize), round2::Package>,
        commitments: &Digest,
    ) -> Option<Vec<u8>> {
        if to == self.own {
            return Some(Vec::new());
        }
        let pairs = self.positions(self.own).count() * self.positions(to).count();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(32 * pairs));
        for from in self.positions(self.own) {
            for receiver in self.positions(to) {
                let share = outgoing.get(&(from, receiver))?.signing_share();
                plaintext.extend_from_slice(&Zeroizing::new(share.serialize()));
            }
        }
        let theirs = &self.commitments.get(&to)?.1.channel;
        let channel = self
            .channel
            .with(theirs, &self.ceremony.context, commitments)?;
        channel.seal(self.own, to, &plaintext)
    }

    /// What all validators dealt to one's own participants: by receiver, then by dealer.
    pub(super) fn receive(
        &self,
        dealt: &Dealt,
    ) -> Result<BTreeMap<usize, Packages>, KeyGenerationError> {
        let mut received: BTreeMap<usize, Packages> = BTreeMap::new();
        for ((from, to), package) in &dealt.own {
            let packages = received.entry(*to).or_default();
            packages.insert(identifier(*from)?, package.clone());
        }
        for (dealer, (_, shares)) in &self.shares {
            if *dealer == self.own {
                continue;
            }
            let refuse = || KeyGenerationError::Dishonest {
                culprit: *dealer,
                what: "dealt shares that do not decrypt",
            };
            let plaintext = self.open_from(*dealer, shares, dealt).ok_or_else(refuse)?;
            let mut chunks = plaintext.chunks_exact(32);
            for from in self.positions(*dealer) {
                for to in self.positions(self.own) {
                    let share = chunks.next().ok_or_else(refuse)?;
                    let share = SigningShare::deserialize(share).map_err(|_| refuse())?;
                    let packages = received.entry(to).or_default();
                    packages.insert(identifier(from)?, round2::Package::new(share));
                }
            }
        }
        Ok(received)
    }

    pub(super) fn open_from(
        &self,
        dealer: ValidatorIndex,
        shares: &Shares,
        dealt: &Dealt,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let theirs = &self.commitments.get(&dealer)?.1.channel;
        let context = &self.ceremony.context;
        let channel = self.channel.with(theirs, context, &dealt.commitments)?;
        let sealed = shares.sealed.get(usize::from(self.own.0))?;
        let plaintext = channel.open(dealer, self.own, sealed)?;
        let pairs = self.positions(dealer).count() * self.positions(self.own).count();
        (plaintext.len() == 32 * pairs).then_some(plaintext)
    }

    /// All first packages but the one of the participant at `position`.
    pub(super) fn packages_for(
        &self,
        position: usize,
    ) -> Result<BTreeMap<Identifier, round1::Package>, KeyGenerationError> {
        let mut packages = BTreeMap::new();
        for (validator, (_, commitments)) in &self.commitments {
            for (other, dealing) in self.positions(*validator).zip(&commitments.dealings) {
                if other != position {
                    let package = dealing.package().ok_or(KeyGenerationError::Dishonest {
                        culprit: *validator,
                        what: "sent a commitment that does not decode",
                    })?;
                    packages.insert(identifier(other)?, package);
                }
            }
        }
        Ok(packages)
    }

    pub(super) fn sealing_key(&self, key: &PublicKeyPackage) -> Option<SealingKey> {
        let share = |position: usize| {
            let share = key.verifying_shares().get(&identifier(position).ok()?)?;
            point(&share.serialize().ok()?)
        };
        Some(SealingKey {
            key: point(&key.verifying_key().serialize().ok()?)?,
            shares: (0..usize::from(self.threshold.total()))
                .map(share)
                .collect::<Option<_>>()?,
            transcript: self.transcript(),
        })
    }

    /// Names the validator behind an error of the key generation.
    pub(super) fn blame(
        &self,
        error: &frost_ristretto255::Error,
        what: &'static str,
    ) -> KeyGenerationError {
        let culprit = error.culprits().into_iter().find_map(|culprit| {
            let held = |positions: &core::ops::Range<usize>| {
                positions
                    .clone()
                    .any(|position| identifier(position) == Ok(culprit))
            };
            self.holdings.iter().position(held)
        });
        match culprit {
            Some(culprit) => KeyGenerationError::Dishonest {
                culprit: ValidatorIndex(culprit as u16),
                what,
            },
            None => KeyGenerationError::Failed,
        }
    }
}
