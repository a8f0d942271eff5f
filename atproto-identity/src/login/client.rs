//! The application, as the AT Protocol knows it: a client with an identifier that is the address of its own description.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use thiserror::Error;
use url::Url;
use vestibule_dpop::JwkEntry;
use vestibule_oauth_core::{
    ApplicationType, ClientId, ClientMetadata, InvalidClientId, InvalidRedirectUri, RedirectUri, ScopeSet,
    UnixTime,
};
use vestibule_strategy::{AssertionKey, ClientAuth};

use super::session::ClientKey;

/// An AT Protocol OAuth client.
///
/// On loopback it is the protocol's own client for development, public and known to every server ([localhost client]).
/// On the web it is confidential: a document at its identifier says who it is, and a key proves it.
///
/// ```
/// use url::Url;
/// use vestibule_atproto_identity::login::AtprotoClient;
///
/// let callback = Url::parse("http://127.0.0.1:8080/callback").unwrap();
/// let client = AtprotoClient::loopback(&callback, "atproto".parse().unwrap()).unwrap();
/// assert!(client.id().starts_with("http://localhost?redirect_uri="));
/// ```
///
/// [localhost client]: https://atproto.com/specs/oauth#localhost-client-development
#[derive(Debug)]
pub struct AtprotoClient {
    id: ClientId,
    metadata: ClientMetadata,
    keys: RwLock<Vec<AssertionKey>>,
}

impl AtprotoClient {
    /// The development client (R21 to R25). It has no key, so its sessions last two weeks at most.
    ///
    /// # Errors
    /// [`InvalidClient`] if `redirect_uri` is not http on a loopback address or `scope` lacks `atproto`.
    pub fn loopback(redirect_uri: &Url, scope: ScopeSet) -> Result<Self, InvalidClient> {
        let redirect_uris = vec![redirect(redirect_uri)?];
        let scope = with_atproto(scope)?;
        let id = ClientId::loopback(&redirect_uris, &scope).map_err(InvalidClient::Id)?;
        let mut metadata = ClientMetadata::atproto_public(id.clone(), redirect_uris, scope);
        metadata.application_type = ApplicationType::Native;
        Ok(Self { id, metadata, keys: RwLock::default() })
    }

    /// The client that publishes its description at `id` and its public keys at `jwks_uri`. The first of `keys` that may be
    /// used signs for new sessions; the others are there for the sessions that were made with them (R85, R86).
    ///
    /// # Errors
    /// [`InvalidClient`] if there is no key, an address is not https, or `scope` lacks `atproto`.
    pub fn confidential(
        id: &Url,
        redirect_uri: &Url,
        jwks_uri: Url,
        scope: ScopeSet,
        keys: Vec<AssertionKey>,
    ) -> Result<Self, InvalidClient> {
        if keys.is_empty() {
            return Err(InvalidClient::NoKey);
        }
        if [id, redirect_uri, &jwks_uri].iter().any(|url| url.scheme() != "https") {
            return Err(InvalidClient::NotHttps);
        }
        let id: ClientId = id.as_str().parse().map_err(InvalidClient::Id)?;
        let redirect_uris = vec![redirect(redirect_uri)?];
        let metadata =
            ClientMetadata::atproto_confidential(id.clone(), redirect_uris, with_atproto(scope)?, jwks_uri);
        Ok(Self { id, metadata, keys: RwLock::new(keys) })
    }

    /// The same client with what the person's server shows of it.
    #[must_use]
    pub fn with_display(mut self, display: ClientDisplay) -> Self {
        self.metadata.client_name = display.client_name;
        self.metadata.client_uri = display.client_uri;
        self.metadata.logo_uri = display.logo_uri;
        self.metadata.tos_uri = display.tos_uri;
        self.metadata.policy_uri = display.policy_uri;
        self
    }

    /// Takes up other keys, as after a rotation: they are published and used from now on. A client of the development kind,
    /// and an empty list, change nothing.
    pub fn take_up(&self, keys: Vec<AssertionKey>) {
        let mut held = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if !held.is_empty() && !keys.is_empty() {
            *held = keys;
        }
    }

