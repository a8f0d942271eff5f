//! What an operator says of a client, on the command line or in the configuration file, and the client that makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use thiserror::Error;
use vestibule_dpop::{InvalidJwkSet, JwkSet};
use vestibule_oauth_core::{InvalidClientId, InvalidRedirectUri, InvalidScope, RedirectUri};
use vestibule_token_endpoint::{
    AssertionAudience, AuthMethod, Client, ClientKind, GrantType, InvalidGrantType, Pkce, Pushing,
    TokenBinding, TokenFormat, UnknownAuthMethod,
};

/// What a client may do, in the operator's words. A list that is empty, or a value that is not there, leaves what was.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClientSpec {
    /// Where browsers may be sent back to; may be given more than once.
    #[arg(long = "redirect-uri", value_name = "URL")]
    #[serde(rename = "redirect_uris")]
    pub(crate) redirect_uris: Vec<String>,
    /// A way the client may authenticate in: client_secret_basic, client_secret_post, private_key_jwt or none; may be given more
    /// than once. [default: both ways to send a secret; private_key_jwt with --jwks; none with --public]
    #[arg(long = "auth-method", value_name = "METHOD")]
    #[serde(rename = "auth_methods")]
    pub(crate) auth_methods: Vec<String>,
    /// A grant type the client may use; may be given more than once. [default: authorization_code, refresh_token]
    #[arg(long = "grant", value_name = "TYPE")]
    #[serde(rename = "grants")]
    pub(crate) grants: Vec<String>,
    /// The scope the client may ask for. [default: oauth.scope of the configuration]
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// A resource the client may ask tokens for (RFC 8707); may be given more than once.
    #[arg(long = "resource", value_name = "URI")]
    #[serde(rename = "resources")]
    pub(crate) resources: Vec<String>,
    /// A resource the client is: it may introspect tokens for it; may be given more than once.
    #[arg(long = "serves", value_name = "URI")]
    pub(crate) serves: Vec<String>,
    /// File with the client's public keys, a JSON key set.
    #[arg(long = "jwks", value_name = "FILE")]
    #[serde(rename = "jwks_file")]
    pub(crate) jwks: Option<PathBuf>,
    /// What its access tokens are: signed texts, or random ones that can be taken back at once.
    #[arg(long)]
    pub(crate) access_token: Option<Format>,
    /// How long its access tokens are good for. [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) access_seconds: Option<u64>,
    /// How long its refresh tokens are good for if they are not used. [default: 1209600, two weeks]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) refresh_idle_seconds: Option<u64>,
    /// How long it may refresh at all. [default: 7776000, ninety days]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) refresh_seconds: Option<u64>,
    /// Bind all its tokens to a DPoP key.
    #[arg(long)]
    pub(crate) dpop_bound: bool,
    /// Make it push its authorization requests (RFC 9126).
    #[arg(long)]
    pub(crate) require_pushed: bool,
    /// Take client assertions that name the token endpoint as their audience, as clients written before 2025 do. Only this client's;
    /// the issuer is the one safe audience.
    #[arg(long)]
    pub(crate) legacy_audience: bool,
    /// Let it do without PKCE, because it cannot do it: a confidential client only, and each use is logged.
    #[arg(long)]
    pub(crate) no_pkce: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Jwt,
    Opaque,
}

impl ClientSpec {
    /// Makes `client` what is said here.
    pub(crate) fn apply(&self, client: &mut Client) -> Result<(), SpecError> {
        if !self.redirect_uris.is_empty() {
            client.redirect_uris =
                self.redirect_uris.iter().map(|text| redirect_uri(text)).collect::<Result<_, _>>()?;
        }
        if !self.auth_methods.is_empty() {
            client.auth_methods = self
                .auth_methods
                .iter()
                .map(|text| text.parse().map_err(|error| SpecError::AuthMethod(text.clone(), error)))
                .collect::<Result<_, _>>()?;
        }
        if !self.grants.is_empty() {
            client.grant_types = self.grants.iter().map(|text| grant_type(text)).collect::<Result<_, _>>()?;
        }
        if let Some(scope) = &self.scope {
            client.scope = scope.parse().map_err(SpecError::Scope)?;
        }
        if !self.resources.is_empty() {
            client.resources = self.resources.iter().cloned().collect();
        }
        if !self.serves.is_empty() {
            client.serves = self.serves.iter().cloned().collect();
        }
        if let Some(path) = &self.jwks {
            client.keys = read_keys(path)?;
        }
        match self.access_token {
            Some(Format::Jwt) => client.token_format = TokenFormat::Jwt,
            Some(Format::Opaque) => client.token_format = TokenFormat::Opaque,
            None => {}
        }
        let seconds = |span: Option<u64>, place: &mut Duration| {
            if let Some(span) = span {
                *place = Duration::from_secs(span);
            }
        };
        seconds(self.access_seconds, &mut client.lifetimes.access);
        seconds(self.refresh_idle_seconds, &mut client.lifetimes.refresh_idle);
        seconds(self.refresh_seconds, &mut client.lifetimes.refresh_absolute);
        if self.dpop_bound {
            client.binding = TokenBinding::Required;
        }
        if self.require_pushed {
            client.pushing = Pushing::Required;
        }
        if self.legacy_audience {
            client.assertion_audience = AssertionAudience::DangerTokenEndpointToo;
        }
        if self.no_pkce {
            client.pkce = Pkce::DangerExempt;
        }
        Ok(())
    }
}

