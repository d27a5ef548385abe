//! Whether this machine lets anything run: a thread that only sleeps, and writes down when it was
//! kept from waking up.
//!
//! A machine that stands still, as a virtual one whose host is busy, says nothing about validators.
//! The thread measures exactly that and nothing else: it shares no lock, queue or runtime with what
//! is tried out, and whatever validators do to each other does not slow it down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use conclave_tests::chaos::Stall;
use tokio::time::Instant;

/// How long it sleeps.
const SLEEP: Duration = Duration::from_millis(10);
/// Later than this is a stall; less is how any machine is.
const LATE: Duration = Duration::from_millis(40);

/// The running thread; dropping it ends it.
pub(super) struct Clock {
    stalls: Arc<Mutex<Vec<Stall>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    /// Starts to watch; times count from `start`.
    pub(super) fn start(start: Instant) -> anyhow::Result<Self> {
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (stalls.clone(), stop.clone());
        let watch = move || {
            let mut woken = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(SLEEP);
                let due = woken + SLEEP;
                woken = Instant::now();
                if woken > due + LATE {
                    let since =
                        |at: Instant| at.saturating_duration_since(start).as_millis() as u64;
                    let stall = Stall {
                        from_ms: since(due),
                        to_ms: since(woken),
                    };
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(stall);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("conclave-clock".into())
            .spawn(watch)
            .context("[CV-CLI-020] cannot start threads; raise the limit of processes")?;
        Ok(Self {
            stalls,
            stop,
            thread: Some(thread),
        })
    }

    /// What was seen.
    pub(super) fn end(self) -> Vec<Stall> {
        let stalls = self.stalls.clone();
        drop(self);
        let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *stalls)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}
