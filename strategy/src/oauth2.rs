//! Any provider of OAuth 2.0 that has an endpoint to ask who somebody is.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use serde_json::Value;
use url::Url;
use vestibule_dpop::NonceMemory;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, ScopeSet, Secret, Trust, UnixTime};

use crate::auth::{Auth, Credentials};
use crate::backchannel::{Backchannel, PostError};
use crate::client_auth::ClientAuth;
use crate::failure::{FailureKind, Fault};
use crate::strategy::{Begin, CallbackCx, IssuerPolicy, RequestCx, ResponseMode, Stash, Strategy};
use crate::token::{TokenAnswer, TokenError, code_form};
use crate::user_fields::UserFields;

/// What a provider of OAuth 2.0 is, for this application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OAuth2Setup {
    /// What stands in [`Auth::strategy`].
    pub kind: &'static str,
    /// Where people are sent.
    pub authorization_endpoint: Url,
    /// Where codes are spent.
    pub token_endpoint: Url,
    /// Where it is asked who somebody is.
    pub userinfo_endpoint: Url,
    /// The application's name there.
    pub client_id: String,
    /// How the application proves that it is the one.
    pub client_auth: ClientAuth,
    /// What is asked for.
    pub scope: ScopeSet,
    /// Whether the callback names its issuer. Say [`IssuerPolicy::Exact`] where the provider's metadata promises it.
    pub issuer: IssuerPolicy,
    /// More parameters of the authorization request, the same for everybody.
    pub params: Vec<(String, String)>,
    /// Parameters that a person's request may carry over to the provider, such as `login_hint`.
    pub allowed_params: &'static [&'static str],
    /// Where the provider's answer says who the person is.
    pub fields: UserFields,
}

impl OAuth2Setup {
    /// A provider with these endpoints, that names people as OpenID Connect does, for a client without a secret.
    pub fn new(authorization: Url, token: Url, userinfo: Url, client_id: impl Into<String>) -> Self {
        Self {
            kind: "oauth2",
            authorization_endpoint: authorization,
            token_endpoint: token,
            userinfo_endpoint: userinfo,
            client_id: client_id.into(),
            client_auth: ClientAuth::Public,
            scope: ScopeSet::empty(),
            issuer: IssuerPolicy::NotIdentified,
            params: Vec::new(),
            allowed_params: &["login_hint", "prompt"],
            fields: UserFields::openid(),
        }
    }
}

/// Sign-in at a provider of OAuth 2.0: a code with PKCE ([RFC 6749, section 4.1], [RFC 7636]), a bearer token for it, and with the
/// token the question who that is.
///
/// ```
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::{ClientAuth, OAuth2, OAuth2Setup, Strategy, UserField, UserFields};
///
/// let url = |path: &str| format!("https://forum.example/{path}").parse().unwrap();
/// let mut forum = OAuth2Setup::new(url("oauth/authorize"), url("oauth/token"), url("api/me"), "our-app");
/// forum.client_auth = ClientAuth::SecretBasic(Secret::new("from a file".to_owned()));
/// forum.scope = "identify".parse().unwrap();
/// forum.fields = UserFields::new("/user/id").with(UserField::Name, "/user/display_name");
/// assert_eq!(OAuth2::new(forum).kind(), "oauth2");
/// ```
///
/// [RFC 6749, section 4.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1
/// [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636
#[derive(Clone, Debug)]
pub struct OAuth2 {
    setup: OAuth2Setup,
}

impl OAuth2 {
    /// A strategy for this provider.
    pub const fn new(setup: OAuth2Setup) -> Self {
        Self { setup }
    }

    pub(crate) fn set_scope(&mut self, scope: ScopeSet) {
        self.setup.scope = scope;
    }

    fn begin(&self, cx: &RequestCx<'_>) -> Begin {
        let setup = &self.setup;
        let mut to = setup.authorization_endpoint.clone();
        authorization_request(
            &mut to,
            &setup.client_id,
            &setup.scope,
            &setup.params,
            setup.allowed_params,
            cx,
        );
        Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query }
    }

    /// The person, and what the provider said of them.
    pub(crate) async fn sign_in(
        &self,
        cx: &CallbackCx<'_>,
        http: &dyn HttpClient,
    ) -> Result<(Auth, Value), Fault> {
        let tokens = self.tokens(cx, http).await?;
        let user = ask(&self.setup.userinfo_endpoint, "userinfo", &tokens.access_token, http).await?;
        let (uid, info) = self.setup.fields.read(&user).ok_or_else(|| {
            Fault::new(
                FailureKind::SubjectMissing,
                "the provider did not say who this is by a permanent name",
            )
        })?;
        let mut auth = Auth::new(uid, cx.provider.clone(), self.setup.kind);
        auth.info = info;
        auth.issuer = match &self.setup.issuer {
            IssuerPolicy::Exact(issuer) | IssuerPolicy::ExactIfPresent(issuer) => Some(issuer.clone()),
            IssuerPolicy::NotIdentified => None,
        };
        auth.credentials = credentials(tokens, &self.setup.scope, cx.now);
        auth.extra.raw.insert("user".to_owned(), user.clone());
        Ok((auth, user))
    }

    async fn tokens(&self, cx: &CallbackCx<'_>, http: &dyn HttpClient) -> Result<TokenAnswer, Fault> {
        let setup = &self.setup;
        let issuer = match &setup.issuer {
            IssuerPolicy::Exact(issuer) | IssuerPolicy::ExactIfPresent(issuer) => issuer,
            IssuerPolicy::NotIdentified => setup.token_endpoint.as_str(),
        };
        let channel = Backchannel::new(issuer, &setup.client_id, &setup.client_auth, Trust::Configured);
        spend_code(&channel, &setup.token_endpoint, cx, http).await
    }
}

