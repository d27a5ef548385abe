//! `conclave devnet`: a whole network on this machine, each part a process of its own.
//!
//! ```text
//! directory ─▶ ports free? ─▶ set up (keys, key generation, genesis) ─▶ validators ─▶ rollups, provers
//!  (locked)                                                                │
//!                                     view ◀── HTTP API ◀──────────────────┤
//!                                     end: Ctrl-C, --for, or a dead process └─▶ stop in order, summary
//! ```

pub(crate) mod directory;
pub(crate) mod plan;
pub(crate) mod processes;
pub(crate) mod setup;
mod summary;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{anyhow, bail};
use conclave_sdk::{Client, ClientOptions};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use self::directory::{Directory, Wanted};
use self::plan::{Plan, prover_name, rollup_name, validator_name};
use self::processes::{Ended, Launch, Processes, Spec};
use self::summary::Baseline;
use self::view::{Frame, View};
use crate::duration;
use crate::overview::{Names, Overview};
use crate::process::Shutdown;

/// How long the validators may take until they are ready.
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks whether they are.
const READY_LOOK: Duration = Duration::from_millis(100);
/// The load of a new devnet.
const LOAD: f64 = 10.0;
/// Processes that depend on others stop before them.
const STOP_ORDER: [&str; 3] = ["prover-", "rollup-", "validator-"];
/// What the processes log when nothing else is asked for.
const CHILD_LOG: &str = "info";

/// Run a whole network on this machine: validators, rollups with a load, and provers.
///
/// Each validator, payments rollup and competing prover is a process of its own with its own data directory. The
/// first start makes keys, generates the sealing key between the validators and makes the genesis;
/// the next one goes on where the last ended. Ctrl-C stops everything.
///
/// While it runs: the HTTP API of validator I is at base port + 100 + I, the node of rollup J at
/// base port + 200 + J. Try `conclave status`, and `conclave submit --rollup 1 --genesis
/// conclave-devnet/genesis.toml --key conclave-devnet/user.key`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Validators: 4, 7, 10, … (3f+1 tolerate f faults) [default: 4].
    #[arg(long, value_name = "N", env = "CONCLAVE_DEVNET_VALIDATORS")]
    validators: Option<u16>,
    /// Payments rollups, each with a token of its own [default: 3].
    #[arg(long, value_name = "N", env = "CONCLAVE_DEVNET_ROLLUPS")]
    rollups: Option<u16>,
    /// Provers, with different strategies [default: 3].
    #[arg(long, value_name = "N", env = "CONCLAVE_DEVNET_PROVERS")]
    provers: Option<u16>,
    /// Payments a second, over all rollups; some are invalid on purpose [default: 10].
    #[arg(long, value_name = "TPS", env = "CONCLAVE_DEVNET_LOAD", value_parser = parse_load)]
    load: Option<f64>,
    /// Where everything is kept.
    #[arg(
        long,
        value_name = "DIR",
        env = "CONCLAVE_DEVNET_DATA_DIR",
        default_value = "conclave-devnet"
    )]
    data_dir: PathBuf,
    /// The first of the 300 ports that the parts listen on [default: 26600].
    #[arg(long, value_name = "PORT", env = "CONCLAVE_DEVNET_BASE_PORT")]
    base_port: Option<u16>,
    /// Start over: remove what an earlier devnet left in the directory.
    #[arg(long)]
    fresh: bool,
    /// Stop after this time, counted from when all parts run, as in 60s or 5m. Ends with 0 only if
    /// every rollup settled a range.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Start a process again when it dies, instead of ending the devnet: for trying out failures.
    #[arg(long)]
    keep_going: bool,
    /// Make keys, genesis and configuration files, and start nothing.
    #[arg(long, conflicts_with_all = ["duration", "keep_going"])]
    setup_only: bool,
}

/// A future that resolves when the devnet is to stop.
type Stopping<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

