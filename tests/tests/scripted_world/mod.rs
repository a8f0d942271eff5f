//! One AT Protocol network made of scripts: a directory, a PDS, an authorization server, and the application that signs
//! people in there.
//!
//! The documents are those of the real servers. The authorization server is strict: whatever a client must never send
//! fails the test at once, whichever test it is.

#![allow(dead_code, reason = "several test programs share this, and each uses a part")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use http::{Method, Response};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;
use vestibule_atproto_identity::login::{
    AtprotoClient, AtprotoStrategy, Directory, Lease, Leased, ReadySession, Replaced, SessionError,
    SessionKey, SessionRecord, SessionStore, Sessions,
};
use vestibule_atproto_identity::{DevelopmentNames, ResolveOptions};
use vestibule_dpop::{
    Compact, DefaultVerifier, Es256Secret, Expected, Jwk, TargetUri, Thumbprint, default_signer, proof_header,
};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, PkceChallenge, PkceVerifier, Seed,
    StoreUnavailable, Timer, UnixTime, base64url,
};
use vestibule_strategy::{
    AssertionKey, Auth, Begun, Engine, Failure, Finished, FlowKeeping, FlowKey, FlowStore, Incoming, Intent,
    Provider, ProviderId, StoredFlow, TakenFlow,
};
use vestibule_tests::{Call, NOW, ScriptedNetwork, block_on, entropy, text};

pub(crate) const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const BOB: &str = "did:plc:bobbobbobbobbobbobbobbob";
/// Lives at a PDS that another authorization server rules.
pub(crate) const CAROL: &str = "did:plc:carolcarolcarolcarolcaro";
pub(crate) const HANDLE: &str = "alice.example.com";

pub(crate) const TXT: &str = "_atproto.alice.example.com";
pub(crate) const WELL_KNOWN: &str = "https://alice.example.com/.well-known/atproto-did";
pub(crate) const DOCUMENT: &str = "https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const PDS: &str = "https://pds.example.com";
pub(crate) const RESOURCE: &str = "https://pds.example.com/.well-known/oauth-protected-resource";
pub(crate) const ISSUER: &str = "https://as.example.com";
pub(crate) const METADATA: &str = "https://as.example.com/.well-known/oauth-authorization-server";
pub(crate) const PAR: &str = "https://as.example.com/oauth/par";
pub(crate) const TOKEN: &str = "https://as.example.com/oauth/token";
pub(crate) const REVOKE: &str = "https://as.example.com/oauth/revoke";

/// Where another PDS and another authorization server are, for whoever scripts them.
pub(crate) const PDS2: &str = "https://pds2.example.com";
pub(crate) const ISSUER2: &str = "https://as2.example.com";

/// What is asked to make sure of an account that nothing is remembered of (R101).
pub(crate) const LOOK_UPS: [&str; 3] = [
    "GET https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz",
    "GET https://pds.example.com/.well-known/oauth-protected-resource",
    "GET https://as.example.com/.well-known/oauth-authorization-server",
];

pub(crate) const SCOPE: &str = "atproto transition:generic";
pub(crate) const ACCESS_LIFE: Duration = Duration::from_secs(300);

/// Which client the application is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Client {
    /// The public one, for development on loopback.
    Loopback,
    /// The confidential one, with a document and keys on the web.
    Web,
}

/// Where pending logins wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeping {
    Cookie,
    Store,
}

pub(crate) const KEEPINGS: [Keeping; 2] = [Keeping::Cookie, Keeping::Store];

/// The application and the network it is in.
pub(crate) struct World {
    pub(crate) net: Arc<ScriptedNetwork>,
    pub(crate) server: Arc<Mutex<Server>>,
    pub(crate) store: Arc<Store>,
    pub(crate) timer: Arc<Pauses>,
    pub(crate) client: Arc<AtprotoClient>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) engine: Engine,
    pub(crate) site: Url,
    seeds: Cell<u64>,
}

