//! What every handler shares.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use conclave_types::Height;
use tokio::sync::{Semaphore, watch};

use super::error::{ErrorCode, Failure};
use super::limits::HttpLimits;
use crate::backend::Backend;

/// The node, the bounds, and the document of the mounted routes.
pub(super) struct Api<B> {
    pub(super) backend: Arc<B>,
    pub(super) limits: HttpLimits,
    /// The OpenAPI document as JSON.
    pub(super) document: Bytes,
    pub(super) requests: Arc<Semaphore>,
    pub(super) streams: Arc<Semaphore>,
    /// True, or without a sender, once streams are to end.
    pub(super) closing: watch::Receiver<bool>,
}

/// The state as handlers take it.
pub(super) type Shared<B> = State<Arc<Api<B>>>;

impl<B: Backend> Api<B> {
    pub(super) fn new(
        backend: Arc<B>,
        limits: HttpLimits,
        document: Bytes,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits.requests)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            backend,
            limits,
            document,
            closing,
        }
    }

    /// Reads from the store or walks the ledger on a thread where waiting harms nobody.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&B) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let backend = self.backend.clone();
        tokio::task::spawn_blocking(move || read(&backend))
            .await
            .map_err(|_| Failure::new(ErrorCode::Internal, "a read failed"))
    }

    /// The last height whose contents can be read.
    pub(super) fn executed(&self) -> Height {
        self.backend.progress().borrow().executed
    }
}
