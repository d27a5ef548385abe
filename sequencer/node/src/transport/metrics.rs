//! Counters, readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Class;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// What went through one class.
#[derive(Debug, Default)]
pub struct ClassMetrics {
    /// Bytes handed to QUIC, without framing.
    pub bytes_out: Counter,
    pub bytes_in: Counter,
    pub frames_out: Counter,
    pub frames_in: Counter,
    /// Messages that a full queue dropped or refused; for sync, requests declined.
    pub dropped: Counter,
}

/// What the transport has done since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    pub consensus: ClassMetrics,
    pub shares: ClassMetrics,
    pub dispersal: ClassMetrics,
    /// Requests and responses.
    pub sync: ClassMetrics,
    /// Connections established.
    pub connected: Counter,
    /// Of those, not the first of their peer.
    pub reconnected: Counter,
    /// Connections refused by either side.
    pub refused: Counter,
    /// Peers cut off for what they sent or because the node asked for it.
    pub punished: Counter,
}

impl Counter {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

impl ClassMetrics {
    pub(super) fn sent(&self, bytes: usize) {
        self.frames_out.add(1);
        self.bytes_out.add(bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.frames_in.add(1);
        self.bytes_in.add(bytes as u64);
    }
}

impl Metrics {
    /// The counters of a class.
    pub fn class(&self, class: Class) -> &ClassMetrics {
        match class {
            Class::Consensus => &self.consensus,
            Class::Shares => &self.shares,
            Class::Dispersal => &self.dispersal,
        }
    }
}