impl World {
    pub(crate) fn new(client: Client, keeping: Keeping) -> Self {
        let site = match client {
            Client::Loopback => "http://127.0.0.1:8080/",
            Client::Web => "https://app.example.com/",
        };
        let site = Url::parse(site).unwrap();
        let redirect_uri = site.join("callback").unwrap();
        let client = Arc::new(application(client, &site, &redirect_uri, &["new", "old"]));
        let net = Arc::new(ScriptedNetwork::new());
        let server = Arc::new(Mutex::new(Server::new(client.id(), &redirect_uri)));
        script(&net, &server);

        let (store, timer) = (Arc::new(Store::default()), Arc::new(Pauses::default()));
        let directory = Arc::new(directory(&net));
        let sessions = Arc::new(Sessions::new(
            Arc::clone(&store) as Arc<dyn SessionStore>,
            Arc::clone(&client),
            Arc::clone(&directory),
            Arc::clone(&timer) as Arc<dyn Timer>,
        ));
        let strategy = Arc::new(AtprotoStrategy::new(Arc::clone(&client), directory, Arc::clone(&sessions)));
        let keeping = match keeping {
            Keeping::Cookie => FlowKeeping::Cookie,
            Keeping::Store => FlowKeeping::Store(Arc::clone(&store) as Arc<dyn FlowStore>),
        };
        let provider =
            |id| Provider::new(id, Arc::clone(&strategy) as Arc<_>).with_redirect_uri(redirect_uri.clone());
        let engine = Engine::builder(site.clone(), &SealKeys::new([7; 32], []), keeping)
            .provider(provider(atproto()))
            .provider(provider(other()))
            .build()
            .unwrap();
        Self { net, server, store, timer, client, sessions, engine, site, seeds: Cell::new(1) }
    }

    /// Somebody is signed in, and nothing was asked since.
    pub(crate) fn signed_in(client: Client) -> (Self, SessionKey) {
        let world = Self::new(client, Keeping::Store);
        world.login(HANDLE);
        world.net.forget_calls();
        let key = world.store.only_session().key;
        (world, key)
    }

    /// The same, the access token at its end, and nothing remembered of the account.
    pub(crate) fn due(client: Client) -> (Self, SessionKey) {
        let (world, key) = Self::signed_in(client);
        world.pass(ACCESS_LIFE.as_secs());
        (world, key)
    }

    /// Another process of the application, which remembers nothing: the same client and the same store.
    pub(crate) fn node(&self) -> Sessions {
        self.node_of(&self.client)
    }

    pub(crate) fn node_of(&self, client: &Arc<AtprotoClient>) -> Sessions {
        Sessions::new(
            Arc::clone(&self.store) as Arc<dyn SessionStore>,
            Arc::clone(client),
            Arc::new(directory(&self.net)),
            Arc::clone(&self.timer) as Arc<dyn Timer>,
        )
    }

    /// The session, with a token that is good.
    pub(crate) fn ready(&self, key: &SessionKey) -> Result<ReadySession, SessionError> {
        self.ready_at(&self.sessions, key)
    }

    /// The same, of another process. Nobody else does anything meanwhile.
    pub(crate) fn ready_at(&self, node: &Sessions, key: &SessionKey) -> Result<ReadySession, SessionError> {
        alone(node.ready(key, &self.seed(), self.now(), &*self.net))
    }

    pub(crate) fn loopback() -> Self {
        Self::new(Client::Loopback, Keeping::Store)
    }

    pub(crate) fn web() -> Self {
        Self::new(Client::Web, Keeping::Store)
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.server().now
    }

    pub(crate) fn pass(&self, seconds: u64) {
        let mut server = self.server();
        server.now = server.now.after(Duration::from_secs(seconds));
    }

    /// Everybody's clock is set back.
    pub(crate) fn set_back(&self, seconds: u64) {
        let mut server = self.server();
        server.now = server.now.before(Duration::from_secs(seconds));
    }

    /// A seed that no call before got.
    pub(crate) fn seed(&self) -> Seed {
        self.seeds.set(self.seeds.get() + 1);
        Seed::from_entropy(entropy(self.seeds.get()))
    }

    /// A person types a name; where they are sent.
    pub(crate) fn begin(&self, browser: &mut Browser, handle: &str) -> Result<Url, Failure> {
        self.begin_with(browser, &[("handle", handle)])
    }

    pub(crate) fn begin_with(&self, browser: &mut Browser, params: &[(&str, &str)]) -> Result<Url, Failure> {
        let query = query(params);
        let headers = browser.headers();
        let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
        let (seed, now) = (self.seed(), self.now());
        match block_on(self.engine.begin(&atproto(), incoming, Intent::SignIn, seed, now, &*self.net))? {
            Begun::Redirect { to, set_cookies } => {
                browser.take(&set_cookies);
                Ok(to)
            }
            other => panic!("the strategy redirects always, and did {other:?}"),
        }
    }

