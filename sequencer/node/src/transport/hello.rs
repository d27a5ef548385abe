//! The first exchange on a connection, and the codes with which one is closed.
//!
//! ```text
//! dialer   ── Hello{protocol, chain} ──▶ acceptor   first bidirectional stream
//! dialer   ◀── Hello{protocol, chain} ── acceptor   or a close with a code
//! ```

use bincode::{Decode, Encode};
use conclave_types::{ChainId, codec};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};

use super::{Refusal, bounds};

/// The version of everything that is said after the Hello.
pub(super) const PROTOCOL_VERSION: u16 = 1;

/// What both ends of a connection say first.
#[derive(Debug, Encode, Decode)]
pub struct Hello {
    protocol: u16,
    chain: ChainId,
}

/// Why a side closes a connection; the number is the application error code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    Shutdown = 0,
    WrongChain = 1,
    WrongVersion = 2,
    UnexpectedPeer = 3,
    CoolingDown = 4,
    BadHello = 5,
    Replaced = 6,
    Punished = 7,
    Removed = 8,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// One side did not want the other.
    Refused(Refusal),
    /// The network did not carry it.
    Unreachable(String),
}

/// The dialer's part.
pub(super) async fn greet(connection: &Connection, chain: ChainId) -> Result<(), Failure> {
    let failed = |reason: &str| failure(connection, reason);
    let Ok((send, receive)) = connection.open_bi().await else {
        return Err(failed("the connection closed"));
    };
    say(send, chain).await.map_err(failed)?;
    hear(connection, receive, chain).await
}

/// The acceptor's part: it answers only a Hello that it likes.
pub(super) async fn welcome(connection: &Connection, chain: ChainId) -> Result<(), Failure> {
    let failed = |reason: &str| failure(connection, reason);
    let Ok((send, receive)) = connection.accept_bi().await else {
        return Err(failed("the connection closed"));
    };
    hear(connection, receive, chain).await?;
    say(send, chain).await.map_err(failed)
}

async fn say(mut send: SendStream, chain: ChainId) -> Result<(), &'static str> {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        chain,
    };
    let written = send.write_all(&codec::encode(&hello)).await;
    written.map_err(|_| "it was not accepted")?;
    send.finish().map_err(|_| "it was not accepted")
}

async fn hear(
    connection: &Connection,
    mut receive: RecvStream,
    chain: ChainId,
) -> Result<(), Failure> {
    let Ok(bytes) = receive.read_to_end(bounds::HELLO_BYTES_MAX).await else {
        return Err(failure(connection, "it did not arrive"));
    };
    let (close, refusal) = match codec::decode::<Hello>(&bytes, bounds::HELLO_BYTES_MAX) {
        Ok(hello) if hello.protocol != PROTOCOL_VERSION => {
            (Close::WrongVersion, Refusal::WrongVersion)
        }
        Ok(hello) if hello.chain != chain => (Close::WrongChain, Refusal::WrongChain),
        Ok(_) => return Ok(()),
        Err(error) => {
            let reason = error.to_string();
            (Close::BadHello, Refusal::Hello { reason })
        }
    };
    close.end(connection, &refusal.to_string());
    Err(Failure::Refused(refusal))
}

/// What the connection says about its end, or else `reason`.
fn failure(connection: &Connection, reason: &str) -> Failure {
    match connection.close_reason() {
        Some(error) => Failure::of(&error),
        None => {
            Close::BadHello.end(connection, reason);
            Failure::Refused(Refusal::Hello {
                reason: reason.to_owned(),
            })
        }
    }
}

impl Close {
    /// Closes the connection with this code and a text for the other side's log.
    pub(super) fn end(self, connection: &Connection, reason: &str) {
        connection.close(VarInt::from_u32(self as u32), reason.as_bytes());
    }

    fn of(code: VarInt) -> Option<Self> {
        [
            Self::Shutdown,
            Self::WrongChain,
            Self::WrongVersion,
            Self::UnexpectedPeer,
            Self::CoolingDown,
            Self::BadHello,
            Self::Replaced,
            Self::Punished,
            Self::Removed,
        ]
        .into_iter()
        .find(|close| *close as u64 == code.into_inner())
    }
}

impl Failure {
    /// Reads a connection's end before it was established.
    pub(super) fn of(error: &ConnectionError) -> Self {
        let reason = error.to_string();
        match error {
            ConnectionError::ApplicationClosed(closed) => match Close::of(closed.error_code) {
                Some(Close::WrongChain) => Self::Refused(Refusal::WrongChain),
                Some(Close::WrongVersion) => Self::Refused(Refusal::WrongVersion),
                Some(Close::UnexpectedPeer | Close::Removed) => {
                    Self::Refused(Refusal::UnexpectedPeer)
                }
                Some(Close::CoolingDown | Close::Punished) => Self::Refused(Refusal::CoolingDown),
                Some(Close::Shutdown | Close::Replaced) => Self::Unreachable(reason),
                Some(Close::BadHello) | None => Self::Refused(Refusal::Hello { reason }),
            },
            ConnectionError::TransportError(error) if is_tls(error.code.into()) => {
                Self::Refused(Refusal::Tls { reason })
            }
            ConnectionError::ConnectionClosed(closed) if is_tls(closed.error_code.into()) => {
                Self::Refused(Refusal::Tls { reason })
            }
            _ => Self::Unreachable(reason),
        }
    }
}

/// QUIC carries TLS alerts as transport errors 0x100 to 0x1ff (RFC 9001, section 4.8).
fn is_tls(code: u64) -> bool {
    (0x100..=0x1ff).contains(&code)
}
