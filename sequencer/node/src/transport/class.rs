//! Classes of messages, each with its own queue, streams and priority.

use super::bounds;

/// What a message is for, which decides who waits for whom and what is dropped when too much
/// waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Proposals, votes, timeouts, certificates. Goes first. When too much waits the oldest frame
    /// is dropped: newer ones supersede it.
    Consensus,
    /// Decryption shares and openings. Goes second; drops the oldest.
    Shares,
    /// Bodies of batches. Goes last, each frame on a stream of its own; the newest is refused,
    /// since half-sent batches are worth more than new ones.
    Dispersal,
}

/// What a full queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    DropOldest,
    RefuseNewest,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Consensus, Self::Shares, Self::Dispersal];

    /// Bytes that one message may have.
    pub const fn frame_bytes_max(self) -> usize {
        match self {
            Self::Consensus => bounds::CONSENSUS_FRAME_BYTES_MAX,
            Self::Shares => bounds::SHARES_FRAME_BYTES_MAX,
            Self::Dispersal => bounds::DISPERSAL_FRAME_BYTES_MAX,
        }
    }

    pub(super) const fn queue_frames_max(self) -> usize {
        match self {
            Self::Consensus => bounds::CONSENSUS_QUEUE_FRAMES_MAX,
            Self::Shares => bounds::SHARES_QUEUE_FRAMES_MAX,
            Self::Dispersal => bounds::DISPERSAL_QUEUE_FRAMES_MAX,
        }
    }

    pub(super) const fn queue_bytes_max(self) -> usize {
        match self {
            Self::Consensus => bounds::CONSENSUS_QUEUE_BYTES_MAX,
            Self::Shares => bounds::SHARES_QUEUE_BYTES_MAX,
            Self::Dispersal => bounds::DISPERSAL_QUEUE_BYTES_MAX,
        }
    }

    pub(super) const fn overflow(self) -> Overflow {
        match self {
            Self::Consensus | Self::Shares => Overflow::DropOldest,
            Self::Dispersal => Overflow::RefuseNewest,
        }
    }

    /// Quinn sends streams of higher priority first. Requests and responses have the priority of
    /// dispersal, so that catching up and dispersing share what is left.
    pub(super) const fn priority(self) -> i32 {
        match self {
            Self::Consensus => 2,
            Self::Shares => 1,
            Self::Dispersal => 0,
        }
    }

    /// The first byte of a unidirectional stream.
    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Consensus => 1,
            Self::Shares => 2,
            Self::Dispersal => 3,
        }
    }

    pub(super) fn of_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.tag() == tag)
    }
}
