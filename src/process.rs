//! What a long-running subcommand is to its operating system: a runtime, and a reason to stop.

use std::future::Future;
use std::io::Read;
use std::process::exit;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Reactor threads of one process; heavy work has threads of its own.
const REACTOR_THREADS: usize = 2;
/// How long a clean stop may take once the parent is gone, before the process ends itself.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(20);
/// How long blocking work may take to end after everything else has.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(5);
/// What a shell reports for a process that an interrupt ended.
const EXIT_INTERRUPTED: i32 = 130;

/// When to stop: on SIGINT or SIGTERM; and, for a child of `conclave devnet`, when standard input
/// ends. The parent holds the other end of that pipe and writes nothing: however the parent ends,
/// kill -9 included, the system closes the pipe and the child stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shutdown {
    pub(crate) with_parent: bool,
}

impl Shutdown {
    /// Runs `work` to its end on a new runtime. `work` gets a future that resolves when it is to
    /// stop; a second signal after that ends the process at once.
    pub(crate) fn run<T, W: Future<Output = anyhow::Result<T>>>(
        self,
        work: impl FnOnce(Stop) -> W,
    ) -> anyhow::Result<T> {
        let runtime = runtime()?;
        let result = runtime.block_on(async {
            let stop = Stop::listen(self.with_parent)?;
            work(stop).await
        });
        runtime.shutdown_timeout(RUNTIME_PATIENCE);
        result
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(REACTOR_THREADS)
        .enable_all()
        .build()
        .context("[CV-CLI-020] cannot start threads; raise the limit of processes")
}

/// The wish to stop.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    parent: oneshot::Receiver<()>,
}

impl Stop {
    fn listen(with_parent: bool) -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("[CV-CLI-021] cannot listen for signals");
        let (gone, parent) = oneshot::channel();
        match with_parent {
            true => watch_parent(gone)?,
            // Keeps the channel open for ever: nobody's end ends this process.
            false => std::mem::forget(gone),
        }
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            parent,
        })
    }

    /// Resolves at the first reason to stop. From then on a signal ends the process at once.
    pub(crate) async fn requested(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = &mut self.parent => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            eprintln!("stopped at once, on the second signal");
            exit(EXIT_INTERRUPTED);
        });
    }
}

/// Waits for the end of standard input on a thread, which a read that never returns cannot hold up.
fn watch_parent(gone: oneshot::Sender<()>) -> anyhow::Result<()> {
    let watch = move || {
        let mut sink = [0; 64];
        let mut input = std::io::stdin();
        while matches!(input.read(&mut sink), Ok(1..)) {}
        // The receiver is gone when the process stops already.
        let _ = gone.send(());
        thread::sleep(ORPHAN_PATIENCE);
        eprintln!("error: [CV-CLI-022] the parent is gone and the stop took too long");
        exit(1);
    };
    thread::Builder::new()
        .name("conclave-parent".into())
        .spawn(watch)
        .context("[CV-CLI-020] cannot start threads; raise the limit of processes")?;
    Ok(())
}
