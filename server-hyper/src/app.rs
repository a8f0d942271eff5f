//! The server's routes: the login service, and what the binary puts around it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use serde_json::json;
use url::{Host, Url};
use vestibule_atproto_identity::login::{
    AtprotoClient, AtprotoStrategy, ClientDisplay, SessionKey, SessionRecord, Sessions,
};
use vestibule_atproto_identity::net::Network;
use vestibule_atproto_identity::{DevelopmentNames, Handle};
use vestibule_dpop::{NonceIssuer, NonceKeys, default_signer};
use vestibule_oauth_core::{FormRules, HttpClient, Params, ScopeSet, StoreUnavailable, UnixTime};
use vestibule_storage::{
    AccountStore, Housekeeping, KeyPurpose, KeyRing, Opened, RingWatch, SigningKey, WebSession,
};
use vestibule_strategy::cookie::CookiePolicy;
use vestibule_strategy::{AssertionKey, Provenance, ProviderId, ReturnTo};
use vestibule_token_endpoint::{Client, EndpointKeys, Pepper, Profile, TokenKey};

use crate::ambient;
use crate::body::{Body, BodyError};
use crate::clients::ServerClients;
use crate::device::TypedWrong;
use crate::hall::Hall;
use crate::login::{LoginParts, LoginService, LoginSetup, SetupError};
use crate::oauth::{OauthParts, OauthService, OauthSetup, path};
use crate::pages::{Pages, PersonsServer, Problem, STYLE, SignIn, SignedIn};
use crate::profile::Profiles;
use crate::providers::{Labels, SignInWith};
use crate::respond;
use crate::web::{WebSessions, person};

/// Everything a route needs.
pub struct App {
    pub(crate) public_url: Url,
    pub(crate) login: LoginService,
    pub(crate) web: WebSessions,
    pub(crate) network: Network,
    pub(crate) body_limit: u64,
    pub(crate) oauth: OauthService,
    pub(crate) typed_wrong: TypedWrong,
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) labels: Labels,
    pages: Arc<Pages>,
    profiles: Profiles,
    housekeeping: Arc<dyn Housekeeping>,
    ring_watch: Arc<RingWatch>,
}

/// What a server is made of.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever makes a server")]
pub struct AppSetup {
    /// Where people reach it; without a path.
    pub public_url: Url,
    /// What a login asks for.
    pub scope: ScopeSet,
    /// What people's servers show of it.
    pub display: ClientDisplay,
    /// What completes a handle without a dot.
    pub handle_suffix: Option<String>,
    /// The PLC directory.
    pub plc_url: Url,
    /// Whether names and addresses of development are good.
    pub development: DevelopmentNames,
    /// The store, opened.
    pub store: Opened,
    /// The network.
    pub network: Network,
    /// The largest body that `/xrpc` passes on, in octets.
    pub body_limit: u64,
    /// Which rules the authorization server holds its clients to.
    pub profile: Profile,
    /// The scope words that clients may ask for, if they are registered for none in particular.
    pub oauth_scope: ScopeSet,
    /// The clients of the configuration; others are in the store.
    pub clients: Vec<Client>,
    /// Whom people may sign in with beside the AT Protocol.
    pub providers: Vec<SignInWith>,
}