    /// A failure to begin, of a browser without cookies.
    pub(crate) fn refusal(&self, handle: &str) -> Failure {
        let mut browser = Browser::default();
        let failure = self.begin(&mut browser, handle).expect_err("the login began");
        assert!(browser.cookies.is_empty(), "a login that did not begin left a cookie");
        failure
    }

    /// The person says yes at the authorization server; what the browser brings back.
    pub(crate) fn consent(&self, to: &Url) -> Vec<(String, String)> {
        self.server().consent(to)
    }

    /// The browser comes back.
    pub(crate) fn finish(&self, browser: &mut Browser, callback: &[(String, String)]) -> Finished {
        self.finish_at(&atproto(), browser, callback)
    }

    pub(crate) fn finish_at(
        &self,
        provider: &ProviderId,
        browser: &mut Browser,
        callback: &[(String, String)],
    ) -> Finished {
        let query = query(callback);
        let headers = browser.headers();
        let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
        let (seed, now) = (self.seed(), self.now());
        let finished = block_on(self.engine.finish(provider, incoming, seed, now, &*self.net));
        browser.take(&finished.set_cookies);
        finished
    }

    /// A whole login.
    pub(crate) fn login(&self, handle: &str) -> Auth {
        let mut browser = Browser::default();
        let to = self.begin(&mut browser, handle).unwrap_or_else(|failure| panic!("{failure}"));
        let callback = self.consent(&to);
        let finished = self.finish(&mut browser, &callback);
        finished.outcome.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// A whole login, and the failure of its callback phase.
    pub(crate) fn failed_login(&self, handle: &str) -> Failure {
        let mut browser = Browser::default();
        let to = self.begin(&mut browser, handle).unwrap_or_else(|failure| panic!("{failure}"));
        let callback = self.consent(&to);
        let finished = self.finish(&mut browser, &callback);
        assert!(browser.cookies.is_empty(), "the flow's cookie outlives the flow");
        finished.outcome.expect_err("the login succeeded")
    }

    /// The token endpoint does what it is asked, and this many of its answers get lost on the way.
    pub(crate) fn loses_answers(&self, count: usize, kind: HttpErrorKind) {
        let (server, mut left) = (Arc::clone(&self.server), count);
        self.net.on("POST", TOKEN, move |call| {
            let answer = lock(&server).answer_token(call);
            // A refusal for want of a nonce is no answer that anybody waits for.
            if left == 0 || answer.status() != 200 {
                return Ok(answer);
            }
            left -= 1;
            Err(HttpError::new(kind, "scripted"))
        });
    }

    /// Everything that was said so far and opens something: tokens, codes, proofs, what a login is bound to.
    pub(crate) fn secrets(&self) -> BTreeSet<String> {
        const FIELDS: [&str; 8] = [
            "state",
            "code",
            "code_verifier",
            "code_challenge",
            "refresh_token",
            "token",
            "client_assertion",
            "request_uri",
        ];
        let server = self.server();
        let mut secrets: BTreeSet<_> = server.issued.iter().cloned().collect();
        secrets.extend(server.access_tokens.iter().cloned());
        for call in self.net.calls() {
            secrets.extend(FIELDS.into_iter().filter_map(|name| call.field(name)));
            secrets.extend(call.header("dpop").map(str::to_owned));
        }
        secrets
    }

    /// Fails the test if this shows anything that opens anything (R109).
    pub(crate) fn shows_no_secret(&self, row: &str, shown: &str) {
        for secret in self.secrets() {
            assert!(!shown.contains(&secret), "{row}: R109: {secret} in {shown}");
        }
    }

    /// Scripts the documents of one more account, at a PDS ruled by `issuer`.
    pub(crate) fn account(&self, did: &str, handle: &str, pds: &str, issuer: &str) {
        self.net.txt_records(&format!("_atproto.{handle}"), &[&format!("did={did}")]);
        let plc = format!("https://plc.directory/{did}");
        self.net.answer("GET", &plc, vestibule_tests::json(200, &document(did, handle, pds)));
        let resource = format!("{pds}/.well-known/oauth-protected-resource");
        self.net.answer("GET", &resource, vestibule_tests::json(200, &resource_metadata(pds, &[issuer])));
        if issuer != ISSUER {
            let metadata = format!("{issuer}/.well-known/oauth-authorization-server");
            self.net.answer("GET", &metadata, vestibule_tests::json(200, &server_metadata(issuer, pds)));
        }
    }
}

/// What a process remembers of names and servers: nothing yet.
fn directory(net: &Arc<ScriptedNetwork>) -> Directory {
    let options = ResolveOptions::new("https://plc.directory".parse().unwrap())
        .with_development(DevelopmentNames::Refused);
    Directory::new(options, Arc::clone(net) as Arc<_>)
}

/// The application's client, with keys of these names.
pub(crate) fn application(client: Client, site: &Url, redirect_uri: &Url, kids: &[&str]) -> AtprotoClient {
    let scope = SCOPE.parse().unwrap();
    match client {
        Client::Loopback => AtprotoClient::loopback(redirect_uri, scope).unwrap(),
        Client::Web => {
            let id = site.join("client-metadata.json").unwrap();
            let keys = kids.iter().map(|kid| AssertionKey::new(*kid, default_signer(&client_secret(kid))));
            let jwks_uri = site.join("jwks.json").unwrap();
            AtprotoClient::confidential(&id, redirect_uri, jwks_uri, scope, keys.collect()).unwrap()
        }
    }
}

fn client_secret(kid: &str) -> Es256Secret {
    Es256Secret::from_entropy(entropy(kid.bytes().map(u64::from).sum()))
}

pub(crate) fn atproto() -> ProviderId {
    "atproto".parse().unwrap()
}

/// A second provider with the same strategy.
pub(crate) fn other() -> ProviderId {
    "other".parse().unwrap()
}

pub(crate) fn query(params: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let mut text = Serializer::new(String::new());
    text.extend_pairs(params);
    text.finish()
}

/// A browser, as far as cookies go: oldest first.
#[derive(Clone, Default, Debug)]
pub(crate) struct Browser {
    pub(crate) cookies: Vec<(String, String)>,
    /// More headers for every request.
    pub(crate) says: Vec<(&'static str, &'static str)>,
}

impl Browser {
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.insert(COOKIE, pairs.join("; ").parse().unwrap());
        }
        for &(name, value) in &self.says {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    pub(crate) fn take(&mut self, set_cookies: &[HeaderValue]) {
        for text in set_cookies {
            let text = text.to_str().unwrap();
            let mut parts = text.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !parts.any(|part| part == "Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

// The documents.

pub(crate) fn document(did: &str, handle: &str, pds: &str) -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "alsoKnownAs": [format!("at://{handle}")],
        "verificationMethod": [{
            "id": "#atproto",
            "type": "EcdsaSecp256k1VerificationKey2019",
            "controller": did,
            "publicKeyMultibase": "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF",
        }],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}],
    })
}

