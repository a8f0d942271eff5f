//! Any provider of OpenID Connect, from its issuer alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use url::Url;
use vestibule_dpop::{Algorithm, JwkSet, Verifier};
use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, InvalidIssuer, Issuer, ScopeSet, Secret, ServerMetadata, Trust, UnixTime,
};

use crate::auth::Auth;
use crate::backchannel::Backchannel;
use crate::client_auth::ClientAuth;
use crate::failure::{FailureKind, Fault};
use crate::id_token::{IdToken, IdTokenRules, InvalidIdToken};
use crate::oauth2::{ask, authorization_request, credentials, spend_code};
use crate::strategy::{Begin, CallbackCx, IssuerPolicy, RequestCx, ResponseMode, Stash, Strategy};
use crate::tenants::Tenants;
use crate::token::TokenAnswer;
use crate::user_fields::UserFields;

/// What a provider of OpenID Connect is, for this application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenIdSetup {
    /// What stands in [`Auth::strategy`].
    pub kind: &'static str,
    /// Who the provider is. Everything else about it is in the document that it publishes there.
    pub issuer: Issuer,
    /// Other texts by which its ID tokens name it.
    pub other_issuers: Vec<String>,
    /// Whether the provider is asked for more about the person than its ID token says, where it has a place to ask.
    pub userinfo: bool,
    /// The tenants, where one document is that of many issuers.
    pub tenants: Option<Tenants>,
    /// The application's name there.
    pub client_id: String,
    /// How the application proves that it is the one.
    pub client_auth: ClientAuth,
    /// What is asked for; `openid` is among it.
    pub scope: ScopeSet,
    /// What verifies signatures. Most providers sign with RS256, which needs the feature `aws-lc-rs` of `vestibule-dpop`.
    pub verifier: Arc<dyn Verifier>,
    /// How the provider is asked to answer; by a form, nothing of the answer is ever in a URL.
    pub mode: ResponseMode,
    /// More parameters of the authorization request, the same for everybody.
    pub params: Vec<(String, String)>,
    /// Parameters that a person's request may carry over to the provider.
    pub allowed_params: &'static [&'static str],
    /// Claims that have to be there with this text, such as `hd`: whoever comes without is somebody else's.
    pub required_claims: Vec<(String, String)>,
    /// Where the claims say who the person is; the permanent name is `sub`, whatever these say.
    pub fields: UserFields,
}

impl OpenIdSetup {
    /// The provider of this issuer, for a client with a secret.
    pub fn new(
        issuer: Issuer,
        client_id: impl Into<String>,
        secret: Secret,
        verifier: Arc<dyn Verifier>,
    ) -> Self {
        Self {
            kind: "oidc",
            issuer,
            other_issuers: Vec::new(),
            userinfo: true,
            tenants: None,
            client_id: client_id.into(),
            client_auth: ClientAuth::SecretBasic(secret),
            scope: "openid profile email".parse().unwrap_or_default(),
            verifier,
            mode: ResponseMode::Query,
            params: Vec::new(),
            allowed_params: &["login_hint", "prompt", "ui_locales"],
            required_claims: Vec::new(),
            fields: UserFields::openid(),
        }
    }

    /// Google, with the rules that it has of its own: ID tokens may name it without `https://`.
    ///
    /// To let in the people of one domain only, require the claim `hd`; the parameter of that name is a hint, and no more.
    ///
    /// # Errors
    /// Never in fact: the issuer is Google's.
    pub fn google(
        client_id: impl Into<String>,
        secret: Secret,
        verifier: Arc<dyn Verifier>,
    ) -> Result<Self, InvalidIssuer> {
        let mut setup = Self::new("https://accounts.google.com".parse()?, client_id, secret, verifier);
        setup.kind = "google";
        setup.other_issuers = vec!["accounts.google.com".to_owned()];
        setup.allowed_params = &["login_hint", "prompt", "hl", "hd"];
        Ok(setup)
    }
}