impl App {
    /// A server ready to answer.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(setup: AppSetup) -> Result<Self, SetupError> {
        let cookies = CookiePolicy::for_site(&setup.public_url).map_err(SetupError::Insecure)?;
        let url = &setup.public_url;
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
        {
            return Err(SetupError::NotAtRoot);
        }
        let http: Arc<dyn HttpClient> = Arc::new(setup.network.clone());
        let web = WebSessions::new(setup.store.web_sessions, cookies, Arc::clone(&http));
        let mut oauth = OauthSetup::new(setup.public_url.clone());
        (oauth.profile, oauth.scope) = (setup.profile, setup.oauth_scope);
        let clients = ServerClients::new(setup.clients, setup.store.clients);
        let parts = OauthParts {
            clients: Arc::new(clients),
            store: setup.store.issued,
            keys: endpoint_keys(&setup.store.ring, ambient::now()),
        };
        let oauth = OauthService::new(oauth, parts).map_err(SetupError::Oauth)?;
        let mut login = LoginSetup::new(setup.public_url.clone(), setup.plc_url, setup.scope);
        login.display = setup.display;
        login.handle_suffix = setup.handle_suffix;
        login.development = setup.development;
        let parts = LoginParts {
            flows: setup.store.flows,
            sessions: setup.store.sessions,
            seal_keys: setup.store.ring.seal_keys(ambient::now()),
            client_keys: client_keys(&setup.store.ring),
            http,
            dns: Arc::new(setup.network.clone()),
            providers: setup.providers.iter().map(|with| with.provider.clone()).collect(),
        };
        let labels = Labels::of(&setup.providers);
        let pages =
            Pages::load(&labels.buttons()).map_err(|error| SetupError::Template(error.to_string()))?;
        let (pages, housekeeping, accounts) =
            (Arc::new(pages), setup.store.housekeeping, setup.store.accounts);
        let hooks = Hall {
            web: web.clone(),
            accounts: Arc::clone(&accounts),
            pages: Arc::clone(&pages),
            housekeeping: Arc::clone(&housekeeping),
        };
        Ok(Self {
            public_url: setup.public_url,
            login: LoginService::new(login, parts, Arc::new(hooks))?,
            accounts,
            labels,
            web,
            network: setup.network,
            body_limit: setup.body_limit,
            oauth,
            typed_wrong: TypedWrong::new(),
            pages,
            profiles: Profiles::new(),
            housekeeping,
            ring_watch: setup.store.ring_watch,
        })
    }

    /// Answers one request.
    ///
    /// # Errors
    /// None: what goes wrong is an answer as well.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let https = self.public_url.scheme() == "https";
        let mut response = self.route(request).await;
        respond::harden(response.headers_mut(), https);
        Ok(response)
    }

    /// The server's face: method and path to handler, one match.
    async fn route<B>(self: Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let path = request.uri().path().to_owned();
        let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
        if let Some(elsewhere) = self.other_name_of_loopback(&request) {
            return whole(elsewhere);
        }
        match (&method, path.as_str()) {
            // Programs ask most often.
            (_, machine) if OauthService::serves(machine) => {
                self.oauth.handle(request).await.map(Body::streamed)
            }
            (&Method::GET, "/") => whole(self.home(request.into_parts().0).await),
            (&Method::GET, "/session") => whole(self.session(&request.into_parts().0).await),
            (&Method::POST, "/logout") => whole(self.logout(request.into_parts().0).await),
            (_, login) if self.login.serves(login) => self.login.handle(request).await.map(Body::streamed),
            (&Method::GET, path::AUTHORIZE) => whole(self.authorize(request.into_parts().0).await),
            (&Method::POST, path::AUTHORIZE) => whole(self.authorize_form(request).await),
            (&Method::GET, path::DEVICE) => whole(self.device(request.into_parts().0).await),
            (&Method::POST, path::DEVICE) => whole(self.device_form(request).await),
            (&Method::POST, "/connections/end") => whole(self.end_connections(request).await),
            (&Method::POST, "/sessions/end") => whole(self.sign_out_everywhere(request).await),
            (&Method::POST, "/identities/unlink") => whole(self.unlink(request).await),
            (&Method::GET, "/assets/style.css") => whole(style()),
            (&Method::GET, "/healthz") => {
                whole(respond::json_answer(StatusCode::OK, &json!({ "status": "ok" })))
            }
            (&Method::GET, "/readyz") => whole(self.ready().await),
            (&Method::GET | &Method::POST, xrpc) if xrpc.starts_with("/xrpc/") => self.xrpc(request).await,
            (_, "/" | "/session" | "/assets/style.css" | "/healthz" | "/readyz") => {
                whole(respond::wrong_method("GET, HEAD"))
            }
            (_, path::AUTHORIZE | path::DEVICE) => whole(respond::wrong_method("GET, HEAD, POST")),
            (_, "/logout" | "/connections/end" | "/sessions/end" | "/identities/unlink") => {
                whole(respond::wrong_method("POST"))
            }
            (_, xrpc) if xrpc.starts_with("/xrpc/") => whole(respond::wrong_method("GET, POST")),
            _ => whole(self.not_found(&request.into_parts().0)),
        }
    }

    /// `http://localhost:8080` is another origin than `http://127.0.0.1:8080`: a login begun on one name would come back to
    /// the other, without its cookie. So a person who opens a page by the wrong name is sent to the right one.
    fn other_name_of_loopback<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let literal = matches!(self.public_url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
        let asked = request.headers().get(HOST)?.to_str().ok()?;
        let by_name = asked.split(':').next().is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
        let path = request.uri().path();
        let page = request.method() == Method::GET && (path == "/" || self.login.serves(path));
        if !(literal && by_name && page && self.public_url.scheme() == "http") {
            return None;
        }
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Some(respond::see_other(self.public_url.join(target).ok()?.as_str()))
    }

    /// `GET /`: who is signed in, or the form that signs in.
    async fn home(&self, parts: request::Parts) -> Response<Bytes> {
        let (web_session, upstream) = match self.signed_in(&parts).await {
            Ok(Visitor::SignedIn(both)) => *both,
            Ok(Visitor::Nobody) => return self.sign_in_page(&parts, None),
            Ok(Visitor::Ended) => return self.forgetting(self.sign_in_page(&parts, Some(ENDED))),
            Err(unavailable) => return self.unavailable(&parts, &unavailable),
        };
        let (subject, now) = (web_session.subject.as_str(), ambient::now());
        let (identities, connections) =
            match (self.identities(subject).await, self.connections(subject, now).await) {
                (Ok(identities), Ok(connections)) => (identities, connections),
                (Err(unavailable), _) | (_, Err(unavailable)) => {
                    return self.unavailable(&parts, &unavailable);
                }
            };
        let (mut display_name, mut server) = (None, None);
        if let Some(record) = upstream {
            let did = record.key.did().as_str();
            display_name = self.profiles.display_name(did, &record.pds, now, &self.network).await;
            server = Some(PersonsServer::of(&record, now));
        }
        let (person, account) = (person(&web_session), web_session.subject);
        let page = SignedIn { person, display_name, account, server, identities, connections };
        respond::page(StatusCode::OK, self.pages.signed_in(&page))
    }

    /// The same answer, taking the session cookie away.
    fn forgetting(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        response.headers_mut().extend(self.web.clear().map(|cookie| (SET_COOKIE, cookie)));
        response
    }

    fn sign_in_page(&self, parts: &request::Parts, problem: Option<Problem<'_>>) -> Response<Bytes> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let params = Params::parse(query, &FormRules::DEFAULT).unwrap_or_default();
        let return_to =
            params.value("return_to").and_then(|text| ReturnTo::parse(text, &self.public_url).ok());
        let return_to = return_to.as_ref().map(ReturnTo::as_str);
        let page = SignIn { return_to, problem, ..SignIn::default() };
        respond::page(StatusCode::OK, self.pages.sign_in(&page))
    }

    /// `GET /session`: who is signed in, for an app's own front end. Never a token.
    async fn session(&self, parts: &request::Parts) -> Response<Bytes> {
        match self.signed_in(parts).await {
            Ok(Visitor::SignedIn(both)) => {
                let (web_session, record) = *both;
                let record = record.as_ref();
                let body = json!({
                    "sub": web_session.subject,
                    "did": record.map(|record| record.key.did().as_str()),
                    "handle": record.and_then(|record| record.handle.as_ref()).map(Handle::as_str),
                    "pds": record.map(|record| record.pds.as_str()),
                    "scope": record.map(|record| record.scope.to_string()),
                    "expires_at": record.and_then(|record| record.expires_at),
                    "provider": web_session.provider.as_str(),
                });
                respond::json_answer(StatusCode::OK, &body)
            }
            Ok(Visitor::Nobody) => not_signed_in(),
            Ok(Visitor::Ended) => self.forgetting(session_ended()),
            Err(unavailable) => self.unavailable(parts, &unavailable),
        }
    }

    /// `POST /logout`: ends the session here, and at the person's server with the last browser that uses it.
    async fn logout(self: Arc<Self>, parts: request::Parts) -> Response<Bytes> {
        if !Provenance::of(&parts.headers, &self.public_url).may_post() {
            return self.cross_site(&parts);
        }
        let app = Arc::clone(&self);
        let headers = parts.headers.clone();
        let ending = async move {
            if let Some(upstream) = app.web.leave(&headers).await? {
                app.web.end_upstream(&upstream, app.sessions()).await;
            }
            Ok::<(), StoreUnavailable>(())
        };
        let ended = self.login.carry_out(ending).await;
        match ended {
            Ok(Ok(())) => {
                let mut response = respond::see_other("/");
                response.headers_mut().extend(self.web.clear().map(|cookie| (SET_COOKIE, cookie)));
                response
            }
            Ok(Err(unavailable)) => self.unavailable(&parts, &unavailable),
            Err(_) => respond::error_answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "something broke here",
            ),
        }
    }

    /// `GET /readyz`: whether requests can be served, which takes a store.
    async fn ready(&self) -> Response<Bytes> {
        match self.housekeeping.ping().await {
            Ok(()) => respond::json_answer(StatusCode::OK, &json!({ "status": "ready" })),
            Err(error) => {
                tracing::error!(%error, "not ready");
                respond::json_answer(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &json!({ "status": "store unavailable" }),
                )
            }
        }
    }

    /// The providers beside the AT Protocol, and the redirect URI that each has to know.
    pub fn redirect_uris(&self) -> impl Iterator<Item = (&ProviderId, &Url)> {
        let engine = self.login.engine();
        let others = engine.providers().filter(|provider| provider.as_str() != AtprotoStrategy::KIND);
        others.filter_map(|provider| Some((provider, engine.redirect_uri(provider)?)))
    }

    /// The client that people's servers know.
    pub fn client(&self) -> &AtprotoClient {
        self.login.client()
    }

    /// Takes up the keys that another process has added to the store, as `vestibule key rotate` does; to be called every few
    /// seconds.
    pub async fn take_up_keys(&self) {
        let now = ambient::now();
        match self.ring_watch.changed(now).await {
            Ok(Some(ring)) => {
                tracing::info!("the keys in the store have changed");
                self.login.client().take_up(client_keys(&ring));
                self.login.engine().take_up(&ring.seal_keys(now));
                self.oauth.endpoint().take_up(endpoint_keys(&ring, now));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the keys in the store were not looked at"),
        }
    }

    /// Throws away what has expired, and ends the sessions at people's servers that no browser uses any more; to be called
    /// now and then.
    pub async fn sweep(&self) {
        loop {
            let swept = match self.housekeeping.sweep(ambient::now()).await {
                Ok(swept) => swept,
                Err(error) => {
                    tracing::warn!(%error, "expired rows were not thrown away");
                    return;
                }
            };
            for sessions in swept.unused.chunks(ENDED_AT_ONCE) {
                self.end_all(sessions).await;
            }
            if !swept.more {
                return;
            }
        }
    }

    /// Ends these sessions at people's servers, side by side: one that does not answer holds up none of the others.
    async fn end_all(&self, sessions: &[SessionKey]) {
        let ended: Vec<_> = sessions
            .iter()
            .map(|session| {
                let (web, all, session) = (self.web.clone(), Arc::clone(self.sessions()), session.clone());
                self.login.carry_out(async move { web.end_upstream(&session, &all).await })
            })
            .collect();
        for task in ended {
            // A task that broke off has logged why.
            let _broken = task.await;
        }
    }

    /// Waits until everything that must come to its end has; see [`LoginService::at_rest`].
    pub async fn at_rest(&self) {
        tokio::join!(self.login.at_rest(), self.oauth.at_rest());
    }

    /// Who is signed in with the browser that asks.
    pub(crate) async fn signed_in(&self, parts: &request::Parts) -> Result<Visitor, StoreUnavailable> {
        let Some(web_session) = self.web.current(&parts.headers, ambient::now()).await? else {
            return Ok(Visitor::Nobody);
        };
        let Some(key) = &web_session.session else {
            return Ok(Visitor::SignedIn(Box::new((web_session, None))));
        };
        match self.login.sessions().load(key).await? {
            Some(record) => Ok(Visitor::SignedIn(Box::new((web_session, Some(record))))),
            None => match self.web.without_upstream(web_session).await? {
                Some(left) => Ok(Visitor::SignedIn(Box::new((left, None)))),
                None => Ok(Visitor::Ended),
            },
        }
    }

    pub(crate) const fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }

    pub(crate) const fn login(&self) -> &LoginService {
        &self.login
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        self.login.sessions()
    }

    pub(crate) fn unavailable(&self, parts: &request::Parts, error: &StoreUnavailable) -> Response<Bytes> {
        tracing::error!(%error, "store unavailable");
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
        let sentence = "We cannot get at our records just now. Nothing is lost; try again in a little while.";
        let mut response = if respond::wants_page(&parts.headers) {
            respond::page(status, self.pages.notice("Back in a moment", sentence, Some(code)))
        } else {
            respond::error_answer(status, code, sentence)
        };
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        response
    }

    pub(crate) fn cross_site(&self, parts: &request::Parts) -> Response<Bytes> {
        let code = "cross_site_request";
        let sentence = format!(
            "This came from another site, or from a program that does not say Origin: {}.",
            self.origin()
        );
        if respond::wants_page(&parts.headers) {
            return respond::page(
                StatusCode::FORBIDDEN,
                self.pages.notice("Not from here", &sentence, Some(code)),
            );
        }
        respond::error_answer(StatusCode::FORBIDDEN, code, &sentence)
    }

    fn not_found(&self, parts: &request::Parts) -> Response<Bytes> {
        let sentence = "There is nothing at this address.";
        if respond::wants_page(&parts.headers) {
            return respond::page(StatusCode::NOT_FOUND, self.pages.notice("Not found", sentence, None));
        }
        respond::error_answer(StatusCode::NOT_FOUND, "not_found", sentence)
    }

    fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("public_url", &self.public_url.as_str()).finish_non_exhaustive()
    }
}