    // A list is replaced whole, so one whose lock is poisoned is still one that was given.
    fn keys(&self) -> RwLockReadGuard<'_, Vec<AssertionKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client identifier.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// What a login asks for.
    pub const fn scope(&self) -> &ScopeSet {
        &self.metadata.scope
    }

    /// The description to publish at the identifier; for the development client, what servers take it to be.
    pub const fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// The set of public keys to publish, by name. Empty for the development client.
    pub fn jwks_json(&self) -> String {
        let keys: Vec<String> = self.keys().iter().map(published).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// How a new session's client authenticates, and what to remember of it: by the first of its keys that may be used by
    /// now, or the oldest, which every server has seen if any.
    pub fn auth_for_new_sessions(&self, now: UnixTime) -> (ClientAuth, Option<ClientKey>) {
        let keys = self.keys();
        match keys.iter().find(|key| key.may_be_used(now)).or_else(|| keys.last()) {
            Some(key) => (ClientAuth::PrivateKeyJwt(key.clone()), Some(remembered(key))),
            None => (ClientAuth::Public, None),
        }
    }

    /// How the client authenticates for a session that remembers `key`; `None` when that key is gone.
    pub fn auth_for(&self, key: Option<&ClientKey>) -> Option<ClientAuth> {
        let Some(wanted) = key else { return Some(ClientAuth::Public) };
        let found = self.keys().iter().find(|known| remembered(known) == *wanted)?.clone();
        Some(ClientAuth::PrivateKeyJwt(found))
    }
}

/// What a person's server shows of a client. Everything is optional, and an unknown client's logo is often not shown.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "plain configuration, written out by whoever sets up a client")]
pub struct ClientDisplay {
    /// Its name.
    pub client_name: Option<String>,
    /// Its home page, on the host of its identifier.
    pub client_uri: Option<Url>,
    /// Its logo.
    pub logo_uri: Option<Url>,
    /// Its terms of service.
    pub tos_uri: Option<Url>,
    /// Its privacy policy.
    pub policy_uri: Option<Url>,
}

/// Why a client cannot be what it was told to be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidClient {
    /// The identifier breaks a rule.
    #[error("the client identifier is not usable: {0}")]
    Id(InvalidClientId),
    /// The redirect URI breaks a rule.
    #[error("the redirect URI is not usable: {0}")]
    RedirectUri(InvalidRedirectUri),
    /// A confidential client without a key.
    #[error("a confidential client needs a signing key")]
    NoKey,
    /// An address of a client on the web that is not https.
    #[error("a client on the web needs https for its identifier, its redirect URI and its keys")]
    NotHttps,
    /// The scope lacks the one word every AT Protocol login asks for.
    #[error("the scope must contain atproto")]
    NoAtprotoScope,
}

fn redirect(url: &Url) -> Result<RedirectUri, InvalidClient> {
    url.as_str().parse().map_err(InvalidClient::RedirectUri)
}

fn with_atproto(scope: ScopeSet) -> Result<ScopeSet, InvalidClient> {
    if scope.contains("atproto") { Ok(scope) } else { Err(InvalidClient::NoAtprotoScope) }
}

fn remembered(key: &AssertionKey) -> ClientKey {
    ClientKey::new(key.kid(), key.signer().algorithm())
}

/// The public half of a key as it is published: never anything else, since a [`JwkEntry`] holds nothing else.
fn published(key: &AssertionKey) -> String {
    let signer = key.signer();
    let mut json = String::new();
    JwkEntry::new(signer.public_key().clone(), key.kid().to_owned(), signer.algorithm())
        .write_json(&mut json);
    json
}

#[cfg(test)]
mod tests {
    use vestibule_dpop::{Algorithm, Es256Secret, JwkSet, default_signer};

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn key(kid: &str, entropy: u8) -> AssertionKey {
        AssertionKey::new(kid, default_signer(&Es256Secret::from_entropy([entropy; 32])))
    }

