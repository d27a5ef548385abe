//! 32-byte digests and the domain-separated hasher that makes them.

use core::fmt;
use core::str::FromStr;
use std::sync::OnceLock;

use bincode::{Decode, Encode};

use crate::Domain;

/// A 32-byte BLAKE3 digest under one of the domains of [`Domain`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Digest(pub [u8; 32]);

/// Text that is not the hexadecimal form of a fixed number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[CV-TYPE-001] expected {bytes} bytes as {} hexadecimal digits; check the value for missing characters", bytes * 2)]
pub struct ParseHexError {
    /// How many bytes the value must have.
    pub bytes: usize,
}

/// Absorbs parts, each prefixed by its length, so that no two lists of parts collide.
pub struct Hasher(blake3::Hasher);

/// The key of each domain, derived from its string once: most hashes are of less than one block,
/// so deriving it anew would double their cost.
static KEYS: [OnceLock<blake3::hazmat::ContextKey>; Domain::ALL.len()] =
    [const { OnceLock::new() }; Domain::ALL.len()];

impl Hasher {
    /// The same as `blake3::Hasher::new_derive_key` of the domain's string.
    pub(crate) fn new(domain: Domain) -> Self {
        use blake3::hazmat::{HasherExt, hash_derive_key_context};
        let key = KEYS[domain as usize].get_or_init(|| hash_derive_key_context(domain.as_str()));
        Self(blake3::Hasher::new_from_context_key(key))
    }

    /// Absorbs one part.
    #[must_use]
    #[inline]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The 32-byte digest.
    pub fn digest(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    /// 64 bytes of output, for values reduced into a scalar field without bias.
    pub fn wide(self) -> [u8; 64] {
        let mut out = [0; 64];
        self.0.finalize_xof().fill(&mut out);
        out
    }
}

impl Digest {
    /// The digest of nothing: the parent of the first block, the root of an empty tree.
    pub const ZERO: Self = Self([0; 32]);
}

pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| ParseHexError { bytes: N })?;
    Ok(out)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}

impl FromStr for Digest {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