/// The keys that sign for the client, newest first. A new one is published for a while before it signs.
fn client_keys(ring: &KeyRing) -> Vec<AssertionKey> {
    let load = |key: SigningKey| {
        let used_from = key.created_at.after(PUBLISHED_FIRST);
        AssertionKey::new(key.kid, default_signer(&key.secret)).used_from(used_from)
    };
    ring.signing_keys().into_iter().map(load).collect()
}

/// The keys of the authorization server, newest first. A new key that signs is published for a while first.
fn endpoint_keys(ring: &KeyRing, now: UnixTime) -> EndpointKeys {
    let load = |key: SigningKey| {
        let used_from = key.created_at.after(PUBLISHED_FIRST);
        TokenKey::new(key.kid, default_signer(&key.secret)).used_from(used_from)
    };
    let tokens = ring.token_keys().into_iter().map(load).collect();
    let peppers = ring.in_use(KeyPurpose::Pepper, now);
    let peppers = peppers.into_iter().map(|key| Pepper::new(key.id(), key.secret())).collect();
    let mut nonces = ring.in_use(KeyPurpose::Nonce, now).into_iter().map(|key| key.secret().clone());
    // A ring has a key of every purpose.
    let newest = nonces.next().unwrap_or_else(|| ambient::octets().into());
    let keys = nonces.next().into_iter().fold(NonceKeys::new(newest), NonceKeys::with_other);
    EndpointKeys::new(tokens, peppers, NonceIssuer::new(keys))
}

