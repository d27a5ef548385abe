//! The devnet's processes: started from this binary, watched, and stopped with it.
//!
//! Each child leads a process group of its own, so that Ctrl-C in a terminal reaches the devnet
//! only, which stops the children in order. Each child's standard input is a pipe that the devnet
//! holds and never writes to: closing it asks the child to stop, and the system closes it when the
//! devnet ends in whatever way, kill -9 included. So nothing is ever left running.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::pending;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use conclave_sdk::replace_file;
use futures::future::select_all;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout_at};

use super::directory::Directory;

/// How long a group of processes may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Lines of a log shown when its process died.
const TAIL_LINES: usize = 15;
/// Bytes read from the end of a log for that.
const TAIL_BYTES: usize = 64 * 1024;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    /// The arguments of this binary.
    pub(crate) args: Vec<String>,
    pub(crate) launch: Launch,
}

/// How a process is started, beside its arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    /// Another program than this binary.
    pub(crate) program: Option<PathBuf>,
    /// A program and its arguments that replaces itself by the process, such as `ip netns exec`.
    pub(crate) through: Vec<String>,
    /// Variables of its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether its log goes on instead of beginning anew.
    pub(crate) append_log: bool,
}

/// All processes of a devnet. Dropping it kills them.
pub(crate) struct Processes {
    binary: PathBuf,
    log_filter: String,
    logs: PathBuf,
    pids: PathBuf,
    running: BTreeMap<String, Running>,
}

struct Running {
    child: Child,
    pid: u32,
    /// Dropping it asks the child to stop.
    lifeline: ChildStdin,
}

/// A process that ended without being asked.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
}

impl Processes {
    pub(crate) fn new(directory: &Directory, log_filter: String) -> anyhow::Result<Self> {
        let binary = std::env::current_exe();
        Ok(Self {
            binary: binary.context("[CV-CLI-080] the path of this program is unknown")?,
            log_filter,
            logs: directory.file("logs"),
            pids: directory.file("pids.json"),
            running: BTreeMap::new(),
        })
    }

    /// Starts a process. Its log begins anew; the one before is kept as `.old`.
    pub(crate) fn start(&mut self, spec: &Spec) -> anyhow::Result<()> {
        let name = &spec.name;
        let started = self.spawn(spec);
        let started = started.with_context(|| {
            format!("[CV-CLI-081] cannot start {name}; check rights and limits")
        })?;
        self.running.insert(name.clone(), started);
        self.write_pids()
    }

    fn spawn(&self, spec: &Spec) -> std::io::Result<Running> {
        let path = self.log_path(&spec.name);
        let log = match spec.launch.append_log {
            true => File::options().create(true).append(true).open(&path)?,
            false => {
                if path.exists() {
                    fs::rename(&path, path.with_extension("log.old"))?;
                }
                File::create(&path)?
            }
        };
        let binary = spec.launch.program.as_ref().unwrap_or(&self.binary);
        let mut command = match spec.launch.through.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command
            .args(["--log", &self.log_filter, "--exit-with-parent"])
            .args(&spec.args)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        // The parts get their settings from their files; the devnet's environment is not theirs.
        for (variable, _) in std::env::vars_os() {
            if variable
                .to_str()
                .is_some_and(|name| name.starts_with("CONCLAVE_"))
            {
                command.env_remove(variable);
            }
        }
        command.envs(spec.launch.environment.iter().cloned());
        let mut child = command.spawn()?;
        let lost = || std::io::Error::other("the process ended at once");
        let lifeline = child.stdin.take().ok_or_else(lost)?;
        let pid = child.id().ok_or_else(lost)?;
        Ok(Running {
            child,
            pid,
            lifeline,
        })
    }

    /// Starts processes that do one thing, and waits for all of them; the first failure ends the
    /// others.
    pub(crate) async fn run_to_end(&mut self, specs: &[Spec]) -> anyhow::Result<()> {
        for spec in specs {
            self.start(spec)?;
        }
        for _ in specs {
            let ended = self.next_end().await;
            if !ended.status.success() {
                bail!(self.describe(&ended));
            }
        }
        Ok(())
    }