pub(crate) fn resource_metadata(pds: &str, issuers: &[&str]) -> Value {
    json!({
        "resource": pds,
        "authorization_servers": issuers,
        "scopes_supported": [],
        "bearer_methods_supported": ["header"],
        "resource_documentation": "https://atproto.com",
    })
}

pub(crate) fn server_metadata(issuer: &str, pds: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/oauth/jwks"),
        "protected_resources": [pds],
        "scopes_supported": ["atproto", "transition:email", "transition:generic", "transition:chat.bsky"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "ES256K"],
        "dpop_signing_alg_values_supported": ["RS256", "ES256", "ES256K"],
        "prompt_values_supported": ["none", "login", "consent", "select_account", "create"],
        "authorization_response_iss_parameter_supported": true,
        "require_pushed_authorization_requests": true,
        "require_request_uri_registration": true,
        "request_parameter_supported": true,
        "request_uri_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    })
}

fn script(net: &ScriptedNetwork, server: &Arc<Mutex<Server>>) {
    net.txt_records(TXT, &[&format!("did={ALICE}")]);
    net.answer("GET", WELL_KNOWN, text(200, ALICE));
    net.answer("GET", DOCUMENT, vestibule_tests::json(200, &document(ALICE, HANDLE, PDS)));
    net.answer("GET", RESOURCE, vestibule_tests::json(200, &resource_metadata(PDS, &[ISSUER])));
    // Like an entryway, it rules many PDSs and lists none.
    let mut metadata = server_metadata(ISSUER, PDS);
    metadata.as_object_mut().unwrap().remove("protected_resources");
    net.answer("GET", METADATA, vestibule_tests::json(200, &metadata));
    for (url, answer) in [
        (PAR, Server::push as fn(&mut Server, &Call) -> Response<Bytes>),
        (TOKEN, Server::token),
        (REVOKE, Server::revoke),
    ] {
        let server = Arc::clone(server);
        net.on("POST", url, move |call| Ok(lock(&server).serve(call, answer)));
    }
}

