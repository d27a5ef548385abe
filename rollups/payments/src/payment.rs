//! A payment: its canonical bytes, the digest its owner signs, and the entry it makes in the
//! commitment chain of a range.
//!
//! | field | bytes | rule |
//! | --- | --- | --- |
//! | sender slot | 4 | below 2^24 |
//! | owner root | 32 | canonical, not zero |
//! | nonce | 8 | below 2^62 |
//! | receiver slot, key | 4 + 32 | below 2^24; canonical, not zero |
//! | amount, fee | 8 + 8 | together below 2^62 |
//! | expiry height | 8 | below 2^62 |
//! | new owner root | 1 or 33 | canonical, not zero, not the owner root |
//! | salt, tree tweak, leaf | 16 + 16 + 2 | canonical; below 2^10 |
//! | chain values | 124 × 16 | canonical |
//! | key path | 10 × 32 | canonical |

use core::fmt;
use core::str::FromStr;

use bincode::{Decode, Encode};
use conclave_types::codec;

use crate::domain::{FINGERPRINT, PAYMENT_CONTEXT, TAG_PAYMENT};
use crate::fingerprint::fingerprint;
use crate::hash::{ElementStream, Felt, FieldDigest, MODULUS, Node, absorb, block, compress};
use crate::signature::{Codeword, Pair, Signature, codeword, recover_owner};

/// Depth of the account tree: 2^24 slots.
pub(crate) const DEPTH: usize = 24;
/// Slots in the account tree.
pub const SLOTS: u32 = 1 << DEPTH;
/// Every balance, amount, nonce and expiry is below this.
pub const VALUE_LIMIT: u64 = 1 << 62;
/// The longest encoding of a payment.
pub const PAYMENT_BYTES_MAX: usize = 4 + 32 + 8 + 36 + 16 + 8 + 33 + 34 + 124 * 16 + 320;

/// Where an account lives and whose it is.
///
/// The key is the owner root the account was created with; it stays when the owner rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Address {
    /// The slot in the account tree, below [`SLOTS`].
    pub slot: u32,
    /// The account key.
    pub key: FieldDigest,
}

/// Text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[CV-PAY-002] an address is a slot below {SLOTS}, a colon, and 64 hexadecimal digits")]
pub struct AddressError;

/// Which chain and rollup a payment is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentContext {
    /// The chain id.
    pub chain: [u8; 32],
    /// The rollup id.
    pub rollup: u32,
}

/// What a payment says, without its authorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PaymentBody {
    /// The paying account's slot.
    pub sender: u32,
    /// The owner root the signature is under; the account must have it.
    pub owner: FieldDigest,
    /// Must equal the account's nonce.
    pub nonce: u64,
    /// Who is credited; an empty slot becomes an account of this key.
    pub receiver: Address,
    /// What the receiver gets.
    pub amount: u64,
    /// What the rollup's fee account gets.
    pub fee: u64,
    /// The last height that may order this payment.
    pub expiry: u64,
    /// The owner root from now on, when it changes.
    pub new_owner: Option<FieldDigest>,
}

/// A signed payment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payment {
    /// What is paid.
    pub body: PaymentBody,
    pub(crate) signature: Signature,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slot, self.key)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads what `Display` wrote: the slot, a colon, and the key in hexadecimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (slot, key) = text.split_once(':').ok_or(AddressError)?;
        let slot = slot.parse().map_err(|_| AddressError)?;
        let key: FieldDigest = key.parse().map_err(|_| AddressError)?;
        if slot >= SLOTS || key.is_zero() {
            return Err(AddressError);
        }
        Ok(Self { slot, key })
    }
}

impl PaymentContext {
    /// The four elements every payment digest of this rollup starts from.
    pub(crate) fn first_state(&self) -> FieldDigest {
        let mut hasher = blake3::Hasher::new_derive_key(PAYMENT_CONTEXT);
        hasher
            .update(&self.chain)
            .update(&self.rollup.to_le_bytes());
        ElementStream::new(&hasher).next_digest()
    }
}

