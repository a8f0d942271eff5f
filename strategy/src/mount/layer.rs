//! A layer that leaves the answers to the application's own routes, as Ueberauth does.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{AuthOutcome, Mount, parameters, seal_off, wrong_method};
use crate::engine::Begun;
use crate::failure::Phase;
use crate::routes::Routed;

/// Puts the phases of a [`Mount`] around a service.
///
/// - A request at a callback address comes to the service with an [`AuthOutcome`] in its extensions.
/// - A request at a request address is answered with the redirect to the provider. It comes to the service if the strategy leaves its
///   page to the application, and with an [`AuthOutcome`] if no login could be begun.
/// - Every other request comes to the service as it is.
///
/// A form of a login is read before, and handed on, so the body has to be one that can be made of octets, as axum's can. In axum the
/// service is a `Router` with the layer, and its handlers take `Extension<AuthOutcome>`; the example `axum_layer` of this crate shows it.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    mount: Mount,
}

impl AuthLayer {
    /// The layer of this mount.
    pub const fn new(mount: Mount) -> Self {
        Self { mount }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthLayered<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthLayered { mount: self.mount.clone(), inner }
    }
}

/// A service with the phases of logins around it; [`AuthLayer`] makes it.
#[derive(Clone, Debug)]
pub struct AuthLayered<S> {
    mount: Mount,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for AuthLayered<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: From<Bytes> + Send,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was asked whether it is ready is the one to call.
        let fresh = self.inner.clone();
        let (mount, mut inner) = (self.mount.clone(), mem::replace(&mut self.inner, fresh));
        Box::pin(async move {
            let (phase, provider) = match mount.engine.route(request.method(), request.uri().path()) {
                Routed::Elsewhere => return inner.call(request).await,
                Routed::WrongMethod(allowed) => return Ok(wrong_method(&allowed).map(R::from)),
                Routed::Phase(phase, provider) => (phase, provider.clone()),
            };
            let (mut parts, body) = request.into_parts();
            let encoded = match parameters(&parts, body).await {
                Ok(encoded) => encoded,
                Err(refusal) => return Ok(refusal.map(R::from)),
            };
            let mut set_cookies = Vec::new();
            match phase {
                Phase::Request => {
                    match mount.begin(&provider, &parts, &encoded).await.map(Begun::into_response) {
                        Ok(Some(redirect)) => return Ok(redirect.map(R::from)),
                        Ok(None) => {}
                        Err(failure) => {
                            parts.extensions.insert(AuthOutcome { outcome: Err(failure), flow: None });
                        }
                    }
                }
                Phase::Callback => {
                    let (outcome, cookies) = mount.finish(&provider, &parts, &encoded).await;
                    set_cookies = cookies;
                    parts.extensions.insert(outcome);
                }
            }
            // What was read of a GET is its query, which is still there.
            let body =
                if parts.method == http::Method::POST { B::from(encoded) } else { B::from(Bytes::new()) };
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            seal_off(response.headers_mut(), set_cookies);
            Ok(response)
        })
    }
}
