//! Clients, as this server knows them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vestibule_dpop::JwkSet;
use vestibule_oauth_core::{ClientId, RedirectUri, ScopeSet};

use crate::client_secret::ClientSecret;
use crate::grant_type::GrantType;

/// A registered client: what it may do and how it proves who it is.
///
/// ```
/// use vestibule_token_endpoint::{AuthMethod, Client, ClientKind, ClientSecret, GrantType, SecretHash};
///
/// let mut client = Client::new("grafana".parse().unwrap(), ClientKind::Confidential);
/// client.secrets.push(ClientSecret::new(SecretHash::plain("a random secret")));
/// client.redirect_uris.push("https://grafana.example/login/generic_oauth".parse().unwrap());
/// client.grant_types.insert(GrantType::REFRESH_TOKEN);
///
/// // Unless told otherwise a client with a secret may send it in either of the two ways: many try both.
/// assert!(client.may_use(AuthMethod::ClientSecretBasic) && client.may_use(AuthMethod::ClientSecretPost));
/// assert!(!client.may_use(AuthMethod::PrivateKeyJwt) && !client.may_use(AuthMethod::None));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// What people are shown.
    pub name: Option<String>,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// The ways it may authenticate in. Empty: those that fit what it has.
    pub auth_methods: BTreeSet<AuthMethod>,
    /// Its secrets, of which at most two are good at once.
    pub secrets: Vec<ClientSecret>,
    /// Its public keys.
    pub keys: JwkSet,
    /// Which `aud` its assertions may have.
    pub assertion_audience: AssertionAudience,
    /// Where browsers may be sent back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// The grants it may use.
    pub grant_types: BTreeSet<GrantType>,
    /// The scope it may ask for.
    pub scope: ScopeSet,
    /// The resources it may ask tokens for ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)), beside the server's own.
    pub resources: BTreeSet<String>,
    /// The resources it is: it may introspect tokens for these.
    pub serves: BTreeSet<String>,
    /// Whether it has to use PKCE.
    pub pkce: Pkce,
    /// Whether its tokens are always bound to a DPoP key.
    pub binding: TokenBinding,
    /// Whether it has to push its authorization requests.
    pub pushing: Pushing,
    /// Whether it has to repeat `redirect_uri` at the token endpoint, as OAuth 2.0 asked.
    pub redirect_uri_at_token: RedirectUriAtToken,
    /// What its access tokens look like.
    pub token_format: TokenFormat,
    /// How long what it gets is good for.
    pub lifetimes: Lifetimes,
    /// Who may vouch for people towards it, in grants of [RFC 7523, section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1).
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Whether it may do anything at all.
    pub state: ClientState,
}

impl Client {
    /// A client that may use the grant of codes, with the defaults of every rule: PKCE, `at+jwt` access tokens of 10 minutes.
    pub fn new(id: ClientId, kind: ClientKind) -> Self {
        Self {
            id,
            name: None,
            kind,
            auth_methods: BTreeSet::new(),
            secrets: Vec::new(),
            keys: JwkSet::default(),
            assertion_audience: AssertionAudience::Issuer,
            redirect_uris: Vec::new(),
            grant_types: BTreeSet::from([GrantType::AUTHORIZATION_CODE]),
            scope: ScopeSet::empty(),
            resources: BTreeSet::new(),
            serves: BTreeSet::new(),
            pkce: Pkce::Required,
            binding: TokenBinding::Optional,
            pushing: Pushing::Optional,
            redirect_uri_at_token: RedirectUriAtToken::Optional,
            token_format: TokenFormat::Jwt,
            lifetimes: Lifetimes::default(),
            trusted_issuers: Vec::new(),
            state: ClientState::Enabled,
        }
    }

    /// Whether it may authenticate in this way.
    ///
    /// A public client with a secret may use it or leave it out. One that is registered for nothing but `none` has no
    /// secret to send, and sending one is an error (attack A28).
    pub fn may_use(&self, method: AuthMethod) -> bool {
        if !self.auth_methods.is_empty() {
            let omits = method == AuthMethod::None && self.kind == ClientKind::Public;
            return omits || self.auth_methods.contains(&method);
        }
        match method {
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => !self.secrets.is_empty(),
            AuthMethod::PrivateKeyJwt => !self.keys.entries().is_empty(),
            AuthMethod::None => self.kind == ClientKind::Public,
        }
    }

    /// The redirect URI that an authorization request goes to: the one it asks for, if it is registered, or the only one
    /// there is, if it asks for none ([RFC 6749, section 3.1.2.3]).
    ///
    /// [RFC 6749, section 3.1.2.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2.3
    pub fn redirect_to(&self, asked: Option<&RedirectUri>) -> Option<RedirectUri> {
        match asked {
            Some(asked) => self.redirect_uris.iter().any(|uri| uri.admits(asked)).then(|| asked.clone()),
            None => match self.redirect_uris.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
        }
    }
}

/// Whether a client can keep a secret ([RFC 6749, section 2.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.1)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "a client can or cannot")]
pub enum ClientKind {
    /// It runs on a server.
    Confidential,
    /// It runs on people's devices.
    Public,
}

/// A way to authenticate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthMethod {
    /// A secret, in the `Authorization` header field ([RFC 6749, section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)).
    ClientSecretBasic,
    /// A secret, in the body.
    ClientSecretPost,
    /// A signed assertion ([RFC 7523, section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)).
    PrivateKeyJwt,
    /// Not at all: a public client says its `client_id` and no more.
    None,
}

impl AuthMethod {
    /// Every way there is.
    pub const ALL: [Self; 4] =
        [Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt, Self::None];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuthMethod {
    type Err = UnknownAuthMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(UnknownAuthMethod)
    }
}

