//! A provider of OAuth 2.0 or OpenID Connect, in memory.

mod authorization;
mod keys;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;
use vestibule_dpop::sha256;
use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, Issuer, PkceChallenge, UnixTime, base64url,
};

use super::answer::json_answer;
use super::broken::Broken;
use super::call::Call;
use super::callback_query::CallbackQuery;
use super::counterpart::Counterpart;
use super::fixed::NOW;
use super::scripted_http::within_limit;
use crate::client_auth::ClientAuth;

/// A provider in memory, strict where the specifications are, with one application and one person.
///
/// It is an [`HttpClient`] that answers for its own endpoints, and a [`Counterpart`]: [`authorize`](Counterpart::authorize) is the
/// person at its page. Codes are spent once, by who proves to be the application, with the octets of the redirect URI and the verifier
/// that go with them. Nothing is random: the same steps give the same texts.
///
/// ```
/// use bytes::Bytes;
/// use url::Url;
/// use vestibule_oauth_core::{HttpCall, HttpClient, PkceVerifier, Trust};
/// use vestibule_strategy::ClientAuth;
/// use vestibule_strategy::testing::{Counterpart, FakeProvider, run};
///
/// let issuer = "https://sso.example".parse().unwrap();
/// let provider = FakeProvider::openid(&issuer, "our-app", ClientAuth::Public);
///
/// let verifier = PkceVerifier::from_entropy([7; 32]);
/// let mut to = Url::parse("https://sso.example/authorize?response_type=code&client_id=our-app&scope=openid").unwrap();
/// to.query_pairs_mut()
///     .append_pair("redirect_uri", "https://app.example/callback")
///     .append_pair("state", "a-state-that-nobody-guesses")
///     .append_pair("nonce", "n-1")
///     .append_pair("code_challenge", verifier.challenge().as_str())
///     .append_pair("code_challenge_method", "S256");
/// let callback = provider.authorize(&to).unwrap();
/// assert_eq!(callback.value("iss"), Some("https://sso.example"));
///
/// let form = format!(
///     "grant_type=authorization_code&client_id=our-app&code={}&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier={}",
///     callback.value("code").unwrap(),
///     verifier.expose(),
/// );
/// let spend = || {
///     let request = http::Request::post("https://sso.example/token").body(Bytes::from(form.clone())).unwrap();
///     run(provider.send(HttpCall::new(request, "token exchange", Trust::Configured))).unwrap().unwrap()
/// };
/// assert_eq!(spend().status(), 200);
/// assert_eq!(spend().status(), 400, "a code is spent once");
///
/// // An address without a challenge is none that such a provider takes.
/// let bare = Url::parse("https://sso.example/authorize?response_type=code&client_id=our-app").unwrap();
/// assert!(provider.authorize(&bare).is_err());
/// ```
pub struct FakeProvider {
    /// Of OpenID Connect, if it is one.
    issuer: Option<Issuer>,
    authorization_endpoint: String,
    addresses: BTreeMap<Endpoint, String>,
    client_id: String,
    client_auth: ClientAuth,
    redirect_uri: Option<String>,
    iss: Option<String>,
    person: Value,
    /// What else may be asked for with an access token.
    resources: BTreeMap<String, Value>,
    optional: BTreeSet<String>,
    quirks: BTreeSet<Quirk>,
    state: Mutex<State>,
}

/// What happens to a provider while it runs.
struct State {
    now: UnixTime,
    /// Which of its keys it signs with.
    key: u64,
    /// How many codes and tokens were made: the names of the next ones follow from it.
    made: u64,
    codes: BTreeMap<String, Code>,
    tokens: BTreeSet<String>,
    secrets: Vec<String>,
    replaced: BTreeMap<Endpoint, Response<Bytes>>,
    change: Option<ChangeClaims>,
    calls: Vec<Call>,
}

type ChangeClaims = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What a code was given for.
#[derive(Clone)]
struct Code {
    redirect_uri: String,
    challenge: PkceChallenge,
    nonce: Option<String>,
    scope: String,
    spent: bool,
}

