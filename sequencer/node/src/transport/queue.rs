//! The bounded queue of one class to one peer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Class;
use super::class::Overflow;

/// Frames that wait for a peer, connected or not. Taken from by one writer at a time.
pub(super) struct Queue {
    class: Class,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits, and so many older ones were dropped for it.
    Queued { dropped: u64 },
    /// It was dropped.
    Refused,
}

impl Queue {
    pub(super) fn new(class: Class) -> Self {
        Self {
            class,
            state: Mutex::default(),
            ready: Notify::new(),
        }
    }

    /// Adds a frame by the policy of the class. The frame is within the class's bound, which is
    /// within the queue's, so that dropping the oldest always makes room.
    pub(super) fn push(&self, frame: Bytes) -> Pushed {
        let mut state = self.lock();
        let mut dropped = 0;
        while self.is_full(&state, frame.len()) {
            match self.class.overflow() {
                Overflow::RefuseNewest => return Pushed::Refused,
                Overflow::DropOldest => dropped += u64::from(state.take().is_some()),
            }
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        drop(state);
        self.ready.notify_one();
        Pushed::Queued { dropped }
    }

    /// Waits for a frame. Cancelling loses none.
    pub(super) async fn pop(&self) -> Bytes {
        loop {
            if let Some(frame) = self.lock().take() {
                return frame;
            }
            self.ready.notified().await;
        }
    }

    /// A frame, if one waits.
    pub(super) fn try_pop(&self) -> Option<Bytes> {
        self.lock().take()
    }

    fn is_full(&self, state: &State, more: usize) -> bool {
        !state.frames.is_empty()
            && (state.frames.len() >= self.class.queue_frames_max()
                || state.bytes + more > self.class.queue_bytes_max())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}
