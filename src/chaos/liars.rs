//! Validators that lie: run from a program of their own, which no release has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use conclave_tests::byzantine::Lie;
use conclave_tests::chaos::{Byzantine, Scenario};
use conclave_types::Threshold;

use crate::devnet::plan::validator_name;
use crate::devnet::processes::Spec;

/// The program's name, beside this one.
const PROGRAM: &str = "conclave-byzantine";

/// Who lies in a scenario, and who does now.
#[derive(Default)]
pub(super) struct Liars {
    program: PathBuf,
    seed: u64,
    ever: Vec<u16>,
    now: BTreeMap<u16, Vec<Lie>>,
}

impl Liars {
    /// Those that lie from the beginning.
    pub(super) fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let mut liars = Self {
            program: program()?,
            seed: scenario.seed,
            ever: scenario.liars(),
            now: BTreeMap::new(),
        };
        scenario.byzantine.iter().for_each(|one| liars.begin(one));
        Ok(liars)
    }

    /// Whether a validator lies at any time of the scenario.
    pub(super) fn lies(&self, index: u16) -> bool {
        self.ever.contains(&index)
    }

    /// Whether a process is that of a validator that lies at any time.
    pub(super) fn runs_as(&self, name: &str) -> bool {
        let own = |index: &u16| name == validator_name(*index) || name == twin_name(*index);
        self.ever.iter().any(own)
    }

    /// From its next start on a validator lies so.
    pub(super) fn begin(&mut self, one: &Byzantine) {
        self.now.insert(one.validator, one.lies.clone());
    }

    /// From its next start on it is honest.
    pub(super) fn end(&mut self, index: u16) {
        self.now.remove(&index);
    }

    /// Whether a validator runs twice now.
    pub(super) fn has_twin(&self, index: u16) -> bool {
        let lies = self.now.get(&index);
        lies.is_some_and(|lies| lies.contains(&Lie::Twin))
    }

    /// Makes the start of a validator that of one that lies, if it does. A twin that does nothing
    /// else is two honest processes.
    pub(super) fn bend(&self, index: u16, spec: &mut Spec) {
        let lies = self.now.get(&index).into_iter().flatten();
        let lies: Vec<&str> = lies
            .filter(|lie| **lie != Lie::Twin)
            .map(|lie| lie.name())
            .collect();
        if lies.is_empty() {
            return;
        }
        let seed = (self.seed + u64::from(index)).to_string();
        let words = ["--conduct".into(), lies.join(","), "--seed".into(), seed];
        // In place of the subcommand.
        spec.args.splice(..1, words);
        spec.launch.program = Some(self.program.clone());
    }
}

/// The name of a twin's second instance and of its log.
pub(super) fn twin_name(index: u16) -> String {
    format!("{}-twin", validator_name(index))
}

/// Makes sure that a scenario's liars are no more than can be tolerated, and can be run.
pub(super) fn check(scenario: &Scenario, validators: u16) -> anyhow::Result<()> {
    let liars = scenario.liars();
    if liars.is_empty() {
        return Ok(());
    }
    let tolerated = Threshold::for_total(validators.into())?.faults();
    ensure!(
        liars.len() <= usize::from(tolerated),
        "[CV-CLI-140] {} of {validators} validators lie, {tolerated} can be tolerated; use more validators",
        liars.len()
    );
    let program = program()?;
    ensure!(
        program.is_file(),
        "[CV-CLI-141] there is no {}, which runs validators that lie; build it beside this program: cargo build {}--features byzantine --bin {PROGRAM}",
        program.display(),
        if cfg!(debug_assertions) {
            ""
        } else {
            "--release "
        }
    );
    Ok(())
}

fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe();
    let own = own.context("[CV-CLI-080] the path of this program is unknown")?;
    Ok(own.with_file_name(PROGRAM))
}