pub(crate) fn run(args: Args, shutdown: Shutdown, log: Option<String>) -> anyhow::Result<()> {
    // 1. Everything that can be wrong is found before anything starts.
    let wanted = Wanted {
        validators: args.validators,
        rollups: args.rollups,
        provers: args.provers,
        base_port: args.base_port,
    };
    let directory = Directory::open(&args.data_dir, wanted, args.fresh)?;
    directory.plan().check_ports()?;
    directory.prepare()?;
    let mut processes = Processes::new(&directory, log.unwrap_or_else(|| CHILD_LOG.into()))?;
    shutdown.run(|stop| async move {
        let mut stopping = std::pin::pin!(stop.requested());
        // 2. Set up and run; however that ends, nothing is left running.
        let mut devnet = Devnet {
            args,
            directory,
            processes: &mut processes,
        };
        let result = devnet.live(stopping.as_mut()).await;
        let trouble = processes.stop(&STOP_ORDER).await;
        for line in trouble {
            eprintln!("warning: {line}");
        }
        result
    })
}

struct Devnet<'a> {
    args: Args,
    directory: Directory,
    processes: &'a mut Processes,
}

/// Why a run ended without an error.
enum End {
    Asked,
    TimeOver,
}

impl Devnet<'_> {
    async fn live(&mut self, mut stopping: Stopping<'_>) -> anyhow::Result<()> {
        let plan = *self.directory.plan();
        tokio::select! {
            result = self.set_up() => result?,
            () = &mut stopping => return Err(interrupted()),
        }
        if self.args.setup_only {
            println!("set up in {}", self.directory.file("").display());
            return Ok(());
        }
        tokio::select! {
            result = self.start() => result?,
            () = &mut stopping => return Err(interrupted()),
        }
        let client = Client::with_options(plan.api_urls(0), quick())?;
        let names = self.names()?;
        let baseline = Baseline::of(&Overview::fetch(&client).await?);
        self.start_members()?;

        let mut view = View::new(Frame {
            names: names.clone(),
            api: plan.api_url(0),
            rollup_apis: rollup_apis(&plan),
            folder: self.args.data_dir.display().to_string(),
        });
        let end = self.watch(&mut view, &client, stopping).await?;
        view.say("stopping");
        let last = Overview::fetch(&client).await?;
        summary::print(&baseline, &last, &client, &names, view.elapsed()).await;
        match end {
            End::Asked => Ok(()),
            End::TimeOver => summary::verdict(&baseline, &last, plan.rollups),
        }
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let Self {
            args,
            directory,
            processes,
        } = self;
        let say = |text: &str| println!("{text}");
        if directory.is_new() {
            say(&format!(
                "setting up a devnet in {}",
                directory.file("").display()
            ));
            setup::create(directory, processes, args.load.unwrap_or(LOAD), say).await?;
        }
        setup::configure(directory, args.load)
    }

    /// Starts the validators and waits until they are ready.
    async fn start(&mut self) -> anyhow::Result<()> {
        println!("starting {} validators", self.directory.plan().validators);
        start_validators(&self.directory, self.processes).await
    }

    /// Starts the rollups and the provers.
    fn start_members(&mut self) -> anyhow::Result<()> {
        let plan = *self.directory.plan();
        println!(
            "starting {} rollups and {} provers",
            plan.rollups, plan.provers
        );
        for id in plan.rollup_ids() {
            self.processes
                .start(&self.spec(&rollup_name(id), "rollup"))?;
        }
        for index in 0..plan.provers {
            self.processes
                .start(&self.spec(&prover_name(index), "prover"))?;
        }
        Ok(())
    }

    /// Shows what happens until it is time to stop or a process dies.
    async fn watch(
        &mut self,
        view: &mut View,
        client: &Client,
        mut stopping: Stopping<'_>,
    ) -> anyhow::Result<End> {
        let end = self.args.duration.map(|duration| Instant::now() + duration);
        let far = Instant::now() + Duration::from_secs(365 * 86_400);
        let mut over = std::pin::pin!(sleep_until(end.unwrap_or(far)));
        let mut ticks = interval(view.period());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopping => return Ok(End::Asked),
                () = &mut over => return Ok(End::TimeOver),
                ended = self.processes.next_end() => self.replace(view, &ended)?,
                _ = ticks.tick() => match Overview::fetch(client).await {
                    Ok(overview) => view.update(overview, &self.activity()),
                    Err(error) => view.say(&format!("no validator answers: {error}")),
                },
            }
        }
    }

    /// Starts a dead process again if that is wanted.
    fn replace(&mut self, view: &mut View, ended: &Ended) -> anyhow::Result<()> {
        let error = self.processes.describe(ended);
        if !self.args.keep_going {
            bail!(error);
        }
        view.say(&format!(
            "{} ended ({}) and is started again",
            ended.name, ended.status
        ));
        let command = match ended.name.split('-').next() {
            Some("validator") => "node",
            Some("rollup") => "rollup",
            _ => "prover",
        };
        self.processes.start(&self.spec(&ended.name, command))
    }

    fn spec(&self, name: &str, command: &str) -> Spec {
        spec(&self.directory, name, command)
    }

    fn names(&self) -> anyhow::Result<Names> {
        let name = |index| {
            let account = setup::prover_account(&self.directory, index)?;
            Ok((account.to_string(), prover_name(index)))
        };
        let names: anyhow::Result<_> = (0..self.directory.plan().provers).map(name).collect();
        Ok(Names(names?))
    }

    /// What each prover says it is doing.
    fn activity(&self) -> BTreeMap<String, String> {
        let Plan { provers, .. } = *self.directory.plan();
        let of = |index| {
            let name = prover_name(index);
            let file = self.directory.part(&name, "data").join("status.json");
            let status: serde_json::Value =
                serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
            let jobs = status["jobs"].as_array()?.iter().map(|job| {
                format!(
                    "{} {}",
                    job["stage"].as_str().unwrap_or("?"),
                    job["auction"]
                )
            });
            Some((name, jobs.collect::<Vec<_>>().join(", ")))
        };
        (0..provers).filter_map(of).collect()
    }
}

