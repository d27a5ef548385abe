//! Liveness: whether blocks were final in every second in which they could be.

use super::history::{Change, History};

/// The length of a window.
const WINDOW_MS: u64 = 1_000;

/// What the committee is and what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committee {
    pub validators: u16,
    /// Validators that must be up and connected: all have weight 1.
    pub quorum: u16,
    /// The recovery allowance after each change: two timeouts.
    pub allowance_ms: u64,
}

/// What is said about a run's liveness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// Windows in which a quorum was up and connected, past the allowance after each change.
    pub expected: u64,
    /// Those of them in which a new height was final.
    pub with_progress: u64,
    /// Windows that are not judged, because the machine itself stood still in them, or so shortly
    /// before that it costs the view.
    pub starved: u64,
    /// When those without began.
    pub without_ms: Vec<u64>,
    /// The longest time without a new height while a quorum was up and connected.
    pub longest_pause_ms: u64,
    /// Heights that became final although no quorum was connected, past the allowance: there can
    /// be none, unless something gets around the relay or a certificate is worth nothing.
    pub without_quorum: u64,
    /// Spans without a quorum.
    pub split_ms: Vec<(u64, u64)>,
}

/// Judges a history.
pub fn windows(history: &History, committee: Committee) -> Windows {
    let Committee {
        validators,
        quorum,
        allowance_ms,
    } = committee;
    let commits: Vec<u64> = history.commits().iter().map(|(at, _)| *at).collect();
    let changes = history.changes();
    let mut found = Windows::default();
    let mut last_commit = None;
    for (change, end_ms) in spans(&changes, history.end_ms) {
        let start_ms = change.at_ms;
        let within = |from: u64, to: u64| {
            let first = commits.partition_point(|at| *at < from);
            let last = commits.partition_point(|at| *at < to);
            &commits[first..last.max(first)]
        };
        // The load begins on a network that runs; later each change has its allowance.
        let allowed_ms = match start_ms {
            0 => 0,
            at => at + allowance_ms,
        };
        if !change.has_quorum(validators, quorum) {
            found.split_ms.push((start_ms, end_ms));
            if !change.may_have_quorum(validators, quorum) {
                found.without_quorum += within(allowed_ms, end_ms).len() as u64;
            }
            last_commit = None;
            continue;
        }
        let mut from = allowed_ms;
        while from + WINDOW_MS <= end_ms {
            if is_starved(history, from, from + WINDOW_MS, committee) {
                found.starved += 1;
                from += WINDOW_MS;
                continue;
            }
            found.expected += 1;
            match within(from, from + WINDOW_MS) {
                [] => found.without_ms.push(from),
                _ => found.with_progress += 1,
            }
            from += WINDOW_MS;
        }
        let mut since = *last_commit.get_or_insert(start_ms);
        for at in within(start_ms, end_ms) {
            found.longest_pause_ms = found.longest_pause_ms.max(at.saturating_sub(since));
            since = *at;
        }
        found.longest_pause_ms = found.longest_pause_ms.max(end_ms.saturating_sub(since));
        last_commit = Some(since);
    }
    found
}

/// Whether the machine stood still for half a timeout or longer in this span or in the timeout
/// before it: validators that wait for each other give up a view for less.
pub(super) fn is_starved(
    history: &History,
    from_ms: u64,
    to_ms: u64,
    committee: Committee,
) -> bool {
    let timeout_ms = committee.allowance_ms / 2;
    let stalled_ms = history.stalled_ms(from_ms.saturating_sub(timeout_ms), to_ms);
    stalled_ms >= timeout_ms / 2
}

/// The cost of a change at `at_ms`: the longest pause that was going on then or began within the
/// allowance after it, counted from the change on. `None` if nothing was final any more.
pub(super) fn recovery_ms(commits: &[u64], at_ms: u64, allowance_ms: u64) -> Option<u64> {
    let after = commits.partition_point(|at| *at <= at_ms);
    let mut since = at_ms;
    let mut worst = None;
    for at in &commits[after..] {
        if since > at_ms + allowance_ms {
            break;
        }
        worst = worst.max(Some(at - since));
        since = *at;
    }
    worst
}

/// Whether a quorum is there from a moment on.
pub(super) fn has_quorum_at(changes: &[Change], at_ms: u64, committee: Committee) -> bool {
    let next = changes.partition_point(|change| change.at_ms <= at_ms);
    changes[..next]
        .last()
        .is_some_and(|change| change.has_quorum(committee.validators, committee.quorum))
}

/// Each state with the moment at which it ended.
fn spans(changes: &[Change], end_ms: u64) -> impl Iterator<Item = (&Change, u64)> {
    let ends = changes.iter().skip(1).map(|next| next.at_ms);
    let ends = ends.chain([end_ms]).map(move |end| end.min(end_ms));
    changes
        .iter()
        .zip(ends)
        .filter(|(change, end)| change.at_ms < *end)
}
