//! Scenario files and their schedules.

use crate::byzantine::Lie;
use crate::chaos::{FaultKind, LinkPattern, Moment, SHORT, Scenario, Target, builtin, schedule};

fn parse(faults: &str) -> Result<Scenario, String> {
    let text = format!("about = \"x\"\nseconds = 60\n{faults}");
    Scenario::parse("x", &text).map_err(|error| error.to_string())
}

#[test]
fn every_built_in_scenario_reads_and_leaves_the_file_its_name() {
    for (name, text) in builtin() {
        let scenario =
            Scenario::parse(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scenario.name, *name);
        assert!(!scenario.about.is_empty());
        let (validator, prover) = scenario.highest();
        let validators = scenario.validators.unwrap_or(4);
        assert!(
            validator.is_none_or(|index| index < validators),
            "{name} needs more than a devnet"
        );
        let tolerated = usize::from((validators - 1) / 3);
        assert!(scenario.liars().len() <= tolerated, "{name}");
        assert!(
            prover.is_none_or(|index| index < scenario.provers),
            "{name}"
        );
    }
    let names: Vec<&str> = builtin().iter().map(|(name, _)| *name).collect();
    assert!(SHORT.iter().all(|name| names.contains(name)));
}

#[test]
fn a_row_of_faults_begins_and_ends_in_order() {
    let scenario = parse("[[fault]]\nat = 2\nkill = \"leader\"\nfor = 1.5\nevery = 4\ntimes = 2\n[[fault]]\nat = 3.5\nrestart = \"next\"").unwrap();
    let steps: Vec<_> = schedule(&scenario)
        .iter()
        .map(|step| {
            (
                step.at_ms,
                step.fault.fault,
                step.fault.occurrence,
                step.moment,
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            (2_000, 0, 0, Moment::Begin),
            (3_500, 0, 0, Moment::End),
            (3_500, 1, 0, Moment::Begin),
            (6_000, 0, 1, Moment::Begin),
            (7_500, 0, 1, Moment::End),
        ]
    );
    assert_eq!(scenario.faults[0].kind, FaultKind::Kill(Target::Leader));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    for (faults, wanted) in [
        ("sneed = 3", "CV-CHAOS-001"),
        (
            "[[fault]]\nat = 1\nkill = \"everybody\"\nfor = 1",
            "CV-CHAOS-002",
        ),
        (
            "[[fault]]\nat = 1\ncut = [\"0=1\"]\nfor = 1",
            "CV-CHAOS-003",
        ),
        ("[[fault]]\nat = 1\nfor = 1", "exactly one thing"),
        (
            "[[fault]]\nat = 1\nfor = 1\nkill = \"leader\"\npause = \"leader\"",
            "exactly one thing",
        ),
        ("[[fault]]\nat = 1\nkill = \"leader\"", "how long it lasts"),
        (
            "[[fault]]\nat = 1\nfor = 2\nrestart = \"next\"",
            "how long it lasts",
        ),
        (
            "[[fault]]\nat = 1\nfor = 3\nevery = 2\ntimes = 2\nkill = \"leader\"",
            "every must be longer",
        ),
        (
            "[[fault]]\nat = 1\nfor = 1\npartition = [[0, 1], [1, 2]]",
            "in two groups",
        ),
        (
            "[[fault]]\nat = 1\nfor = 1\nweather = { drop = 1.5 }",
            "between 0 and 0.9",
        ),
        (
            "[[fault]]\nat = 1\nfor = 1\nclock = { who = \"rollup\", seconds = 1 }",
            "validators only",
        ),
        (
            "[[byzantine]]\nwho = \"validator-1\"\nconduct = \"nice\"",
            "CV-CHAOS-006",
        ),
        (
            "[[byzantine]]\nwho = \"leader\"\nconduct = \"flooder\"",
            "CV-CHAOS-007",
        ),
        (
            "[[byzantine]]\nwho = \"validator-1\"\nconduct = \"twin\"",
            "CV-CHAOS-007",
        ),
        (
            "[[byzantine]]\nwho = \"validator-1\"\nconduct = []",
            "CV-CHAOS-007",
        ),
        ("validators = 19", "4, 7, 10, 13 or 16"),
        (
            "[[fault]]\nat = 59\nfor = 5\nkill = \"leader\"",
            "after the scenario's end",
        ),
    ] {
        let error = parse(faults).expect_err(faults);
        assert!(error.contains(wanted), "{faults}: {error}");
    }
}

#[test]
fn links_are_named_one_way_and_both_ways() {
    let links = |word: &str| word.parse::<LinkPattern>().unwrap().links(3);
    assert_eq!(links("0>1"), [(0, 1)]);
    assert_eq!(links("0-1"), [(0, 1), (1, 0)]);
    assert_eq!(links("*>1"), [(0, 1), (2, 1)]);
    assert_eq!(links("2-*"), [(0, 2), (1, 2), (2, 0), (2, 1)]);
    assert_eq!(LinkPattern::ALL.links(3).len(), 6);
    for wrong in ["", "0", "a>b", "0>1>2"] {
        assert!(wrong.parse::<LinkPattern>().is_err(), "{wrong}");
    }
}

#[test]
fn who_lies_at_any_time_is_known_beforehand() {
    let scenario = parse(
        "[[byzantine]]\nwho = \"validator-5\"\nconduct = [\"flooder\", \"garbage\"]\n[[fault]]\nat = 1\nfor = 2\nbyzantine = { who = \"validator-0\", conduct = \"twin\" }",
    );
    let scenario = scenario.unwrap();
    assert_eq!(scenario.liars(), [0, 5]);
    assert_eq!(scenario.highest().0, Some(5));
    assert!(scenario.has_twin());
    assert_eq!(scenario.byzantine[0].lies, [Lie::Flooder, Lie::Garbage]);
}

/// Every way to lie is tried out on processes, by the name under which it is in the simulator.
#[test]
fn every_way_to_lie_is_in_a_scenario() {
    let mut missing: Vec<&str> = Lie::ALL.iter().map(|lie| lie.name()).collect();
    for (name, text) in builtin() {
        let scenario = Scenario::parse(name, text).unwrap();
        for one in scenario.lies() {
            missing.retain(|word| !one.lies.iter().any(|lie| lie.name() == *word));
        }
    }
    assert_eq!(missing, [""; 0]);
    for lie in Lie::ALL {
        assert_eq!(lie.name().parse(), Ok(lie));
    }
}
