//! The committee, the node's status, and blocks.

use axum::Json;
use axum::extract::State;
use conclave_sdk::api::{BlockView, CommitteeView, EpochChangeView, StatusView};
use conclave_types::{Epoch, Height};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ErrorCode, Failure};
use super::extract::{NoParams, Params, PathId};
use super::limits::{ANSWER_BYTES, BLOCKS_DEFAULT, BLOCKS_MAX, list_limit};
use super::state::Shared;
use super::view;
use crate::backend::Backend;

/// The committee and the key to seal to.
#[utoipa::path(
    get, path = "/v1/committee", tag = "chain",
    responses((status = 200, body = CommitteeView))
)]
pub(super) async fn committee<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<Json<CommitteeView>, Failure> {
    let committed = api.backend.progress().borrow().committed;
    let ledger = api.backend.ledger();
    let chain = api.backend.genesis().chain_id();
    let view = view::committee(chain, ledger.present_setup(), committed);
    view.map(Json)
        .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
}

/// The node's own view of itself and the chain.
#[utoipa::path(
    get, path = "/v1/status", tag = "chain",
    responses((status = 200, body = StatusView))
)]
pub(super) async fn status<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<Json<StatusView>, Failure> {
    Ok(Json(api.read(|backend| backend.status()).await?))
}

/// Which blocks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlocksParams {
    /// The first height; without it, the answer ends with the last committed block.
    from: Option<u64>,
    /// Blocks at most, 1 to 100; 20 when left out.
    limit: Option<usize>,
}

/// Committed blocks with their certificates, ascending.
///
/// A list of large blocks may end early, but never before its first.
#[utoipa::path(
    get, path = "/v1/blocks", tag = "chain", params(BlocksParams),
    responses((status = 200, body = Vec<BlockView>))
)]
pub(super) async fn blocks<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<BlocksParams>,
) -> Result<Json<Vec<BlockView>>, Failure> {
    let limit = list_limit(params.limit, BLOCKS_DEFAULT, BLOCKS_MAX)?;
    let committed = api.backend.progress().borrow().committed.0;
    let from = match params.from {
        Some(from) => from.max(1),
        None => committed.saturating_sub(limit as u64 - 1).max(1),
    };
    let list = api.read(move |backend| {
        let mut list = Vec::new();
        let mut bytes = 0;
        for height in (from..=committed).take(limit) {
            let block = match backend.block(Height(height)) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                // What was read before it is worth an answer.
                Err(_) if !list.is_empty() => break,
                Err(error) => return Err(Failure::from(error)),
            };
            let block = view::block(&block);
            bytes += view::block_bytes(&block);
            if bytes > ANSWER_BYTES && !list.is_empty() {
                break;
            }
            list.push(block);
        }
        Ok(list)
    });
    Ok(Json(list.await??))
}

/// One committed block with its certificate.
#[utoipa::path(
    get, path = "/v1/blocks/{height}", tag = "chain",
    params(("height" = u64, Path, description = "The block's height, from 1.")),
    responses((status = 200, body = BlockView))
)]
pub(super) async fn block<B: Backend>(
    State(api): Shared<B>,
    PathId(height): PathId<Height>,
    _: Params<NoParams>,
) -> Result<Json<BlockView>, Failure> {
    let found = api.read(move |backend| backend.block(height)).await??;
    found
        .map(|block| Json(view::block(&block)))
        .ok_or_else(|| Failure::unknown("committed block at height", height))
}

/// How the epoch before one handed over to it: its last header, that block's commit certificate, and
/// the new epoch's validators and sealing key. From the genesis on, these show every committee.
#[utoipa::path(
    get, path = "/v1/epochs/{epoch}/handoff", tag = "chain",
    params(("epoch" = u64, Path, description = "The epoch that begins, from 1.")),
    responses((status = 200, body = EpochChangeView))
)]
pub(super) async fn handoff<B: Backend>(
    State(api): Shared<B>,
    PathId(epoch): PathId<Epoch>,
    _: Params<NoParams>,
) -> Result<Json<EpochChangeView>, Failure> {
    let found = api.read(move |backend| backend.epoch_change(epoch));
    let view = |change| Json(view::epoch_change(&change));
    found
        .await?
        .map(view)
        .ok_or_else(|| Failure::unknown("hand-over to epoch", epoch))
}
