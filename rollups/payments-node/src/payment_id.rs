//! What names a payment on its way.

use core::fmt;
use core::str::FromStr;

use bincode::{Decode, Encode};
use conclave_types::{Digest, ParseHexError};

use crate::domain;

/// The digest of a payment's canonical bytes. Two signatures over one body are two payments; at
/// most one of them has an effect, because they share a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PaymentId(pub Digest);

impl PaymentId {
    /// The id of ordered or submitted bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Digest(blake3::derive_key(domain::PAYMENT_ID, bytes)))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for PaymentId {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