    fn confidential(keys: Vec<AssertionKey>) -> Result<AtprotoClient, InvalidClient> {
        AtprotoClient::confidential(
            &url("https://app.example.com/client-metadata.json"),
            &url("https://app.example.com/callback"),
            url("https://app.example.com/jwks.json"),
            "atproto".parse().unwrap(),
            keys,
        )
    }

    fn kid_of(auth: Option<ClientAuth>) -> Option<String> {
        match auth? {
            ClientAuth::PrivateKeyJwt(key) => Some(key.kid().to_owned()),
            _ => Some("public".to_owned()),
        }
    }

    #[test]
    fn r85_r86_new_sessions_use_the_first_key_and_old_ones_their_own() {
        let client = confidential(vec![key("new", 1), key("old", 2)]).unwrap();
        let (auth, remembered) = client.auth_for_new_sessions(UnixTime::from_secs(0));
        assert_eq!(kid_of(Some(auth)).as_deref(), Some("new"));
        assert_eq!(remembered, Some(ClientKey::new("new", Algorithm::Es256)));
        for (kid, expected) in [("new", Some("new")), ("old", Some("old")), ("gone", None)] {
            let wanted = ClientKey::new(kid, Algorithm::Es256);
            assert_eq!(kid_of(client.auth_for(Some(&wanted))).as_deref(), expected, "{kid}");
        }
        // A key of that name with another algorithm is another key.
        assert_eq!(kid_of(client.auth_for(Some(&ClientKey::new("new", Algorithm::Rs256)))), None);
        assert_eq!(kid_of(client.auth_for(None)).as_deref(), Some("public"));
    }

    #[test]
    fn r12_what_is_published_is_the_public_half_with_its_name() {
        let client = confidential(vec![key("new", 1), key("old", 2)]).unwrap();
        let json = client.jwks_json();
        assert!(!json.contains("\"d\""), "{json}");
        let set = JwkSet::parse(&json).unwrap();
        assert_eq!(set.entries().iter().filter_map(|entry| entry.kid()).collect::<Vec<_>>(), ["new", "old"]);
        let loopback =
            AtprotoClient::loopback(&url("http://127.0.0.1:1/callback"), "atproto".parse().unwrap());
        assert_eq!(loopback.unwrap().jwks_json(), r#"{"keys":[]}"#);
    }

    #[test]
    fn a_client_that_no_server_would_take_is_not_made() {
        assert_eq!(confidential(Vec::new()).unwrap_err(), InvalidClient::NoKey);
        let made = |id: &str, redirect: &str, jwks: &str, scope: &str| {
            let (id, redirect, scope) = (url(id), url(redirect), scope.parse().unwrap());
            AtprotoClient::confidential(&id, &redirect, url(jwks), scope, vec![key("k", 1)]).map(|_| ())
        };
        let (id, back, jwks) =
            ("https://a.example.com/c.json", "https://a.example.com/b", "https://a.example.com/j");
        assert_eq!(made(id, back, jwks, "atproto"), Ok(()));
        for (id, back, jwks) in [
            ("http://a.example.com/c.json", back, jwks),
            (id, "http://a.example.com/b", jwks),
            (id, back, "http://a.example.com/j"),
        ] {
            assert_eq!(made(id, back, jwks, "atproto"), Err(InvalidClient::NotHttps));
        }
        assert_eq!(made(id, back, jwks, "transition:generic"), Err(InvalidClient::NoAtprotoScope));

        let loopback = |redirect: &str, scope: &str| {
            AtprotoClient::loopback(&url(redirect), scope.parse().unwrap()).map(|_| ())
        };
        assert_eq!(loopback("http://[::1]:8080/callback", "atproto"), Ok(()));
        assert_eq!(loopback("http://127.0.0.1/callback", "openid"), Err(InvalidClient::NoAtprotoScope));
        for redirect in
            ["http://localhost:8080/callback", "http://10.0.0.1/callback", "https://a.example.com/b"]
        {
            assert!(loopback(redirect, "atproto").is_err(), "R22: {redirect}");
        }
    }
}
