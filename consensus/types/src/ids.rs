//! Identifiers and quantities. A number of one kind never turns into another silently.

use core::fmt;
use core::str::FromStr;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Domain;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            Encode, Decode, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

number! {
    /// The span of heights during which one committee and one sealing key serve.
    Epoch(u64);
    /// The attempt number inside an epoch; a view has one leader.
    View(u64);
    /// The committed position of a block; the genesis stands at 0.
    Height(u64);
    /// A registered rollup; 0 is the system itself.
    RollupId(u32);
    /// A validator's place in the committee.
    ValidatorIndex(u16);
    /// The index of one key share, from 1; a validator of weight w holds w of them.
    ShareIndex(u16);
    /// A payer's counter; it may have gaps and never repeats.
    Sequence(u64);
    /// Money, in the smallest unit.
    Amount(u64);
    /// Milliseconds since the Unix epoch, as agreed in a block.
    BlockTime(u64);
    /// The position of a transaction in the whole stream of its rollup, from 0.
    TxIndex(u64);
    /// An auction, and the intent it is for; numbered by the ledger.
    AuctionId(u64);
}

macro_rules! next {
    ($($name:ident)*) => {$(
        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self { Self(self.0 + 1) }
        }
    )*};
}
next!(Epoch View Height Sequence AuctionId);

impl RollupId {
    /// The system's own rollup, whose transactions the ledger executes.
    pub const SYSTEM: Self = Self(0);
}

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` when `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }
}

macro_rules! digest_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            bincode::Encode, bincode::Decode, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $crate::Digest);

        impl $name {
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] { &self.0.0 }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::ParseHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::digest::parse_hex(text).map(|bytes| Self($crate::Digest(bytes)))
            }
        }
    )*};
}
pub(crate) use digest_id;

digest_id! {
    /// The digest of the genesis; every signature is bound to it.
    ChainId;
    /// A payer on the ledger: its ed25519 public key.
    AccountId;
    /// A rollup's state root, in the program's own encoding.
    StateRoot;
    /// The digest of a program: its constraints, parameters and options.
    ProgramVersion;
}

impl ChainId {
    /// The chain id of a genesis in its canonical encoding.
    pub fn of_genesis(bytes: &[u8]) -> Self {
        Self(Domain::Genesis.digest(bytes))
    }
}
