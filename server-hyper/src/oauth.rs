//! The authorization server's machine endpoints, as one service that mounts anywhere.
//!
//! `POST /oauth2/token`, `/oauth2/par`, `/oauth2/revoke`, `/oauth2/introspect`, `/oauth2/device_authorization`, and
//! `GET /oauth2/jwks.json` and `/.well-known/oauth-authorization-server`. The two endpoints that people see are the
//! application's: [`OauthService::endpoint`] reads what a browser brings and issues the codes. The binary `vestibule` mounts this
//! same service.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Extensions, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::Full;
use thiserror::Error;
use tokio_util::task::TaskTracker;
use url::Url;
use vestibule_oauth_core::{InvalidIssuer, Issuer, ScopeSet, Transport, UnixTime};
use vestibule_token_endpoint::{
    Answer, ClientRequest, Clients, Denial, Endpoint, EndpointKeys, EndpointSetup, EndpointUrls, Entropy,
    Event, EventKind, GrantType, InvalidSetup, JwtBearer, Ports, Profile, Store, TokenExchange, preflight,
};

use crate::ambient;
use crate::arrival::{NotArrived, arrive};
use crate::buckets::{Buckets, ClientAddress, Empty};
use crate::carried_out::CarriedOut;
use crate::respond;

/// What the service has to know of the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OauthSetup {
    /// Where it is; its origin is the issuer.
    pub public_url: Url,
    /// Which rules hold.
    pub profile: Profile,
    /// The scope words that clients may ask for, if they are registered for none in particular.
    pub scope: ScopeSet,
}

impl OauthSetup {
    /// OAuth 2.1 at the origin of this URL.
    pub fn new(public_url: Url) -> Self {
        Self { public_url, profile: Profile::OAUTH21, scope: ScopeSet::empty() }
    }
}

/// What the service works with.
#[derive(Clone)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever mounts the service")]
pub struct OauthParts {
    /// Who the clients are.
    pub clients: Arc<dyn Clients>,
    /// What is issued to them.
    pub store: Arc<dyn Store>,
    /// The keys that sign, hash and make nonces.
    pub keys: EndpointKeys,
}

impl fmt::Debug for OauthParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthParts").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The machine endpoints. Cheap to clone; a hyper `Service` and a tower `Service`.
#[derive(Clone)]
pub struct OauthService(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    clients: Arc<dyn Clients>,
    store: Arc<dyn Store>,
    failures: Failures,
    strangers: Buckets<IpAddr>,
    tasks: TaskTracker,
}

/// The paths below the origin.
pub(crate) mod path {
    pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
    pub(crate) const DEVICE: &str = "/oauth2/device";
    pub(crate) const DEVICE_AUTHORIZATION: &str = "/oauth2/device_authorization";
    pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
    pub(crate) const JWKS: &str = "/oauth2/jwks.json";
    pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";
    pub(crate) const PAR: &str = "/oauth2/par";
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    pub(crate) const TOKEN: &str = "/oauth2/token";
}

impl OauthService {
    /// The endpoints at the origin of `setup.public_url`.
    ///
    /// # Errors
    /// [`OauthSetupError`].
    pub fn new(setup: OauthSetup, parts: OauthParts) -> Result<Self, OauthSetupError> {
        let OauthSetup { public_url, profile, scope } = setup;
        let issuer =
            Issuer::of_origin(&public_url, Transport::LoopbackHttpToo).map_err(OauthSetupError::Issuer)?;
        let at = |path: &str| public_url.join(path).map_err(|_| OauthSetupError::Url);
        let mut urls = EndpointUrls::new(at(path::TOKEN)?);
        urls.authorization = Some(at(path::AUTHORIZE)?);
        urls.pushed_authorization = Some(at(path::PAR)?);
        urls.introspection = Some(at(path::INTROSPECT)?);
        urls.revocation = Some(at(path::REVOKE)?);
        urls.device_authorization = Some(at(path::DEVICE_AUTHORIZATION)?);
        urls.device_verification = Some(at(path::DEVICE)?);
        urls.jwks = Some(at(path::JWKS)?);
        let mut endpoint = EndpointSetup::new(issuer, urls);
        endpoint.profile = profile;
        endpoint.scope = scope;
        endpoint.grant_types.insert(GrantType::DEVICE_CODE);
        endpoint.extensions = vec![Arc::new(TokenExchange::new()), Arc::new(JwtBearer::new())];
        let endpoint = Endpoint::new(endpoint, parts.keys).map_err(OauthSetupError::Endpoint)?;
        let (clients, store) = (parts.clients, parts.store);
        let strangers = Buckets::new(KEPT_BURST, REFILL);
        let (failures, tasks) = (Failures::new(), TaskTracker::new());
        Ok(Self(Arc::new(Inner { endpoint, clients, store, failures, strangers, tasks })))
    }