    /// The next process that ends. Cancelling the wait loses nothing.
    pub(crate) async fn next_end(&mut self) -> Ended {
        let waits: Vec<_> = self
            .running
            .iter_mut()
            .map(|(name, running)| Box::pin(async { (name.clone(), running.child.wait().await) }))
            .collect();
        if waits.is_empty() {
            return pending().await;
        }
        let ((name, status), _, rest) = select_all(waits).await;
        drop(rest);
        self.running.remove(&name);
        // A child that cannot be waited for is not ours any more.
        let status = status.unwrap_or_default();
        Ended { name, status }
    }

    /// Says that a process ended, with the end of its log.
    pub(crate) fn describe(&self, ended: &Ended) -> anyhow::Error {
        let Ended { name, status } = ended;
        let path = self.log_path(name);
        let tail = tail(&fs::read(&path).unwrap_or_default());
        anyhow!(
            "[CV-CLI-082] {name} ended unexpectedly ({status}); its log, {}, ends with:\n{tail}",
            path.display()
        )
    }

    /// Stops everything in order, named by prefix, then the rest. Returns who had to be killed or
    /// failed while stopping.
    pub(crate) async fn stop(&mut self, order: &[&str]) -> Vec<String> {
        let mut trouble = Vec::new();
        for prefix in order.iter().chain(&[""]) {
            let group: Vec<String> = self
                .running
                .keys()
                .filter(|name| name.starts_with(prefix))
                .cloned()
                .collect();
            let mut waiting = Vec::new();
            for name in group {
                if let Some(Running {
                    child, lifeline, ..
                }) = self.running.remove(&name)
                {
                    drop(lifeline);
                    waiting.push((name, child));
                }
            }
            let deadline = Instant::now() + STOP_PATIENCE;
            for (name, mut child) in waiting {
                match timeout_at(deadline, child.wait()).await {
                    Ok(Ok(status)) if status.success() => {}
                    Ok(Ok(status)) => trouble.push(format!("{name} stopped with {status}")),
                    Ok(Err(error)) => trouble.push(format!("{name}: {error}")),
                    Err(_) => {
                        // An error means that it ended meanwhile.
                        let _ = child.kill().await;
                        trouble.push(format!("{name} did not stop in time and was killed"));
                    }
                }
            }
        }
        // The file only helps to find processes; without it, there are none.
        let _ = fs::remove_file(&self.pids);
        trouble
    }

    /// The id of one that runs.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.running.get(name).map(|running| running.pid)
    }

    /// Ends one with SIGKILL, if it runs.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(mut running) = self.running.remove(name) {
            // An error means that it has ended already.
            let _ = running.child.kill().await;
        }
    }

    /// Asks one to stop and waits until it has.
    pub(crate) async fn stop_one(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(mut running) = self.running.remove(name) else {
            return Ok(());
        };
        drop(running.lifeline);
        let ended = timeout_at(Instant::now() + STOP_PATIENCE, running.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.describe(&Ended {
                name: name.into(),
                status,
            })),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => bail!(
                "[CV-CLI-088] {name} did not stop within {STOP_PATIENCE:?}; look into its log"
            ),
        }
    }

    /// The ids of all that run.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.running.values().map(|running| running.pid)
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn write_pids(&self) -> anyhow::Result<()> {
        let pids: BTreeMap<&str, u32> = self
            .running
            .iter()
            .map(|(name, running)| (name.as_str(), running.pid))
            .collect();
        replace_file(&self.pids, &serde_json::to_vec_pretty(&pids)?).with_context(|| {
            format!(
                "[CV-CLI-071] cannot write {}; check its owner and rights",
                self.pids.display()
            )
        })
    }
}

/// The last lines of a log, indented.
fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    match last {
        [] => "  (nothing)".into(),
        last => last
            .iter()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_short() {
        assert_eq!(tail(b""), "  (nothing)");
        assert_eq!(tail(b"one\ntwo\n"), "  one\n  two");
        let long: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        let tail = tail(long.as_bytes());
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 99999"));
    }
}
