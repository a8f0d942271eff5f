//! GitHub, and GitHub Enterprise Server.

use serde_json::Value;
use url::{ParseError, Url};
use vestibule_oauth_core::{BoxFuture, HttpClient, ScopeSet, Secret};

use crate::auth::Auth;
use crate::client_auth::ClientAuth;
use crate::failure::Fault;
use crate::oauth2::{OAuth2, OAuth2Setup, ask};
use crate::strategy::{Begin, CallbackCx, IssuerPolicy, RequestCx, Stash, Strategy};
use crate::user_fields::{UserField, UserFields};

/// Sign-in with GitHub.
///
/// The account is the numeric id, never the login, which people change and others take over. An e-mail address is taken only if it
/// is the primary one and verified; without the scope `user:email` there is none, and that fails nobody's sign-in.
///
/// ```
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::{GitHub, Strategy};
///
/// let secret = Secret::new("from a file".to_owned());
/// assert_eq!(GitHub::new("Iv1.0123456789abcdef", secret).unwrap().kind(), "github");
/// ```
#[derive(Clone, Debug)]
pub struct GitHub {
    oauth: OAuth2,
    emails: Url,
}

impl GitHub {
    /// github.com, for the app of this `client_id`.
    ///
    /// # Errors
    /// Never in fact: the addresses are GitHub's.
    pub fn new(client_id: impl Into<String>, secret: Secret) -> Result<Self, ParseError> {
        Self::at("https://github.com", "https://api.github.com", client_id, secret)
    }

    /// A GitHub Enterprise Server, at the origin that people see, such as `https://github.example.com`.
    ///
    /// # Errors
    /// [`ParseError`] when that is no URL.
    pub fn enterprise(base: &str, client_id: impl Into<String>, secret: Secret) -> Result<Self, ParseError> {
        let base = base.trim_end_matches('/');
        Self::at(base, &format!("{base}/api/v3"), client_id, secret)
    }

    /// The same, asking for this instead of `read:user user:email`.
    #[must_use]
    pub fn with_scope(mut self, scope: ScopeSet) -> Self {
        self.oauth.set_scope(scope);
        self
    }

    fn at(web: &str, api: &str, client_id: impl Into<String>, secret: Secret) -> Result<Self, ParseError> {
        let login = format!("{web}/login/oauth");
        let mut setup = OAuth2Setup::new(
            Url::parse(&format!("{login}/authorize"))?,
            Url::parse(&format!("{login}/access_token"))?,
            Url::parse(&format!("{api}/user"))?,
            client_id,
        );
        setup.kind = "github";
        setup.client_auth = ClientAuth::SecretPost(secret);
        setup.scope = "read:user user:email".parse().unwrap_or_default();
        // GitHub began to send `iss` in 2026, took it back, and began again.
        setup.issuer = IssuerPolicy::ExactIfPresent(login);
        setup.allowed_params = &["login", "allow_signup", "prompt"];
        setup.fields = UserFields::new("/id")
            .with(UserField::Name, "/name")
            .with(UserField::Name, "/login")
            .with(UserField::Nickname, "/login")
            .with(UserField::Location, "/location")
            .with(UserField::Description, "/bio")
            .with(UserField::Image, "/avatar_url")
            .with(UserField::Url("html_url"), "/html_url")
            .with(UserField::Url("blog"), "/blog")
            .with(UserField::Url("api"), "/url");
        Ok(Self {
            oauth: OAuth2::new(setup),
            emails: Url::parse(&format!("{api}/user/emails?per_page=100"))?,
        })
    }

    async fn sign_in(&self, cx: &CallbackCx<'_>, http: &dyn HttpClient) -> Result<Auth, Fault> {
        let (mut auth, _) = self.oauth.sign_in(cx, http).await?;
        let Some(token) = &auth.credentials.token else { return Ok(auth) };
        // Who may not see them answers 403 or 404: then there is no address, and still a person.
        // What is no list is nothing of GitHub's, and may repeat what it was asked, the token too.
        if let Ok(emails @ Value::Array(_)) = ask(&self.emails, "e-mail addresses", token, http).await {
            if let Some(address) = primary(&emails) {
                auth.info.email = Some(address.to_owned());
                auth.info.email_verified = Some(true);
            }
            auth.extra.raw.insert("emails".to_owned(), emails);
        }
        Ok(auth)
    }
}

/// The address that is both the primary one and verified.
fn primary(emails: &Value) -> Option<&str> {
    let is = |entry: &&Value, name: &str| entry.get(name).and_then(Value::as_bool) == Some(true);
    let entry = emails.as_array()?.iter().find(|entry| is(entry, "primary") && is(entry, "verified"))?;
    entry.get("email")?.as_str()
}

impl Strategy for GitHub {
    fn kind(&self) -> &'static str {
        self.oauth.kind()
    }

    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        self.oauth.issuer(stash)
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        self.oauth.allowed_params()
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        self.oauth.request(cx, http)
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.sign_in(&cx, http).await })
    }
}