// Side by side.

/// A timer that does not wait: it counts what it was asked for, and lets everybody else go first.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<Vec<Duration>>);

impl Pauses {
    /// Everything that was waited for since this was asked last.
    pub(crate) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl Timer for Pauses {
    fn pause(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.0).push(span);
            // Longer than any one answer of a `Slow` network, as a real pause is.
            step_aside(10).await;
        })
    }
}

/// Lets everybody else go first, so often.
pub(crate) async fn step_aside(rounds: u32) {
    let mut left = rounds;
    poll_fn(|_| {
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A network that lets everybody else go first, a few times, before it asks anybody.
pub(crate) struct Slow<'a>(pub(crate) &'a ScriptedNetwork);

impl HttpClient for Slow<'_> {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        Box::pin(async move {
            step_aside(6).await;
            self.0.send(call).await
        })
    }
}

pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One step of something that runs beside others.
pub(crate) fn step<T>(future: &mut Running<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs them side by side, each a step at a time.
pub(crate) fn join<T>(mut futures: Vec<Running<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    for _round in 0..10_000 {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let Poll::Ready(output) = step(future)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return done.into_iter().flatten().collect();
        }
    }
    panic!("they wait for each other");
}

/// Runs one that may pause.
pub(crate) fn alone<T>(future: impl Future<Output = T>) -> T {
    join(vec![Box::pin(future)]).pop().unwrap()
}

// Answers that are none.

pub(crate) fn ok(value: &Value) -> Response<Bytes> {
    vestibule_tests::json(200, value)
}

pub(crate) fn html(status: u16) -> Response<Bytes> {
    let mut response = text(status, "<!doctype html><title>Welcome</title>");
    response.headers_mut().insert("content-type", "text/html".parse().unwrap());
    response
}

/// How a server can fail to answer at all.
pub(crate) const NO_ANSWER: [(HttpErrorKind, u16); 6] = [
    (HttpErrorKind::Connect, 502),
    (HttpErrorKind::UnknownHost, 502),
    (HttpErrorKind::Blocked, 502),
    (HttpErrorKind::AnswerLost, 502),
    (HttpErrorKind::ConnectTimeout, 504),
    (HttpErrorKind::AnswerTimeout, 504),
];

pub(crate) fn with_nonce(mut response: Response<Bytes>, nonce: &str) -> Response<Bytes> {
    response.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
    response
}

pub(crate) fn wants_nonce(nonce: &str) -> Response<Bytes> {
    with_nonce(vestibule_tests::json(400, &json!({"error": "use_dpop_nonce"})), nonce)
}

/// The authorization server.
pub(crate) struct Server {
    /// The time, for everybody.
    pub(crate) now: UnixTime,
    /// Whose account the person signs in to.
    pub(crate) subject: String,
    /// What is done to the answer of the token endpoint before it is sent.
    pub(crate) edit: Option<fn(&mut Value)>,
    /// Every refresh token and, where there was none, access token that was issued.
    pub(crate) issued: Vec<String>,
    pub(crate) revoked: Vec<String>,
    /// Every access token that was issued.
    pub(crate) access_tokens: Vec<String>,
    /// The keys that client assertions were signed with, in order.
    pub(crate) kids: Vec<String>,
    client_id: String,
    redirect_uri: String,
    client_keys: BTreeMap<String, Jwk>,
    nonce: u32,
    count: u32,
    /// Everything that must be new each time: `jti`, `state`, challenges.
    seen: BTreeSet<String>,
    pushed: BTreeMap<String, Grant>,
    codes: BTreeMap<String, Grant>,
    refresh_tokens: BTreeMap<String, Thumbprint>,
}

struct Grant {
    fields: BTreeMap<String, String>,
    key: Thumbprint,
}

