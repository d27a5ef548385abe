//! The messages by which the members of the next epoch make its sealing key, over the chain itself.
//!
//! ```text
//! Channel ──▶ Deal ──▶ Acknowledge ──▶ Reveal        one of each from every member, in this order
//! ```
//!
//! What makes one valid is checked in `conclave-seal`.

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::{Epoch, Point, Scalar, Signers, ValidatorIndex};

/// A Schnorr proof of knowledge of a logarithm: commitment and response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct LogarithmProof {
    pub commitment: Point,
    pub response: Scalar,
}

/// The key under which the others encrypt to a member, made for one attempt only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ChannelOffer {
    pub channel: Point,
    /// That the sender knows the secret half; bound to chain, epoch, attempt and slot.
    pub possession: LogarithmProof,
}

/// One member's polynomial in the exponent, and everybody's values of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Dealing {
    /// 2f+1 points, the constant term first.
    pub commitment: Vec<Point>,
    /// That the dealer knows the constant term.
    pub knowledge: LogarithmProof,
    /// By slot: 32 bytes for each of the member's key shares and a 16-byte tag. Empty for the
    /// dealer itself and for whoever has no channel key.
    pub sealed: Vec<Vec<u8>>,
}

/// The values of one member that did not acknowledge, for all to read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RevealedShares {
    pub receiver: ValidatorIndex,
    /// One for each of its key shares, ascending.
    pub shares: Vec<Scalar>,
}

/// What a member says in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum KeyGenerationMessage {
    /// Its channel key.
    Channel(ChannelOffer),
    /// Its dealing.
    Deal(Dealing),
    /// Whose shares for it decrypted and fit their commitments.
    Acknowledge { dealers: Signers },
    /// By a dealer: the shares of exactly those members that did not acknowledge it, ascending.
    Reveal { shares: Vec<RevealedShares> },
}

/// A message in its place.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeyGenerationPost {
    /// The epoch that the key is for.
    pub epoch: Epoch,
    /// Which attempt at it, from 0.
    pub attempt: u32,
    /// The sender's slot. The payer of the envelope must be its account.
    pub validator: ValidatorIndex,
    pub message: KeyGenerationMessage,
}

/// Who has spoken how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyGenerationPhase {
    /// Members post their channel keys.
    Channel,
    /// Whoever has one deals.
    Deal,
    /// Whoever has one acknowledges the dealings that are right.
    Acknowledge,
    /// Dealers that lack acknowledgements publish those shares.
    Reveal,
    /// The key is there.
    Done,
}

/// Everything one member has said in an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Contribution {
    pub channel: Option<ChannelOffer>,
    pub dealing: Option<Dealing>,
    pub acknowledged: Option<Signers>,
    pub revealed: Option<Vec<RevealedShares>>,
}

/// Why a message of a key generation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyGenerationFault {
    /// The sender's weight is 0 in the committee that the key is for.
    Stranger,
    /// Of another phase than the present one.
    Phase,
    /// The sender has said it already.
    Repeated,
    /// The sender posted no channel key, so nobody can deal to it.
    NoChannel,
    /// A point or scalar is not canonical, or the identity.
    Encoding,
    /// A proof of knowledge does not verify for this chain, epoch, attempt and slot.
    Proof,
    /// The polynomial is of another degree than 2f.
    Degree,
    /// The encrypted shares are not one for each slot, of the right length.
    Length,
    /// An acknowledgement of someone who did not deal.
    NoDealing,
    /// A reveal by a dealer that owes none, or of other shares than those it owes.
    NotOwed,
    /// A revealed share is not the committed polynomial's.
    Share,
}
