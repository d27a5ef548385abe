//! The HTTP API of a node: JSON over HTTP/1.1, generic over what it serves from.
//!
//! ```text
//! connection ──▶ guard (bounded requests, time) ──▶ route ──▶ extract ──▶ Backend ──▶ view ──▶ JSON
//!                                                     │
//!                                                     └── stream: pulls the store height by height
//! ```
//!
//! Invariants:
//! - Every error is an [`ApiError`](conclave_sdk::api::ApiError) with a stable code and a remedy;
//!   the API's own are all in [`ErrorCode`].
//! - Every mounted route is in the document at `/v1/openapi.json`, because both come from one call.
//! - Unknown query parameters are refused, so that a misspelt one never changes an answer silently.
//! - Every answer, list, scan and wait is bounded, and an answer that covers less than was asked
//!   for says how far it got.
//! - Reads never block agreement: they use the immutable ledger and the store, on other threads.

// The attribute `utoipa::path` refers to a route's parameters with more of a path than needed.
#![allow(unused_qualifications)]

mod accounts;
mod chain;
mod connection;
mod contents;
mod document;
mod epochs;
mod error;
mod extract;
mod guard;
mod ledger;
mod limits;
mod market;
mod operate;
mod rollups;
mod serve;
mod state;
mod stream;
mod submit;
mod view;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use conclave_types::limits::ENVELOPE_BYTES_MAX;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

pub use self::error::ErrorCode;
pub use self::limits::HttpLimits;
pub use self::serve::{ServeError, bind, serve};

use self::document::{base, mount};
use self::state::Api;
use crate::backend::Backend;

/// The API over a backend. Streams end once `closing` is true or its sender is gone.
pub fn router<B: Backend>(
    backend: Arc<B>,
    limits: HttpLimits,
    closing: watch::Receiver<bool>,
) -> Router {
    let (requests, document) = request_routes::<B>().split_for_parts();
    let (others, other_document) = other_routes::<B>().split_for_parts();
    let document = document.merge_from(other_document);
    // The document is plain data made of strings, maps and numbers, which always serialises.
    let document = document.to_json().unwrap_or_default();
    let api = Arc::new(Api::new(backend, limits, Bytes::from(document), closing));
    requests
        .layer(DefaultBodyLimit::max(ENVELOPE_BYTES_MAX))
        .layer(from_fn_with_state(api.clone(), guard::guard::<B>))
        .merge(others)
        .method_not_allowed_fallback(guard::wrong_method)
        .fallback(guard::unknown_route)
        .with_state(api)
}

/// The routes whose requests are bounded in number and time.
fn request_routes<B: Backend>() -> OpenApiRouter<Arc<Api<B>>> {
    let mut router = base();
    macro_rules! routes {
        ($($module:ident: $($handler:ident / $path:ident),*;)*) => {
            $($(router = mount(router, $module::$path, &$module::$handler::<B>);)*)*
        };
    }
    routes! {
        submit: submit / __path_submit, envelope / __path_envelope, fees / __path_fees;
        chain: committee / __path_committee, status / __path_status, blocks / __path_blocks,
            block / __path_block, handoff / __path_handoff;
        epochs: validators / __path_validators, epoch / __path_epoch;
        rollups: rollups / __path_rollups, rollup / __path_rollup,
            rollup_contents / __path_rollup_contents;
        ledger: ledger_proof / __path_ledger_proof, links / __path_links;
        market: intents / __path_intents, auctions / __path_auctions, auction / __path_auction,
            provers / __path_provers, prover / __path_prover, proofs / __path_proofs,
            proof / __path_proof;
        accounts: account / __path_account, totals / __path_totals, events / __path_events;
        operate: openapi / __path_openapi;
    }
    router
}

/// Streams, which have their own bound, and probes and metrics, which must answer under load too.
fn other_routes<B: Backend>() -> OpenApiRouter<Arc<Api<B>>> {
    let router = base();
    let router = mount(
        router,
        stream::__path_rollup_stream,
        &stream::rollup_stream::<B>,
    );
    let router = mount(router, operate::__path_livez, &operate::livez);
    let router = mount(router, operate::__path_readyz, &operate::readyz::<B>);
    mount(router, operate::__path_metrics, &operate::metrics::<B>)
}
