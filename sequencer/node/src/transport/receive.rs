//! Reading: everything a peer opens, each stream by its own task.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quinn::{ReadError, ReadExactError, ReadToEndError, RecvStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::send::FLUSHED;
use super::session::{Session, TaskEnd, violation};
use super::{Class, Message, request};

/// Accepts streams until the connection ends or the peer misbehaves. How many there can be is
/// bounded by QUIC's stream limits, which count a stream until it is read to its end. A peer that
/// finished its streams of consensus and shares says goodbye.
pub(super) async fn all(session: Arc<Session>) -> TaskEnd {
    let mut streams = JoinSet::new();
    let mut finished = 0;
    loop {
        tokio::select! {
            stream = session.connection.accept_uni() => {
                let Ok(stream) = stream else { return TaskEnd::Lost };
                streams.spawn(one(Arc::clone(&session), stream));
            }
            pair = session.connection.accept_bi() => {
                let Ok((send, receive)) = pair else { return TaskEnd::Lost };
                streams.spawn(request::serve(Arc::clone(&session), send, receive));
            }
            Some(end) = streams.join_next() => {
                finished += usize::from(matches!(end, Ok(TaskEnd::Finished)));
                if finished == FLUSHED.len() {
                    return TaskEnd::Finished;
                }
                if let Some(reason) = violation(end) {
                    return TaskEnd::Violation(reason);
                }
            }
        }
    }
}

async fn one(session: Arc<Session>, mut stream: RecvStream) -> TaskEnd {
    let mut tag = [0];
    if stream.read_exact(&mut tag).await.is_err() {
        return TaskEnd::Done;
    }
    let Some(class) = Class::of_tag(tag[0]) else {
        return TaskEnd::Violation("it opened a stream of unknown class");
    };
    match session.opened(class) {
        None => bulk(&session, stream).await,
        Some(opened) if !opened.swap(true, Ordering::Relaxed) => {
            frames(&session, class, stream).await
        }
        Some(_) => TaskEnd::Violation("it opened a second stream of one class"),
    }
}

async fn frames(session: &Session, class: Class, mut stream: RecvStream) -> TaskEnd {
    let inbox = match class {
        Class::Consensus => &session.inbox.consensus,
        Class::Shares => &session.inbox.shares,
        Class::Dispersal => &session.inbox.dispersal,
    };
    loop {
        match frame(&mut stream, class.frame_bytes_max()).await {
            Ok(bytes) => deliver(session, class, inbox, bytes).await,
            Err(end) => return end,
        }
    }
}

async fn frame(stream: &mut RecvStream, bytes_max: usize) -> Result<Bytes, TaskEnd> {
    let mut length = [0; 4];
    stream
        .read_exact(&mut length)
        .await
        .map_err(|error| match error {
            ReadExactError::FinishedEarly(0) => TaskEnd::Finished,
            other => ended(&other),
        })?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(TaskEnd::Violation("it sent a frame over its bound"));
    }
    let mut bytes = vec![0; length];
    stream
        .read_exact(&mut bytes)
        .await
        .map_err(|error| ended(&error))?;
    Ok(bytes.into())
}

fn ended(error: &ReadExactError) -> TaskEnd {
    match error {
        ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(ReadError::Reset(_)) => {
            TaskEnd::Done
        }
        ReadExactError::ReadError(_) => TaskEnd::Lost,
    }
}

async fn bulk(session: &Session, mut stream: RecvStream) -> TaskEnd {
    let Ok(_slot) = session.bulk_in.acquire().await else {
        return TaskEnd::Lost;
    };
    match stream.read_to_end(Class::Dispersal.frame_bytes_max()).await {
        Ok(bytes) => {
            let inbox = &session.inbox.dispersal;
            deliver(session, Class::Dispersal, inbox, bytes.into()).await;
            TaskEnd::Done
        }
        Err(ReadToEndError::TooLong) => TaskEnd::Violation("it sent a frame over its bound"),
        // The sender gave the frame up.
        Err(ReadToEndError::Read(ReadError::Reset(_))) => TaskEnd::Done,
        Err(ReadToEndError::Read(_)) => TaskEnd::Lost,
    }
}

/// Waits until the node takes the message; meanwhile the peer's next ones wait in the network.
async fn deliver(session: &Session, class: Class, inbox: &mpsc::Sender<Message>, bytes: Bytes) {
    session.shared.metrics.class(class).received(bytes.len());
    let from = session.from();
    // A node that dropped the receiver does not want these messages.
    let _ = inbox.send(Message { from, bytes }).await;
}