impl Server {
    fn new(client_id: &str, redirect_uri: &Url) -> Self {
        let published = ["new", "old"]
            .map(|kid| (kid.to_owned(), default_signer(&client_secret(kid)).public_key().clone()));
        Self {
            now: NOW,
            subject: ALICE.to_owned(),
            edit: None,
            issued: Vec::new(),
            revoked: Vec::new(),
            access_tokens: Vec::new(),
            kids: Vec::new(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_string(),
            client_keys: published.into(),
            nonce: 1,
            count: 0,
            seen: BTreeSet::new(),
            pushed: BTreeMap::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
        }
    }

    /// From now on only a new nonce is accepted.
    pub(crate) fn rotate_nonce(&mut self) {
        self.nonce += 1;
    }

    pub(crate) fn nonce(&self) -> String {
        format!("nonce-{}", self.nonce)
    }

    /// Everything that was issued was given back.
    pub(crate) fn has_all_back(&self) -> bool {
        !self.issued.is_empty() && self.issued == self.revoked
    }

    fn serve(&mut self, call: &Call, answer: fn(&mut Self, &Call) -> Response<Bytes>) -> Response<Bytes> {
        assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(call.header("accept"), Some("application/json"));
        assert_eq!(call.field("client_id").as_deref(), Some(&*self.client_id));
        assert_eq!(call.field("client_secret"), None, "R59");
        let names: Vec<_> = call.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names.iter().collect::<BTreeSet<_>>().len(),
            names.len(),
            "a field is sent twice: {names:?}"
        );
        let mut response = answer(self, call);
        // "Every answer of PAR, token, revoke and authed XRPC, good or bad, carries DPoP-Nonce."
        response.headers_mut().insert("dpop-nonce", self.nonce().parse().unwrap());
        response
    }

    /// What the token endpoint answers.
    pub(crate) fn answer_token(&mut self, call: &Call) -> Response<Bytes> {
        self.serve(call, Self::token)
    }

    fn push(&mut self, call: &Call) -> Response<Bytes> {
        let Some(key) = self.prove(call) else { return use_dpop_nonce() };
        let fields: BTreeMap<_, _> = call.fields().into_iter().collect();
        assert_eq!(fields["response_type"], "code");
        assert_eq!(fields["code_challenge_method"], "S256");
        let _challenge: PkceChallenge = fields["code_challenge"].parse().unwrap();
        assert_eq!(fields["redirect_uri"], self.redirect_uri);
        assert_eq!(fields["scope"], SCOPE);
        assert!(fields["state"].len() >= 43, "R61: 256 bits");
        self.is_new(&fields["state"]);
        self.is_new(&fields["code_challenge"]);
        let request_uri = format!("urn:ietf:params:oauth:request_uri:req-{}", self.next());
        self.pushed.insert(request_uri.clone(), Grant { fields, key });
        vestibule_tests::json(201, &json!({"request_uri": request_uri, "expires_in": 300}))
    }

