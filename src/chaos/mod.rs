//! `conclave chaos`: real processes, maltreated while a load flows, and judged afterwards.
//!
//! ```text
//! scenario ─▶ network (a new chain) ─▶ driver: kills, signals, clocks, disks; relay: links
//!                  │                        while the load flows and observers look on
//!                  └▶ rest: all is open and settled ─▶ checkers ─▶ report, picture, exit code
//! ```
//!
//! Scenarios, schedule, history and checkers are without IO, in the library of the tests.

mod clock;
mod driver;
mod ending;
mod liars;
mod load;
mod network;
mod places;
mod relay;
mod report;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use conclave_sdk::Auditor;
use conclave_tests::chaos::{
    Committee, Contents, History, Outcome, SHORT, Scenario, VALIDATORS_MAX, builtin, judge,
};
use tokio::time::{Instant, sleep_until};

use self::clock::Clock;
use self::driver::Driver;
use self::load::{LOAD, Load};
use self::network::Network;
use self::places::Places;
use self::relay::Relay;
use self::report::{Report, Setting};
use self::watch::{Seen, Watch};
use crate::devnet::directory::{Directory, Wanted};
use crate::devnet::plan::Plan;
use crate::devnet::processes::Processes;
use crate::process::Shutdown;

/// How long the load flows before time 0.
const WARM_UP: Duration = Duration::from_secs(3);
/// Timeouts that a fault's beginning and end may each cost.
const ALLOWED_TIMEOUTS: u64 = 2;
/// What the processes log when nothing else is asked for.
const CHILD_LOG: &str = "info";

/// Maltreat a network of real processes and check that it loses nothing and goes on.
///
/// Validators, a payments rollup and provers run as processes; every packet between two validators
/// passes a relay that can delay, lose, repeat, reorder and cut. While a load flows, processes are
/// killed, stopped and restarted, links cut, clocks set and disks slowed down as the scenario says;
/// afterwards checkers judge what was seen. Ends with 0 only if every checker held.
///
/// A scenario is a name from --list, `all`, `ci` for a short set, or a file of your own.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios: names, files (NAME.toml), `all`, or `ci`.
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// List the scenarios that come with this program.
    #[arg(long)]
    list: bool,
    /// Where the report goes: report.txt, report.json, a picture and the logs of each scenario.
    #[arg(long, value_name = "DIR", default_value = "chaos-report")]
    report: PathBuf,
    /// Where the network is kept; what is there of an earlier run is removed.
    #[arg(long, value_name = "DIR", default_value = "conclave-chaos")]
    data_dir: PathBuf,
    /// Validators of scenarios that do not say how many they need: 4, 7, 10, 13 or 16.
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// The first of the 600 ports that are used.
    #[arg(long, value_name = "PORT", default_value_t = 25_200)]
    base_port: u16,
    /// Give each validator a network namespace of its own, or fail; needs root and iproute2. Done
    /// anyway where it is possible.
    #[arg(long, conflicts_with = "loopback")]
    isolate: bool,
    /// Keep everything on loopback.
    #[arg(long)]
    loopback: bool,
}

pub(crate) fn run(args: Args, shutdown: Shutdown, log: Option<String>) -> anyhow::Result<()> {
    if args.list {
        for (name, text) in builtin() {
            println!("{name:<20}{}", Scenario::parse(name, text)?.about);
        }
        return Ok(());
    }

    // 1. Everything that can be wrong is found before anything starts.
    let groups = groups(load_all(&args.names)?, args.validators);
    for group in &groups {
        for scenario in &group.scenarios {
            check(scenario, group.validators)?;
        }
        group.plan(&args).check()?;
        group.plan(&args).check_ports()?;
    }

    // 2. The scenarios, one after the other; however that ends, nothing is left running.
    let mut report = Report::new(&args.report)?;
    println!("{}", report::titles());
    let held = shutdown.run(|stop| async move {
        let mut stop = pin!(stop.requested());
        for group in &groups {
            let directory = Directory::open(&args.data_dir, group.wanted(&args), true)?;
            directory.prepare()?;
            let filter = log.clone().unwrap_or_else(|| CHILD_LOG.into());
            let mut processes = Processes::new(&directory, filter)?;
            let result = tokio::select! {
                result = all(&args, &directory, &mut processes, group, &mut report) => result,
                () = &mut stop => Err(anyhow!("[CV-CLI-134] interrupted; the report ends with the scenario before")),
            };
            processes.stop(&[]).await;
            result?;
        }
        println!("report in {}", args.report.display());
        Ok(report.held())
    })?;
    match held {
        true => Ok(()),
        false => bail!("[CV-CLI-135] not every checker held; see the report"),
    }
}

