//! The network that is maltreated: the devnet's processes, on a new chain for each scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use conclave_sdk::{Client, ClientOptions, replace_file};
use conclave_tests::chaos::{Byzantine, Scenario};
use conclave_types::{Genesis, RollupId};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::liars::{Liars, twin_name};
use super::places::Places;
use crate::devnet::directory::Directory;
use crate::devnet::plan::{prover_name, rollup_name, validator_name};
use crate::devnet::processes::{Ended, Launch, Processes, Spec};
use crate::devnet::{is_ready, setup, spec};
use crate::files::read_genesis;

/// The payments rollup, whose ranges are proven.
pub(super) const PAYMENTS: RollupId = RollupId(1);
/// Where libfaketime is found, on Debian and elsewhere.
const FAKETIME: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];
/// How long anything may take that a network does by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Where the second instance of a twin keeps its data, in its validator's directory.
const TWIN_DATA: &str = "twin-data";
/// A prover's lowest price for a transaction, and what each further one asks more.
const PRICE: u16 = 50;
const PRICE_STEP: u16 = 10;
/// A range is closed at so many transactions, or when its first is so old.
const RANGE_TRANSACTIONS: u64 = 24;
const RANGE_AGE_MS: u64 = 3_000;

/// The network's files and processes.
pub(super) struct Network<'a> {
    directory: &'a Directory,
    processes: &'a mut Processes,
    places: Places,
    genesis: Arc<Genesis>,
    /// What the present scenario needs of its processes.
    payments_per_second: f64,
    deadline_ms: u64,
    liars: Liars,
    /// Validators whose clock can be set.
    clocks: Vec<u16>,
    faketime: Option<PathBuf>,
}

impl<'a> Network<'a> {
    /// Makes keys, sealing key, genesis and configuration files.
    pub(super) async fn create(
        directory: &'a Directory,
        processes: &'a mut Processes,
        places: Places,
    ) -> anyhow::Result<Self> {
        setup::create(directory, processes, 1.0, |text| eprintln!("{text}")).await?;
        setup::configure(directory, None)?;
        let genesis = Arc::new(read_genesis(&directory.file("genesis.toml"))?);
        Ok(Self {
            directory,
            processes,
            places,
            genesis,
            payments_per_second: 1.0,
            deadline_ms: 0,
            liars: Liars::default(),
            clocks: Vec::new(),
            faketime: None,
        })
    }

    pub(super) fn validators(&self) -> u16 {
        self.directory.plan().validators
    }

    /// Validators that never lie in the present scenario.
    pub(super) fn honest(&self) -> Vec<u16> {
        let all = 0..self.validators();
        all.filter(|index| !self.liars.lies(*index)).collect()
    }

    pub(super) fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// A file of the network.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// A client of one validator, which is asked once.
    pub(super) fn client(&self, index: u16, patience: Duration) -> anyhow::Result<Client> {
        let options = ClientOptions {
            connect_timeout: patience,
            request_timeout: patience,
            rounds: 1,
            ..ClientOptions::default()
        };
        Ok(Client::with_options([self.places.url(index)], options)?)
    }

