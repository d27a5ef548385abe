//! One connection from its first message to its end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use conclave_types::ValidatorIndex;
use quinn::{Connection, ConnectionError};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use super::events::Inbox;
use super::handle::Shared;
use super::hello::Close;
use super::peer::{Driver, Peer, REMOVED, raised};
use super::{Class, Disconnect, PeerEvent, bounds, receive, send};

/// What the tasks of one connection share.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    /// Bulk frames and responses that we write.
    pub(super) bulk_out: Arc<Semaphore>,
    /// Bulk frames that we read and hold until the node takes them.
    pub(super) bulk_in: Semaphore,
    /// Whether the peer opened its stream of consensus, of shares.
    pub(super) opened: [AtomicBool; 2],
}

/// How a task of a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// It did what it was to do.
    Done,
    /// The peer finished a stream that lasts as long as it runs, and all of it was delivered.
    Finished,
    /// The connection broke, which shows elsewhere too.
    Lost,
    /// The peer did what no honest peer does.
    Violation(&'static str),
}

/// How a session ended.
pub(super) enum Ended {
    /// The peer connected anew.
    Replaced(Connection),
    Over,
    /// The transport drains, or the peer was removed.
    Stopped,
}

impl Driver {
    /// Serves one connection until it ends.
    pub(super) async fn serve(&mut self, connection: Connection) -> Ended {
        let started = Instant::now();
        self.count();
        let _link = Link::set(&self.peer, &connection);
        let mut removed = self.ends.removed.clone();
        let told = tokio::select! {
            () = self.tell(PeerEvent::Connected(self.peer.index)) => true,
            () = raised(&mut removed) => false,
        };
        if !told {
            Close::Removed.end(&connection, REMOVED);
            return Ended::Stopped;
        }

        let (ended, reason) = self.until_ended(&connection).await;

        self.back_off.reset_after(started.elapsed());
        tracing::info!(peer = %self.peer.index, ?reason, "disconnected");
        self.tell(PeerEvent::Disconnected(self.peer.index, reason))
            .await;
        ended
    }

    async fn until_ended(&mut self, connection: &Connection) -> (Ended, Disconnect) {
        let mut tasks = self.spawn(connection);
        loop {
            tokio::select! {
                error = connection.closed() => return (Ended::Over, disconnect_of(&error)),
                Some(end) = tasks.join_next() => {
                    if matches!(end, Ok(TaskEnd::Finished)) {
                        // The peer shuts down and waits to hear that we took everything: QUIC
                        // drops what was not read when a connection closes.
                        Close::Shutdown.end(connection, "goodbye");
                        let reason = "it shut down".to_owned();
                        return (Ended::Over, Disconnect::ByPeer { reason });
                    }
                    if let Some(reason) = violation(end) {
                        return (Ended::Over, self.cut_off(connection, reason));
                    }
                }
                Some(reason) = self.ends.punishments.recv() => {
                    return (Ended::Over, self.cut_off(connection, &reason));
                }
                Some(newer) = self.ends.arrivals.recv() => {
                    Close::Replaced.end(connection, "replaced by a newer connection");
                    return (Ended::Replaced(newer), Disconnect::Replaced);
                }
                () = raised(&mut self.ends.removed) => {
                    Close::Removed.end(connection, REMOVED);
                    return (Ended::Stopped, Disconnect::Removed);
                }
                () = raised(&mut self.draining) => {
                    // The writers see it too, and finish with what is queued.
                    let flushed = flush(connection, &mut tasks);
                    let flushed = timeout(self.timing.flush, flushed).await;
                    tracing::debug!(peer = %self.peer.index, in_time = flushed.is_ok(), "flushed");
                    Close::Shutdown.end(connection, "shutting down");
                    return (Ended::Stopped, Disconnect::Shutdown);
                }
            }
        }
    }

