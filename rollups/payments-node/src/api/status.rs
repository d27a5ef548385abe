//! Status, probes and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use conclave_sdk::api::ProbeView;

use super::extract::{NoParams, Params};
use super::payments::check_ready;
use super::{ApiFailure, ApiState, RollupStatusView};
use crate::OutcomeKind;
use crate::metrics::Metrics;
use crate::node::Phase;

pub(super) async fn status(
    State(state): State<ApiState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<RollupStatusView>, ApiFailure> {
    let status = state.handle.status().await?;
    Metrics::set(&state.metrics.accounts, status.accounts);
    let outcomes = OutcomeKind::ALL.iter().zip(&status.counts);
    Ok(Json(RollupStatusView {
        chain: hex::encode(state.context.chain),
        rollup: state.context.rollup,
        name: state.genesis.name.clone(),
        token: state.genesis.token.clone(),
        phase: match state.phases.now() {
            Phase::Registering(_) => "registering",
            Phase::CatchingUp => "catching_up",
            Phase::Ready => "ready",
            Phase::Stopping => "stopping",
        }
        .into(),
        genesis_root: state.genesis_root.to_string(),
        executed_height: status.next_height - 1,
        executed_index: status.index,
        root: hex::encode(status.root),
        settled_index: status.settled_index,
        settled_root: hex::encode(status.settled_root),
        outcomes: outcomes
            .map(|(outcome, count)| (outcome.name().into(), *count))
            .collect(),
        accounts: status.accounts,
        fee_pool: status.fee_pool,
        pending_payments: status.pending,
        pending_envelopes: status.flights,
    }))
}

/// Alive as long as it answers.
pub(super) async fn live(Params(NoParams {}): Params<NoParams>) -> Json<ProbeView> {
    Json(ProbeView {
        status: "ok".into(),
    })
}

/// Ready once it is registered and has caught up.
pub(super) async fn ready(
    State(state): State<ApiState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ProbeView>, ApiFailure> {
    check_ready(&state)?;
    Ok(Json(ProbeView {
        status: "ok".into(),
    }))
}

pub(super) async fn metrics(
    State(state): State<ApiState>,
    Params(NoParams {}): Params<NoParams>,
) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.render())
}
