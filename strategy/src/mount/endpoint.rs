//! A service that answers both phases itself.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body::Body;
use http_body_util::Full;
use vestibule_oauth_core::BoxFuture;

use super::{AuthOutcome, Mount, parameters, plain, seal_off, wrong_method};
use crate::auth::Auth;
use crate::engine::Begun;
use crate::failure::{Failure, Phase};
use crate::pending::FlowInfo;
use crate::provider_id::ProviderId;
use crate::routes::Routed;

/// What the application answers to a login. Cookies of the login are added to every answer.
pub trait AuthHandler: Send + Sync {
    /// Somebody signed in. Make a session of your own here, under a new id, and say where the person goes.
    fn success<'a>(
        &'a self,
        auth: Auth,
        flow: Option<FlowInfo>,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>>;

    /// A login failed, in either phase.
    fn failure<'a>(
        &'a self,
        failure: Failure,
        flow: Option<FlowInfo>,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>>;

    /// The page of a provider that leaves its request phase to the application, a form say. Without more it is not found.
    fn page<'a>(
        &'a self,
        provider: &'a ProviderId,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        let _nothing_to_show = (provider, request);
        Box::pin(std::future::ready(plain(StatusCode::NOT_FOUND, "there is no page for this provider")))
    }
}

/// Answers the request and the callback addresses of every provider of a [`Mount`]; a hyper `Service` under the feature `hyper`, a tower
/// `Service` under `tower`. Any other address is a 404. Cheap to clone.
///
/// In hyper: `serve_connection(io, service)`, or a call of [`AuthService::handle`] among the routes of a service of one's own. In axum:
/// `Router::new().nest_service("/auth", service)`, with an engine built for the site `https://app.example/auth` and the base path `""`.
#[derive(Clone)]
pub struct AuthService {
    mount: Mount,
    handler: Arc<dyn AuthHandler>,
}

impl AuthService {
    /// The service of this mount; `handler` says what people are shown.
    pub fn new(mount: Mount, handler: Arc<dyn AuthHandler>) -> Self {
        Self { mount, handler }
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let response = match self.mount.engine.route(&parts.method, parts.uri.path()) {
            Routed::Phase(phase, provider) => match parameters(&parts, body).await {
                Ok(encoded) => self.run(phase, provider, &parts, &encoded).await,
                Err(refusal) => refusal,
            },
            Routed::WrongMethod(allowed) => wrong_method(&allowed),
            Routed::Elsewhere => plain(StatusCode::NOT_FOUND, "there is nothing at this address"),
        };
        response.map(Full::new)
    }

    async fn run(
        &self,
        phase: Phase,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
    ) -> Response<Bytes> {
        let mut set_cookies = Vec::new();
        let mut response = match phase {
            Phase::Request => {
                match self.mount.begin(provider, parts, encoded).await.map(Begun::into_response) {
                    Ok(Some(response)) => return response,
                    Ok(None) => self.handler.page(provider, parts).await,
                    Err(failure) => self.handler.failure(failure, None, parts).await,
                }
            }
            Phase::Callback => {
                let (AuthOutcome { outcome, flow }, cookies) =
                    self.mount.finish(provider, parts, encoded).await;
                set_cookies = cookies;
                match outcome {
                    Ok(auth) => self.handler.success(auth, flow, parts).await,
                    Err(failure) => self.handler.failure(failure, flow, parts).await,
                }
            }
        };
        seal_off(response.headers_mut(), set_cookies);
        response
    }
}

impl fmt::Debug for AuthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService").field("mount", &self.mount).finish_non_exhaustive()
    }
}

/// An answer on its way; it never fails.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

#[cfg(feature = "hyper")]
impl<B> hyper::service::Service<Request<B>> for AuthService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

#[cfg(feature = "tower")]
impl<B> tower_service::Service<Request<B>> for AuthService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}
