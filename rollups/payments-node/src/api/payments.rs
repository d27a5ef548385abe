//! `POST /v1/payments` and `GET /v1/payments/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use conclave_payments::{ExclusionReason, Payment, classify};

use super::extract::{Body, NoParams, Params, PathId};
use super::{ApiFailure, ApiState, PaymentState, PaymentView, SubmitRequest};
use crate::metrics::Metrics;
use crate::node::Phase;
use crate::owner::PaymentAnswer;
use crate::queue::Stage;
use crate::{PaymentId, Refusal};

pub(super) async fn submit(
    State(state): State<ApiState>,
    Params(NoParams {}): Params<NoParams>,
    body: Body,
) -> Result<(StatusCode, Json<PaymentView>), ApiFailure> {
    let bytes = match body {
        Body::Binary(bytes) => bytes,
        json => {
            let request: SubmitRequest = json.json()?;
            hex::decode(&request.payment).map_err(|error| ApiFailure::body(error.to_string()))?
        }
    };
    match accept(&state, bytes).await {
        Ok(id) => {
            Metrics::add(&state.metrics.payments_accepted_total, 1);
            let view = view(id, PaymentState::Pending);
            Ok((StatusCode::ACCEPTED, Json(view)))
        }
        Err(refusal) => {
            Metrics::add(&state.metrics.payments_refused_total, 1);
            Err(refusal.into())
        }
    }
}

/// The stateless checks on a worker thread, the others at the owner.
async fn accept(state: &ApiState, bytes: Vec<u8>) -> Result<PaymentId, Refusal> {
    check_ready(state)?;
    let context = state.context;
    let work = move || -> Result<(Payment, Vec<u8>), ExclusionReason> {
        // Expiry is judged against the executed height by the owner.
        let payment = classify(&bytes, &context, 0)?;
        Ok((payment, bytes))
    };
    let checked = tokio::task::spawn_blocking(work).await;
    let (payment, bytes) = checked.map_err(|_| Refusal::Stopping)??;
    state.handle.accept(payment, bytes).await
}

/// Before it has caught up, the node would judge by an old state.
pub(super) fn check_ready(state: &ApiState) -> Result<(), Refusal> {
    match state.phases.now() {
        Phase::Ready => Ok(()),
        Phase::Registering(reason) => Err(Refusal::NotReady { reason }),
        Phase::CatchingUp => Err(Refusal::NotReady {
            reason: "it executes what was ordered while it was away".into(),
        }),
        Phase::Stopping => Err(Refusal::Stopping),
    }
}

pub(super) async fn find(
    State(state): State<ApiState>,
    PathId(id): PathId<PaymentId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<PaymentView>, ApiFailure> {
    match state.handle.payment(id).await? {
        PaymentAnswer::Pending(Stage::Queued | Stage::Taken(_)) => {
            Ok(Json(view(id, PaymentState::Pending)))
        }
        PaymentAnswer::Pending(Stage::Sealed(envelope)) => Ok(Json(PaymentView {
            envelope: Some(hex::encode(envelope)),
            ..view(id, PaymentState::Sealed)
        })),
        PaymentAnswer::Done(result) if result.ordered => Ok(Json(PaymentView {
            height: Some(result.height),
            index: Some(result.index),
            outcome: Some(result.outcome.name().into()),
            reason: Some(result.outcome.reason().into()),
            ..view(id, PaymentState::Ordered)
        })),
        PaymentAnswer::Done(_) => Ok(Json(PaymentView {
            reason: Some("it was not ordered before its expiry height; sign it again".into()),
            ..view(id, PaymentState::Expired)
        })),
        PaymentAnswer::Unknown => Err(ApiFailure::new(
            StatusCode::NOT_FOUND,
            "CV-PAY-145",
            "no such payment was accepted here or delivered, or it was long ago",
            "check the id, or read the account's nonce",
        )),
    }
}

fn view(id: PaymentId, status: PaymentState) -> PaymentView {
    PaymentView {
        id: id.to_string(),
        status,
        envelope: None,
        height: None,
        index: None,
        outcome: None,
        reason: None,
    }
}
