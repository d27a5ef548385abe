//! What stands in front of every ordinary route: a bound on requests at once, and on their time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ErrorCode, Failure};
use super::state::Api;

/// Answers 503 rather than queueing when all places are taken, and 504 when time is up.
pub(super) async fn guard<B: Send + Sync + 'static>(
    State(api): State<Arc<Api<B>>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = api.requests.try_acquire() else {
        let message = format!("{} requests are in work", api.limits.requests);
        return Failure::new(ErrorCode::Overloaded, message).into_response();
    };
    match tokio::time::timeout(api.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = api.limits.request_timeout.as_secs_f64();
            Failure::new(ErrorCode::TimedOut, format!("no answer within {seconds} s"))
                .into_response()
        }
    }
}

/// The answer to a path that no route has.
pub(super) async fn unknown_route(request: Request) -> Failure {
    Failure::new(
        ErrorCode::UnknownRoute,
        format!("no route {}", request.uri().path()),
    )
}

/// The answer to a method that a route does not take.
pub(super) async fn wrong_method(request: Request) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    Failure::new(
        ErrorCode::WrongMethod,
        format!("{path} does not take {method}"),
    )
}
