//! What proves a rollup's outcomes: its entries in a ledger that a final block names, and the chain
//! of digests that leads there.

use axum::Json;
use axum::extract::State;
use conclave_sdk::api::{LedgerProofView, LinksView};
use conclave_types::{Height, RollupId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::contents::{gap_since, up_to_gap};
use super::error::{ErrorCode, Failure};
use super::extract::{NoParams, Params, PathId};
use super::limits::{LIST_MAX, list_limit};
use super::rollups::require_rollup;
use super::state::Shared;
use super::view;
use crate::backend::{Backend, NamedLedger};

/// What the ledger holds of a rollup, with its proof.
///
/// Of the newest ledger whose root a final block names: the stream's position and digest, and the
/// settled root, with the block and its certificate.
#[utoipa::path(
    get, path = "/v1/rollups/{id}/ledger-proof", tag = "rollups",
    params(("id" = u32, Path, description = "The rollup's id.")),
    responses((status = 200, body = LedgerProofView))
)]
pub(super) async fn ledger_proof<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<RollupId>,
    _: Params<NoParams>,
) -> Result<Json<LedgerProofView>, Failure> {
    require_rollup(&api, id)?;
    let answer = api.read(move |backend| {
        let NamedLedger { ledger, named_by } = backend.named_ledger().ok_or_else(|| {
            Failure::new(
                ErrorCode::NotReady,
                "no executed block names a ledger that is kept here yet",
            )
        })?;
        let block = backend.block(named_by)?;
        let block = block.ok_or_else(|| Failure::missing("the block", named_by.0))?;
        view::ledger_proof(&ledger, id, &block).ok_or_else(|| {
            let message = format!("rollup {id} is not in a ledger that a final block names yet");
            Failure::new(ErrorCode::NotReady, message)
        })
    });
    Ok(Json(answer.await??))
}

/// Which links.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinksParams {
    /// The first height; 1 when left out.
    from_height: Option<u64>,
    /// Links at most, 1 to 1000; 1000 when left out.
    limit: Option<usize>,
}

/// The chain of digests over a rollup's stream.
///
/// One link for each height that ordered something for the rollup: the digest of the height's
/// entries. With the digest before the first, they give the stream's digest after each.
#[utoipa::path(
    get, path = "/v1/rollups/{id}/links", tag = "rollups",
    params(("id" = u32, Path, description = "The rollup's id."), LinksParams),
    responses((status = 200, body = LinksView))
)]
pub(super) async fn links<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<RollupId>,
    Params(params): Params<LinksParams>,
) -> Result<Json<LinksView>, Failure> {
    require_rollup(&api, id)?;
    let limit = list_limit(params.limit, LIST_MAX, LIST_MAX)?;
    let from = Height(params.from_height.unwrap_or(1).max(1));
    let executed = api.executed();
    let answer = api.read(move |backend| {
        let executed = up_to_gap(backend, from, executed)?;
        let links = match from > executed {
            true => Vec::new(),
            false => backend.links(id, from, executed, limit),
        };
        // A full answer may leave out what comes after its last link.
        let to = match links.last().filter(|_| links.len() == limit) {
            Some(last) => last.link.height,
            None => executed,
        };
        let before = backend.last_link(id, Height(from.0 - 1));
        let known = before.map(|before| before.link.height);
        if let Some((_, last)) = gap_since(backend, known, from) {
            return Err(Failure::no_history(last));
        }
        Ok(view::links(id, (from, to), before.as_ref(), &links))
    });
    Ok(Json(answer.await??))
}
