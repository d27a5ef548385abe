//! The HTTP API. JSON in and out; every error is `{code, message, remedy}`.
//!
//! | route | answer |
//! | --- | --- |
//! | `POST /v1/payments` | 202: the payment is durable here and on its way |
//! | `GET /v1/payments/{id}` | where it is, and what it came to |
//! | `GET /v1/accounts/{key}?slot=&at=head\|settled` | the account; at `settled` with its proof |
//! | `POST /v1/faucet` | 202: money is on its way to `{key, slot?}` |
//! | `GET /v1/status` | heights, roots, outcomes |
//! | `GET /livez`, `/readyz`, `/metrics` | probes and Prometheus text |

mod accounts;
mod error;
mod extract;
mod faucet;
mod payments;
mod status;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use conclave_payments::{PAYMENT_BYTES_MAX, PaymentContext};
use conclave_types::StateRoot;
use tokio::net::TcpListener;

use crate::faucet::Faucet;
use crate::metrics::Metrics;
use crate::node::{Phases, Shutdown, stopped};
use crate::owner::Handle;
use crate::{RollupError, RollupGenesis};

pub use error::ApiFailure;
pub use views::{
    FaucetRequest, FaucetView, PaymentState, PaymentView, RollupAccountView, RollupStatusView,
    StateName, SubmitRequest, ViewError,
};

/// A payment in hexadecimal inside JSON, with room to notice that there is more.
const BODY_BYTES_MAX: usize = 2 * PAYMENT_BYTES_MAX + 1024;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) genesis: Arc<RollupGenesis>,
    pub(crate) genesis_root: StateRoot,
    pub(crate) context: PaymentContext,
    pub(crate) handle: Handle,
    pub(crate) faucet: Option<Faucet>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phases: Arc<Phases>,
}

/// Serves until told to stop; open requests are answered first.
pub(crate) async fn serve(
    listener: TcpListener,
    state: ApiState,
    mut shutdown: Shutdown,
) -> Result<(), RollupError> {
    let stop = async move { stopped(&mut shutdown).await };
    let served = axum::serve(listener, router(state)).with_graceful_shutdown(stop);
    served.await.map_err(|error| RollupError::Part {
        part: "api",
        reason: error.to_string(),
    })
}

pub(crate) fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v1/payments", post(payments::submit))
        .route("/v1/payments/{id}", get(payments::find))
        .route("/v1/accounts/{key}", get(accounts::read))
        .route("/v1/faucet", post(faucet::give))
        .route("/v1/status", get(status::status))
        .route("/livez", get(status::live))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics))
        .fallback(error::unknown_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), count))
        .with_state(state)
}

async fn count(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    Metrics::add(&state.metrics.http_requests_total, 1);
    if !response.status().is_success() {
        Metrics::add(&state.metrics.http_errors_total, 1);
    }
    response
}
