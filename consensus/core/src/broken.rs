//! Rules switched off on purpose, one at a time, to show that the simulator notices.
//!
//! Only under the feature `broken-rules`, which nothing turns on by default and which no release
//! build accepts. Without it every question in here is `false` at compile time.

#[cfg(all(feature = "broken-rules", not(debug_assertions)))]
compile_error!("the feature `broken-rules` breaks the protocol: it is for tests, not for releases");

/// A rule to break; the numbers are those of the protocol's rules of agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "broken-rules"),
    expect(unreachable_pub, reason = "named outside under the feature only")
)]
pub enum Broken {
    /// Timeouts of f+1 are enough to enter the next view.
    Rule1Entry,
    /// A proposal may build on any certificate.
    Rule2Justified,
    /// More than one prepare vote in a view.
    Rule2Once,
    /// A prepare vote in a view that was given up.
    Rule2GivenUp,
    /// The highest certificate is the last one seen.
    Rule3Lock,
    /// A commit vote for a view that was given up.
    Rule4CommitVote,
    /// Commit votes of f+1 are enough.
    Rule5Quorum,
    /// Timeouts name the genesis as the highest certificate.
    Rule6HighQc,
    /// Timeouts are sent once.
    Rule6Resend,
    /// Votes leave without having been written down.
    Rule7Durable,
    /// A block may be of any time in the future.
    BlockTime,
    /// An epoch's last block may be extended in its epoch.
    LastBlock,
}

/// The rule that is off, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Switch {
    #[cfg(feature = "broken-rules")]
    rule: Option<Broken>,
}

impl Switch {
    #[cfg(feature = "broken-rules")]
    pub(crate) const fn of(rule: Broken) -> Self {
        Self { rule: Some(rule) }
    }

    /// Whether this rule is off.
    #[cfg(feature = "broken-rules")]
    pub(crate) fn off(self, rule: Broken) -> bool {
        self.rule == Some(rule)
    }

    /// Whether this rule is off.
    #[cfg(not(feature = "broken-rules"))]
    pub(crate) const fn off(self, _: Broken) -> bool {
        false
    }
}

#[cfg(feature = "broken-rules")]
impl crate::Engine {
    /// Switches one rule off.
    pub fn break_rule(&mut self, rule: Broken) {
        let switch = Switch::of(rule);
        self.broken = switch;
        self.safety.broken = switch;
        self.tally.broken = switch;
        self.tally.timeouts.broken = switch;
    }
}