/// The bearer tokens for the code of a callback.
pub(crate) async fn spend_code(
    channel: &Backchannel<'_>,
    endpoint: &Url,
    cx: &CallbackCx<'_>,
    http: &dyn HttpClient,
) -> Result<TokenAnswer, Fault> {
    let form = code_form(endpoint, cx.code()?, cx.redirect_uri, cx.verifier);
    let response = channel.post(&form, &mut NonceMemory::default(), cx.seed, cx.now, http).await;
    let response = response.map_err(|error| match error {
        PostError::Http(error) => Fault::transport("token exchange", &error),
        PostError::Sign(error) => Fault::new(FailureKind::Misconfigured, error.to_string()),
    })?;
    let tokens = TokenAnswer::read(&response).map_err(|error| {
        let mut detail = error.to_string();
        // What a provider says of a refusal is for a log, and a code is not.
        if cx.code.is_some_and(|code| detail.contains(code.expose())) {
            detail = "the token endpoint refused, in words that repeat the code".to_owned();
        }
        match error {
            TokenError::Refused { status, error } => {
                let error = error.map(|error| error.code);
                Fault::new(FailureKind::TokenEndpoint { status, error }, detail)
            }
            TokenError::Malformed(_) => Fault::new(FailureKind::TokenAnswerMalformed, detail),
        }
    })?;
    if tokens.token_type.eq_ignore_ascii_case("bearer") {
        Ok(tokens)
    } else {
        Err(Fault::new(FailureKind::TokenTypeMismatch, "the access token is of another kind than Bearer"))
    }
}

/// What was issued, in the shape of all providers; `asked` is what the scope is if nothing is said of it.
pub(crate) fn credentials(tokens: TokenAnswer, asked: &ScopeSet, now: UnixTime) -> Credentials {
    Credentials {
        scopes: tokens.scope.map_or_else(|| asked.clone(), |scope| by_commas_too(&scope)),
        expires_at: tokens.expires_in.map(|span| now.after(span)),
        token_type: Some(tokens.token_type),
        token: Some(tokens.access_token),
        refresh_token: tokens.refresh_token,
        id_token: tokens.id_token,
        ..Credentials::default()
    }
}

/// Adds what every request for a code has, and PKCE.
pub(crate) fn authorization_request(
    to: &mut Url,
    client_id: &str,
    scope: &ScopeSet,
    params: &[(String, String)],
    allowed: &[&'static str],
    cx: &RequestCx<'_>,
) {
    let mut query = to.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", cx.redirect_uri.as_str())
        .append_pair("state", cx.state)
        .append_pair("code_challenge", cx.pkce.as_str())
        .append_pair("code_challenge_method", "S256");
    if !scope.is_empty() {
        query.append_pair("scope", scope.as_str());
    }
    query.extend_pairs(params);
    for name in allowed {
        if let Some(value) = cx.param(name) {
            query.append_pair(name, value);
        }
    }
}

impl Strategy for OAuth2 {
    fn kind(&self) -> &'static str {
        self.setup.kind
    }

    fn issuer(&self, _: &Stash) -> IssuerPolicy {
        self.setup.issuer.clone()
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        self.setup.allowed_params
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(std::future::ready(Ok(self.begin(&cx))))
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.sign_in(&cx, http).await.map(|(auth, _)| auth) })
    }
}

/// Asks a provider's API with a bearer token, and takes a JSON answer.
pub(crate) async fn ask(
    url: &Url,
    purpose: &'static str,
    token: &Secret,
    http: &dyn HttpClient,
) -> Result<Value, Fault> {
    let bad = |detail: String| Fault::new(FailureKind::BadResponse, format!("{purpose}: {detail}"));
    let mut field = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| bad("the access token does not fit a header field".to_owned()))?;
    field.set_sensitive(true);
    let request = Request::get(url.as_str())
        .header(AUTHORIZATION, field)
        .header(ACCEPT, "application/json")
        // Some providers answer nobody who does not say what they are.
        .header(USER_AGENT, "vestibule")
        .body(Bytes::new())
        .map_err(|_| {
            Fault::new(FailureKind::Misconfigured, format!("{purpose}: no request can be made to it"))
        })?;
    let call = HttpCall::new(request, purpose, Trust::Configured).with_timeout(Backchannel::TIMEOUT);
    let response = http.send(call).await.map_err(|error| Fault::transport(purpose, &error))?;
    if response.status() != StatusCode::OK {
        return Err(bad(format!("it answered {}", response.status().as_u16())));
    }
    // The error of serde_json may quote the body, so it is not passed on.
    let mut answer =
        serde_json::from_slice(response.body()).map_err(|_| bad("it did not answer with JSON".to_owned()))?;
    leave_out(&mut answer, token.expose());
    Ok(answer)
}

/// Some providers repeat the token in what they say of the person, which is kept and shown (S10).
fn leave_out(value: &mut Value, token: &str) {
    match value {
        Value::String(text) if text.contains(token) => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(|item| leave_out(item, token)),
        Value::Object(members) => {
            members.retain(|name, _| !name.contains(token));
            members.values_mut().for_each(|member| leave_out(member, token));
        }
        _ => {}
    }
}

/// Scope words as they were granted; some providers put commas between them (S25).
fn by_commas_too(scope: &ScopeSet) -> ScopeSet {
    let words: Vec<&str> =
        scope.iter().flat_map(|word| word.split(',')).filter(|word| !word.is_empty()).collect();
    // Parts of words are words.
    words.join(" ").parse().unwrap_or_default()
}
