//! Every bound of the API, each with its reason.

use std::time::Duration;

/// What one node serves at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests in work, streams and probes apart; more are answered 503.
    pub requests: usize,
    /// Followers of rollup streams; more are answered 503.
    pub streams: usize,
    /// Open connections; more wait in the kernel's queue.
    pub connections: usize,
    /// What one request may take, the upload of its body included.
    pub request_timeout: Duration,
    /// How long a connection may move no byte in either direction. Streams send a comment every few
    /// seconds, so this ends only dead or stalled peers.
    pub idle_timeout: Duration,
    /// What open requests get to finish at shutdown.
    pub shutdown_grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            requests: 256,
            streams: 256,
            connections: 1024,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Between comments on a stream that has nothing to say, so that followers and proxies know it is
/// alive; several within their usual patience of 15 to 60 seconds.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Entries of a list when the request names no `limit`.
pub(super) const LIST_DEFAULT: usize = 100;
/// Entries of a list at most; an entry is about a kilobyte.
pub(super) const LIST_MAX: usize = 1000;
/// Blocks in one list when the request names no `limit`.
pub(super) const BLOCKS_DEFAULT: usize = 20;
/// Blocks in one list at most; they carry their certificates.
pub(super) const BLOCKS_MAX: usize = 100;
/// Text after which an answer is ended and says how far it got. One block's contents may be more
/// than that and are never cut.
pub(super) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Heights that one read of the store walks over, so that no request holds a thread for long.
pub(super) const SCAN_HEIGHTS: u64 = 4096;

/// Checks a list's `limit`.
pub(super) fn list_limit(
    limit: Option<usize>,
    default: usize,
    max: usize,
) -> Result<usize, super::error::Failure> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => Err(super::error::Failure::query(format!(
            "limit is {limit}, but must be between 1 and {max}"
        ))),
    }
}