    /// Removes what the last scenario left, and takes over what this one asks for.
    pub(super) fn begin(&mut self, scenario: &Scenario) -> anyhow::Result<()> {
        let plan = *self.directory.plan();
        let data = |name: String| self.directory.part(&name, "data");
        let parts = (0..plan.validators)
            .map(validator_name)
            .chain(plan.rollup_ids().map(rollup_name))
            .chain((0..plan.provers).map(prover_name))
            .map(data);
        let twin = self.directory.part(&validator_name(0), TWIN_DATA);
        for part in parts.chain([twin, self.file("logs")]) {
            remove(&part, fs::remove_dir_all(&part))?;
        }
        let sequence = self.file("user.key.sequence");
        remove(&sequence, fs::remove_file(&sequence))?;
        let logs = self.file("logs");
        fs::create_dir_all(&logs).with_context(|| denied(&logs))?;

        self.payments_per_second = scenario.payments_per_second;
        self.deadline_ms = scenario.deadline_ms;
        self.liars = Liars::new(scenario)?;
        self.clocks = match scenario.clocks() {
            Some(clocks) => clocks,
            None => (0..plan.validators).collect(),
        };
        self.faketime = FAKETIME
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists());
        for index in self.clocks.clone() {
            self.set_clock(index, 0)?;
        }
        Ok(())
    }

    /// Starts a validator, by itself or again; twice if it is a twin.
    pub(super) fn start_validator(&mut self, index: u16) -> anyhow::Result<()> {
        let spec = self.validator(index, index)?;
        self.processes.start(&spec)?;
        if self.liars.has_twin(index) {
            let mut spec = self.validator(index, self.places.twin())?;
            let data = self.directory.part(&validator_name(index), TWIN_DATA);
            spec.args
                .extend(["--set".into(), format!("data=\"{}\"", data.display())]);
            spec.name = twin_name(index);
            self.processes.start(&spec)?;
        }
        Ok(())
    }

    /// How a validator is started at a place.
    fn validator(&self, index: u16, place: u16) -> anyhow::Result<Spec> {
        let mut spec = spec(self.directory, &validator_name(index), "node");
        let mut set = |key: &str, value: String| {
            spec.args.extend(["--set".into(), format!("{key}={value}")]);
        };
        set("listen", format!("\"{}\"", self.places.peer(place)));
        set("api", format!("\"{}\"", self.places.api(place)));
        // The lower of two dials the higher one, at the relay; the other way nobody dials, and the
        // address given is one at which nobody is.
        for other in (0..self.validators()).filter(|other| *other != index) {
            let at = self.places.front(place, other);
            set(
                &format!("peers.{}", validator_name(other)),
                format!("\"{at}\""),
            );
        }
        spec.launch = self.places.launch(place);
        if self.clocks.contains(&index) {
            let library = self.faketime.as_ref().ok_or_else(no_faketime)?;
            let variables = [
                ("LD_PRELOAD", library.display().to_string()),
                (
                    "FAKETIME_TIMESTAMP_FILE",
                    self.clock_file(index).display().to_string(),
                ),
                ("FAKETIME_NO_CACHE", "1".into()),
                // A jump of the clock moves no timer.
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
                ("DONT_FAKE_MONOTONIC", "1".into()),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value));
            spec.launch.environment.extend(variables);
        }
        self.liars.bend(index, &mut spec);
        Ok(spec)
    }

    /// Starts a validator anew as one that lies.
    pub(super) async fn corrupt(&mut self, one: &Byzantine) -> anyhow::Result<()> {
        self.liars.begin(one);
        self.end_liar(one.validator).await;
        self.start_validator(one.validator)
    }

    /// Starts a validator that lied anew as an honest one.
    pub(super) async fn reform(&mut self, index: u16) -> anyhow::Result<()> {
        self.liars.end(index);
        self.end_liar(index).await;
        self.start_validator(index)
    }

    /// Starts the payments rollup's node.
    pub(super) fn start_rollup(&mut self) -> anyhow::Result<()> {
        let settings = [
            format!("nodes={}", list(&self.urls(1))),
            format!("registration.range_transactions={RANGE_TRANSACTIONS}"),
            format!("registration.range_age_ms={RANGE_AGE_MS}"),
            format!("registration.deadline_ms={}", self.deadline_ms),
            format!("devnet.load_tps={:?}", self.payments_per_second),
        ];
        self.start_member(&rollup_name(1), "rollup", &settings)
    }

    /// The APIs of those that never lie, one of them first: clients choose whom they ask.
    pub(super) fn urls(&self, first: u16) -> Vec<String> {
        let honest = self.honest();
        let from = usize::from(first) % honest.len().max(1);
        let order = honest.iter().cycle().skip(from).take(honest.len());
        order.map(|index| self.places.url(*index)).collect()
    }

    /// Starts a prover; the first is the cheapest.
    pub(super) fn start_prover(&mut self, index: u16) -> anyhow::Result<()> {
        let price = PRICE + PRICE_STEP * index;
        let settings = [
            format!("nodes={}", list(&self.urls(index))),
            format!("strategy={{ kind = \"fixed\", price = {price} }}"),
            "slots=4".into(),
        ];
        self.start_member(&prover_name(index), "prover", &settings)
    }

    fn start_member(
        &mut self,
        name: &str,
        command: &str,
        settings: &[String],
    ) -> anyhow::Result<()> {
        let mut spec = spec(self.directory, name, command);
        for setting in settings {
            spec.args.extend(["--set".into(), setting.clone()]);
        }
        spec.launch = Launch {
            append_log: true,
            ..Launch::default()
        };
        self.processes.start(&spec)
    }

    /// Starts a process again under its own name.
    pub(super) fn start_again(&mut self, name: &str) -> anyhow::Result<()> {
        match name
            .rsplit_once('-')
            .map(|(kind, number)| (kind, number.parse()))
        {
            Some(("validator", Ok(index))) => self.start_validator(index),
            Some(("prover", Ok(index))) => self.start_prover(index),
            _ => self.start_rollup(),
        }
    }

    /// Ends a process with SIGKILL.
    pub(super) async fn kill(&mut self, name: &str) {
        self.processes.kill(name).await;
    }

    /// Stops a process cleanly.
    pub(super) async fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        self.processes.stop_one(name).await
    }

    /// Whether a process was started and has not been ended by us.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.processes.pid(name).is_some()
    }

    /// Stops a process where it is, or lets it go on.
    pub(super) fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let pid = self
            .processes
            .pid(name)
            .and_then(|pid| Pid::from_raw(pid as i32));
        let pid =
            pid.ok_or_else(|| anyhow!("[CV-CLI-124] {name} does not run; correct the scenario"))?;
        kill_process(pid, signal).with_context(|| format!("[CV-CLI-125] {name} takes no signal"))
    }

    /// Sets how far the clock that a validator reads is off.
    pub(super) fn set_clock(&self, index: u16, seconds: i64) -> anyhow::Result<()> {
        let path = self.clock_file(index);
        replace_file(&path, format!("{seconds:+}\n").as_bytes()).with_context(|| denied(&path))
    }

    fn clock_file(&self, index: u16) -> PathBuf {
        self.directory.part(&validator_name(index), "clock")
    }

    /// Makes each sync of a validator's disk take longer, for as long as the returned process runs.
    pub(super) fn slow_disk(&self, index: u16, sync_ms: u64) -> anyhow::Result<Child> {
        let name = validator_name(index);
        let pid = self.processes.pid(&name);
        let pid =
            pid.ok_or_else(|| anyhow!("[CV-CLI-124] {name} does not run; correct the scenario"))?;
        let syncs = "fsync,fdatasync,sync_file_range,msync";
        Command::new("strace")
            .args(["-f", "-qqq", "-o", "/dev/null", "-e"])
            .arg(format!("trace={syncs}"))
            .arg("-e")
            .arg(format!("inject={syncs}:delay_enter={}", sync_ms * 1000))
            .args(["-p", &pid.to_string()])
            .kill_on_drop(true)
            .spawn()
            .context(NO_STRACE)
    }

    /// Resolves once a validator is ready.
    pub(super) fn ready(&self, index: u16) -> impl Future<Output = ()> + Send + use<> {
        let url = format!("{}/readyz", self.places.url(index));
        async move {
            let http = reqwest::Client::builder()
                .no_proxy()
                .build()
                .unwrap_or_default();
            while !is_ready(&http, &url).await {
                sleep(LOOK).await;
            }
        }
    }

    /// Starts all validators and waits until the honest ones are ready.
    pub(super) async fn start_validators(&mut self) -> anyhow::Result<()> {
        for index in 0..self.validators() {
            self.start_validator(index)?;
        }
        let waits: Vec<_> = self
            .honest()
            .into_iter()
            .map(|index| self.ready(index))
            .collect();
        let ready = timeout(PATIENCE, futures::future::join_all(waits));
        tokio::select! {
            ready = ready => match ready {
                Ok(_) => Ok(()),
                Err(_) => bail!("[CV-CLI-126] the validators did not connect within {PATIENCE:?}; look into {}", self.directory.file("logs").display()),
            },
            error = self.died() => Err(error),
        }
    }

    /// Waits until the first payment is ordered, so that there is something to settle whatever
    /// happens next: a busy machine derives the wallets' keys for a while.
    pub(super) async fn await_payments(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for index in self.honest().into_iter().take(1) {
            let client = self.client(index, PATIENCE)?;
            while client
                .rollup(PAYMENTS)
                .await
                .map_or(0, |view| view.ordered_index)
                == 0
            {
                ensure!(
                    Instant::now() < deadline,
                    "[CV-CLI-142] no payment was ordered within {PATIENCE:?}; look into {}",
                    self.directory.file("logs").display()
                );
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// The next process that ends by itself, which none should but one that lies.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        loop {
            let ended: Ended = self.processes.next_end().await;
            if !self.liars.runs_as(&ended.name) {
                return self.processes.describe(&ended);
            }
        }
    }

    /// The prover behind each account.
    pub(super) fn prover_accounts(&self) -> anyhow::Result<BTreeMap<String, u16>> {
        let of = |index| {
            Ok((
                setup::prover_account(self.directory, index)?.to_string(),
                index,
            ))
        };
        (0..self.directory.plan().provers).map(of).collect()
    }

    /// Stops everything that still runs; returns what did not stop as it should.
    pub(super) async fn end(&mut self) -> Vec<String> {
        for index in 0..self.validators() {
            if self.liars.lies(index) {
                self.end_liar(index).await;
            }
        }
        self.processes
            .stop(&["prover-", "rollup-", "validator-"])
            .await
    }

    /// How somebody who lies would stop is of no interest.
    async fn end_liar(&mut self, index: u16) {
        self.processes.kill(&twin_name(index)).await;
        self.processes.kill(&validator_name(index)).await;
    }
}

/// Why slow disks cannot be had.
const NO_STRACE: &str = "[CV-CLI-127] slow disks need strace; install it";

fn no_faketime() -> anyhow::Error {
    anyhow!("[CV-CLI-128] clocks that jump need libfaketime; install the package faketime")
}

/// Makes sure that what a scenario needs beyond this program is there.
pub(super) fn check_tools(scenario: &Scenario) -> anyhow::Result<()> {
    let needs_clocks = scenario.clocks().is_none_or(|clocks| !clocks.is_empty());
    if needs_clocks && !FAKETIME.iter().any(|path| Path::new(path).exists()) {
        return Err(no_faketime());
    }
    if scenario.has_slow_disk() {
        let found = std::process::Command::new("strace")
            .arg("--version")
            .output();
        found.context(NO_STRACE)?;
    }
    Ok(())
}

fn list(urls: &[String]) -> String {
    let quoted: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// What is not there need not be removed.
fn remove(path: &Path, result: std::io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| denied(path))
        }
        _ => Ok(()),
    }
}

fn denied(path: &Path) -> String {
    format!(
        "[CV-CLI-071] cannot write {}; check its rights",
        path.display()
    )
}
