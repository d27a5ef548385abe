//! Following a rollup: history first, then live, as server-sent events.
//!
//! ```text
//! progress (watch) ──wakes──▶ follower ──reads one height──▶ store
//!                                │ one event at a time, only when the connection takes it
//!                                ▼
//!                    delivery | progress, id = height
//! ```
//!
//! Nothing is queued for a reader: the connection pulls, and each pull reads the store at the
//! reader's own height. A slow reader falls behind and harms nobody; what it missed of the watch is
//! only how far it may read.

use core::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use conclave_sdk::api::ProgressView;
use conclave_types::{Height, RollupId};
use futures::Stream;
use futures::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::IntoParams;

use super::contents::{DeliveryReader, Reading};
use super::error::{ErrorCode, Failure};
use super::extract::{Params, PathId};
use super::limits::KEEP_ALIVE;
use super::rollups::require_rollup;
use super::serve::closed;
use super::state::{Api, Shared};
use crate::backend::{Backend, Progress};

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// The first height; 1 when left out. `Last-Event-ID` goes before it.
    from_height: Option<u64>,
    /// Whether every height is delivered, with the block that proves its contents.
    #[serde(default)]
    proofs: bool,
}

/// Follows a rollup's ordered contents.
///
/// Server-sent events, whose id is the height that they cover: `delivery` with a `DeliveryView` for
/// each height with contents, in order and without gaps, and `progress` with a `ProgressView` when
/// heights passed without contents. A reader that comes back with `Last-Event-ID` goes on at the
/// next height.
#[utoipa::path(
    get, path = "/v1/rollups/{id}/stream", tag = "rollups",
    params(
        ("id" = u32, Path, description = "The rollup's id."),
        StreamParams,
        ("Last-Event-ID" = Option<u64>, Header, description = "The height of the last event received.")
    ),
    responses(
        (status = 200, description = "Events `delivery` (DeliveryView) and `progress` (ProgressView).",
            body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many streams; Retry-After says when to try again.", body = conclave_sdk::api::ApiError),
    )
)]
pub(super) async fn rollup_stream<B: Backend>(
    State(api): Shared<B>,
    PathId(id): PathId<RollupId>,
    Params(params): Params<StreamParams>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    require_rollup(&api, id)?;
    let from = match last_event(&headers)? {
        Some(seen) => Height(seen.0.saturating_add(1)),
        None => Height(params.from_height.unwrap_or(1)),
    };
    let Ok(place) = api.streams.clone().try_acquire_owned() else {
        let message = format!("{} streams are open", api.limits.streams);
        return Err(Failure::new(ErrorCode::TooManyStreams, message));
    };
    let follower = Follower {
        reader: DeliveryReader::new(id, from, params.proofs),
        progress: api.backend.progress(),
        api,
        _place: place,
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.event().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event(headers: &HeaderMap) -> Result<Option<Height>, Failure> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let height = value.to_str().ok().and_then(|text| text.parse().ok());
    let refuse = || Failure::new(ErrorCode::BadHeader, "Last-Event-ID is not a height");
    height.map(Some).ok_or_else(refuse)
}

/// One reader's place.
struct Follower<B> {
    api: Arc<Api<B>>,
    reader: DeliveryReader,
    progress: watch::Receiver<Progress>,
    _place: OwnedSemaphorePermit,
}

impl<B: Backend> Follower<B> {
    /// The next event, waited for; `None` when the node closes or cannot read its store, so that
    /// the reader comes back, here or elsewhere, where it was.
    async fn event(&mut self) -> Option<Event> {
        let executed = self.executed().await?;
        let mut reader = self.reader.clone();
        let read = self.api.read(move |backend| {
            let reading = reader.read(backend, executed);
            reading.map(|reading| (reading, reader))
        });
        let (reading, reader) = read.await.ok()?.ok()?;
        self.reader = reader;
        let event = match reading {
            Reading::Delivery(delivery) => Event::default()
                .event("delivery")
                .id(delivery.height.to_string())
                .json_data(delivery),
            Reading::Covered(height) => Event::default()
                .event("progress")
                .id(height.to_string())
                .json_data(ProgressView { height: height.0 }),
        };
        event.ok()
    }

    /// Waits until the reader's next height is executed.
    async fn executed(&mut self) -> Option<Height> {
        let next = self.reader.next();
        let reached = self.progress.wait_for(|progress| progress.executed >= next);
        tokio::select! {
            biased;
            () = closed(self.api.closing.clone()) => None,
            progress = reached => progress.ok().map(|progress| progress.executed),
        }
    }
}
