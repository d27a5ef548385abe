//! Binding and serving.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::connection::BoundedListener;
use super::limits::HttpLimits;

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process listens there.
    #[error(
        "[CV-API-101] the API address {address} is in use; stop the other process, or choose another port"
    )]
    InUse {
        /// The wanted address.
        address: SocketAddr,
    },
    /// The system refuses the address.
    #[error(
        "[CV-API-102] cannot listen on {address}: {source}; choose an address of this host and a port that this user may use"
    )]
    Bind {
        /// The wanted address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listener failed while serving.
    #[error(
        "[CV-API-103] the API stopped: {source}; look at the system's log, then restart the node"
    )]
    Stopped {
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on an address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            _ => ServeError::Bind { address, source },
        })
}

/// Serves until `closing` is true or without a sender; then accepts nothing more, lets open
/// requests finish within the grace time, and returns. Connections that are still stalled after
/// that end with their idle time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &HttpLimits,
    closing: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let listener = BoundedListener::new(listener, limits);
    let serving = axum::serve(listener, router).with_graceful_shutdown(closed(closing.clone()));
    let grace = async {
        closed(closing).await;
        tokio::time::sleep(limits.shutdown_grace).await;
    };
    tokio::select! {
        result = serving.into_future() => result.map_err(|source| ServeError::Stopped { source }),
        () = grace => Ok(()),
    }
}

/// Resolves once the node closes.
pub(super) async fn closed(mut closing: watch::Receiver<bool>) {
    // An error means that the sender is gone, which closes too.
    let _ = closing.wait_for(|closing| *closing).await;
}
