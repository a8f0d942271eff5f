//! The login routes, as one service that mounts anywhere.
//!
//! `GET|POST /login`, `GET|POST /callback`, `GET /client-metadata.json` and `GET /jwks.json` for the AT Protocol, and
//! `GET|POST /auth/{provider}` with its `/callback` for every other provider, below whatever prefix the base URL has. What happens
//! after a login, or after a failed one, is the application's to say: two hooks, each of which gives the response. The binary
//! `vestibule` mounts this same service.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use http_body_util::Full;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use url::Url;
use vestibule_atproto_identity::login::{
    AtprotoClient, AtprotoStrategy, ClientDisplay, Directory, InvalidClient, SessionKey, SessionStore,
    Sessions, session_of,
};
use vestibule_atproto_identity::{DevelopmentNames, ResolveOptions};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{BoxFuture, FormRules, HttpClient, Params, ScopeSet, StoreUnavailable, TxtLookup};
use vestibule_strategy::cookie::InsecureSite;
use vestibule_strategy::{
    AssertionKey, Auth, Begun, BuildError, Engine, Failure, FailureKind, Fault, Finished, FlowInfo,
    FlowKeeping, FlowStore, Incoming, Intent, InvalidProviderId, Phase, Provider, ProviderId, ReturnTo,
    Routed, TransportFault,
};

use crate::ambient;
use crate::arrival;
use crate::form::{self, read_form};
use crate::oauth::OauthSetupError;
use crate::respond;
use crate::starts::Starts;

/// What the application says about a login.
pub trait LoginHooks: Send + Sync {
    /// Somebody signed in: the session is kept, nothing has been answered yet. Make a new session of your own here, under
    /// a new id, and say where the person goes.
    fn signed_in<'a>(
        &'a self,
        login: FinishedLogin,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>>;

    /// A login failed, in either phase. [`failure_answer`](crate::failure_answer) is a plain answer to begin with.
    fn failed<'a>(
        &'a self,
        login: FailedLogin,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>>;

    /// To which account a form with `intent=link` would link another identity: the one that is signed in with the browser that
    /// asks. A login that is begun so ends in [`Self::signed_in`] with [`Intent::Link`]. Without this hook nothing is linked.
    fn account<'a>(
        &'a self,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Result<Option<String>, StoreUnavailable>> {
        let _nobody = request;
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A login that came to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedLogin {
    /// Who it is.
    pub auth: Auth,
    /// Their session at their own server, which a sign-in with the AT Protocol leaves.
    pub session: Option<SessionKey>,
    /// Through which it is used and ended; the same as [`LoginService::sessions`].
    pub sessions: Arc<Sessions>,
    /// What the login was for, and where the person wanted to go.
    pub flow: FlowInfo,
    tasks: TaskTracker,
}

impl FinishedLogin {
    /// Does `work` while the person goes on; see [`LoginService::carry_out`].
    pub fn carry_out(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

/// A login that did not, and what is needed to begin it again.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedLogin {
    /// Where and why.
    pub failure: Failure,
    /// What was typed, where that is known.
    pub handle: Option<String>,
    /// Where the person wanted to go.
    pub return_to: Option<ReturnTo>,
    /// What the login was for.
    pub intent: Intent,
}

/// What the service has to know of the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginSetup {
    /// Where the routes are, prefix included: `https://app.example/auth/`. The only source of the URLs that are built.
    pub base_url: Url,
    /// What a login asks for; contains `atproto`.
    pub scope: ScopeSet,
    /// What people's servers show of the application.
    pub display: ClientDisplay,
    /// What completes a handle without a dot.
    pub handle_suffix: Option<String>,
    /// The PLC directory.
    pub plc_url: Url,
    /// Whether names and addresses of development are good.
    pub development: DevelopmentNames,
}

impl LoginSetup {
    /// A setup with nothing to show, no handle completed, and production's rules for names and addresses.
    pub fn new(base_url: Url, plc_url: Url, scope: ScopeSet) -> Self {
        Self {
            base_url,
            scope,
            display: ClientDisplay::default(),
            handle_suffix: None,
            plc_url,
            development: DevelopmentNames::Refused,
        }
    }
}

/// What the service works with: the caller's stores, keys and network.
#[derive(Clone)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever mounts the service")]
pub struct LoginParts {
    /// Pending logins.
    pub flows: Arc<dyn FlowStore>,
    /// Sessions at people's servers.
    pub sessions: Arc<dyn SessionStore>,
    /// The keys that seal what is kept.
    pub seal_keys: SealKeys,
    /// The keys that a client on the web signs with, newest first; not used on loopback.
    pub client_keys: Vec<AssertionKey>,
    /// HTTPS.
    pub http: Arc<dyn HttpClient>,
    /// DNS.
    pub dns: Arc<dyn TxtLookup>,
    /// Other providers than the AT Protocol.
    pub providers: Vec<Provider>,
}

impl fmt::Debug for LoginParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginParts").field("seal_keys", &self.seal_keys).finish_non_exhaustive()
    }
}

