//! A network of real processes, set up by the real commands, each to be killed and started again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use conclave_crypto::{EdSecret, load_key};
use conclave_sdk::{Client, ClientOptions};
use conclave_types::Genesis;
use tempfile::TempDir;

use crate::wait::eventually;

/// Validators of every network here: one of them may fail.
pub(crate) const VALIDATORS: usize = 4;
/// The only rollup.
pub(crate) const ROLLUP: u32 = 1;
/// What a prover posts.
pub(crate) const PROVER_BOND: u64 = 1_000_000;

const BINARY: &str = env!("CARGO_BIN_EXE_conclave");
/// Below the ports that the system hands out by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports of one network.
const PORT_STEP: u16 = 300;
/// Bytes of each log that are shown when a test fails.
const TAIL_BYTES: usize = 3_000;

/// What differs between networks.
pub(crate) struct Shape {
    /// Each prover's fixed price for a transaction, and its slots.
    pub(crate) prover_prices: &'static [(u64, u16)],
    /// The rollup's own load.
    pub(crate) payments_per_second: u32,
    pub(crate) range_transactions: u32,
    pub(crate) deadline_ms: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            prover_prices: &[(50, 4)],
            payments_per_second: 1,
            range_transactions: 24,
            deadline_ms: 90_000,
        }
    }
}

/// A running network. Dropping it kills everything; if the test failed, with the ends of the logs.
pub(crate) struct Network {
    shape: Shape,
    folder: TempDir,
    base_port: u16,
    genesis: Arc<Genesis>,
    nodes: Vec<Client>,
    running: BTreeMap<String, Child>,
    /// One network at a time, also across test processes: each keeps two cores busy.
    _turn: File,
}

impl Network {
    /// Sets a network up and starts it.
    pub(crate) async fn start(shape: Shape) -> Self {
        let turn = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e.lock");
        let turn = File::create(turn).expect("the lock file");
        turn.lock().expect("the lock");
        let folder = tempfile::tempdir().expect("a directory");
        let base_port = free_ports();
        set_up(folder.path(), base_port, &shape);

        let genesis = fs::read_to_string(folder.path().join("genesis.toml")).expect("a genesis");
        let genesis: Genesis = toml::from_str(&genesis).expect("a valid genesis");
        let url = |node: usize| format!("http://127.0.0.1:{}", base_port + 100 + node as u16);
        // One node each, asked once: tests ask again themselves.
        let options = ClientOptions {
            request_timeout: Duration::from_secs(10),
            rounds: 1,
            ..ClientOptions::default()
        };
        let nodes = (0..VALIDATORS)
            .map(|node| Client::with_options([url(node)], options.clone()).expect("a client"));
        let mut network = Self {
            shape,
            folder,
            base_port,
            genesis: Arc::new(genesis),
            nodes: nodes.collect(),
            running: BTreeMap::new(),
            _turn: turn,
        };
        network.start_validators(&[0, 1, 2, 3]).await;
        network.start_rollup();
        for index in 0..network.shape.prover_prices.len() {
            network.start_prover(index);
        }
        network
    }

    /// The client of one validator.
    pub(crate) fn node(&self, index: usize) -> &Client {
        &self.nodes[index]
    }