/// An endpoint of a provider, other than the one people see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// The document about the provider.
    Discovery,
    /// Its public keys.
    Keys,
    /// Where codes are spent.
    Token,
    /// Where it is asked who somebody is.
    Userinfo,
}

/// What some provider somewhere does, and a strategy for it has to bear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Quirk {
    /// The token endpoint refuses with status 200.
    ErrorsWithStatus200,
    /// The granted scope has commas between its words.
    CommaSeparatedScopes,
    /// `expires_in` is a text.
    ExpiresInAsText,
    /// `sub` and `id` of userinfo are numbers, where they are made of digits.
    NumericIds,
    /// `email_verified` is a text.
    EmailVerifiedAsText,
}

impl FakeProvider {
    /// A provider of OpenID Connect, with one application. Its endpoints are below the issuer: `/authorize`, `/token`, `/jwks`,
    /// `/userinfo`. It signs with ES256, says its `iss` in callbacks and promises so in its document.
    pub fn openid(issuer: &Issuer, client_id: impl Into<String>, client_auth: ClientAuth) -> Self {
        let base = issuer.as_str().trim_end_matches('/');
        let addresses = BTreeMap::from([
            (Endpoint::Discovery, issuer.openid_configuration_url().to_string()),
            (Endpoint::Keys, format!("{base}/jwks")),
            (Endpoint::Token, format!("{base}/token")),
            (Endpoint::Userinfo, format!("{base}/userinfo")),
        ]);
        let mut provider = Self::of(format!("{base}/authorize"), addresses, client_id.into(), client_auth);
        // Who the person is, the ID token has said.
        provider.optional.extend(provider.addresses.get(&Endpoint::Userinfo).cloned());
        provider.iss = Some(issuer.as_str().to_owned());
        provider.issuer = Some(issuer.clone());
        provider
    }

    /// A provider of OAuth 2.0 with these endpoints and one application: no document, no keys, and no `iss` in callbacks.
    pub fn oauth2(
        authorization: &Url,
        token: &Url,
        userinfo: &Url,
        client_id: impl Into<String>,
        client_auth: ClientAuth,
    ) -> Self {
        let addresses = BTreeMap::from([
            (Endpoint::Token, token.to_string()),
            (Endpoint::Userinfo, userinfo.to_string()),
        ]);
        Self::of(authorization.to_string(), addresses, client_id.into(), client_auth)
    }

    fn of(
        authorization_endpoint: String,
        addresses: BTreeMap<Endpoint, String>,
        client_id: String,
        client_auth: ClientAuth,
    ) -> Self {
        let secrets = match &client_auth {
            ClientAuth::SecretBasic(secret) | ClientAuth::SecretPost(secret) => vec![secret.expose().clone()],
            _ => Vec::new(),
        };
        let state = State {
            now: NOW,
            key: 0,
            made: 0,
            codes: BTreeMap::new(),
            tokens: BTreeSet::new(),
            secrets,
            replaced: BTreeMap::new(),
            change: None,
            calls: Vec::new(),
        };
        Self {
            issuer: None,
            authorization_endpoint,
            addresses,
            client_id,
            client_auth,
            redirect_uri: None,
            iss: None,
            person: json!({
                "sub": "248289761001", "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace",
                "preferred_username": "ada", "email": "ada@example.com", "email_verified": true,
            }),
            resources: BTreeMap::new(),
            optional: BTreeSet::new(),
            quirks: BTreeSet::new(),
            state: Mutex::new(state),
        }
    }

