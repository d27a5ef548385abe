//! `POST /v1/faucet`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use conclave_payments::FieldDigest;

use super::extract::{Body, NoParams, Params};
use super::payments::check_ready;
use super::{ApiFailure, ApiState, FaucetRequest, FaucetView};
use crate::Refusal;

pub(super) async fn give(
    State(state): State<ApiState>,
    Params(NoParams {}): Params<NoParams>,
    body: Body,
) -> Result<(StatusCode, Json<FaucetView>), ApiFailure> {
    let request: FaucetRequest = body.json()?;
    let key: FieldDigest = request
        .key
        .parse()
        .map_err(|_| ApiFailure::body("key: not four canonical field elements".into()))?;
    if key.is_zero() {
        return Err(ApiFailure::body("key: zero is no account key".into()));
    }
    if request
        .slot
        .is_some_and(|slot| slot >= conclave_payments::SLOTS)
    {
        return Err(ApiFailure::body("slot: outside the account tree".into()));
    }
    check_ready(&state)?;
    let faucet = state.faucet.as_ref().ok_or(Refusal::NoFaucet)?;
    let grant = faucet.give(key, request.slot).await?;
    let view = FaucetView {
        payment: grant.payment.to_string(),
        slot: grant.slot,
        amount: grant.amount,
    };
    Ok((StatusCode::ACCEPTED, Json(view)))
}
