//! What operators and their tools ask: the document, probes and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use conclave_sdk::api::ProbeView;

use super::error::{ErrorCode, Failure};
use super::extract::{NoParams, Params};
use super::state::Shared;
use crate::backend::Backend;

/// This API as an OpenAPI document, made from the mounted routes.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "operation",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object))
)]
pub(super) async fn openapi<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        api.document.clone(),
    )
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "operation",
    responses((status = 200, body = ProbeView))
)]
pub(super) async fn livez(_: Params<NoParams>) -> Json<ProbeView> {
    Json(ProbeView {
        status: "live".into(),
    })
}

/// Whether the node takes part: connected to a quorum and caught up.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, body = ProbeView),
        (status = 503, description = "Not ready; the message says why.", body = conclave_sdk::api::ApiError),
    )
)]
pub(super) async fn readyz<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<Json<ProbeView>, Failure> {
    if *api.closing.borrow() {
        return Err(Failure::new(ErrorCode::NotReady, "the node is closing"));
    }
    let ready = api.backend.ready();
    ready.map_err(|reason| Failure::new(ErrorCode::NotReady, reason))?;
    Ok(Json(ProbeView {
        status: "ready".into(),
    }))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<impl IntoResponse, Failure> {
    let text = api.read(|backend| backend.metrics()).await?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    ))
}