/// How a part is started: all its settings are in its file.
pub(crate) fn spec(directory: &Directory, name: &str, command: &str) -> Spec {
    let config = directory.part(name, &format!("{command}.toml"));
    let args = vec![
        command.into(),
        "--config".into(),
        config.display().to_string(),
    ];
    Spec {
        name: name.into(),
        args,
        launch: Launch::default(),
    }
}

/// Starts the validators and waits until they are ready.
pub(crate) async fn start_validators(
    directory: &Directory,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    let plan = *directory.plan();
    for index in 0..plan.validators {
        processes.start(&spec(directory, &validator_name(index), "node"))?;
    }
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ready = async {
        for index in 0..plan.validators {
            let url = format!("{}/readyz", plan.api_url(index));
            while !is_ready(&http, &url).await {
                sleep(READY_LOOK).await;
            }
        }
    };
    tokio::select! {
        ready = timeout(READY_PATIENCE, ready) => ready.map_err(|_| {
            let logs = directory.file("logs");
            anyhow!("[CV-CLI-086] the validators were not ready within {READY_PATIENCE:?}; look into {}", logs.display())
        }),
        ended = processes.next_end() => Err(processes.describe(&ended)),
    }
}

fn rollup_apis(plan: &Plan) -> String {
    let urls: Vec<String> = plan
        .rollup_ids()
        .map(|id| format!("http://{}", plan.rollup(id)))
        .collect();
    urls.join(", ")
}

pub(crate) async fn is_ready(http: &reqwest::Client, url: &str) -> bool {
    let answer = http.get(url).timeout(Duration::from_secs(2)).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// The view asks often; an answer that is late is of no use.
fn quick() -> ClientOptions {
    ClientOptions {
        request_timeout: Duration::from_secs(5),
        rounds: 2,
        ..ClientOptions::default()
    }
}

fn interrupted() -> anyhow::Error {
    anyhow!("[CV-CLI-087] interrupted before everything ran; start again to go on")
}

fn parse_load(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(load) if (0.0..=10_000.0).contains(&load) => Ok(load),
        _ => Err("use 0 to 10000 payments a second".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_finite_and_bounded() {
        assert_eq!(parse_load("10"), Ok(10.0));
        assert_eq!(parse_load("0"), Ok(0.0));
        for wrong in ["-1", "NaN", "inf", "10001", "many"] {
            assert!(parse_load(wrong).is_err(), "{wrong}");
        }
    }
}