/// How long a new key is published before it signs: the reference server remembers a client's keys for 10 minutes.
const PUBLISHED_FIRST: Duration = Duration::from_secs(15 * 60);

/// How many sessions are ended side by side.
const ENDED_AT_ONCE: usize = 16;

pub(crate) fn not_signed_in() -> Response<Bytes> {
    respond::error_answer(StatusCode::UNAUTHORIZED, "not_signed_in", "Nobody is signed in with this browser.")
}

/// The answer to a program whose person is signed in by a provider that has no server of theirs.
pub(crate) fn no_own_server() -> Response<Bytes> {
    let sentence = "This person is signed in without an AT Protocol identity. They can link one on the page of this server.";
    respond::error_answer(StatusCode::FORBIDDEN, "no_atproto_session", sentence)
}

/// The answer to a program whose person has to sign in again.
pub(crate) fn session_ended() -> Response<Bytes> {
    respond::error_answer(StatusCode::UNAUTHORIZED, ENDED.code, ENDED.sentence)
}

/// Who stands before a page.
pub(crate) enum Visitor {
    /// Nobody that is known.
    Nobody,
    /// Somebody whose session at their own server is over.
    Ended,
    /// Somebody, and their session at their own server, if they have one.
    SignedIn(Box<(WebSession, Option<SessionRecord>)>),
}

const ENDED: Problem<'static> = Problem {
    sentence: "Your session at your own server is over: it was ended there, or could not be renewed. Sign in again.",
    code: "session_ended",
};

pub(crate) fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(Body::from)
}

fn style() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(STYLE.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
