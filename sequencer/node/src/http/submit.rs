//! Submitting an envelope, asking after it, and its price.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use conclave_sdk::api::{EnvelopeView, FeeQuote, ReceiptView};
use conclave_types::{AccountId, Digest, EnvelopeId, RollupId, limits};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::Failure;
use super::extract::{EnvelopeBody, NoParams, Params, PathId};
use super::state::Shared;
use super::view;
use crate::backend::Backend;

/// Submits an envelope.
///
/// 202 means: durable at this validator, and ordered by the receipt's deadline or reported expired.
#[utoipa::path(
    post, path = "/v1/envelopes", tag = "envelopes",
    request_body(
        content_type = "application/octet-stream",
        description = "The canonical encoding of an envelope; at most 525312 bytes."
    ),
    responses(
        (status = 202, description = "Durable here.", body = ReceiptView),
        (status = 402, description = "The payer's fee account, or what the payer would pay at most, does not cover the fee.", body = conclave_sdk::api::ApiError),
        (status = 409, description = "The payer's sequence number is used.", body = conclave_sdk::api::ApiError),
        (status = 413, description = "Larger than an envelope may be.", body = conclave_sdk::api::ApiError),
        (status = 422, description = "Refused by a rule that will not change for these bytes.", body = conclave_sdk::api::ApiError),
        (status = 429, description = "The rollup, or the payer, has more waiting here than its share while the mempool fills; Retry-After says when to try again.", body = conclave_sdk::api::ApiError),
        (status = 503, description = "The mempool is full; Retry-After says when to try again.", body = conclave_sdk::api::ApiError),
    )
)]
pub(super) async fn submit<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
    EnvelopeBody(envelope): EnvelopeBody,
) -> Result<(StatusCode, Json<ReceiptView>), Failure> {
    let receipt = api.backend.submit(envelope).await?;
    Ok((StatusCode::ACCEPTED, Json(view::receipt(&receipt))))
}

/// Where an envelope is on its way.
#[utoipa::path(
    get, path = "/v1/envelopes/{id}", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope's id, 64 hexadecimal digits.")),
    responses((status = 200, body = EnvelopeView))
)]
pub(super) async fn envelope<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<EnvelopeId>,
    _: Params<NoParams>,
) -> Result<Json<EnvelopeView>, Failure> {
    let found = api.read(move |backend| backend.envelope(id)).await?;
    found
        .map(Json)
        .ok_or_else(|| Failure::unknown("envelope", id))
}

/// What to quote for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeeParams {
    /// Bytes of the body as carried: a bucket's plaintext and 16 more when sealed.
    body_bytes: u32,
    /// The rollup, since one that floods pays more.
    rollup: u32,
    /// The payer, 64 hexadecimal digits: in rollup 0 each has a price of its own. One that has sent
    /// nothing when left out.
    #[param(value_type = Option<String>)]
    payer: Option<AccountId>,
}

/// What an envelope would cost.
#[utoipa::path(
    get, path = "/v1/fees", tag = "envelopes", params(FeeParams),
    responses((status = 200, body = FeeQuote))
)]
pub(super) async fn fees<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<FeeParams>,
) -> Result<Json<FeeQuote>, Failure> {
    let bytes = params.body_bytes;
    if bytes as usize > limits::PLAIN_BODY_BYTES_MAX {
        let max = limits::PLAIN_BODY_BYTES_MAX;
        return Err(Failure::query(format!(
            "body_bytes is {bytes}, but must be at most {max}"
        )));
    }
    let payer = params.payer.unwrap_or(AccountId(Digest::ZERO));
    Ok(Json(view::fee_quote(
        &api.backend.ledger(),
        api.backend.genesis(),
        (RollupId(params.rollup), payer),
        bytes,
    )))
}
