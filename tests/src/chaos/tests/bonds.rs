//! Bonds must show who lied, and only that.

use crate::chaos::bonds::accountability;
use crate::chaos::{Bonds, Ending, Scenario};

const BOND: u64 = 1_000;

/// What is found when validator 0 holds so much and names these, in a scenario where validator 3
/// lies so.
fn found(conduct: &str, held: u64, forfeited: &[u16]) -> Vec<String> {
    let text = format!(
        "about = \"x\"\nseconds = 9\n[[byzantine]]\nwho = \"validator-3\"\nconduct = \"{conduct}\""
    );
    let scenario = Scenario::parse("x", &text).expect("a scenario");
    let ending = Ending {
        bond: BOND,
        bonds: vec![Bonds {
            at: 0,
            held,
            forfeited: forfeited.to_vec(),
        }],
        ..Ending::default()
    };
    let findings = accountability(&scenario, &ending, 4);
    findings.into_iter().map(|finding| finding.text).collect()
}

#[test]
fn who_left_evidence_pays_and_who_may_have_left_some_may_pay() {
    assert_eq!(found("double-voter", 3 * BOND, &[3]), [""; 0]);
    assert_eq!(found("equivocator", 3 * BOND, &[3]), [""; 0]);
    assert_eq!(found("flooder", 4 * BOND, &[]), [""; 0]);
}

#[test]
fn an_unpunished_liar_a_punished_honest_one_and_money_that_does_not_fit_are_found() {
    let text = found("double-voter", 4 * BOND, &[]);
    assert!(text[0].contains("kept its bond"), "{text:?}");
    let text = found("flooder", 3 * BOND, &[1]);
    assert!(text[0].contains("never lied"), "{text:?}");
    let text = found("double-voter", 4 * BOND, &[3]);
    assert!(text[0].contains("holds bonds of 4000"), "{text:?}");
}
