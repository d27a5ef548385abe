//! When a view is given up, when a leader proposes unasked, when something is sent again.

use conclave_types::ConsensusParameters;

/// How long a leader with nothing to order waits for the certificate of uncommitted payload
/// before it helps with an empty block: this part of the view timer.
const HELP_PART: u64 = 4;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Pacemaker {
    parameters: ConsensusParameters,
    entered_at: u64,
    /// Views in a row without a quorum certificate, up to the current one.
    lost: u64,
    /// Since when there has been uncommitted payload, or something to order.
    payload_since: Option<u64>,
    pub(crate) timeout: Resend,
    pub(crate) prepare: Resend,
    pub(crate) commit: Resend,
}

/// When something unacknowledged is sent again, with back-off.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Resend {
    next: Option<(u64, u64)>,
}

impl Pacemaker {
    pub(crate) fn new(parameters: ConsensusParameters) -> Self {
        Self {
            parameters,
            entered_at: 0,
            lost: 0,
            payload_since: None,
            timeout: Resend::default(),
            prepare: Resend::default(),
            commit: Resend::default(),
        }
    }

    /// A view begins, after `lost` views without a quorum certificate.
    pub(crate) fn enter(&mut self, now: u64, lost: u64) {
        self.entered_at = now;
        self.lost = lost;
        self.timeout.stop();
        self.prepare.stop();
    }

    /// Keeps track of since when payload has been known.
    pub(crate) fn note_payload(&mut self, now: u64, known: bool) {
        match known {
            false => self.payload_since = None,
            true => {
                self.payload_since.get_or_insert(now);
            }
        }
    }

    /// Δ of the current view: doubled for every view lost in a row, up to the limit.
    pub(crate) fn delta(&self) -> u64 {
        let factor = 1_u64 << self.lost.min(32);
        self.parameters
            .view_timeout_ms
            .saturating_mul(factor)
            .min(self.longest())
    }

    /// When the view is given up. An idle view waits for the heartbeat first; after a lost view
    /// the heartbeat counts as due.
    pub(crate) fn deadline(&self) -> u64 {
        let start = match self.payload_since {
            Some(since) => since.max(self.entered_at),
            None if self.lost > 0 => self.entered_at,
            None => self.entered_at + self.parameters.heartbeat_ms,
        };
        start.saturating_add(self.delta())
    }

    /// When the leader proposes even with nothing to order.
    pub(crate) fn propose_at(&self, uncommitted_payload: bool) -> u64 {
        if self.lost > 0 {
            return self.entered_at;
        }
        let help = self.parameters.view_timeout_ms / HELP_PART;
        let wait = match uncommitted_payload {
            true => help.min(self.parameters.heartbeat_ms),
            false => self.parameters.heartbeat_ms,
        };
        self.entered_at + wait
    }

    /// How long to wait for a fetched block before another peer is asked.
    pub(crate) fn fetch_retry(&self) -> u64 {
        (self.parameters.view_timeout_ms / 2).max(1)
    }

    /// The first waiting time of a [`Resend`].
    pub(crate) fn resend_first(&self) -> u64 {
        self.parameters.view_timeout_ms.max(1)
    }

    /// How long to wait for the collectors' certificate before a prepare vote goes to everyone:
    /// half a view timer, so that the view is not given up for want of a collector.
    pub(crate) fn escalate(&self) -> u64 {
        (self.delta() / 2).max(1)
    }

    pub(crate) fn longest(&self) -> u64 {
        let parameters = &self.parameters;
        parameters
            .view_timeout_ms_max
            .max(parameters.view_timeout_ms)
    }
}

impl Resend {
    /// Just sent for the first time.
    pub(crate) fn start(&mut self, now: u64, wait: u64) {
        self.next = Some((now.saturating_add(wait), wait));
    }

    /// Acknowledged.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }

    /// When to send again.
    pub(crate) fn at(&self) -> Option<u64> {
        self.next.map(|(at, _)| at)
    }

    /// Whether it is time to send again; if so, doubles the wait up to `longest`.
    pub(crate) fn due(&mut self, now: u64, longest: u64) -> bool {
        match &mut self.next {
            Some((at, wait)) if *at <= now => {
                *wait = wait.saturating_mul(2).min(longest);
                *at = now.saturating_add(*wait);
                true
            }
            _ => false,
        }
    }
}
