//! Asking a peer, and answering one: a bidirectional stream per request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_types::ValidatorIndex;
use quinn::{Connection, ReadError, ReadToEndError, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::handle::Shared;
use super::session::{Session, TaskEnd};
use super::{IncomingRequest, RequestError, Responder, bounds, send};

/// The stream code of a request that is not answered.
const DECLINED: VarInt = VarInt::from_u32(1);

/// Asks; at most [`bounds::REQUESTS_OPEN_MAX`] at a time and peer.
pub(super) async fn ask(
    shared: &Shared,
    to: ValidatorIndex,
    bytes: Bytes,
    within: Duration,
) -> Result<Bytes, RequestError> {
    let Some(peer) = shared.peer(to) else {
        return Err(RequestError::UnknownPeer { peer: to });
    };
    if bytes.len() > bounds::REQUEST_BYTES_MAX {
        return Err(RequestError::TooLong {
            bytes: bytes.len(),
            bytes_max: bounds::REQUEST_BYTES_MAX,
        });
    }
    let Some(connection) = peer.link.borrow().clone() else {
        return Err(RequestError::NotConnected { peer: to });
    };
    let Ok(_open) = peer.requests.try_acquire() else {
        return Err(RequestError::Busy { peer: to });
    };
    shared.metrics.sync.sent(bytes.len());
    let answer = timeout(within, exchange(&connection, to, bytes)).await;
    let answer = answer.unwrap_or(Err(RequestError::TimedOut { peer: to, within }));
    match &answer {
        Ok(bytes) => shared.metrics.sync.received(bytes.len()),
        Err(RequestError::AnswerTooLong { .. }) => peer.punish("it sent too long an answer"),
        Err(_) => {}
    }
    answer
}

async fn exchange(
    connection: &Connection,
    to: ValidatorIndex,
    bytes: Bytes,
) -> Result<Bytes, RequestError> {
    let lost = |reason: String| RequestError::Lost { peer: to, reason };
    let (mut send, mut receive) = connection
        .open_bi()
        .await
        .map_err(|error| lost(error.to_string()))?;
    match send::whole(&mut send, bytes).await {
        // The answer, or the refusal, tells more than a peer that stopped reading.
        Ok(()) | Err(WriteError::Stopped(_)) => {}
        Err(error) => return Err(lost(error.to_string())),
    }
    match receive.read_to_end(bounds::RESPONSE_BYTES_MAX).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(ReadToEndError::TooLong) => Err(RequestError::AnswerTooLong { peer: to }),
        Err(ReadToEndError::Read(ReadError::Reset(_))) => Err(RequestError::Declined { peer: to }),
        Err(error) => Err(lost(error.to_string())),
    }
}

/// Hands a request to the node and its answer to the peer.
pub(super) async fn serve(
    session: Arc<Session>,
    mut send: SendStream,
    mut receive: RecvStream,
) -> TaskEnd {
    let bytes = match receive.read_to_end(bounds::REQUEST_BYTES_MAX).await {
        Ok(bytes) => Bytes::from(bytes),
        Err(ReadToEndError::TooLong) => {
            return TaskEnd::Violation("it sent a request over its bound");
        }
        Err(_) => return TaskEnd::Done,
    };
    let metrics = &session.shared.metrics.sync;
    metrics.received(bytes.len());
    let (responder, answer) = oneshot::channel();
    let request = IncomingRequest {
        from: session.from(),
        bytes,
        responder: Responder(responder),
    };
    // On failure the responder is dropped with the request, and the answer below is an error.
    if session.inbox.requests.try_send(request).is_err() {
        metrics.dropped.add(1);
    }
    let answer = tokio::select! {
        answer = answer => answer,
        // Whoever asked has left.
        _ = send.stopped() => return TaskEnd::Done,
    };
    let Ok(answer) = answer else {
        let _ = send.reset(DECLINED);
        return TaskEnd::Done;
    };
    let Ok(_slot) = session.bulk_out.acquire().await else {
        return TaskEnd::Lost;
    };
    let bytes = answer.len();
    if send::whole(&mut send, answer).await.is_ok() {
        metrics.sent(bytes);
    }
    TaskEnd::Done
}