    fn consent(&mut self, to: &Url) -> Vec<(String, String)> {
        let pairs: Vec<(String, String)> = to.query_pairs().into_owned().collect();
        let [(client_name, client_id), (request_name, request_uri)] = &pairs[..] else {
            panic!("R68: the browser carries client_id and request_uri and nothing else, not {pairs:?}")
        };
        assert_eq!((&**client_name, &**request_name), ("client_id", "request_uri"), "R68");
        assert_eq!(*client_id, self.client_id);
        let grant = self.pushed.remove(request_uri).expect("nobody pushed this request");
        let state = grant.fields["state"].clone();
        let code = format!("cod-{}", self.next());
        self.codes.insert(code.clone(), grant);
        [("iss", ISSUER.to_owned()), ("state", state), ("code", code)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    fn token(&mut self, call: &Call) -> Response<Bytes> {
        let Some(key) = self.prove(call) else { return use_dpop_nonce() };
        let fields: BTreeMap<_, _> = call.fields().into_iter().collect();
        match &*fields["grant_type"] {
            "authorization_code" => {
                let Some(grant) = self.codes.remove(&fields["code"]) else { return invalid_grant() };
                assert_eq!(grant.key, key, "R66: the key of the push is the key of the session");
                assert_eq!(fields["redirect_uri"], grant.fields["redirect_uri"], "R20");
                let challenge: PkceChallenge = grant.fields["code_challenge"].parse().unwrap();
                let verifier: PkceVerifier = fields["code_verifier"].parse().unwrap();
                assert!(challenge.is_answered_by(&verifier), "R62");
            }
            "refresh_token" => match self.refresh_tokens.remove(&fields["refresh_token"]) {
                Some(bound_to) => assert_eq!(bound_to, key, "R100: the same key"),
                None => return invalid_grant(),
            },
            other => panic!("grant type {other}"),
        }
        let number = self.next();
        let mut answer = json!({
            "access_token": format!("at-{number}"),
            "token_type": "DPoP",
            "refresh_token": format!("rt-{number}"),
            "scope": SCOPE,
            "expires_in": ACCESS_LIFE.as_secs(),
            "sub": self.subject,
        });
        if let Some(edit) = self.edit {
            edit(&mut answer);
        }
        if let Some(token) = answer["refresh_token"].as_str() {
            self.refresh_tokens.insert(token.to_owned(), key);
        }
        let issued = answer["refresh_token"].as_str().or_else(|| answer["access_token"].as_str());
        self.issued.extend(issued.map(str::to_owned));
        self.access_tokens.extend(answer["access_token"].as_str().map(str::to_owned));
        vestibule_tests::json(200, &answer)
    }

    fn revoke(&mut self, call: &Call) -> Response<Bytes> {
        if self.prove(call).is_none() {
            return use_dpop_nonce();
        }
        let token = call.field("token").unwrap();
        let hint = if token.starts_with("rt-") { "refresh_token" } else { "access_token" };
        assert_eq!(call.field("token_type_hint").as_deref(), Some(hint));
        self.refresh_tokens.remove(&token);
        self.revoked.push(token);
        vestibule_tests::json(200, &json!({}))
    }

    /// Who asks, proved: the DPoP proof (R87 to R90), and what says who the client is (R82 to R84). `None` for a proof
    /// without the nonce of the moment.
    fn prove(&mut self, call: &Call) -> Option<Thumbprint> {
        let proof = proof_header(&call.headers).unwrap().expect("R66: a proof with every request");
        let target = TargetUri::parse(&call.url).unwrap();
        let read = Expected::new(&call.method, &target).read(proof, &DefaultVerifier, self.now);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", call.url));
        let (header, claims) = parts(proof);
        assert_eq!(names(&header), ["alg", "jwk", "typ"]);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")), "R87");
        assert_eq!(names(&header["jwk"]), ["crv", "kty", "x", "y"], "R12: never the private half");
        let allowed = ["htm", "htu", "iat", "jti", "nonce"];
        assert!(names(&claims).iter().all(|name| allowed.contains(&&**name)), "R88, R89: {claims}");
        assert_eq!(claims["htu"], *call.url, "no query and no fragment to leave out");
        assert!(read.jti().len() >= 16, "R87: 96 random bits");
        self.is_new(read.jti());
        self.authenticate(call);

        claims.get("nonce").is_some_and(|nonce| *nonce == self.nonce()).then(|| read.thumbprint().clone())
    }

    fn authenticate(&mut self, call: &Call) {
        let assertion = call.field("client_assertion");
        if self.client_id.starts_with("http://localhost?") {
            assert_eq!((assertion, call.field("client_assertion_type")), (None, None), "R24");
            return;
        }
        assert_eq!(
            call.field("client_assertion_type").as_deref(),
            Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            "R82"
        );
        let assertion = assertion.expect("R84: an assertion with every request");
        let jws = Compact::parse(&assertion, 4096).unwrap();
        let kid = jws.header().kid().expect("R83: kid").to_owned();
        jws.verify(&DefaultVerifier, &self.client_keys[&kid], &[jws.header().algorithm()]).unwrap();
        self.kids.push(kid);
        let (_, claims) = parts(&assertion);
        for (name, expected) in [("iss", &*self.client_id), ("sub", &*self.client_id), ("aud", ISSUER)] {
            assert_eq!(claims[name], expected, "R83: {name}");
        }
        let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert!(
            issued <= self.now.as_secs() && self.now.as_secs() < expires && expires - issued <= 60,
            "R83"
        );
        self.is_new(claims["jti"].as_str().unwrap());
    }

    fn is_new(&mut self, value: &str) {
        assert!(self.seen.insert(value.to_owned()), "{value} is used twice");
    }

    const fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }
}

fn use_dpop_nonce() -> Response<Bytes> {
    let description = "Authorization server requires nonce in DPoP proof";
    vestibule_tests::json(400, &json!({"error": "use_dpop_nonce", "error_description": description}))
}

fn invalid_grant() -> Response<Bytes> {
    vestibule_tests::json(400, &json!({"error": "invalid_grant", "error_description": "Invalid code"}))
}

/// Header and payload of a signed text, its signature not looked at.
pub(crate) fn parts(jws: &str) -> (Value, Value) {
    let mut parts =
        jws.split('.').map(|part| serde_json::from_slice(&base64url::decode(part).unwrap_or_default()));
    (parts.next().unwrap().unwrap(), parts.next().unwrap().unwrap())
}

fn names(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// A store of flows and sessions that says what was done with it, and fails where a test wants it to.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) sessions: Mutex<BTreeMap<SessionKey, SessionRecord>>,
    pub(crate) flows: Mutex<BTreeMap<FlowKey, StoredFlow>>,
    leases: Mutex<BTreeMap<SessionKey, LeaseTaken>>,
    /// The acts that fail: `put`, `take`, `insert`, `load`, `lease`, `release`, `replace`, `remove`.
    pub(crate) broken: Mutex<BTreeSet<&'static str>>,
}

/// The latest lease of a session; given back, it has no end.
#[derive(Default)]
struct LeaseTaken {
    fence: u64,
    until: Option<UnixTime>,
}

impl Store {
    pub(crate) fn breaks(&self, act: &'static str) {
        lock(&self.broken).insert(act);
    }

