//! Accountability: what those who lied lost, and that nobody else lost anything.

use super::contents::Finding;
use super::outcome::Ending;
use super::scenario::{Byzantine, Scenario};

/// What one validator's ledger says of all validators' bonds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bonds {
    pub at: u16,
    /// All of them together.
    pub held: u64,
    /// Whose is forfeited, by proof of misbehaviour, ascending.
    pub forfeited: Vec<u16>,
}

/// Who left evidence has lost its bond, and nobody who is honest has.
pub(super) fn accountability(
    scenario: &Scenario,
    ending: &Ending,
    validators: u16,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |text| {
        findings.push(Finding {
            invariant: "accountability",
            text,
        });
    };
    let guilty = |one: &&Byzantine| one.lies.iter().any(|lie| lie.leaves_evidence());
    let guilty: Vec<u16> = scenario
        .lies()
        .filter(guilty)
        .map(|one| one.validator)
        .collect();
    for Bonds {
        at,
        held,
        forfeited,
    } in &ending.bonds
    {
        for unpunished in guilty.iter().filter(|index| !forfeited.contains(index)) {
            find(format!(
                "at validator {at}, validator {unpunished} broke the rules and kept its bond"
            ));
        }
        for innocent in forfeited
            .iter()
            .filter(|index| !scenario.liars().contains(index))
        {
            find(format!(
                "at validator {at}, validator {innocent} lost its bond and never lied"
            ));
        }
        let standing = u64::from(validators) - forfeited.len() as u64;
        if *held != standing * ending.bond {
            find(format!(
                "validator {at} holds bonds of {held} where {standing} of {} stand",
                ending.bond
            ));
        }
    }
    findings
}

/// The members that lie, in words.
pub(super) fn liars(scenario: &Scenario) -> Vec<String> {
    let words = |one: &Byzantine| {
        let lies: Vec<&str> = one.lies.iter().map(|lie| lie.name()).collect();
        format!("validator-{}: {}", one.validator, lies.join(", "))
    };
    scenario.lies().map(words).collect()
}
