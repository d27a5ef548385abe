//! Proving threads behind a bounded queue, off the reactor.
//!
//! A full queue refuses: the caller keeps the work and offers it again. A panic in one piece of
//! work is its result and harms no other.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::mpsc;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// A piece of work that panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[CV-PROVER-001] the work panicked: {message}; this is a defect of the program")]
pub struct Panicked {
    /// What it said.
    pub message: String,
}

/// The queue takes no more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[CV-PROVER-002] the work queue is full; offer the work again when some is done")]
pub struct QueueFull;

/// Named threads that work on what is queued, each piece under the caller's key.
pub struct WorkQueue<K, T> {
    work: Option<Sender<(K, Work<T>)>>,
    done: mpsc::UnboundedReceiver<(K, Result<T, Panicked>)>,
    threads: Vec<JoinHandle<()>>,
    closing: Arc<AtomicBool>,
}

impl<K: Send + 'static, T: Send + 'static> WorkQueue<K, T> {
    /// Starts the threads; at most `waiting` pieces wait for one.
    pub fn start(threads: usize, waiting: usize) -> io::Result<Self> {
        let (work, queued) = bounded(waiting);
        // Results are bounded by the work: no more than `threads + waiting` are ever under way
        // between two reads.
        let (results, done) = mpsc::unbounded_channel();
        let closing = Arc::new(AtomicBool::new(false));
        let mut handles = Vec::new();
        for index in 0..threads.max(1) {
            let (queued, results) = (queued.clone(), results.clone());
            let closing = closing.clone();
            let thread = std::thread::Builder::new().name(format!("prove-{index}"));
            handles.push(thread.spawn(move || run(&queued, &results, &closing))?);
        }
        Ok(Self {
            work: Some(work),
            done,
            threads: handles,
            closing,
        })
    }

    /// Queues work without waiting.
    pub fn push(&self, key: K, work: impl FnOnce() -> T + Send + 'static) -> Result<(), QueueFull> {
        match &self.work {
            Some(queue) => queue
                .try_send((key, Box::new(work)))
                .map_err(|error| match error {
                    TrySendError::Full(_) | TrySendError::Disconnected(_) => QueueFull,
                }),
            None => Err(QueueFull),
        }
    }

    /// The next result, waited for.
    pub async fn done(&mut self) -> Option<(K, Result<T, Panicked>)> {
        self.done.recv().await
    }

    /// Takes no more work, drops what waits, lets what is running finish, and ends the threads.
    /// Blocks until then.
    pub fn close(mut self) {
        self.closing.store(true, Ordering::Release);
        self.work = None;
        for thread in self.threads.drain(..) {
            // Work that panics is caught, so a thread never does.
            let _ = thread.join();
        }
    }
}

fn run<K, T>(
    queued: &Receiver<(K, Work<T>)>,
    results: &mpsc::UnboundedSender<(K, Result<T, Panicked>)>,
    closing: &AtomicBool,
) {
    while let Ok((key, work)) = queued.recv() {
        if closing.load(Ordering::Acquire) {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked {
            message: message(panic.as_ref()),
        });
        if results.send((key, result)).is_err() {
            return;
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
