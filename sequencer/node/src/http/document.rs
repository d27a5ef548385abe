//! Mounting routes together with their part of the OpenAPI document.

use axum::handler::Handler;
use axum::routing::MethodRouter;
use conclave_sdk::api::{ApiError, DeliveryView, ProgressView};
use utoipa::OpenApi;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa_axum::PathItemExt;
use utoipa_axum::router::OpenApiRouter;

/// What the document says besides the routes. The stream's events are named here because its own
/// answer is text.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Conclave node",
        description = "Submit sealed envelopes, follow rollups, watch the proving market.",
    ),
    components(schemas(ApiError, DeliveryView, ProgressView))
)]
struct Base;

/// An empty router whose document is to be filled by [`mount`].
pub(super) fn base<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// Mounts one handler under the path and methods that its `#[utoipa::path]` names; `_path` is the
/// type that the attribute defines beside the handler.
///
/// This is `utoipa_axum::routes!` as a function, because the macro does not take generic handlers.
pub(super) fn mount<S, P, H, T>(router: OpenApiRouter<S>, _path: P, handler: &H) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    P: utoipa::Path + utoipa::__dev::SchemaReferences + for<'t> utoipa::__dev::Tags<'t>,
    H: Handler<T, S>,
    T: 'static,
{
    let mut schemas = Vec::new();
    P::schemas(&mut schemas);
    let mut operation = P::operation();
    operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
    let failure = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ApiError"))));
    let failure = ResponseBuilder::new()
        .description("The request failed; the codes are listed in docs/api.md.")
        .content("application/json", failure)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(failure));
    let mut methods = MethodRouter::new();
    for method in P::methods() {
        methods = methods.on(method.to_method_filter(), handler.clone());
    }
    let mut paths = Paths::new();
    paths.add_path_operation(P::path(), P::methods(), operation);
    router.routes((schemas, paths, methods))
}
