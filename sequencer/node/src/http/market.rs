//! Intents, auctions, provers and proofs.

use axum::Json;
use axum::extract::State;
use conclave_market::Auction;
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
    let list = api.read(move |backend| {
        let (ledger, market) = (backend.ledger(), &backend.genesis().market);
        let open = ledger.auctions().filter(|auction| !auction.is_finished());
        let wanted = open.filter(|auction| rollup.is_none_or(|id| auction.rollup() == id));
        wanted
            .take(LIST_MAX)
            .map(|auction| view::auction(auction, market))
            .collect()
    });
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

impl AuctionState {
    /// The word in answers and parameters.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bidding => "bidding",
            Self::Unsold => "unsold",
            Self::Awarded => "awarded",
            Self::Standby => "standby",
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Cancelled => "cancelled",
        }
    }
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

impl AuctionsParams {
    fn wants(&self, auction: &Auction) -> bool {
        self.rollup
            .is_none_or(|rollup| auction.rollup().0 == rollup)
            && self
                .state
                .is_none_or(|state| view::auction_state(auction) == state)
            && self.before.is_none_or(|before| auction.id.0 < before)
    }
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
    let list = api.read(move |backend| {
        let (ledger, market) = (backend.ledger(), &backend.genesis().market);
        let wanted: Vec<_> = ledger
            .auctions()
            .filter(|auction| params.wants(auction))
            .collect();
        let newest = wanted.into_iter().rev().take(limit);
        newest
            .map(|auction| view::auction(auction, market))
            .collect()
    });
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
    let ledger = api.backend.ledger();
    let found = ledger
        .auction(id)
        .ok_or_else(|| Failure::unknown("auction", id))?;
    Ok(Json(view::auction(found, &api.backend.genesis().market)))
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
    let list = api.read(move |backend| {
        let ledger = backend.ledger();
        let after = ledger
            .provers()
            .filter(|(account, _)| params.after.is_none_or(|after| *account > after));
        let views = after.take(limit).map(|(account, prover)| {
            view::prover(&ledger, account, prover, backend.prover_record(account))
        });
        views.collect()
    });
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
    let found = api.read(move |backend| {
        let ledger = backend.ledger();
        let record = backend.prover_record(account);
        let prover = ledger.prover(&account);
        prover.map(|prover| view::prover(&ledger, account, prover, record))
    });
    found
        .await?
        .map(Json)
        .ok_or_else(|| Failure::unknown("prover", account))
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
    Ok(Json(
        api.read(move |backend| backend.proofs(rollup, from, limit))
            .await?,
    ))
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
    let found = api.read(move |backend| backend.proof(auction.0)).await??;
    found
        .map(Json)
        .ok_or_else(|| Failure::unknown("settled proof of auction", auction))
}