impl PaymentBody {
    /// Whether every field is inside its bounds.
    pub(crate) fn is_well_formed(&self) -> bool {
        let key = |key: &FieldDigest| key.is_canonical() && !key.is_zero();
        self.sender < SLOTS
            && self.receiver.slot < SLOTS
            && self.nonce < VALUE_LIMIT
            && self.expiry < VALUE_LIMIT
            && self
                .amount
                .checked_add(self.fee)
                .is_some_and(|total| total < VALUE_LIMIT)
            && key(&self.owner)
            && key(&self.receiver.key)
            && self
                .new_owner
                .is_none_or(|new| key(&new) && new != self.owner)
    }

    /// What the sender is debited when the payment applies.
    pub fn total(&self) -> u64 {
        self.amount + self.fee
    }

    /// The owner root after this payment.
    pub fn next_owner(&self) -> FieldDigest {
        self.new_owner.unwrap_or(self.owner)
    }

    /// The five blocks of the digest, in order.
    pub(crate) fn blocks(&self) -> [[u64; 4]; 5] {
        let slots = (u64::from(self.sender), u64::from(self.receiver.slot));
        [
            [slots.0, slots.1, self.nonce, self.expiry],
            [self.amount, self.fee, 0, TAG_PAYMENT],
            self.owner.0,
            self.receiver.key.0,
            self.next_owner().0,
        ]
    }

    /// The digest that is signed and committed to: it binds chain, rollup and every field.
    pub(crate) fn digest(&self, ctx: &PaymentContext) -> Node {
        absorb(ctx.first_state().node(), &self.blocks().map(block))
    }
}

impl Payment {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes; `None` when they are anything else, or a field is out of bounds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let payment: Self = codec::decode(bytes, PAYMENT_BYTES_MAX).ok()?;
        (payment.body.is_well_formed() && payment.signature.is_canonical()).then_some(payment)
    }

    /// Whether the signature authorises the body under the owner root the body states.
    pub fn is_authorised(&self, ctx: &PaymentContext) -> bool {
        recover_owner(self.body.digest(ctx), &self.signature) == Some(self.body.owner)
    }

    /// What this payment, ordered as `bytes`, contributes to the commitment chain; `None` when
    /// its salt gives no codeword, so that it cannot be authorised.
    pub(crate) fn entry(&self, ctx: &PaymentContext, bytes: &[u8]) -> Option<Entry> {
        let digest = self.body.digest(ctx);
        let codeword = codeword(digest, self.signature.salt)?;
        let point = fingerprint_point(bytes);
        Some(Entry::new(digest, codeword, point, &self.signature))
    }
}

/// A payment's part in the commitment chain.
///
/// The fingerprint ties the signature inside the proof to the ordered bytes, so that a payment
/// whose ordered signature is broken cannot be included with another, valid one.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) digest: Node,
    pub(crate) codeword: Codeword,
    pub(crate) point: Pair,
    pub(crate) fingerprint: Pair,
}

impl Entry {
    pub(crate) fn new(
        digest: Node,
        codeword: Codeword,
        point: Pair,
        signature: &Signature,
    ) -> Self {
        Self {
            digest,
            codeword,
            point,
            fingerprint: fingerprint(signature, codeword, point),
        }
    }

    /// Extends the chain: two compressions.
    pub(crate) fn extend(&self, commitment: Node) -> Node {
        compress(compress(commitment, self.digest), self.fingerprint_block())
    }

    pub(crate) fn fingerprint_block(&self) -> [Felt; 4] {
        let (z, e) = (self.point, self.fingerprint);
        block([z[0], z[1], e[0], e[1]])
    }
}

/// The point depends on all ordered bytes, so nobody can choose bytes for a point.
fn fingerprint_point(bytes: &[u8]) -> Pair {
    let mut hasher = blake3::Hasher::new_derive_key(FINGERPRINT);
    hasher.update(bytes);
    let mut stream = ElementStream::new(&hasher);
    [stream.next_element(), stream.next_element()]
}

const _: () = assert!(VALUE_LIMIT < MODULUS / 2);