    /// The server itself.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Its ports.
    pub fn ports(&self) -> Ports<'_> {
        Ports { clients: &*self.0.clients, store: &*self.0.store }
    }

    /// Waits until every request that was begun has ended: to be called before the process stops, once no new request comes.
    pub async fn at_rest(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Whether it answers at this path.
    pub fn serves(path: &str) -> bool {
        matches!(
            path,
            path::TOKEN
                | path::PAR
                | path::REVOKE
                | path::INTROSPECT
                | path::DEVICE_AUTHORIZATION
                | path::JWKS
                | path::METADATA
        )
    }

    /// Answers one request; a path that is not one of ours is a 404.
    ///
    /// Should the client go away meanwhile, nothing is half done: what the store was asked is one act.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let endpoint = &self.0.endpoint;
        let method = request.method();
        let response = match request.uri().path() {
            path::JWKS | path::METADATA if !matches!(*method, Method::GET | Method::HEAD) => {
                respond::wrong_method("GET, HEAD")
            }
            path::JWKS => {
                let mut json = String::new();
                endpoint.jwks().write_json(&mut json);
                respond::document(json)
            }
            path::METADATA => respond::document(endpoint.metadata().to_json()),
            known if Self::serves(known) && *method == Method::OPTIONS => preflight(),
            known if Self::serves(known) => self.post(request).await,
            _ => {
                respond::error_answer(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
            }
        };
        response.map(Full::new)
    }

    async fn post<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = match whole(request).await {
            Ok(request) => request,
            Err(refusal) => return *refusal,
        };
        let now = ambient::now();
        if let Err(empty) = self.0.failures.may_try(request.extensions(), now) {
            return too_many(TOO_MANY_FAILED, empty);
        }
        if keeps_for_anybody(&request)
            && let Err(empty) = self.admit_stranger(request.extensions(), now)
        {
            return too_many("too many requests were begun from this address; wait", empty);
        }
        // What was begun is ended, whoever goes away: a replay that was found out ends its grant, and a failure is counted.
        let service = self.clone();
        let answering = async move { service.answer(&request, now).await };
        CarriedOut::new(answering, self.0.tasks.clone()).await
    }

    async fn answer(&self, request: &Request<Bytes>, now: UnixTime) -> Response<Bytes> {
        let (endpoint, ports, entropy) = (&self.0.endpoint, self.ports(), Entropy::new(ambient::octets()));
        let answer = match request.uri().path() {
            path::TOKEN => endpoint.token(request, &entropy, now, ports).await,
            path::PAR => endpoint.push(request, &entropy, now, ports).await,
            path::REVOKE => endpoint.revoke(request, now, ports).await,
            path::INTROSPECT => endpoint.introspect(request, now, ports).await,
            _ => endpoint.authorize_device(request, &entropy, now, ports).await,
        };
        self.told(answer, request.extensions(), now)
    }

    /// Writes down what happened, and slows down whoever fails too often.
    fn told(&self, answer: Answer, extensions: &Extensions, now: UnixTime) -> Response<Bytes> {
        let Answer { response, events, .. } = answer;
        let mut slowed = None;
        for event in &events {
            tell(event);
            if let EventKind::Denied(denial) = &event.kind
                && is_a_guess(denial)
            {
                slowed = self.0.failures.count(event, extensions, now).err().or(slowed);
            }
        }
        let Some(empty) = slowed else { return response };
        let mut told = too_many(TOO_MANY_FAILED, empty);
        // What it needs to know for the next time, it needs all the same.
        for name in ["dpop-nonce", "www-authenticate"] {
            if let Some(value) = response.headers().get(name) {
                told.headers_mut().insert(HeaderName::from_static(name), value.clone());
            }
        }
        told
    }

    /// Leave to have a request kept that anybody could have sent: an authorization request that a browser brings, and what a public client
    /// pushes or begins for a device.
    pub(crate) fn admit_stranger(&self, extensions: &Extensions, now: UnixTime) -> Result<(), Empty> {
        match extensions.get::<ClientAddress>() {
            Some(address) => self.0.strangers.take(&address.subscriber(), now),
            None => Ok(()),
        }
    }
}

/// Whether something would be kept for a request without credentials.
fn keeps_for_anybody(request: &Request<Bytes>) -> bool {
    matches!(request.uri().path(), path::PAR | path::DEVICE_AUTHORIZATION)
        && ClientRequest::parse(request).is_ok_and(|form| form.shows_no_credentials())
}

