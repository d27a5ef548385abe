//! Rules of the ledger switched off on purpose, one at a time, to show that the simulator notices.
//!
//! Only under the feature `broken-rules`, which nothing turns on by default and which no release
//! build accepts. Without it every question in here is `false` at compile time.

#[cfg(all(feature = "broken-rules", not(debug_assertions)))]
compile_error!("the feature `broken-rules` breaks the protocol: it is for tests, not for releases");

/// A rule to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "broken-rules"),
    expect(unreachable_pub, reason = "named outside under the feature only")
)]
pub enum Broken {
    /// Who is shown to be guilty keeps its bond.
    Forfeit,
    /// A prover's pay is not taken from the escrow, and the ledger does not notice.
    Conservation,
    /// What a proof shows is not looked at.
    Proofs,
}

/// The rule that is off, if any. It is no part of the state: a ledger restored from a snapshot keeps
/// all rules.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Switch {
    #[cfg(feature = "broken-rules")]
    rule: Option<Broken>,
}

impl Switch {
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
impl crate::Ledger {
    /// Switches one rule off.
    pub fn break_rule(&mut self, rule: Broken) {
        self.broken = Switch { rule: Some(rule) };
    }
}