/// The text names no way to authenticate that is known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("an authentication method must be client_secret_basic, client_secret_post, private_key_jwt or none")]
pub struct UnknownAuthMethod;

/// Which `aud` a client's assertions may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssertionAudience {
    /// The issuer alone ([draft-ietf-oauth-rfc7523bis](https://datatracker.ietf.org/doc/draft-ietf-oauth-rfc7523bis/)).
    #[default]
    Issuer,
    /// The token endpoint's address as well, for clients that know no better. A server that a client can be made to talk to
    /// could pass such an assertion on.
    DangerTokenEndpointToo,
}

/// Whether a client has to use PKCE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pkce {
    /// Each of its codes has a challenge.
    #[default]
    Required,
    /// It may leave it out, because it cannot do it: a confidential client only, and each use is an event. Whoever gets
    /// hold of one of its codes can have it redeemed by the client itself, in a session of somebody else.
    DangerExempt,
}

/// Whether a client's tokens are bound to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "they are or may be")]
pub enum TokenBinding {
    /// If it sends a proof.
    #[default]
    Optional,
    /// Always: a request without a proof is refused
    /// ([RFC 9449, section 5.2](https://www.rfc-editor.org/rfc/rfc9449#section-5.2)).
    Required,
}

/// Whether a client has to push its authorization requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "it may or must")]
pub enum Pushing {
    /// It may.
    #[default]
    Optional,
    /// It must ([RFC 9126, section 6](https://www.rfc-editor.org/rfc/rfc9126#section-6)).
    Required,
}

/// Whether a client repeats `redirect_uri` where it redeems a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "it may or must")]
pub enum RedirectUriAtToken {
    /// It may; what it sends must be right. PKCE does what it was for (OAuth 2.1, section 10.2).
    #[default]
    Optional,
    /// It must, if it sent one to the authorization endpoint
    /// ([RFC 6749, section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)).
    Required,
}

/// What access tokens look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenFormat {
    /// A signed text that says what it is for ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)). No store is asked to make it
    /// or to believe it.
    #[default]
    Jwt,
    /// A random text that only this server understands, and can take back at once.
    Opaque,
}

/// How long things are good for, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lifetimes {
    /// Of an access token.
    pub access: Duration,
    /// Of a refresh token that is not used.
    pub refresh_idle: Duration,
    /// Of all refresh tokens of a grant together, however often they are used.
    pub refresh_absolute: Duration,
}

impl Default for Lifetimes {
    /// Ten minutes; two weeks without use; ninety days in all.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self { access: Duration::from_secs(600), refresh_idle: days(14), refresh_absolute: days(90) }
    }
}

/// Somebody who may vouch for people towards a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustedIssuer {
    /// Their `iss`, compared as it is.
    pub issuer: String,
    /// Their public keys.
    pub keys: JwkSet,
}

impl TrustedIssuer {
    /// Whoever signs with one of these keys, and calls itself so.
    pub fn new(issuer: impl Into<String>, keys: JwkSet) -> Self {
        Self { issuer: issuer.into(), keys }
    }
}

/// Whether a client may do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "it may or may not")]
pub enum ClientState {
    /// It may.
    #[default]
    Enabled,
    /// It is known, and refused like one that is not.
    Disabled,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_secret::SecretHash;

    #[test]
    fn t13_the_ways_a_client_may_authenticate_in() {
        use AuthMethod::{
            ClientSecretBasic as Basic, ClientSecretPost as Post, None as Nothing, PrivateKeyJwt as Key,
        };
        let secret = || vec![ClientSecret::new(SecretHash::plain("s"))];
        for (kind, methods, secrets, may) in [
            (ClientKind::Confidential, vec![], secret(), vec![Basic, Post]),
            (ClientKind::Confidential, vec![Basic], secret(), vec![Basic]),
            (ClientKind::Confidential, vec![Basic, Key], secret(), vec![Basic, Key]),
            (ClientKind::Confidential, vec![], vec![], vec![]),
            (ClientKind::Public, vec![], vec![], vec![Nothing]),
            (ClientKind::Public, vec![Nothing], vec![], vec![Nothing]),
            (ClientKind::Public, vec![Nothing], secret(), vec![Nothing]),
            (ClientKind::Public, vec![Basic], secret(), vec![Basic, Nothing]),
        ] {
            let mut client = Client::new("c".parse().unwrap(), kind);
            client.auth_methods = methods.iter().copied().collect();
            client.secrets = secrets;
            let allowed: Vec<_> =
                AuthMethod::ALL.into_iter().filter(|method| client.may_use(*method)).collect();
            assert_eq!(allowed, may, "{kind:?} {methods:?}");
        }
        for method in AuthMethod::ALL {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
        assert_eq!("client_secret_jwt".parse::<AuthMethod>(), Err(UnknownAuthMethod), "T20");
    }

    #[test]
    fn t30_where_a_browser_goes() {
        let mut client = Client::new("c".parse().unwrap(), ClientKind::Public);
        let uri = |text: &str| text.parse::<RedirectUri>().unwrap();
        assert_eq!(client.redirect_to(None), None);
        client.redirect_uris = vec![uri("http://127.0.0.1/cb")];
        assert_eq!(client.redirect_to(None), Some(uri("http://127.0.0.1/cb")));
        let asked = uri("http://127.0.0.1:5555/cb");
        assert_eq!(client.redirect_to(Some(&asked)), Some(asked), "RFC 8252, section 7.3");
        assert_eq!(client.redirect_to(Some(&uri("http://127.0.0.1/other"))), None);
        client.redirect_uris.push(uri("https://app.example/cb"));
        assert_eq!(client.redirect_to(None), None);
    }
}