/// Scenarios that run on one network, one after the other.
struct Group {
    validators: u16,
    provers: u16,
    scenarios: Vec<Scenario>,
}

/// Scenarios in their order, with neighbours of one size together.
fn groups(scenarios: Vec<Scenario>, validators: u16) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for scenario in scenarios {
        let validators = scenario.validators.unwrap_or(validators);
        match groups.last_mut() {
            Some(group) if group.validators == validators => {
                group.provers = group.provers.max(scenario.provers);
                group.scenarios.push(scenario);
            }
            _ => groups.push(Group {
                validators,
                provers: scenario.provers,
                scenarios: vec![scenario],
            }),
        }
    }
    groups
}

impl Group {
    fn plan(&self, args: &Args) -> Plan {
        Plan {
            validators: self.validators,
            rollups: 1,
            provers: self.provers,
            base_port: args.base_port,
        }
    }

    fn wanted(&self, args: &Args) -> Wanted {
        Wanted {
            validators: Some(self.validators),
            rollups: Some(1),
            provers: Some(self.provers),
            base_port: Some(args.base_port),
        }
    }
}

fn load_all(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for name in names {
        match name.as_str() {
            "all" => {
                for (name, text) in builtin() {
                    scenarios.push(Scenario::parse(name, text)?);
                }
            }
            "ci" => {
                for name in SHORT {
                    scenarios.push(load_one(name)?);
                }
            }
            name => scenarios.push(load_one(name)?),
        }
    }
    Ok(scenarios)
}

fn load_one(name: &str) -> anyhow::Result<Scenario> {
    if let Some((name, text)) = builtin().iter().find(|(builtin, _)| *builtin == name) {
        return Ok(Scenario::parse(name, text)?);
    }
    let path = Path::new(name);
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let (Some(stem), Some("toml")) = (stem, path.extension().and_then(|e| e.to_str())) else {
        bail!(
            "[CV-CLI-136] there is no scenario {name}; see --list, or name a file that ends in .toml"
        );
    };
    let text =
        fs::read_to_string(path).with_context(|| format!("[CV-CLI-002] cannot read {name}"))?;
    Scenario::parse(stem, &text).with_context(|| name.to_owned())
}

fn check(scenario: &Scenario, validators: u16) -> anyhow::Result<()> {
    let (validator, prover) = scenario.highest();
    let name = &scenario.name;
    ensure!(
        validators <= VALIDATORS_MAX,
        "[CV-CLI-133] {name} has {validators} validators; use at most {VALIDATORS_MAX}"
    );
    liars::check(scenario, validators).with_context(|| format!("scenario {name}"))?;
    ensure!(
        validator.is_none_or(|index| index < validators)
            && prover.is_none_or(|index| index < scenario.provers),
        "[CV-CLI-137] {name} names a validator or prover that there is not; use more of them"
    );
    network::check_tools(scenario).with_context(|| format!("scenario {name}"))
}

/// Namespaces where they can be had, unless something else is asked for.
fn places(args: &Args, directory: &Directory, twin: bool) -> anyhow::Result<Places> {
    let plan = *directory.plan();
    if args.loopback {
        return Ok(Places::loopback(plan));
    }
    match Places::isolated(plan, twin) {
        Ok(places) => Ok(places),
        Err(error) if args.isolate => Err(error),
        Err(error) => {
            eprintln!("on loopback, since namespaces cannot be had: {error:#}");
            Ok(Places::loopback(plan))
        }
    }
}

