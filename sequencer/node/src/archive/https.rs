//! The HTTP client under an S3 archive: hyper, with the TLS that the node has anyway.

use std::error::Error;

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};

/// Makes the client. The reader of an archive bounds how long a request may take.
#[derive(Debug)]
pub(super) struct Https;

#[derive(Debug)]
struct Service(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl HttpConnector for Https {
    /// Only for TLS, unless `AWS_ALLOW_HTTP` allows an endpoint without.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let provider = rustls::crypto::ring::default_provider();
        let roots = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|source| object_store::Error::Generic {
                store: "S3",
                source: Box::new(source),
            })?;
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let schemes = match plain.as_deref() {
            Some("true") => roots.https_or_http(),
            _ => roots.https_only(),
        };
        let https = schemes.enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(HttpClient::new(Service(client)))
    }
}

impl HttpService for Service {
    fn call<'life, 'task>(
        &'life self,
        request: HttpRequest,
    ) -> BoxFuture<'task, Result<HttpResponse, HttpError>>
    where
        'life: 'task,
        Self: 'task,
    {
        async move {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| {
                let kind = match error.is_connect() {
                    true => HttpErrorKind::Connect,
                    false => HttpErrorKind::Request,
                };
                HttpError::new(kind, error)
            })?;
            Ok(answer.map(|body| HttpResponseBody::new(body.map_err(interrupted))))
        }
        .boxed()
    }
}

fn interrupted(error: impl Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}
