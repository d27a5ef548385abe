//! Rollups and their ordered contents.

use axum::Json;
use axum::extract::State;
use conclave_sdk::api::{ContentsView, RollupView};
use conclave_types::{Height, RollupId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::contents::contents;
use super::error::Failure;
use super::extract::{NoParams, Params, PathId};
use super::limits::{LIST_MAX, list_limit};
use super::state::{Api, Shared};
use super::view;
use crate::backend::Backend;

/// Which rollups.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RollupsParams {
    /// The first id.
    from: Option<u32>,
    /// Rollups at most, 1 to 1000; 1000 when left out.
    limit: Option<usize>,
}

/// The registered rollups, by id.
#[utoipa::path(
    get, path = "/v1/rollups", tag = "rollups", params(RollupsParams),
    responses((status = 200, body = Vec<RollupView>))
)]
pub(super) async fn rollups<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<RollupsParams>,
) -> Result<Json<Vec<RollupView>>, Failure> {
    let limit = list_limit(params.limit, LIST_MAX, LIST_MAX)?;
    let from = RollupId(params.from.unwrap_or(0));
    let list = api.read(move |backend| {
        let ledger = backend.ledger();
        let ids = ledger.rollups().map(|(id, _)| id).filter(|id| *id >= from);
        ids.take(limit)
            .filter_map(|id| view::rollup(&ledger, id))
            .collect()
    });
    Ok(Json(list.await?))
}

/// One rollup.
#[utoipa::path(
    get, path = "/v1/rollups/{id}", tag = "rollups",
    params(("id" = u32, Path, description = "The rollup's id.")),
    responses((status = 200, body = RollupView))
)]
pub(super) async fn rollup<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<RollupId>,
    _: Params<NoParams>,
) -> Result<Json<RollupView>, Failure> {
    let found = view::rollup(&api.backend.ledger(), id);
    found
        .map(Json)
        .ok_or_else(|| Failure::unknown("rollup", id))
}

/// Which contents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContentsParams {
    /// The first height; 1 when left out.
    from_height: Option<u64>,
    /// The last height; the last executed one when left out.
    to_height: Option<u64>,
    /// Whether every height is answered, with the block that proves its contents.
    #[serde(default)]
    proofs: bool,
}

/// A rollup's ordered contents over a range of heights.
///
/// The answer may cover less than was asked for: go on after its `to_height`. Only executed
/// heights are covered.
#[utoipa::path(
    get, path = "/v1/rollups/{id}/contents", tag = "rollups",
    params(("id" = u32, Path, description = "The rollup's id."), ContentsParams),
    responses((status = 200, body = ContentsView))
)]
pub(super) async fn rollup_contents<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<RollupId>,
    Params(params): Params<ContentsParams>,
) -> Result<Json<ContentsView>, Failure> {
    require_rollup(&api, id)?;
    let from = Height(params.from_height.unwrap_or(1).max(1));
    let to = match params.to_height.map(Height) {
        Some(to) if to < from => {
            return Err(Failure::query(format!(
                "to_height {to} is below from_height {from}"
            )));
        }
        Some(to) => to.min(api.executed()),
        None => api.executed(),
    };
    let answer = api.read(move |backend| contents(backend, id, params.proofs, from, to));
    Ok(Json(answer.await??))
}

/// Refuses an id that is neither registered nor the system's: one without a stream.
pub(super) fn require_rollup<B: Backend>(api: &Api<B>, id: RollupId) -> Result<(), Failure> {
    match api.backend.ledger().stream(id) {
        Some(_) => Ok(()),
        None => Err(Failure::unknown("rollup", id)),
    }
}