/// Sign-in at a provider of OpenID Connect ([Core, section 3.1]): a code with PKCE, an ID token that is verified, and what the
/// provider tells besides.
///
/// The provider's document and its keys are kept for a while, in this value: one for each provider, for as long as the application
/// runs. A key that is not known has them fetched again, at most once a minute.
///
/// ```
/// use std::sync::Arc;
/// use vestibule_dpop::DefaultVerifier;
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::{OpenId, OpenIdSetup, Strategy};
///
/// let secret = Secret::new("from a file".to_owned());
/// let mut sso = OpenIdSetup::new("https://sso.example".parse().unwrap(), "our-app", secret, Arc::new(DefaultVerifier));
/// sso.required_claims = vec![("department".to_owned(), "press".to_owned())];
/// assert_eq!(OpenId::new(sso).kind(), "oidc");
/// ```
///
/// [Core, section 3.1]: https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
#[derive(Debug)]
pub struct OpenId {
    setup: OpenIdSetup,
    issuers: Vec<String>,
    known: Mutex<Known>,
}

/// What was fetched, and until when it is good.
#[derive(Default, Debug)]
struct Known {
    metadata: Option<(Arc<ServerMetadata>, UnixTime)>,
    keys: Option<Keys>,
    /// When keys that were still good were fetched again, because one was not among them.
    asked_again_at: Option<UnixTime>,
}

impl Known {
    fn may_ask_again(&mut self, now: UnixTime) -> bool {
        let may = self.asked_again_at.is_none_or(|last| now.since(last) >= KEYS_AGAIN_AFTER);
        if may {
            self.asked_again_at = Some(now);
        }
        may
    }
}

#[derive(Clone, Debug)]
struct Keys {
    set: Arc<JwkSet>,
    fetched_at: UnixTime,
    good_until: UnixTime,
}

/// How long a provider's document is kept. Endpoints do not move within an hour.
const METADATA_FOR: Duration = Duration::from_secs(3600);

/// The shortest and the longest that keys are kept, whatever the provider's `max-age` says.
const KEYS_FOR: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(24 * 3600));

/// How long keys are kept if the provider does not say.
const KEYS_USUALLY: Duration = Duration::from_secs(3600);

/// How often keys are fetched again because one is not among them: what strangers send must not make us ask without end.
const KEYS_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The signatures of ID tokens that are taken.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256];

impl OpenId {
    /// A strategy for this provider. Nothing is fetched yet.
    pub fn new(setup: OpenIdSetup) -> Self {
        let mut issuers = vec![setup.issuer.as_str().to_owned()];
        issuers.extend(setup.other_issuers.iter().cloned());
        Self { setup, issuers, known: Mutex::default() }
    }

    /// Who may have issued this token, which is not verified yet.
    fn issuers_of(&self, token: &str) -> Result<Vec<String>, InvalidIdToken> {
        match &self.setup.tenants {
            None => Ok(self.issuers.clone()),
            Some(tenants) => tenants.issuer_of(token).map(|issuer| vec![issuer]),
        }
    }

    async fn begin(&self, cx: &RequestCx<'_>, http: &dyn HttpClient) -> Result<Begin, Fault> {
        let (setup, metadata) = (&self.setup, self.metadata(cx.now, http).await?);
        let mut to = needed(&metadata.authorization_endpoint, "authorization_endpoint")?.clone();
        authorization_request(
            &mut to,
            &setup.client_id,
            &setup.scope,
            &setup.params,
            setup.allowed_params,
            cx,
        );
        to.query_pairs_mut().append_pair("nonce", cx.nonce);
        if setup.mode == ResponseMode::FormPost {
            to.query_pairs_mut().append_pair("response_mode", "form_post");
        }
        // What the document promised when the person left is what holds when they come back.
        let stash = Stash::write(&metadata.authorization_response_iss_parameter_supported)?;
        Ok(Begin::Redirect { to, stash, mode: setup.mode })
    }

