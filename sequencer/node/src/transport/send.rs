//! Writing: one long stream each for consensus and shares, one stream per bulk frame.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{SendStream, VarInt, WriteError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::Class;
use super::peer::raised;
use super::session::{Session, TaskEnd, violation};

/// The classes that a shutdown flushes.
pub(super) const FLUSHED: [Class; 2] = [Class::Consensus, Class::Shares];

/// Frames that go to QUIC in one call.
const FRAMES_AT_ONCE: usize = 32;

/// Writes the frames of one class to one stream. When the transport drains, writes what is queued
/// and waits until the peer has it.
///
/// ```text
/// tag: u8 | (length: u32 little-endian | body)*
/// ```
pub(super) async fn frames(
    session: Arc<Session>,
    class: Class,
    mut draining: watch::Receiver<bool>,
) -> TaskEnd {
    match write_frames(&session, class, &mut draining).await {
        Ok(()) => TaskEnd::Done,
        Err(WriteError::Stopped(_)) => TaskEnd::Violation("it refuses to read consensus or shares"),
        Err(_) => TaskEnd::Lost,
    }
}

async fn write_frames(
    session: &Session,
    class: Class,
    draining: &mut watch::Receiver<bool>,
) -> Result<(), WriteError> {
    let queue = session.peer.queue(class);
    let mut stream = open(session, class).await?;
    loop {
        let frame = tokio::select! {
            biased;
            frame = queue.pop() => frame,
            () = raised(draining) => break,
        };
        write_group(session, class, &mut stream, frame).await?;
    }
    while let Some(frame) = queue.try_pop() {
        write_group(session, class, &mut stream, frame).await?;
    }
    let _ = stream.finish();
    // Acknowledged, or refused by the peer, or lost; in each case there is nothing more to do.
    let _ = stream.stopped().await;
    Ok(())
}

/// Writes a frame and those that wait behind it.
async fn write_group(
    session: &Session,
    class: Class,
    stream: &mut SendStream,
    first: Bytes,
) -> Result<(), WriteError> {
    let queue = session.peer.queue(class);
    let rest = std::iter::from_fn(|| queue.try_pop());
    let mut chunks = Vec::new();
    let mut lengths = Vec::new();
    for frame in std::iter::once(first).chain(rest.take(FRAMES_AT_ONCE - 1)) {
        // Frames are far shorter than 4 GiB: the class bounds them.
        chunks.push(Bytes::copy_from_slice(&(frame.len() as u32).to_le_bytes()));
        lengths.push(frame.len());
        chunks.push(frame);
    }
    stream.write_all_chunks(&mut chunks).await?;
    for length in lengths {
        session.shared.metrics.class(class).sent(length);
    }
    Ok(())
}

/// Writes each dispersal frame to a stream of its own, a few at a time, so that a loss in one
/// frame does not hold up the others.
pub(super) async fn bulk(session: Arc<Session>) -> TaskEnd {
    let mut writing = JoinSet::new();
    loop {
        let slot = Arc::clone(&session.bulk_out).acquire_owned().await;
        let Ok(slot) = slot else {
            return TaskEnd::Lost;
        };
        tokio::select! {
            frame = session.peer.dispersal.pop() => {
                writing.spawn(one(Arc::clone(&session), frame, slot));
            }
            Some(end) = writing.join_next() => {
                if let Some(reason) = violation(end) {
                    return TaskEnd::Violation(reason);
                }
            }
        }
    }
}

async fn one(session: Arc<Session>, frame: Bytes, _slot: OwnedSemaphorePermit) -> TaskEnd {
    let bytes = frame.len();
    let written = async {
        let mut stream = open(&session, Class::Dispersal).await?;
        whole(&mut stream, frame).await
    };
    match written.await {
        Ok(()) => session.shared.metrics.dispersal.sent(bytes),
        Err(error) => tracing::debug!(peer = %session.from(), %error, "bulk frame lost"),
    }
    TaskEnd::Done
}

/// Writes the rest of a stream. Unless all of it was written the stream is reset: quinn would
/// finish one that is dropped half-written, as if half were all.
pub(super) async fn whole(stream: &mut SendStream, bytes: Bytes) -> Result<(), WriteError> {
    let mut partial = Partial(Some(stream));
    if let Some(stream) = &mut partial.0 {
        stream.write_chunk(bytes).await?;
    }
    if let Some(stream) = partial.0.take() {
        // It fails only for a stream that the peer stopped, which needs no end.
        let _ = stream.finish();
    }
    Ok(())
}

struct Partial<'a>(Option<&'a mut SendStream>);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            let _ = stream.reset(VarInt::from_u32(0));
        }
    }
}

async fn open(session: &Session, class: Class) -> Result<SendStream, WriteError> {
    let mut stream = session.connection.open_uni().await?;
    let _ = stream.set_priority(class.priority());
    stream.write_all(&[class.tag()]).await?;
    Ok(stream)
}