    pub(crate) fn is_mended(&self) {
        lock(&self.broken).clear();
    }

    /// Whether a lease of this session was taken and not given back, run out or not.
    pub(crate) fn is_leased(&self, key: &SessionKey) -> bool {
        lock(&self.leases).get(key).is_some_and(|taken| taken.until.is_some())
    }

    /// How many leases of this session were taken so far.
    pub(crate) fn leases_of(&self, key: &SessionKey) -> u64 {
        lock(&self.leases).get(key).map_or(0, |taken| taken.fence)
    }

    fn free(&self, key: &SessionKey) {
        if let Some(taken) = lock(&self.leases).get_mut(key) {
            taken.until = None;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.sessions).is_empty() && lock(&self.flows).is_empty()
    }

    /// The one session there is.
    pub(crate) fn only_session(&self) -> SessionRecord {
        let sessions = lock(&self.sessions);
        assert_eq!(sessions.len(), 1);
        sessions.values().next().unwrap().clone()
    }

    /// Overwrites a session, as no port allows.
    pub(crate) fn put_session(&self, record: &SessionRecord) {
        lock(&self.sessions).insert(record.key.clone(), record.clone());
    }

    fn act<T>(&self, act: &'static str, done: impl FnOnce() -> T) -> Result<T, StoreUnavailable> {
        if lock(&self.broken).contains(act) {
            return Err(StoreUnavailable::new(format!("{act} is broken")));
        }
        Ok(done())
    }
}

impl SessionStore for Store {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move { self.act("insert", || self.put_session(session)) })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move { self.act("load", || lock(&self.sessions).get(key).cloned()) })
    }

    fn lease<'a>(
        &'a self,
        key: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>> {
        Box::pin(async move {
            self.act("lease", || {
                let Some(session) = lock(&self.sessions).get(key).cloned() else { return Leased::Missing };
                let mut leases = lock(&self.leases);
                let taken = leases.entry(key.clone()).or_default();
                if taken.until.is_some_and(|until| Lease::is_held(until, now)) {
                    return Leased::Held;
                }
                taken.fence += 1;
                taken.until = Some(now.after(Lease::LENGTH));
                Leased::Taken(Lease::new(key.clone(), taken.fence), Box::new(session))
            })
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            self.act("release", || {
                if self.leases_of(&lease.key) == lease.fence {
                    self.free(&lease.key);
                }
            })
        })
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            self.act("replace", || match lock(&self.sessions).get_mut(&session.key) {
                None => Replaced::Missing,
                Some(there) if there.generation + 1 == session.generation => {
                    *there = session.clone();
                    self.free(&session.key);
                    Replaced::Replaced
                }
                Some(_) => Replaced::Superseded,
            })
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            self.act("remove", || {
                lock(&self.leases).remove(key);
                lock(&self.sessions).remove(key)
            })
        })
    }
}

impl FlowStore for Store {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            self.act("put", || {
                assert!(lock(&self.flows).insert(flow.key, flow).is_none(), "two flows of one name");
            })
        })
    }

    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>> {
        Box::pin(async move {
            self.act("take", || {
                let mut flows = lock(&self.flows);
                match flows.get(&key) {
                    None => TakenFlow::Missing,
                    Some(flow) if flow.binding != binding => TakenFlow::Foreign,
                    Some(_) => TakenFlow::Taken(flows.remove(&key).unwrap().sealed),
                }
            })
        })
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked under it has failed its test already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