    /// The same, taking no other redirect URI than this one.
    #[must_use]
    pub fn with_redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(redirect_uri.into());
        self
    }

    /// The same, saying this `iss` in its callbacks.
    #[must_use]
    pub fn with_iss(mut self, iss: impl Into<String>) -> Self {
        self.iss = Some(iss.into());
        self
    }

    /// The same, saying no `iss` in its callbacks, and promising none.
    #[must_use]
    pub fn without_iss(mut self) -> Self {
        self.iss = None;
        self
    }

    /// The same with another person: what userinfo says, and with OpenID Connect the ID token too. Its `sub` is who it is there.
    #[must_use]
    pub fn with_person(mut self, person: Value) -> Self {
        self.person = person;
        self
    }

    /// The same with one thing more that may be asked for with an access token, at this address. A sign-in may do without it.
    #[must_use]
    pub fn with_resource(mut self, url: impl Into<String>, answer: Value) -> Self {
        let url = url.into();
        self.optional.insert(url.clone());
        self.resources.insert(url, answer);
        self
    }

    /// The same with a quirk.
    ///
    /// ```
    /// use vestibule_strategy::ClientAuth;
    /// use vestibule_strategy::testing::{FakeProvider, Quirk};
    ///
    /// let at = |path: &str| format!("https://git.example/{path}").parse().unwrap();
    /// let provider = FakeProvider::oauth2(&at("authorize"), &at("token"), &at("user"), "our-app", ClientAuth::Public)
    ///     .with_quirk(Quirk::ErrorsWithStatus200)
    ///     .with_quirk(Quirk::CommaSeparatedScopes);
    /// assert!(format!("{provider:?}").contains("CommaSeparatedScopes"));
    /// ```
    #[must_use]
    pub fn with_quirk(mut self, quirk: Quirk) -> Self {
        self.quirks.insert(quirk);
        self
    }

    /// Signs with another key from here on, and publishes that one alone.
    pub fn rotate_key(&self) {
        self.state().key += 1;
    }

    /// Lets a function change what every ID token from here on says, before it is signed.
    ///
    /// ```
    /// use serde_json::json;
    /// use vestibule_strategy::ClientAuth;
    /// use vestibule_strategy::testing::FakeProvider;
    ///
    /// let provider = FakeProvider::openid(&"https://sso.example".parse().unwrap(), "our-app", ClientAuth::Public);
    /// provider.change_claims(|claims| {
    ///     claims.as_object_mut().map(|claims| claims.insert("aud".to_owned(), json!("another-app")));
    /// });
    /// ```
    pub fn change_claims(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.state().change = Some(Arc::new(change));
    }

    /// Answers this instead, whatever the endpoint is asked, until [`FakeProvider::restore`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, StatusCode};
    /// use vestibule_oauth_core::{HttpCall, HttpClient, Trust};
    /// use vestibule_strategy::ClientAuth;
    /// use vestibule_strategy::testing::{Endpoint, FakeProvider, run, text_answer};
    ///
    /// let provider = FakeProvider::openid(&"https://sso.example".parse().unwrap(), "our-app", ClientAuth::Public);
    /// let keys = provider.address(Endpoint::Keys).unwrap();
    /// let status = || {
    ///     let call = HttpCall::new(Request::get(keys).body(Bytes::new()).unwrap(), "keys", Trust::Configured);
    ///     run(provider.send(call)).unwrap().unwrap().status()
    /// };
    /// provider.replace(Endpoint::Keys, text_answer(StatusCode::BAD_GATEWAY, "<html>"));
    /// assert_eq!(status(), 502);
    /// provider.restore(Endpoint::Keys);
    /// assert_eq!(status(), 200);
    /// ```
    pub fn replace(&self, endpoint: Endpoint, answer: Response<Bytes>) {
        self.state().replaced.insert(endpoint, answer);
    }

    /// Answers as it should again.
    pub fn restore(&self, endpoint: Endpoint) {
        self.state().replaced.remove(&endpoint);
    }

    /// Where an endpoint is; `None` for one that such a provider has not.
    pub fn address(&self, endpoint: Endpoint) -> Option<&str> {
        self.addresses.get(&endpoint).map(String::as_str)
    }

    /// The calls made so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, call: &Call) -> Result<Response<Bytes>, HttpError> {
        let mut state = self.state();
        state.calls.push(call.clone());
        let endpoint =
            self.addresses.iter().find(|(_, url)| **url == call.url).map(|(endpoint, _)| *endpoint);
        if let Some(answer) = endpoint.and_then(|endpoint| state.replaced.get(&endpoint)) {
            return Ok(answer.clone());
        }
        let (get, post) = (call.method == Method::GET, call.method == Method::POST);
        let answer = match (endpoint, self.resources.get(&call.url)) {
            (Some(Endpoint::Discovery), _) if get => json_answer(StatusCode::OK, &self.document()),
            (Some(Endpoint::Keys), _) if get => keys::published(state.key),
            (Some(Endpoint::Token), _) if post => self.token(&mut state, call),
            (Some(Endpoint::Userinfo), _) if get || post => {
                bearer(&state, call).unwrap_or_else(|| json_answer(StatusCode::OK, &self.told()))
            }
            (None, Some(resource)) if get => {
                bearer(&state, call).unwrap_or_else(|| json_answer(StatusCode::OK, resource))
            }
            (None, None) => {
                let detail = format!("the provider has no {} {}", call.method, call.url);
                return Err(HttpError::new(HttpErrorKind::UnknownHost, detail));
            }
            _ => json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "invalid_request" })),
        };
        Ok(answer)
    }

    /// The document of OpenID Connect Discovery.
    fn document(&self) -> Value {
        let address = |endpoint| self.addresses.get(&endpoint);
        json!({
            "issuer": self.issuer.as_ref().map(Issuer::as_str),
            "authorization_endpoint": self.authorization_endpoint,
            "token_endpoint": address(Endpoint::Token),
            "userinfo_endpoint": address(Endpoint::Userinfo),
            "jwks_uri": address(Endpoint::Keys),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.iss.is_some(),
        })
    }

    /// What is known about the person, as userinfo says it.
    fn told(&self) -> Value {
        let mut told = self.claims();
        if self.has(Quirk::NumericIds) {
            for name in ["sub", "id"] {
                let number = told.get(name).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
                if let (Some(told), Some(number)) = (told.as_object_mut(), number) {
                    told.insert(name.to_owned(), number.into());
                }
            }
        }
        told
    }

    /// What is known about the person, as an ID token says it.
    fn claims(&self) -> Value {
        let mut claims = self.person.clone();
        let verified = claims.get("email_verified").and_then(Value::as_bool);
        if let (true, Some(claims), Some(verified)) =
            (self.has(Quirk::EmailVerifiedAsText), claims.as_object_mut(), verified)
        {
            claims.insert("email_verified".to_owned(), verified.to_string().into());
        }
        claims
    }
}

