//! Public keys, signatures, points and scalars as bytes. The crypto crates give them meaning.

use core::fmt;
use core::str::FromStr;

use bincode::{Decode, Encode};

use crate::digest::{ParseHexError, parse_hex};

macro_rules! bytes {
    ($($(#[$doc:meta])* $name:ident($len:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0[..6]))
            }
        }

        impl FromStr for $name {
            type Err = ParseHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

bytes! {
    /// A BLS12-381 signature: a compressed point of G1 (the minimal-signature-size variant).
    BlsSignature(48);
    /// A BLS12-381 public key: a compressed point of G2.
    BlsPublicKey(96);
    /// An ed25519 signature.
    EdSignature(64);
    /// A validator's ed25519 transport key, pinned in mutual TLS.
    TransportKey(32);
    /// A ristretto255 group element in its canonical encoding.
    Point(32);
    /// A ristretto255 scalar in its canonical encoding.
    Scalar(32);
}
