//! QUIC's settings and the socket under it.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_types::Domain;
use quinn::congestion::CubicConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    AsyncTimer, AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout,
    Runtime, TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Protocol, Socket, Type};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::{Timing, TransportError, bounds};

/// A round trip assumed before one was measured: committees sit in data centres. Being wrong costs
/// a repeated handshake packet; quinn's 333 ms would cost a second at each loss of one.
const INITIAL_RTT: Duration = Duration::from_millis(50);
const CONNECTION_ID_BYTES: usize = 8;

/// Settings of every connection.
pub(super) fn transport_config(timing: &Timing) -> TransportConfig {
    let mut config = TransportConfig::default();
    // Cubic, the controller that quinn and the world have tested most; its start is the only part
    // that matters to bursts of votes and batches, and is raised.
    let mut cubic = CubicConfig::default();
    cubic.initial_window(bounds::INITIAL_WINDOW_BYTES);
    config
        .max_concurrent_uni_streams(var_int(bounds::UNI_STREAMS_MAX))
        .max_concurrent_bidi_streams(var_int(bounds::BIDI_STREAMS_MAX))
        .stream_receive_window(var_int(bounds::STREAM_WINDOW_BYTES))
        .receive_window(var_int(bounds::CONNECTION_WINDOW_BYTES))
        .send_window(bounds::SEND_WINDOW_BYTES as u64)
        .datagram_receive_buffer_size(None)
        .initial_rtt(INITIAL_RTT)
        .keep_alive_interval(Some(timing.keep_alive))
        .max_idle_timeout(IdleTimeout::try_from(timing.idle).ok())
        .congestion_controller_factory(Arc::new(cubic));
    config
}

/// Settings of the endpoint. The reset key comes from the node's seed: after a restart the node
/// can still tell its peers that the connections they believe in are gone.
pub(super) fn endpoint_config(seed: &[u8; 32]) -> EndpointConfig {
    let key = Zeroizing::new(Domain::TransportReset.digest(seed).0);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    // Quinn's default refuses to answer connection ids that it did not make itself since it
    // started, so that no reset would be sent after a restart.
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Binds the UDP socket with buffers that hold a burst of bulk.
pub(super) fn bind(listen: SocketAddr) -> Result<UdpSocket, TransportError> {
    open(listen).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => TransportError::PortInUse { listen },
        _ => TransportError::Listen {
            listen,
            reason: error.to_string(),
        },
    })
}

fn open(listen: SocketAddr) -> std::io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(listen);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if listen.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    // The kernel clamps these to its own maximum, which is not a reason to stop.
    let _ = socket.set_recv_buffer_size(bounds::SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(bounds::SOCKET_BUFFER_BYTES);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

fn var_int(value: usize) -> VarInt {
    VarInt::try_from(value as u64).unwrap_or(VarInt::MAX)
}

/// Tokio, and a channel that closes when the last of quinn's own tasks has ended: only then is the
/// socket closed and the port free.
#[derive(Debug)]
pub(super) struct TrackedRuntime(pub(super) mpsc::Sender<()>);

impl Runtime for TrackedRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let alive = self.0.clone();
        TokioRuntime.spawn(Box::pin(async move {
            future.await;
            drop(alive);
        }));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }
}

/// Keyed BLAKE3 as the MAC of stateless-reset tokens.
struct ResetKey(Zeroizing<[u8; 32]>);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        // Comparing `blake3::Hash`es takes constant time.
        match <[u8; blake3::OUT_LEN]>::try_from(signature) {
            Ok(signature) if expected == blake3::Hash::from_bytes(signature) => Ok(()),
            _ => Err(CryptoError),
        }
    }
}

struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