    fn spawn(&self, connection: &Connection) -> JoinSet<TaskEnd> {
        let session = Arc::new(Session {
            connection: connection.clone(),
            peer: Arc::clone(&self.peer),
            shared: Arc::clone(&self.shared),
            inbox: self.inbox.clone(),
            bulk_out: Arc::new(Semaphore::new(bounds::BULK_STREAMS_MAX)),
            bulk_in: Semaphore::new(bounds::BULK_STREAMS_MAX),
            opened: Default::default(),
        });
        let mut tasks = JoinSet::new();
        for class in send::FLUSHED {
            tasks.spawn(send::frames(
                Arc::clone(&session),
                class,
                self.draining.clone(),
            ));
        }
        tasks.spawn(send::bulk(Arc::clone(&session)));
        tasks.spawn(receive::all(session));
        tasks
    }

    fn cut_off(&mut self, connection: &Connection, reason: &str) -> Disconnect {
        // In this order: who is closed comes back at once, and must find the cool-down begun.
        self.punish(reason);
        Close::Punished.end(connection, reason);
        Disconnect::Punished {
            reason: reason.to_owned(),
        }
    }

    fn count(&mut self) {
        tracing::info!(peer = %self.peer.index, "connected");
        self.shared.metrics.connected.add(1);
        self.shared
            .metrics
            .reconnected
            .add(u64::from(self.sessions > 0));
        self.sessions += 1;
    }

    /// Waits for room among the events, but not during a shutdown.
    async fn tell(&mut self, event: PeerEvent) {
        if let Err(event) = self.inbox.peers.try_send(event) {
            let event = event.into_inner();
            tokio::select! {
                _ = self.inbox.peers.send(event) => {}
                () = raised(&mut self.draining) => {}
            }
        }
    }
}

/// Waits until the peer closed the connection, which it does when it took everything, or until
/// both sides have finished, when both shut down.
async fn flush(connection: &Connection, tasks: &mut JoinSet<TaskEnd>) {
    let (mut flushed, mut peer_finished) = (0, false);
    while flushed < send::FLUSHED.len() || !peer_finished {
        tokio::select! {
            _ = connection.closed() => return,
            end = tasks.join_next() => match end {
                Some(Ok(TaskEnd::Done)) => flushed += 1,
                Some(Ok(TaskEnd::Finished)) => peer_finished = true,
                Some(Ok(TaskEnd::Lost | TaskEnd::Violation(_)) | Err(_)) | None => return,
            }
        }
    }
}

/// A panic of our own in handling a peer counts as the peer's fault, and is loud in the log.
pub(super) fn violation(end: Result<TaskEnd, JoinError>) -> Option<&'static str> {
    match end {
        Ok(TaskEnd::Done | TaskEnd::Finished | TaskEnd::Lost) => None,
        Ok(TaskEnd::Violation(reason)) => Some(reason),
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "a transport task panicked");
            Some("a task that served it panicked")
        }
        Err(_) => None,
    }
}

fn disconnect_of(error: &ConnectionError) -> Disconnect {
    match error {
        ConnectionError::ApplicationClosed(closed) => Disconnect::ByPeer {
            reason: String::from_utf8_lossy(&closed.reason).into_owned(),
        },
        other => Disconnect::Lost {
            reason: other.to_string(),
        },
    }
}

/// Publishes the connection while it lives, even when the driver is aborted.
struct Link(Arc<Peer>);

impl Link {
    fn set(peer: &Arc<Peer>, connection: &Connection) -> Self {
        peer.link.send_replace(Some(connection.clone()));
        Self(Arc::clone(peer))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.link.send_replace(None);
    }
}

impl Session {
    pub(super) fn from(&self) -> ValidatorIndex {
        self.peer.index
    }

    /// The place in [`Session::opened`] of a class that has one stream.
    pub(super) fn opened(&self, class: Class) -> Option<&AtomicBool> {
        match class {
            Class::Consensus => Some(&self.opened[0]),
            Class::Shares => Some(&self.opened[1]),
            Class::Dispersal => None,
        }
    }
}