/// The login routes. Cheap to clone; a hyper `Service` and a tower `Service`.
#[derive(Clone)]
pub struct LoginService(Arc<Inner>);

struct Inner {
    base_url: Url,
    atproto: ProviderId,
    client: Arc<AtprotoClient>,
    directory: Arc<Directory>,
    sessions: Arc<Sessions>,
    engine: Engine,
    starts: Starts,
    tasks: TaskTracker,
    http: Arc<dyn HttpClient>,
    hooks: Arc<dyn LoginHooks>,
}

impl LoginService {
    /// The largest form a login takes, in octets: a handle and a place to return to, or what a provider sends by `form_post`.
    pub const MAX_FORM: usize = form::MAX_FORM;

    /// How long a form may take to arrive.
    pub const FORM_TIMEOUT: Duration = arrival::FORM_TIMEOUT;

    /// How long the request phase may take in all, from the name look-up to the pushed request: each call has a limit of
    /// its own, and a person does not wait for the sum of them.
    pub const BEGIN_TIMEOUT: Duration = Duration::from_secs(20);

    /// The routes below `setup.base_url`. On loopback they make the AT Protocol's development client, on https a
    /// confidential one.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(setup: LoginSetup, parts: LoginParts, hooks: Arc<dyn LoginHooks>) -> Result<Self, SetupError> {
        let mut base = setup.base_url;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let at = |path: &str| base.join(path).map_err(|_| SetupError::BaseUrl);
        let callback = at("callback")?;
        let client = if base.scheme() == "https" {
            let id = at("client-metadata.json")?;
            AtprotoClient::confidential(&id, &callback, at("jwks.json")?, setup.scope, parts.client_keys)
        } else {
            AtprotoClient::loopback(&callback, setup.scope)
        };
        let client = Arc::new(client.map_err(SetupError::Client)?.with_display(setup.display));
        let options = ResolveOptions::new(setup.plc_url).with_development(setup.development);
        let directory = Arc::new(Directory::new(options, parts.dns));
        let timer = Arc::new(ambient::TokioTimer);
        let sessions = Sessions::new(parts.sessions, Arc::clone(&client), Arc::clone(&directory), timer);
        let sessions = Arc::new(sessions);
        let strategy =
            AtprotoStrategy::new(Arc::clone(&client), Arc::clone(&directory), Arc::clone(&sessions))
                .with_handle_suffix(setup.handle_suffix);
        let atproto: ProviderId = AtprotoStrategy::KIND.parse().map_err(SetupError::Provider)?;
        let provider = Provider::new(atproto.clone(), Arc::new(strategy))
            .with_request_path("/login")
            .with_callback_path("/callback");
        let flows = FlowKeeping::Store(parts.flows);
        let engine = Engine::builder(base.clone(), &parts.seal_keys, flows).provider(provider);
        let engine = parts.providers.into_iter().fold(engine, vestibule_strategy::EngineBuilder::provider);
        let engine = engine.build().map_err(|error| match error {
            BuildError::Insecure(error) => SetupError::Insecure(error),
            error => SetupError::Providers(error),
        })?;
        Ok(Self(Arc::new(Inner {
            base_url: base,
            atproto,
            client,
            directory,
            sessions,
            engine,
            starts: Starts::new(),
            tasks: TaskTracker::new(),
            http: parts.http,
            hooks,
        })))
    }

    /// The sessions that logins leave behind.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.0.sessions
    }

    /// The client that people's servers know.
    pub fn client(&self) -> &AtprotoClient {
        &self.0.client
    }

    /// What runs the logins: it knows every provider, and where each of them begins and ends.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Whether this address is one of ours, by whatever method.
    pub fn serves(&self, path: &str) -> bool {
        let path = self.below(path);
        self.document(path).is_some() || self.0.engine.route(&Method::GET, path) != Routed::Elsewhere
    }

    /// The path without the prefix, which a framework that nests services may have taken away already. The AT Protocol has short
    /// addresses, and those that every provider has as well.
    fn below<'p>(&self, path: &'p str) -> &'p str {
        let prefix = self.0.base_url.path().trim_end_matches('/');
        let path = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        match path.strip_suffix('/').unwrap_or(path) {
            "/auth/atproto" => "/login",
            "/auth/atproto/callback" => "/callback",
            _ => path,
        }
    }

    /// The document that is published at this address.
    fn document(&self, path: &str) -> Option<String> {
        match path {
            "/client-metadata.json" => Some(self.0.client.metadata().to_json()),
            "/jwks.json" => Some(self.0.client.jwks_json()),
            _ => None,
        }
    }

    /// The identities and servers that were looked up lately.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Runs `work` to its end, whoever goes away: what was sent has to be read, stored or given back. A stop waits for it, in
    /// [`Self::at_rest`].
    pub fn carry_out<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.tasks.spawn(work)
    }

    /// Waits until everything that must come to its end has: to be called before the process stops, once no new request
    /// comes.
    pub async fn at_rest(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Answers one request; a path that is not one of ours is a 404.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let path = self.below(parts.uri.path()).to_owned();
        if let Some(document) = self.document(&path) {
            let response = match parts.method {
                Method::GET | Method::HEAD => respond::document(document),
                _ => respond::wrong_method("GET, HEAD"),
            };
            return response.map(Full::new);
        }
        let response = match self.0.engine.route(&parts.method, &path) {
            Routed::Phase(phase, provider) if parts.method == Method::POST => {
                let provider = provider.clone();
                match read_form(&parts, body).await {
                    Ok(form) => self.run(phase, provider, parts, form).await,
                    Err(refusal) => refusal.into(),
                }
            }
            Routed::Phase(phase, provider) => {
                let query = Bytes::copy_from_slice(parts.uri.query().unwrap_or_default().as_bytes());
                self.run(phase, provider.clone(), parts, query).await
            }
            Routed::WrongMethod(allowed) => respond::wrong_method(&allowed),
            Routed::Elsewhere => {
                respond::error_answer(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
            }
        };
        response.map(Full::new)
    }

    /// Runs a phase, even when the browser goes away meanwhile.
    async fn run(
        &self,
        phase: Phase,
        provider: ProviderId,
        parts: request::Parts,
        encoded: Bytes,
    ) -> Response<Bytes> {
        let inner = Arc::clone(&self.0);
        let running = self.0.tasks.spawn(async move {
            match phase {
                Phase::Request => inner.request_phase(&provider, &parts, &encoded).await,
                Phase::Callback => inner.callback_phase(&provider, &parts, &encoded).await,
            }
        });
        running.await.unwrap_or_else(|_| {
            let sentence = "something broke here; start again";
            respond::error_answer(StatusCode::INTERNAL_SERVER_ERROR, "server_error", sentence)
        })
    }
}