/// The request with its body, if that arrives whole and in time.
async fn whole<B>(request: Request<B>) -> Result<Request<Bytes>, Box<Response<Bytes>>>
where
    B: HttpBody + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let refuse = |status, sentence: &str| Box::new(machine_error(status, "invalid_request", sentence));
    match arrive(body, ClientRequest::MAX_OCTETS).await {
        Ok(body) => Ok(Request::from_parts(parts, body)),
        Err(NotArrived::TooLarge) => Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
        Err(NotArrived::BrokeOff) => Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(NotArrived::TooSlow) => {
            Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))
        }
    }
}

/// One line for what happened; no event holds a secret.
pub(crate) fn tell(event: &Event) {
    let client = event.client.as_ref().map_or("", |client| client.as_str());
    let grant = event.grant.map(tracing::field::display);
    if event.is_warning() {
        tracing::warn!(target: "vestibule::audit", client, grant, "{}", event.kind);
    } else {
        tracing::debug!(target: "vestibule::audit", client, grant, "{}", event.kind);
    }
}

/// Whether a denial is what somebody sees who tries things out: secrets, codes, verifiers, tokens. An assertion that is sent twice is
/// one that was right.
fn is_a_guess(denial: &Denial) -> bool {
    (denial.is_of_client() && *denial != Denial::AssertionReplayed)
        || matches!(
            denial,
            Denial::CodeUnknown
                | Denial::CodeOfOtherClient
                | Denial::VerifierMissing
                | Denial::VerifierMalformed
                | Denial::VerifierMismatch
                | Denial::RefreshTokenUnknown
                | Denial::RefreshTokenOfOtherClient
                | Denial::DeviceCodeUnknown
        )
}

/// Counts what failed, by client and by address. An address that has failed too often waits, right or wrong. A client does not: the right
/// secret and the right verifier work at any time from anywhere else, so that nobody can keep a client out by failing in its name.
#[derive(Debug)]
struct Failures {
    by_client: Buckets<String>,
    by_address: Buckets<IpAddr>,
}

const TOO_MANY_FAILED: &str = "too many requests have failed; wait, and look at what is wrong with them";

/// What a client may get wrong in a row: somebody who sets up an app and tries.
const CLIENT_BURST: u32 = 60;

/// What an address may: several apps on one machine, all with an old secret.
const ADDRESS_BURST: u32 = 120;

/// What an address may have kept in a row without being anybody: an office behind one address, each with a few tabs. A store has room for
/// fifty times as many, and a request is kept for minutes.
const KEPT_BURST: u32 = 1000;

/// How long it takes until one more failure is answered as what it is, or one more request is kept.
const REFILL: Duration = Duration::from_secs(1);

impl Failures {
    const fn new() -> Self {
        Self {
            by_client: Buckets::new(CLIENT_BURST, REFILL),
            by_address: Buckets::new(ADDRESS_BURST, REFILL),
        }
    }

    fn may_try(&self, extensions: &Extensions, now: UnixTime) -> Result<(), Empty> {
        match extensions.get::<ClientAddress>() {
            Some(address) => self.by_address.has_left(&address.subscriber(), now),
            None => Ok(()),
        }
    }

    fn count(&self, event: &Event, extensions: &Extensions, now: UnixTime) -> Result<(), Empty> {
        if let Some(address) = extensions.get::<ClientAddress>() {
            self.by_address.take(&address.subscriber(), now)?;
        }
        match &event.client {
            Some(client) => self.by_client.take(&client.as_str().to_owned(), now),
            None => Ok(()),
        }
    }
}

/// The answer to one request too many ([RFC 6585, section 4](https://www.rfc-editor.org/rfc/rfc6585#section-4)).
fn too_many(sentence: &str, empty: Empty) -> Response<Bytes> {
    let mut response = machine_error(StatusCode::TOO_MANY_REQUESTS, "rate_limited", sentence);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(empty.retry_after.as_secs().max(1)));
    response
}

/// An error that is not the endpoint's own, with the header fields that every answer of it has (T57 to T59).
fn machine_error(status: StatusCode, code: &str, sentence: &str) -> Response<Bytes> {
    let mut response = respond::error_answer(status, code, sentence);
    let fields = [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "DPoP-Nonce, WWW-Authenticate, Retry-After"),
        ("pragma", "no-cache"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

impl fmt::Debug for OauthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthService").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for OauthService
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

impl<B> hyper::service::Service<Request<B>> for OauthService
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

/// Why the endpoints cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OauthSetupError {
    /// The public URL is no issuer.
    #[error("the public URL: {0}")]
    Issuer(InvalidIssuer),
    /// The public URL is one that no path can be added to.
    #[error("the public URL must be an http or https URL")]
    Url,
    /// The settings contradict each other.
    #[error("{0}")]
    Endpoint(InvalidSetup),
}
