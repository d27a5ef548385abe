//! Threads for what is CPU-heavy, away from the reactor and the core.

use std::thread;

use conclave_sequencer::{Tools, Work};
use crossbeam_channel::{Receiver, Sender, unbounded};

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
    pub(crate) fn start(tools: &Tools, events: &Sender<Event>) -> std::io::Result<Self> {
        let (urgent, urgent_work) = unbounded();
        let (bulk, bulk_work) = unbounded();
        spawn("conclave-open", urgent_work, tools.clone(), events.clone())?;
        spawn("conclave-check", bulk_work, tools.clone(), events.clone())?;
        Ok(Self { urgent, bulk })
    }

    pub(crate) fn submit(&self, work: Work) {
        let queue = match &work {
            Work::CheckEnvelopes(_) | Work::CheckBatch { .. } => &self.bulk,
            Work::Bundle { .. } | Work::Open { .. } | Work::Decrypt { .. } | Work::Execute(_) => {
                &self.urgent
            }
        };
        // The threads live as long as this handle, unless one panicked, and that ends the process.
        let _ = queue.send(work);
    }
}

fn spawn(
    name: &str,
    work: Receiver<Work>,
    tools: Tools,
    events: Sender<Event>,
) -> std::io::Result<()> {
    let run = move || {
        for work in work {
            let done = work.run(&tools);
            if events.send(Event::Done(Box::new(done))).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map(drop)
}