impl Inner {
    async fn request_phase(
        &self,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
    ) -> Response<Bytes> {
        let params = Params::parse(encoded, &FormRules::DEFAULT).unwrap_or_default();
        let links = params.value("intent") == Some("link");
        let intent = if links { self.link(parts).await } else { Ok(Intent::SignIn) };
        let asked = intent.as_ref().cloned().unwrap_or(Intent::SignIn);
        let begun = match intent {
            Ok(intent) => self.begin(provider, parts, encoded, intent).await,
            Err(fault) => Err(Failure::new(provider.clone(), Phase::Request, fault)),
        };
        let failure = match begun.map(Begun::into_response) {
            Ok(Some(response)) => return response,
            Ok(None) => misconfigured(provider, Phase::Request),
            Err(failure) => failure,
        };
        let handle = params.value("handle").map(str::to_owned);
        let return_to = params.value("return_to").and_then(|text| ReturnTo::parse(text, &self.base_url).ok());
        self.failed(FailedLogin { failure, handle, return_to, intent: asked }, parts).await
    }

    /// Links to the account that is signed in.
    async fn link(&self, parts: &request::Parts) -> Result<Intent, Fault> {
        let account = self.hooks.account(parts).await;
        match account.map_err(|error| Fault::new(FailureKind::StoreUnavailable, error.to_string()))? {
            Some(subject) => Ok(Intent::Link { subject }),
            None => Err(Fault::new(FailureKind::NotSignedIn, "nobody is signed in with this browser")),
        }
    }

