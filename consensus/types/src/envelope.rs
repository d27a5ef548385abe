//! Envelopes: one signed submission of one payer for one rollup, sealed or plain.

use bincode::{Decode, Encode};

use crate::ids::digest_id;
use crate::{
    AccountId, Amount, AuctionId, ChainId, Digest, Domain, EdSignature, Epoch, Height, Point,
    RollupId, Scalar, Sequence, codec, limits,
};

digest_id! {
    /// The digest of an envelope's header without its signature.
    EnvelopeId;
}

/// When the contents may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum ReleaseRule {
    /// As soon as the envelope's order is final.
    OnCommit,
    /// When the auction closes; for bids, to rollup 0 only.
    AtClose(AuctionId),
}

/// The padded size of a plaintext, so that a length says little about the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Bucket(pub u8);

impl Bucket {
    /// The largest bucket.
    pub const LARGEST: Self = Self(8);

    /// Padded plaintext bytes: (1 KiB << k) and an eighth more, so that 2^k transactions of 512
    /// bytes fit with their framing.
    pub const fn plaintext_bytes(self) -> usize {
        (1024 << self.0 as usize) * 9 / 8
    }

    /// The smallest bucket that holds `bytes` of plaintext, if any does.
    pub fn holding(bytes: usize) -> Option<Self> {
        (0..=Self::LARGEST.0)
            .map(Self)
            .find(|bucket| bucket.plaintext_bytes() >= bytes)
    }
}

/// What an envelope is about, authenticated with its contents.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EnvelopeCore {
    pub chain: ChainId,
    /// The epoch of the sealing key.
    pub epoch: Epoch,
    pub rollup: RollupId,
    pub payer: AccountId,
    pub sequence: Sequence,
    /// The last height at which the envelope may be ordered.
    pub expiry: Height,
    pub release: ReleaseRule,
    pub bucket: Bucket,
    /// What the payer pays at most. An envelope whose fee is higher when it is ordered is neither
    /// charged nor opened.
    pub fee_max: Amount,
}

/// The sealed group element and the proof that its sender knew the exponent (TDH2, Shoup–Gennaro).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SealedKey {
    /// C = r·G.
    pub c: Point,
    /// D = M + r·Y.
    pub d: Point,
    /// C̄ = r·Ḡ.
    pub c_bar: Point,
    /// The commitment s·G. Commitments travel instead of the challenge so that many proofs are
    /// checked by one multi-scalar multiplication.
    pub commitment: Point,
    /// The commitment s·Ḡ.
    pub commitment_bar: Point,
    /// The response s + e·r.
    pub response: Scalar,
}

/// How the body is carried.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Payload {
    /// Readable by all: proofs and public operations, for rollup 0 only.
    Plain,
    /// Sealed to the committee.
    Sealed(SealedKey),
}

/// Everything about an envelope but its body; what is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EnvelopeHeader {
    pub core: EnvelopeCore,
    pub body_bytes: u32,
    /// [`Domain::EnvelopeBody`] of the body as carried.
    pub body_digest: Digest,
    pub payload: Payload,
    /// The payer's signature over [`EnvelopeHeader::signing_digest`]; it authorises the fee.
    pub signature: EdSignature,
}

/// A header and its body.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    pub header: EnvelopeHeader,
    pub body: Vec<u8>,
}

impl EnvelopeHeader {
    /// What ordering, checking and opening the envelope takes, as bytes of bodies that take as much.
    pub const fn cost_bytes(&self) -> u64 {
        limits::ENVELOPE_COST_BYTES + self.body_bytes as u64
    }

    /// The envelope's id. The signature is left out, so that re-signing makes no second envelope.
    pub fn id(&self) -> EnvelopeId {
        EnvelopeId(self.unsigned(Domain::Envelope))
    }

    /// The header as its id binds it. A payer can sign one header in many ways and the id leaves
    /// the signature out, so what all nodes must agree on, such as a ledger's state, holds this.
    #[must_use]
    pub fn without_signature(&self) -> Self {
        Self {
            signature: EdSignature([0; 64]),
            ..self.clone()
        }
    }

    /// What the payer signs: the complete header.
    pub fn signing_digest(&self) -> Digest {
        self.unsigned(Domain::EnvelopeSignature)
    }

    /// Whether the body is sealed.
    pub const fn is_sealed(&self) -> bool {
        matches!(self.payload, Payload::Sealed(_))
    }

    fn unsigned(&self, domain: Domain) -> Digest {
        domain
            .hasher()
            .part(&codec::encode(&self.core))
            .part(&self.body_bytes.to_le_bytes())
            .part(&self.body_digest.0)
            .part(&codec::encode(&self.payload))
            .digest()
    }
}