impl State {
    /// A new text of this kind, long enough to be looked for.
    fn make(&mut self, kind: &str) -> String {
        self.made += 1;
        let text = format!("{kind}-{}", base64url::encode(sha256(format!("{kind} {}", self.made))));
        self.secrets.push(text.clone());
        text
    }
}

/// Why the access token of a call is none.
fn bearer(state: &State, call: &Call) -> Option<Response<Bytes>> {
    let field = call.header(AUTHORIZATION.as_str()).and_then(|field| field.split_once(' '));
    match field {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && state.tokens.contains(token) => {
            None
        }
        _ => Some(json_answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }))),
    }
}

impl HttpClient for FakeProvider {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        Box::pin(async move {
            let call = Call::from(call);
            within_limit(self.serve(&call), &call)
        })
    }
}

impl Counterpart for FakeProvider {
    fn authorize(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        self.allow(to)
    }

    fn cancel(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        self.refuse(to)
    }

    fn at(&self, now: UnixTime) {
        self.state().now = now;
    }

    fn is_optional(&self, call: &Call) -> bool {
        self.optional.contains(&call.url)
    }

    fn secrets(&self) -> Vec<String> {
        self.state().secrets.clone()
    }
}

impl fmt::Debug for FakeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FakeProvider");
        shown.field("authorization_endpoint", &self.authorization_endpoint).field("quirks", &self.quirks);
        shown.finish_non_exhaustive()
    }
}