    async fn begin(
        &self,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
        intent: Intent,
    ) -> Result<Begun, Failure> {
        let incoming = Incoming::new(&parts.method, &parts.headers, encoded);
        let (seed, now) = (ambient::seed(), ambient::now());
        let begin = self.engine.begin(provider, incoming, intent, seed, now, &*self.http);
        let failed = |fault| Err(Failure::new(provider.clone(), Phase::Request, fault));
        match self.starts.admit(&parts.extensions, now) {
            Ok(_room) => tokio::time::timeout(LoginService::BEGIN_TIMEOUT, begin)
                .await
                .unwrap_or_else(|_| failed(too_slow())),
            Err(too_many) => failed(too_many.fault()),
        }
    }

    async fn callback_phase(
        &self,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
    ) -> Response<Bytes> {
        let incoming = Incoming::new(&parts.method, &parts.headers, encoded);
        let finished =
            self.engine.finish(provider, incoming, ambient::seed(), ambient::now(), &*self.http).await;
        let Finished { outcome, flow, set_cookies, .. } = finished;
        let (return_to, intent) = match &flow {
            Some(flow) => (flow.return_to.clone(), flow.intent.clone()),
            None => (None, Intent::SignIn),
        };
        let finished = outcome.and_then(|auth| {
            let session = session_of(&auth);
            match flow {
                // A sign-in with the AT Protocol is one with a session.
                Some(flow) if session.is_some() || *provider != self.atproto => {
                    let (sessions, tasks) = (Arc::clone(&self.sessions), self.tasks.clone());
                    Ok(FinishedLogin { auth, session, sessions, flow, tasks })
                }
                _ => Err(misconfigured(provider, Phase::Callback)),
            }
        });
        let mut response = match finished {
            Ok(login) => {
                tracing::info!(%provider, uid = %login.auth.uid, "signed in");
                self.hooks.signed_in(login, parts).await
            }
            Err(failure) => {
                self.failed(FailedLogin { failure, handle: None, return_to, intent }, parts).await
            }
        };
        response.headers_mut().extend(set_cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
        response
    }

    async fn failed(&self, login: FailedLogin, parts: &request::Parts) -> Response<Bytes> {
        let failure = &login.failure;
        tracing::warn!(
            provider = %failure.provider(),
            code = failure.kind().code(),
            detail = failure.detail(),
            "{} phase failed",
            failure.phase()
        );
        self.hooks.failed(login, parts).await
    }
}

fn misconfigured(provider: &ProviderId, phase: Phase) -> Failure {
    let detail = "the strategy gave something else than a login";
    Failure::new(provider.clone(), phase, Fault::new(FailureKind::Misconfigured, detail))
}

fn too_slow() -> Fault {
    let seconds = LoginService::BEGIN_TIMEOUT.as_secs();
    let detail = format!("the login was not begun within {seconds} seconds");
    Fault::new(FailureKind::Transport(TransportFault::Timeout), detail)
}

impl fmt::Debug for LoginService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginService").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for LoginService
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

impl<B> hyper::service::Service<Request<B>> for LoginService
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

/// Why the login routes cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The base URL is not one that paths can be added to.
    #[error("the public URL must be an http or https URL")]
    BaseUrl,
    /// A whole server was to live below a path; only the login routes can.
    #[error(
        "the public URL must be a scheme and a host, without path, query or user: this server has its host to itself"
    )]
    NotAtRoot,
    /// The site is on plain http, and not on loopback.
    #[error("the public URL: {0}")]
    Insecure(InsecureSite),
    /// The application cannot be such a client.
    #[error("the AT Protocol client: {0}")]
    Client(InvalidClient),
    /// A provider's name is not one.
    #[error("{0}")]
    Provider(InvalidProviderId),
    /// The authorization server cannot be set up.
    #[error("the authorization server: {0}")]
    Oauth(OauthSetupError),
    /// A page's template is broken.
    #[error("template: {0}")]
    Template(String),
    /// Two providers are in each other's way.
    #[error("the providers: {0}")]
    Providers(BuildError),
}