/// A file of public keys.
pub(crate) fn read_keys(path: &Path) -> Result<JwkSet, SpecError> {
    let json = std::fs::read(path).map_err(|error| SpecError::unreadable(path, &error))?;
    JwkSet::parse(json).map_err(|why| SpecError::Keys { path: path.to_owned(), why })
}

/// What contradicts itself in a client, or leaves it without a way to be used.
pub(crate) fn review(client: &Client) -> Result<(), SpecError> {
    let uses = |grant_type| client.grant_types.contains(&grant_type);
    let public = client.kind == ClientKind::Public;
    if uses(GrantType::AUTHORIZATION_CODE) && client.redirect_uris.is_empty() {
        return Err(SpecError::NoRedirectUri);
    }
    if public && uses(GrantType::CLIENT_CREDENTIALS) {
        return Err(SpecError::PublicCredentials);
    }
    if public && client.pkce == Pkce::DangerExempt {
        return Err(SpecError::PublicWithoutPkce);
    }
    if client.may_use(AuthMethod::PrivateKeyJwt) && client.keys.entries().is_empty() {
        return Err(SpecError::NoKeys);
    }
    if !public && client.auth_methods.contains(&AuthMethod::None) {
        return Err(SpecError::ConfidentialWithNone);
    }
    if client.lifetimes.access.is_zero() || client.lifetimes.refresh_absolute < client.lifetimes.access {
        return Err(SpecError::Lifetimes);
    }
    Ok(())
}

/// Whether a client is to have a secret.
pub(crate) fn has_secret(client: &Client) -> bool {
    let secret = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    match client.auth_methods.is_empty() {
        true => client.kind == ClientKind::Confidential && client.keys.entries().is_empty(),
        false => secret.iter().any(|method| client.auth_methods.contains(method)),
    }
}

fn redirect_uri(text: &str) -> Result<RedirectUri, SpecError> {
    let uri: RedirectUri = text.parse().map_err(|error| SpecError::RedirectUri(text.to_owned(), error))?;
    let local = uri.is_loopback() || uri.url().host_str() == Some("localhost");
    if uri.scheme() == "http" && !local {
        return Err(SpecError::PlainHttp(text.to_owned()));
    }
    Ok(uri)
}

/// The registered long names have short ones here.
fn grant_type(text: &str) -> Result<GrantType, SpecError> {
    match text {
        "device_code" => Ok(GrantType::DEVICE_CODE),
        "token-exchange" | "token_exchange" => Ok(GrantType::TOKEN_EXCHANGE),
        "jwt-bearer" | "jwt_bearer" => Ok(GrantType::JWT_BEARER),
        other => other.parse().map_err(|error| SpecError::GrantType(text.to_owned(), error)),
    }
}

/// What is wrong with what an operator said of a client.
#[derive(Debug, Error)]
pub(crate) enum SpecError {
    #[error("client id {0:?}: {1}")]
    Id(String, InvalidClientId),
    #[error("redirect URI {0:?}: {1}")]
    RedirectUri(String, InvalidRedirectUri),
    #[error("redirect URI {0:?}: plain http is for this machine only; write https")]
    PlainHttp(String),
    #[error("authentication method {0:?}: {1}")]
    AuthMethod(String, UnknownAuthMethod),
    #[error("grant type {0:?}: {1}")]
    GrantType(String, InvalidGrantType),
    #[error("scope: {0}")]
    Scope(InvalidScope),
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: {why}", path.display())]
    Keys { path: PathBuf, why: InvalidJwkSet },
    #[error("a client that uses codes needs a redirect URI (--redirect-uri)")]
    NoRedirectUri,
    #[error("client_credentials is for confidential clients: leave --public out")]
    PublicCredentials,
    #[error("a public client has nothing but PKCE to protect its codes: leave --no-pkce out")]
    PublicWithoutPkce,
    #[error("private_key_jwt needs the client's public keys (--jwks FILE)")]
    NoKeys,
    #[error("the method none is for public clients: add --public")]
    ConfidentialWithNone,
    #[error("access tokens must last at least a second, and no longer than the grant they come from")]
    Lifetimes,
    #[error("a client of the configuration needs secret_file or secret_hash, or jwks_file, or public = true")]
    NoSecret,
    #[error("secret_hash: {0}")]
    SecretHash(vestibule_token_endpoint::InvalidSecretHash),
    #[error("{}: holds no secret", .0.display())]
    EmptySecret(PathBuf),
    #[error("two clients are called {0:?}")]
    Twice(String),
    #[error("there is no setting {0:?}")]
    Unknown(String),
}

impl SpecError {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), why: error.to_string() }
    }
}
