//! A rule of the protocol is switched off on purpose, one at a time, and the simulator must notice
//! within a few seeds. One that it does not notice is one that it does not test.
//!
//! `cargo test -p conclave-tests --features broken-rules --test mutations`

use conclave_tests::byzantine::Lie;
use conclave_tests::{Broken, LedgerRule, Options, Outcome, Rule, run, run_censored, run_lying};

/// Runs seeds until an invariant breaks; how many it took, and which broke.
fn caught(broken: Broken, within: u64, run: impl Fn(Options) -> Outcome) -> (u64, &'static str) {
    for seed in 1..=within {
        if let Some(violation) = run(Options::of(seed).breaking(broken)).violation {
            println!("{broken:?}: caught by seed {seed}: {violation}");
            return (seed, violation.invariant);
        }
    }
    panic!("{broken:?} was not noticed in {within} seeds");
}

/// Honest leaders order what a censor leaves out, so it takes a network that lets nobody else lead to
/// see that voters do not follow one.
#[test]
fn blocks_that_leave_out_what_is_overdue() {
    let outcome = run_censored(Options::of(1).breaking(Broken::Inclusion));
    let violation = outcome.violation.expect("noticed");
    assert_eq!(violation.invariant, "inclusion", "{violation}");
}

/// Few members build on an old certificate, and it is seldom that one leads when it could be followed.
#[test]
fn proposals_without_justification() {
    let stale = |options| run_lying(options, Lie::StaleProposer);
    let broken = Broken::Agreement(Rule::Rule2Justified);
    let (_, invariant) = caught(broken, 200, stale);
    assert_eq!(invariant, "rule 2");
}

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident: $broken:expr, within $seeds:literal, breaks $($invariant:literal)|+;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            let (_, invariant) = caught($broken, $seeds, run);
            assert!([$($invariant),+].contains(&invariant), "noticed as {invariant}");
        }
    )*};
}

mutations! {
    views_entered_by_too_few_timeouts: Broken::Agreement(Rule::Rule1Entry), within 50, breaks "rule 1" | "honesty";
    two_votes_in_a_view: Broken::Agreement(Rule::Rule2Once), within 300, breaks "rule 2" | "honesty";
    votes_in_a_view_given_up: Broken::Agreement(Rule::Rule2GivenUp), within 50, breaks "rule 2";
    locks_that_go_back: Broken::Agreement(Rule::Rule3Lock), within 100, breaks "rule 3";
    commit_votes_after_a_timeout: Broken::Agreement(Rule::Rule4CommitVote), within 50, breaks "rule 4" | "honesty";
    blocks_final_by_too_few_votes: Broken::Agreement(Rule::Rule5Quorum), within 20, breaks "certified" | "rule 5" | "honesty";
    timeouts_that_hide_the_lock: Broken::Agreement(Rule::Rule6HighQc), within 50, breaks "rule 3";
    timeouts_sent_once: Broken::Agreement(Rule::Rule6Resend), within 300, breaks "liveness";
    votes_not_written_down: Broken::Agreement(Rule::Rule7Durable), within 10, breaks "rule 7";
    blocks_of_the_future: Broken::Agreement(Rule::BlockTime), within 100, breaks "block time";
    /// A history is not over before the guilty have lost their bonds.
    bonds_that_the_guilty_keep: Broken::Ledger(LedgerRule::Forfeit), within 50, breaks "liveness" | "slashing";
    pay_from_nowhere: Broken::Ledger(LedgerRule::Conservation), within 10, breaks "conservation";
    proofs_of_anything: Broken::Ledger(LedgerRule::Proofs), within 20, breaks "settlement";
    shares_before_the_certificate: Broken::EarlyShares, within 10, breaks "secrecy";
}