    pub(crate) async fn sign_in(&self, cx: &CallbackCx<'_>, http: &dyn HttpClient) -> Result<Auth, Fault> {
        let (setup, metadata) = (&self.setup, self.metadata(cx.now, http).await?);
        let endpoint = needed(&metadata.token_endpoint, "token_endpoint")?;
        let channel =
            Backchannel::new(setup.issuer.as_str(), &setup.client_id, &setup.client_auth, Trust::Configured);
        let tokens = spend_code(&channel, endpoint, cx, http).await?;
        let id_token = self.verified(&tokens, &metadata, cx, http).await?;
        self.may_sign_in(&id_token)?;
        let told = self.userinfo(&tokens, &metadata, &id_token, http).await?;
        let mut claims = id_token.claims.clone();
        if let (Some(claims), Some(Value::Object(told))) = (claims.as_object_mut(), &told) {
            claims.extend(told.clone());
        }
        let info = setup.fields.read(&claims).map(|(_, info)| info).unwrap_or_default();
        let mut auth = Auth::new(id_token.subject, cx.provider.clone(), setup.kind);
        auth.info = info;
        // Of many tenants the one whose person this is; otherwise the provider, whatever it calls itself.
        auth.issuer = Some(match setup.tenants {
            Some(_) => id_token.issuer,
            None => setup.issuer.to_string(),
        });
        auth.credentials = credentials(tokens, &setup.scope, cx.now);
        auth.extra.raw.insert("id_token".to_owned(), id_token.claims);
        if let Some(told) = told {
            auth.extra.raw.insert("userinfo".to_owned(), told);
        }
        Ok(auth)
    }