/// Runs all scenarios of one network.
async fn all(
    args: &Args,
    directory: &Directory,
    processes: &mut Processes,
    group: &Group,
    report: &mut Report,
) -> anyhow::Result<()> {
    let twin = group.scenarios.iter().any(Scenario::has_twin);
    let places = places(args, directory, twin)?;
    let isolated = places.is_isolated();
    let mut network = Network::create(directory, processes, places).await?;
    let timeout_ms = network.genesis().consensus.view_timeout_ms;
    let committee = Committee {
        validators: group.validators,
        quorum: network.genesis().threshold()?.quorum(),
        allowance_ms: ALLOWED_TIMEOUTS * timeout_ms,
    };
    report.set(Setting {
        view_timeout_ms: timeout_ms,
        allowance_ms: committee.allowance_ms,
        isolated,
        debug_build: cfg!(debug_assertions),
    });
    for scenario in &group.scenarios {
        let mut history = History::default();
        let outcome = one(&mut network, scenario, committee, &mut history).await;
        let trouble = network.end().await;
        let mut outcome = outcome.unwrap_or_else(|error| {
            Outcome::failed(scenario, group.validators, &history, &error.to_string())
        });
        trouble.iter().for_each(|line| outcome.fail(line));
        keep(&network.file("logs"), &report.logs(&scenario.name))?;
        println!("{}", report::line(&outcome));
        outcome
            .findings
            .iter()
            .for_each(|finding| println!("  {finding}"));
        report.add(outcome, &history)?;
    }
    Ok(())
}

/// One scenario, from an empty chain to its verdict.
async fn one(
    network: &mut Network<'_>,
    scenario: &Scenario,
    committee: Committee,
    history: &mut History,
) -> anyhow::Result<Outcome> {
    // 1. A new chain, with everything that lives on it.
    network.begin(scenario)?;
    let ends = (network.validators(), scenario.has_twin());
    let relay = Relay::start(network.places(), ends, scenario.seed).await?;
    network.start_validators().await?;
    network.start_rollup()?;
    for index in 0..scenario.provers {
        network.start_prover(index)?;
    }

    // 2. The load flows; then the faults, while observers look on.
    if scenario.payments_per_second > 0.0 {
        network.await_payments().await?;
    }
    let start = Instant::now() + WARM_UP;
    let load = Load::start(network, scenario.envelopes_per_second, start).await?;
    let start = start.max(Instant::now());
    sleep_until(start).await;
    let watch = Watch::start(network, start, load.newest())?;
    let clock = Clock::start(start)?;
    let mut driver = Driver {
        scenario,
        network,
        relay: &relay,
        start,
    };
    let (faults, receipts) = driver.run(load.end()).await?;
    let (seen, receipts) = (watch.end().await, receipts?);
    *history = History {
        faults,
        readings: seen.readings.clone(),
        acknowledged: receipts.acknowledged,
        refused: receipts.refused,
        liars: scenario.liars(),
        stalls: clock.end(),
        end_ms: scenario.length_ms(),
    };

    // 3. Everything comes to rest, and everything that was seen is verified.
    let auditor = Auditor::new(network.genesis())?;
    let mut contents = verify(Contents::new(auditor.clone(), LOAD), seen).await?;
    let ending = ending::rest(network, &auditor, &history.acknowledged, &mut contents);
    let ending = ending.await?;
    Ok(judge(scenario, history, &mut contents, &ending, committee))
}

/// Verifies what was served, on a thread of its own: each block costs a pairing.
async fn verify(mut contents: Contents, seen: Seen) -> anyhow::Result<Contents> {
    let work = move || {
        for (validator, delivery) in &seen.deliveries {
            contents.take(*validator, delivery);
        }
        for (validator, envelope, height, block) in &seen.open {
            contents.said_open(*validator, *envelope, *height, block.as_ref());
        }
        contents
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Keeps a scenario's logs beside its report.
fn keep(logs: &Path, folder: &Path) -> anyhow::Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(logs)? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().with_context(|| {
        format!(
            "[CV-CLI-138] cannot keep the logs in {}; check its rights",
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_and_sets_are_understood() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            load_all(&words).map(|all| all.into_iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["all"]).unwrap().len(), builtin().len());
        assert_eq!(names(&["ci"]).unwrap(), SHORT);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        fs::write(&file, "about = \"mine\"\nseconds = 2").unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(names(&[file, "calm"]).unwrap(), ["mine", "calm"]);
        let error = names(&["nonsense"]).unwrap_err().to_string();
        assert!(error.starts_with("[CV-CLI-136]"), "{error}");
    }

    #[test]
    fn a_scenario_that_names_nobody_is_refused() {
        let text = "about = \"\"\nseconds = 9\n[[fault]]\nat = 1\nfor = 1\nkill = \"validator-4\"";
        let scenario = Scenario::parse("x", text).unwrap();
        let error = check(&scenario, 4).unwrap_err().to_string();
        assert!(error.starts_with("[CV-CLI-137]"), "{error}");
        check(&scenario, 7).unwrap();
    }
}
