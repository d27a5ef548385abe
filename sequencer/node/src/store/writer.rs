//! Group commit: one thread that writes whatever waits, in order, with one sync.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::{Store, StoreError, WriteBatch};

/// Bytes that may wait for the disk before [`StoreWriter::submit`] refuses: sixteen of the largest
/// batches.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

type OnDurable = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The one writer of a store. Dropping it writes what waits and ends its thread.
pub struct StoreWriter {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Something waits, or the writer was closed.
    changed: Condvar,
    /// What waited was taken to be written, or the writer was closed.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    pending: VecDeque<(WriteBatch, OnDurable)>,
    pending_bytes: usize,
    closed: Option<String>,
}

impl StoreWriter {
    /// Starts the thread. The receiver gets the error of the write that failed, after which the
    /// node must stop; it is closed without a value by an orderly shutdown.
    pub fn start(store: Store) -> Result<(Self, oneshot::Receiver<StoreError>), StoreError> {
        let queue = Arc::new(Queue::default());
        let (failed, failure) = oneshot::channel();
        let path = store.path().to_owned();
        let of_thread = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("conclave-store".to_owned())
            .spawn(move || run(&store, &of_thread, failed))
            .map_err(|error| StoreError::Io {
                path,
                reason: error.to_string(),
            })?;
        let writer = Self {
            queue,
            thread: Some(thread),
        };
        Ok((writer, failure))
    }

    /// Queues a batch and returns at once. `on_durable` is called on the writer's thread, in order
    /// of submission, once the batch is durable or will never be; it must be short.
    ///
    /// [`StoreError::Busy`] when too much waits, and then `on_durable` is not called.
    pub fn submit(
        &self,
        batch: WriteBatch,
        on_durable: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        self.push(batch, Box::new(on_durable), PENDING_BYTES_MAX)
    }

    /// Like [`submit`](Self::submit), and never [`StoreError::Busy`]: for writes that a protocol's
    /// own bounds limit. Whoever takes in more work asks [`pending_bytes`](Self::pending_bytes)
    /// first.
    pub fn enqueue(
        &self,
        batch: WriteBatch,
        on_durable: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        self.push(batch, Box::new(on_durable), usize::MAX)
    }

    /// Bytes that wait for the disk.
    pub fn pending_bytes(&self) -> usize {
        self.queue.lock().pending_bytes
    }

    /// Blocks while more than `bytes` wait for the disk: who takes in work that must be written
    /// goes no faster than the disk does. Returns at once when the writer has ended.
    pub fn wait_for_room(&self, bytes: usize) {
        let full = |state: &mut State| state.pending_bytes > bytes && state.closed.is_none();
        let room = self.queue.taken.wait_while(self.queue.lock(), full);
        drop(room.unwrap_or_else(PoisonError::into_inner));
    }

    /// Queues a batch and waits until it is durable. Never [`StoreError::Busy`]: it is for what a
    /// protocol waits for (the safety state), so that each caller has one outstanding. The batch
    /// is queued at once, not when the future is first polled.
    pub fn persist(
        &self,
        batch: WriteBatch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move |result| {
            // A caller that no longer waits has stopped.
            let _ = done.send(result);
        });
        let queued = self.push(batch, on_durable, usize::MAX);
        async move {
            queued?;
            durable.await.unwrap_or_else(|_| Err(stopped("it died")))
        }
    }

    /// Writes what waits, ends the thread, and releases the file unless others hold clones of the
    /// store. Blocks for the last commit.
    pub fn shutdown(mut self) {
        self.finish();
    }

    fn push(
        &self,
        batch: WriteBatch,
        on_durable: OnDurable,
        bytes_max: usize,
    ) -> Result<(), StoreError> {
        let mut state = self.queue.lock();
        if let Some(reason) = &state.closed {
            return Err(stopped(reason));
        }
        let bytes = state.pending_bytes.saturating_add(batch.bytes());
        // One batch always goes, whatever its size, so that Busy is never for ever.
        if bytes > bytes_max && !state.pending.is_empty() {
            return Err(StoreError::Busy { bytes, bytes_max });
        }
        state.pending_bytes = bytes;
        state.pending.push_back((batch, on_durable));
        self.queue.changed.notify_one();
        Ok(())
    }

    fn finish(&mut self) {
        self.queue.close("it was shut down");
        let Some(thread) = self.thread.take() else {
            return;
        };
        // The last handle may be dropped by a callback, on the thread itself.
        if thread.thread().id() == thread::current().id() {
            return;
        }
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, reason: &str) {
        self.lock().closed.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_one();
        self.taken.notify_all();
    }

    /// All that waits; `None` once nothing does and the writer is closed.
    fn take(&self) -> Option<VecDeque<(WriteBatch, OnDurable)>> {
        let idle = |state: &mut State| state.pending.is_empty() && state.closed.is_none();
        let mut state = self
            .changed
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.pending_bytes = 0;
        self.taken.notify_all();
        let group = std::mem::take(&mut state.pending);
        (!group.is_empty()).then_some(group)
    }
}

fn run(store: &Store, queue: &Queue, failed: oneshot::Sender<StoreError>) {
    // A panicking callback ends this thread: nothing may be accepted after that.
    let _guard = CloseOnExit(queue);
    while let Some(group) = queue.take() {
        let batches: Vec<&WriteBatch> = group.iter().map(|(batch, _)| batch).collect();
        let result = store.commit_all(&batches);
        if let Err(error) = &result {
            queue.close(&error.to_string());
            // Tell the owner before any waiter, so that nobody acts on a store that is gone.
            let _ = failed.send(error.clone());
            for (_, on_durable) in group {
                on_durable(Err(error.clone()));
            }
            return;
        }
        for (_, on_durable) in group {
            on_durable(Ok(()));
        }
    }
}

/// Closes the queue when the thread ends, and fails what still waits.
struct CloseOnExit<'a>(&'a Queue);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        self.0.close("it died");
        let (rest, reason) = {
            let mut state = self.0.lock();
            let reason = state.closed.clone().unwrap_or_default();
            (std::mem::take(&mut state.pending), reason)
        };
        for (_, on_durable) in rest {
            on_durable(Err(stopped(&reason)));
        }
    }
}

fn stopped(reason: &str) -> StoreError {
    StoreError::Stopped {
        reason: reason.to_owned(),
    }
}
