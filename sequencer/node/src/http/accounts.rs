//! Accounts, all money, and what happened on the ledger.

use axum::Json;
use axum::extract::State;
use conclave_sdk::api::{AccountView, EventView, TotalsView};
use conclave_types::{AccountId, Height};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::Failure;
use super::extract::{NoParams, Params, PathId};
use super::limits::{LIST_DEFAULT, LIST_MAX, SCAN_HEIGHTS, list_limit};
use super::state::Shared;
use super::view;
use crate::backend::{ArchiveError, Backend};

/// One account; all zero if nothing has come to it yet.
#[utoipa::path(
    get, path = "/v1/accounts/{account}", tag = "ledger",
    params(("account" = String, Path, description = "The account, 64 hexadecimal digits.")),
    responses((status = 200, body = AccountView))
)]
pub(super) async fn account<B: Backend>(
    State(api): Shared<B>,
    PathId(account): PathId<AccountId>,
    _: Params<NoParams>,
) -> Result<Json<AccountView>, Failure> {
    Ok(Json(view::account(&api.backend.ledger(), account)))
}

/// Money, all of it.
#[utoipa::path(
    get, path = "/v1/totals", tag = "ledger",
    responses((status = 200, body = TotalsView))
)]
pub(super) async fn totals<B: Backend>(
    State(api): Shared<B>,
    _: Params<NoParams>,
) -> Result<Json<TotalsView>, Failure> {
    Ok(Json(
        api.read(|backend| view::totals(&backend.ledger())).await?,
    ))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsParams {
    /// The first height; 1 when left out.
    from_height: Option<u64>,
    /// Events after which no further height is read, 1 to 1000; 100 when left out. A height's
    /// events are never split.
    limit: Option<usize>,
}

/// What happened on the ledger, in order; go on after the height of the last event.
#[utoipa::path(
    get, path = "/v1/events", tag = "ledger", params(EventsParams),
    responses((status = 200, body = Vec<EventView>))
)]
pub(super) async fn events<B: Backend>(
    State(api): Shared<B>,
    Params(params): Params<EventsParams>,
) -> Result<Json<Vec<EventView>>, Failure> {
    let limit = list_limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let mut next = Height(params.from_height.unwrap_or(1).max(1));
    let executed = api.executed();
    let mut list = Vec::new();
    // Read in steps, so that the work ends with the request when its time is up.
    while list.len() < limit && next <= executed {
        let last = executed.min(Height(next.0.saturating_add(SCAN_HEIGHTS - 1)));
        let room = limit - list.len();
        let read = api.read(move |backend| read_events(backend, next, last, room));
        let (found, after) = read.await??;
        list.extend(found);
        next = after;
    }
    Ok(Json(list))
}

/// Events of `next..=last`, until there are `limit` of them, and the height to go on at.
fn read_events<B: Backend>(
    backend: &B,
    mut next: Height,
    last: Height,
    limit: usize,
) -> Result<(Vec<EventView>, Height), ArchiveError> {
    let mut list = Vec::new();
    while list.len() < limit && next <= last {
        let Some(height) = backend.next_events(next, last)? else {
            return Ok((list, last.next()));
        };
        list.extend(backend.events(height)?);
        next = height.next();
    }
    Ok((list, next))
}
