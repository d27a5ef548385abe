//! Threads for what is CPU-heavy, away from the reactor and the core.

use std::thread;

use conclave_sequencer::{Tools, Work};
use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::watch;

use crate::replica::Event;

/// The queues to the worker threads. What waits in them is bounded by the sequencer: it has one
/// check of submissions, one attempt per lane and one execution under way at a time, and checks of
/// batches are bounded by what peers may have in flight.
#[derive(Clone)]
pub(crate) struct Workers {
    /// What the order of final blocks waits for.
    urgent: Sender<Work>,
    /// What admission waits for.
    bulk: Sender<Work>,
}

impl Workers {
    /// Starts one thread for each kind; they end when the last handle is dropped.
    ///
    /// A thread that panics tells `stop`: without it the node would go on voting and open nothing.
    pub(crate) fn start(
        tools: &Tools,
        events: &Sender<Event>,
        stop: &watch::Sender<Option<String>>,
    ) -> std::io::Result<Self> {
        let (urgent, urgent_work) = unbounded();
        let (bulk, bulk_work) = unbounded();
        for (name, work) in [
            ("conclave-open", urgent_work),
            ("conclave-check", bulk_work),
        ] {
            let (mut tools, events, stop) = (tools.clone(), events.clone(), stop.clone());
            let run = move || {
                let loud = Loud { name, stop };
                work_off(&work, &mut tools, &events);
                drop(loud);
            };
            thread::Builder::new().name(name.into()).spawn(run)?;
        }
        Ok(Self { urgent, bulk })
    }

    pub(crate) fn submit(&self, work: Work) {
        let queue = match &work {
            Work::CheckEnvelopes(_) | Work::CheckDispersal { .. } => &self.bulk,
            Work::Encode { .. }
            | Work::Rebuild { .. }
            | Work::Bundle { .. }
            | Work::Open { .. }
            | Work::CheckOpenings { .. }
            | Work::Execute(_) => &self.urgent,
        };
        // The threads live as long as this handle, unless one panicked, and that stops the node.
        let _ = queue.send(work);
    }
}

fn work_off(work: &Receiver<Work>, tools: &mut Tools, events: &Sender<Event>) {
    for work in work {
        let done = work.run(tools);
        if events.send(Event::Done(Box::new(done))).is_err() {
            return;
        }
    }
}

/// Stops the node when its thread panics.
struct Loud {
    name: &'static str,
    stop: watch::Sender<Option<String>>,
}

impl Drop for Loud {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = format!(
                "[CV-NODE-008] the thread {} panicked; see the log, report it, and start again",
                self.name
            );
            self.stop.send_replace(Some(reason));
        }
    }
}