    /// Whether this person is one of those that the application lets in.
    fn may_sign_in(&self, id_token: &IdToken) -> Result<(), Fault> {
        let setup = &self.setup;
        let refused = |detail: String| {
            Err(Fault::new(FailureKind::AccountMismatch, detail)
                .with_hint("That account is not one of those that may sign in here. Use another one."))
        };
        for (name, wanted) in &setup.required_claims {
            if id_token.claims.get(name).and_then(Value::as_str) != Some(wanted) {
                return refused(format!("the ID token's {name} is not the one that is required here"));
            }
        }
        match &setup.tenants {
            Some(tenants) if !tenants.lets_in(&id_token.issuer) => {
                refused("the tenant is not one of those that may sign in here".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The ID token that came with these tokens, verified; by newer keys if it needs them.
    async fn verified(
        &self,
        tokens: &TokenAnswer,
        metadata: &ServerMetadata,
        cx: &CallbackCx<'_>,
        http: &dyn HttpClient,
    ) -> Result<IdToken, Fault> {
        let broken = |detail: String| Fault::new(FailureKind::IdToken, detail);
        let text = tokens.id_token.as_ref();
        let text = text.ok_or_else(|| broken("the provider issued no ID token".to_owned()))?.expose();
        let issuers = self.issuers_of(text).map_err(|error| broken(format!("the ID token: {error}")))?;
        let rules = IdTokenRules {
            issuers: &issuers,
            client_id: &self.setup.client_id,
            nonce: cx.nonce,
            access_token: &tokens.access_token,
            algorithms: &ALGORITHMS,
            now: cx.now,
        };
        let verifier = &*self.setup.verifier;
        let verify = |keys: &Keys| match (&self.setup.tenants, issuers.as_slice()) {
            (Some(tenants), [issuer]) => {
                IdToken::verify(text, &tenants.keys_of(issuer, &keys.set), verifier, &rules)
            }
            _ => IdToken::verify(text, &keys.set, verifier, &rules),
        };
        let keys = self.keys(metadata, cx.now, None, http).await?;
        let read = match verify(&keys) {
            Err(InvalidIdToken::UnknownKey) => {
                let newer = self.keys(metadata, cx.now, Some(keys.fetched_at), http).await?;
                verify(&newer)
            }
            read => read,
        };
        read.map_err(|error| broken(format!("the ID token: {error}")))
    }

    /// What the provider's userinfo endpoint says, if there is one. That it cannot be had fails nobody: who the person is, the ID
    /// token has said. That it is about somebody else does ([Core, section 5.3.2]).
    ///
    /// [Core, section 5.3.2]: https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
    async fn userinfo(
        &self,
        tokens: &TokenAnswer,
        metadata: &ServerMetadata,
        id_token: &IdToken,
        http: &dyn HttpClient,
    ) -> Result<Option<Value>, Fault> {
        let endpoint = metadata.userinfo_endpoint.as_ref().filter(|_| self.setup.userinfo);
        let Some(endpoint) = endpoint else { return Ok(None) };
        let Ok(told) = ask(endpoint, "userinfo", &tokens.access_token, http).await else { return Ok(None) };
        if told.get("sub").and_then(Value::as_str) != Some(&id_token.subject) {
            let detail = "userinfo is about somebody else than the ID token";
            return Err(Fault::new(FailureKind::UserinfoMismatch, detail));
        }
        Ok(Some(told))
    }

    async fn metadata(&self, now: UnixTime, http: &dyn HttpClient) -> Result<Arc<ServerMetadata>, Fault> {
        let known = self.known(|known| known.metadata.clone());
        if let Some((metadata, good_until)) = known
            && now < good_until
        {
            return Ok(metadata);
        }
        let call = ServerMetadata::request_openid(&self.setup.issuer, Trust::Configured);
        let purpose = call.purpose;
        let answer = http.send(call).await.map_err(|error| Fault::transport(purpose, &error))?;
        let answer = match &self.setup.tenants {
            Some(tenants) => tenants.as_of(&self.setup.issuer, answer),
            None => answer,
        };
        let metadata = ServerMetadata::read(&answer, &self.setup.issuer).map_err(|error| {
            Fault::new(FailureKind::AuthorizationServerMetadataFailed, format!("{purpose}: {error}"))
        })?;
        let metadata = Arc::new(metadata);
        let fresh = (Arc::clone(&metadata), now.after(METADATA_FOR));
        self.known(|known| known.metadata = Some(fresh));
        Ok(metadata)
    }

    /// The provider's keys: those that are kept, unless they are too old, or are those that were fetched at `outdated`. Keys that are
    /// not too old are fetched again at most once a minute.
    async fn keys(
        &self,
        metadata: &ServerMetadata,
        now: UnixTime,
        outdated: Option<UnixTime>,
        http: &dyn HttpClient,
    ) -> Result<Keys, Fault> {
        let kept = self.known(|known| known.keys.clone());
        if let Some(keys) = kept.filter(|keys| now < keys.good_until) {
            let wanted = outdated == Some(keys.fetched_at);
            if !wanted || !self.known(|known| known.may_ask_again(now)) {
                return Ok(keys);
            }
        }
        let bad =
            |detail: String| Fault::new(FailureKind::BadResponse, format!("the provider's keys: {detail}"));
        let url = needed(&metadata.jwks_uri, "jwks_uri")?;
        let request = Request::get(url.as_str())
            .header("accept", "application/json")
            .body(Bytes::new())
            .map_err(|_| bad("no request can be made for them".to_owned()))?;
        let call = HttpCall::new(request, "provider's keys", Trust::Configured);
        let answer = http.send(call).await.map_err(|error| Fault::transport("provider's keys", &error))?;
        if answer.status() != StatusCode::OK {
            return Err(bad(format!("the answer is {}", answer.status().as_u16())));
        }
        let set = JwkSet::parse(answer.body()).map_err(|error| bad(error.to_string()))?;
        let (shortest, longest) = KEYS_FOR;
        let span = max_age(answer.headers()).unwrap_or(KEYS_USUALLY).clamp(shortest, longest);
        let keys = Keys { set: Arc::new(set), fetched_at: now, good_until: now.after(span) };
        let fresh = keys.clone();
        self.known(|known| known.keys = Some(fresh));
        Ok(keys)
    }

    fn known<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An endpoint that a sign-in cannot do without.
fn needed<'a>(endpoint: &'a Option<Url>, name: &str) -> Result<&'a Url, Fault> {
    endpoint.as_ref().ok_or_else(|| {
        let detail = format!("the provider's metadata has no {name}");
        Fault::new(FailureKind::AuthorizationServerMetadataFailed, detail)
    })
}

/// `max-age` of an answer.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?.split(',');
    let seconds = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")).next()?;
    seconds.parse().ok().map(Duration::from_secs)
}

impl Strategy for OpenId {
    fn kind(&self) -> &'static str {
        self.setup.kind
    }

    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        let issuer = self.setup.issuer.to_string();
        match stash.read() {
            // Which tenant it is, the ID token says.
            _ if self.setup.tenants.is_some() => IssuerPolicy::NotIdentified,
            Ok(true) => IssuerPolicy::Exact(issuer),
            _ => IssuerPolicy::ExactIfPresent(issuer),
        }
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        self.setup.allowed_params
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(async move { self.begin(&cx, http).await })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.sign_in(&cx, http).await })
    }
}