    /// Where all validators serve.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.nodes()[0].clone())
            .collect()
    }

    pub(crate) fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// A file of the network.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A validator's final height.
    pub(crate) async fn height(&self, node: usize) -> u64 {
        eventually("a validator's height", async || {
            Some(self.node(node).status().await.ok()?.committed_height)
        })
        .await
    }

    /// Waits until each of these validators has so many more final blocks, executed.
    pub(crate) async fn goes_on(&self, nodes: &[u16], blocks: u64) {
        let start = self.height(nodes[0].into()).await;
        for node in nodes {
            let what = format!("{blocks} blocks after {start} at validator {node}");
            eventually(&what, async || {
                let status = self.node((*node).into()).status().await.ok()?;
                (status.executed_height >= start + blocks).then_some(())
            })
            .await;
        }
    }

    /// Kills validators with SIGKILL, all before any of them is waited for.
    pub(crate) fn kill(&mut self, validators: &[u16]) {
        let names: Vec<String> = validators
            .iter()
            .map(|v| format!("validator-{v}"))
            .collect();
        for name in &names {
            let child = self.running.get_mut(name).expect("a running validator");
            child.kill().expect("SIGKILL");
        }
        for name in &names {
            self.reap(name);
        }
    }

    /// Kills a prover with SIGKILL.
    pub(crate) fn kill_prover(&mut self, index: usize) {
        self.reap(&format!("prover-{index}"));
    }

    fn reap(&mut self, name: &str) {
        let mut child = self.running.remove(name).expect("a running process");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    /// Where a validator keeps what it must not lose.
    pub(crate) fn data(&self, validator: u16) -> PathBuf {
        self.path(&format!("validator-{validator}/data"))
    }

    /// Removes all data of a validator that does not run.
    pub(crate) fn wipe(&self, validator: u16) {
        fs::remove_dir_all(self.data(validator)).expect("its data are there");
    }

    /// Starts a validator that will end by itself.
    #[cfg(feature = "external")]
    pub(crate) fn launch(&mut self, validator: u16) {
        self.spawn(&format!("validator-{validator}"), "node", &[]);
    }

    /// Waits until a validator has ended by itself, unsuccessfully; its log.
    #[cfg(feature = "external")]
    pub(crate) async fn failed(&mut self, validator: u16) -> String {
        let name = format!("validator-{validator}");
        let mut child = self.running.remove(&name).expect("a running validator");
        let status = eventually("the validator to stop", async || {
            child.try_wait().expect("its state")
        })
        .await;
        assert_eq!(status.code(), Some(1), "{status}");
        fs::read_to_string(self.path(&format!("logs/{name}.log"))).expect("its log")
    }

    /// Starts validators and waits until they are ready.
    pub(crate) async fn start_validators(&mut self, validators: &[u16]) {
        for index in validators {
            self.spawn(&format!("validator-{index}"), "node", &[]);
        }
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.expect("an HTTP client");
        for index in validators {
            let url = format!("{}/readyz", self.urls()[usize::from(*index)]);
            eventually(&format!("validator {index} to be ready"), async || {
                let answer = http.get(&url).timeout(Duration::from_secs(5)).send().await;
                answer.ok()?.error_for_status().ok().map(drop)
            })
            .await;
        }
    }

    fn start_rollup(&mut self) {
        let settings = [
            format!(
                "registration.range_transactions={}",
                self.shape.range_transactions
            ),
            "registration.range_age_ms=3000".into(),
            format!("registration.deadline_ms={}", self.shape.deadline_ms),
        ];
        self.spawn(&format!("rollup-{ROLLUP}"), "rollup", &settings);
    }

    /// Asks the rollup's node, and with it its load, to stop, and waits until it has.
    pub(crate) async fn stop_rollup(&mut self) {
        let name = format!("rollup-{ROLLUP}");
        let mut child = self.running.remove(&name).expect("a running rollup");
        drop(child.stdin.take());
        let status = eventually("the rollup's node to stop", async || {
            child.try_wait().expect("its state")
        })
        .await;
        assert!(status.success(), "the rollup's node ended with {status}");
    }

    /// Starts a prover.
    pub(crate) fn start_prover(&mut self, index: usize) {
        let (price, slots) = self.shape.prover_prices[index];
        let settings = [
            format!("strategy={{ kind = \"fixed\", price = {price} }}"),
            format!("slots={slots}"),
            format!("bond={PROVER_BOND}"),
        ];
        self.spawn(&format!("prover-{index}"), "prover", &settings);
    }

    /// A prover's account.
    pub(crate) fn prover_account(&self, index: usize) -> String {
        let key = load_key(&self.path(&format!("prover-{index}/account.key")));
        let key = EdSecret::from_seed(&key.expect("the prover's key"));
        key.account().to_string()
    }

    /// The auction whose range a prover says it is proving.
    pub(crate) fn proving(&self, index: usize) -> Option<u64> {
        let file = self.path(&format!("prover-{index}/data/status.json"));
        let status: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let mut jobs = status["jobs"].as_array()?.iter();
        jobs.find(|job| job["stage"] == "proving")?["auction"].as_u64()
    }

    /// Runs `conclave verify` over the whole chain.
    pub(crate) async fn verify(&self) {
        let output = command()
            .arg("verify")
            .args(["--node", &self.urls()[VALIDATORS - 1]])
            .args(["--rollup", &ROLLUP.to_string()])
            .arg("--genesis")
            .arg(self.path("genesis.toml"))
            .output();
        let output = output.expect("conclave verify runs");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{out}{err}");
    }

    fn spawn(&mut self, name: &str, subcommand: &str, settings: &[String]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("logs/{name}.log")))
            .expect("a log");
        let config = self.path(&format!("{name}/{subcommand}.toml"));
        let mut command = command();
        command
            .args(["--log", "info", "--exit-with-parent", subcommand])
            .arg("--config")
            .arg(config);
        for setting in settings {
            command.args(["--set", setting]);
        }
        // The child stops when this pipe closes, however this process ends.
        let child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the process starts");
        let before = self.running.insert(name.into(), child);
        assert!(before.is_none(), "{name} runs already");
    }

    fn show_logs(&self) {
        eprintln!("ports from {}", self.base_port);
        let Ok(entries) = fs::read_dir(self.path("logs")) else {
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let log = fs::read(&path).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(TAIL_BYTES)..];
            eprintln!("== {}\n{}", path.display(), String::from_utf8_lossy(tail));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

/// This program, without settings from the environment.
fn command() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CONCLAVE_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Makes keys, the sealing key between four processes, the genesis and all configuration files.
fn set_up(folder: &Path, base_port: u16, shape: &Shape) {
    let output = command()
        .args(["devnet", "--setup-only", "--rollups", "1", "--data-dir"])
        .arg(folder)
        .args(["--provers", &shape.prover_prices.len().to_string()])
        .args(["--load", &shape.payments_per_second.to_string()])
        .args(["--base-port", &base_port.to_string()])
        .output();
    let output = output.expect("conclave devnet runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The first of a network's ports, none of which is in use.
fn free_ports() -> u16 {
    let first = std::process::id() as u16 % 16;
    let mut bases = PORTS
        .step_by(PORT_STEP.into())
        .cycle()
        .skip(first.into())
        .take(40);
    let is_free = |base: &u16| {
        let peers = (0..4).all(|index| UdpSocket::bind(("127.0.0.1", base + index)).is_ok());
        let apis = (100..104).chain([200 + ROLLUP as u16]);
        peers
            && apis
                .into_iter()
                .all(|index| TcpListener::bind(("127.0.0.1", base + index)).is_ok())
    };
    bases.find(is_free).expect("free ports")
}
