//! Intents, auctions, provers and proofs.

use axum::Json;
use axum::extract::State;
use conclave_sdk::api::{AuctionView, ProofView, ProverView};
use conclave_types::{AccountId, AuctionId, RollupId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::error::Failure;
use super::extract::{NoParams, Params, PathId};
use super::limits::{LIST_DEFAULT, LIST_MAX, list_limit};
use super::rollups::require_rollup;
use super::state::Shared;
use super::view;
use crate::backend::Backend;

/// Whose intents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IntentsParams {
    /// Of one rollup only.
    rollup: Option<u32>,
}

/// The auctions that are not over, oldest first: what provers can bid for, prove or take over.
#[utoipa::path(
    get, path = "/v1/intents", tag = "market", params(IntentsParams),
    responses((status = 200, body = Vec<AuctionView>))
)]
pub(super) async fn intents<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<IntentsParams>,
) -> Result<Json<Vec<AuctionView>>, Failure> {
    let rollup = params.rollup.map(RollupId);
    let list = api.read(move |backend| view::intents(&backend.ledger(), rollup, LIST_MAX));
    Ok(Json(list.await?))
}

/// Where an auction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuctionState {
    /// It takes sealed bids.
    Bidding,
    /// It closed without a bid that counts; the range went into another auction.
    Unsold,
    /// It is the winner's turn.
    Awarded,
    /// It is the standby's turn.
    Standby,
    /// Anyone may prove it.
    Open,
    /// It is proven and paid.
    Settled,
    /// The rollup left or its program was frozen.
    Cancelled,
}

/// Which auctions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuctionsParams {
    /// Of one rollup only.
    rollup: Option<u32>,
    /// In one state only.
    #[param(inline)]
    state: Option<AuctionState>,
    /// Only auctions with a smaller id: the smallest of the page before.
    before: Option<u64>,
    /// Auctions at most, 1 to 1000; 100 when left out.
    limit: Option<usize>,
}

/// Auctions, newest first.
#[utoipa::path(
    get, path = "/v1/auctions", tag = "market", params(AuctionsParams),
    responses((status = 200, body = Vec<AuctionView>))
)]
pub(super) async fn auctions<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<AuctionsParams>,
) -> Result<Json<Vec<AuctionView>>, Failure> {
    let limit = list_limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let wanted = view::AuctionFilter {
        rollup: params.rollup.map(RollupId),
        state: params.state,
        before: params.before.map(AuctionId),
    };
    let list = api.read(move |backend| view::auctions(&backend.ledger(), wanted, limit));
    Ok(Json(list.await?))
}

/// One auction with its bids.
#[utoipa::path(
    get, path = "/v1/auctions/{id}", tag = "market",
    params(("id" = u64, Path, description = "The auction's id.")),
    responses((status = 200, body = AuctionView))
)]
pub(super) async fn auction<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<AuctionId>,
    _: Params<NoParams>,
) -> Result<Json<AuctionView>, Failure> {
    let found = view::auction(&api.backend.ledger(), id);
    found.map(Json).ok_or_else(|| Failure::unknown("auction", id))
}

/// Which provers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProversParams {
    /// Only provers after this account: the last of the page before.
    #[param(value_type = Option<String>)]
    after: Option<AccountId>,
    /// Provers at most, 1 to 1000; 1000 when left out.
    limit: Option<usize>,
}

/// The registered provers, by account.
#[utoipa::path(
    get, path = "/v1/provers", tag = "market", params(ProversParams),
    responses((status = 200, body = Vec<ProverView>))
)]
pub(super) async fn provers<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<ProversParams>,
) -> Result<Json<Vec<ProverView>>, Failure> {
    let limit = list_limit(params.limit, LIST_MAX, LIST_MAX)?;
    let list = api.read(move |backend| view::provers(&backend.ledger(), params.after, limit));
    Ok(Json(list.await?))
}

/// One prover.
#[utoipa::path(
    get, path = "/v1/provers/{account}", tag = "market",
    params(("account" = String, Path, description = "The prover's account, 64 hexadecimal digits.")),
    responses((status = 200, body = ProverView))
)]
pub(super) async fn prover<B: Backend>(
    State(api): Shared<B>,
    PathId(account): PathId<AccountId>,
    _: Params<NoParams>,
) -> Result<Json<ProverView>, Failure> {
    let found = view::prover(&api.backend.ledger(), account);
    found.map(Json).ok_or_else(|| Failure::unknown("prover", account))
}

/// Which proofs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProofsParams {
    /// The rollup.
    rollup: u32,
    /// Only proofs of ranges that begin at this transaction or later; 0 when left out.
    from_index: Option<u64>,
    /// Proofs at most, 1 to 1000; 100 when left out.
    limit: Option<usize>,
}

/// A rollup's settled proofs, ascending, without their bytes.
#[utoipa::path(
    get, path = "/v1/proofs", tag = "market", params(ProofsParams),
    responses((status = 200, body = Vec<ProofView>))
)]
pub(super) async fn proofs<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<ProofsParams>,
) -> Result<Json<Vec<ProofView>>, Failure> {
    let limit = list_limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let rollup = RollupId(params.rollup);
    require_rollup(&api, rollup)?;
    let from = params.from_index.unwrap_or(0);
    Ok(Json(api.read(move |backend| backend.proofs(rollup, from, limit)).await?))
}

/// One settled proof with its bytes.
#[utoipa::path(
    get, path = "/v1/proofs/{auction}", tag = "market",
    params(("auction" = u64, Path, description = "The auction that the proof settled.")),
    responses((status = 200, body = ProofView))
)]
pub(super) async fn proof<B: Backend>(
    State(api): Shared<B>,
    PathId(auction): PathId<AuctionId>,
    _: Params<NoParams>,
) -> Result<Json<ProofView>, Failure> {
    let found = api.read(move |backend| backend.proof(auction.0)).await?;
    found.map(Json).ok_or_else(|| Failure::unknown("settled proof of auction", auction))
}
