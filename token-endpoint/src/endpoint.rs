//! One authorization server: who it is, where its endpoints are, which rules hold and which keys it has.

mod asking;
mod authorize;
mod device;
mod introspect;
mod metadata;
mod push;
mod revoke;
mod token;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use url::Url;
use vestibule_dpop::{InvalidTargetUri, JwkSet, KnownHeaders, NonceIssuer, NonceKeys, TargetUri};
use vestibule_oauth_core::{Issuer, ScopeSet, Secret};

use crate::access_token::{TokenKey, TokenKeys};
use crate::client_secret::Pepper;
use crate::extension::ExtensionGrant;
use crate::grant_type::GrantType;
use crate::profile::Profile;

pub(crate) use asking::Denied;
pub use authorize::{Authorization, Consent, Redirect};

/// An authorization server, without its store, its pages and its sockets.
///
/// Everything it does is a method with a name that says which endpoint answers: [`Endpoint::token`], [`Endpoint::push`],
/// [`Endpoint::introspect`], [`Endpoint::revoke`], [`Endpoint::authorize_device`]; and, for the authorization endpoint, whose
/// pages are the host's, [`Endpoint::read_authorization`] and [`Endpoint::issue_code`]. Each is a few calls of pure functions
/// ([`ClientRequest::parse`], [`ClientRequest::authenticate`], the `decide` of each [`TokenRequest`]) with an act of the store between them.
///
/// [`ClientRequest::parse`]: crate::ClientRequest::parse
/// [`ClientRequest::authenticate`]: crate::ClientRequest::authenticate
/// [`TokenRequest`]: crate::TokenRequest
pub struct Endpoint {
    setup: EndpointSetup,
    targets: Targets,
    keys: RwLock<Arc<EndpointKeys>>,
    known_headers: KnownHeaders,
}

/// What an authorization server is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct EndpointSetup {
    /// Who it is, in tokens and to its clients.
    pub issuer: Issuer,
    /// Where its endpoints are.
    pub urls: EndpointUrls,
    /// Which rules hold.
    pub profile: Profile,
    /// The grants that are served, those of [`Self::extensions`] besides.
    pub grant_types: BTreeSet<GrantType>,
    /// Grants that others have written.
    pub extensions: Vec<Arc<dyn ExtensionGrant>>,
    /// The scope words that it knows: what a client that is registered for no scope in particular may ask for.
    pub scope: ScopeSet,
    /// How long after a refresh the same client is told its new token again, because the first answer was lost (T36): at most
    /// [`EndpointSetup::MAX_LOST_ANSWER`].
    pub lost_answer: Duration,
    /// How long after a code was redeemed a second try is merely refused, because somebody clicked twice, instead of ending the
    /// grant (T28). Zero: it always does.
    pub double_submit: Duration,
}

impl EndpointSetup {
    /// The longest window for lost answers: within it a stolen token that its owner has used is still good for reading what the
    /// owner got, so it is bounded.
    pub const MAX_LOST_ANSWER: Duration = Duration::from_secs(300);

    /// OAuth 2.1 with codes, refresh tokens and client credentials, and a minute for lost answers.
    pub fn new(issuer: Issuer, urls: EndpointUrls) -> Self {
        Self {
            issuer,
            urls,
            profile: Profile::OAUTH21,
            grant_types: BTreeSet::from([
                GrantType::AUTHORIZATION_CODE,
                GrantType::REFRESH_TOKEN,
                GrantType::CLIENT_CREDENTIALS,
            ]),
            extensions: Vec::new(),
            scope: ScopeSet::empty(),
            lost_answer: Duration::from_secs(60),
            double_submit: Duration::ZERO,
        }
    }
}

impl fmt::Debug for EndpointSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSetup")
            .field("issuer", &self.issuer.as_str())
            .field("profile", &self.profile.name())
            .field("grant_types", &self.grant_types)
            .finish_non_exhaustive()
    }
}

/// Where the endpoints are. One that is not there is not served, and not in the metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EndpointUrls {
    /// The token endpoint.
    pub token: Url,
    /// The authorization endpoint.
    pub authorization: Option<Url>,
    /// Where requests are pushed.
    pub pushed_authorization: Option<Url>,
    /// Where tokens are looked up.
    pub introspection: Option<Url>,
    /// Where tokens are given back.
    pub revocation: Option<Url>,
    /// Where devices begin.
    pub device_authorization: Option<Url>,
    /// Where people confirm devices.
    pub device_verification: Option<Url>,
    /// Where the public keys are.
    pub jwks: Option<Url>,
}

impl EndpointUrls {
    /// A token endpoint alone.
    pub const fn new(token: Url) -> Self {
        Self {
            token,
            authorization: None,
            pushed_authorization: None,
            introspection: None,
            revocation: None,
            device_authorization: None,
            device_verification: None,
            jwks: None,
        }
    }
}

/// The keys of a server. All its nodes have the same.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointKeys {
    pub(crate) tokens: TokenKeys,
    pub(crate) peppers: Vec<Pepper>,
    pub(crate) nonces: NonceIssuer,
}

impl EndpointKeys {
    /// Keys that sign access tokens (the newest in front), keys of hashes (likewise), and the keys of nonces.
    pub const fn new(tokens: Vec<TokenKey>, peppers: Vec<Pepper>, nonces: NonceIssuer) -> Self {
        Self { tokens: TokenKeys::new(tokens), peppers, nonces }
    }

    /// Keys of a server whose tokens are all opaque, so that it signs none: the secret of its nonces alone.
    pub fn for_opaque_tokens(nonces: Secret<[u8; 32]>) -> Self {
        Self::new(Vec::new(), Vec::new(), NonceIssuer::new(NonceKeys::new(nonces)))
    }

    /// The pepper that new hashes are made with.
    pub fn pepper(&self) -> Option<&Pepper> {
        self.peppers.first()
    }
}

/// The addresses that proofs are held against.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) token: TargetUri,
    pub(crate) pushed_authorization: Option<TargetUri>,
    pub(crate) device_authorization: Option<TargetUri>,
    pub(crate) introspection: Option<TargetUri>,
    pub(crate) revocation: Option<TargetUri>,
}

impl Endpoint {
    /// A server with these settings and keys.
    ///
    /// # Errors
    /// [`InvalidSetup`].
    pub fn new(setup: EndpointSetup, keys: EndpointKeys) -> Result<Self, InvalidSetup> {
        if setup.lost_answer > EndpointSetup::MAX_LOST_ANSWER {
            return Err(InvalidSetup::LostAnswer);
        }
        let target = |url: &Url| TargetUri::from_url(url).map_err(InvalidSetup::Url);
        let optional = |url: &Option<Url>| url.as_ref().map(target).transpose();
        let urls = &setup.urls;
        let targets = Targets {
            token: target(&urls.token)?,
            pushed_authorization: optional(&urls.pushed_authorization)?,
            device_authorization: optional(&urls.device_authorization)?,
            introspection: optional(&urls.introspection)?,
            revocation: optional(&urls.revocation)?,
        };
        let mut seen = setup.grant_types.clone();
        for extension in &setup.extensions {
            let grant_type = extension.grant_type();
            if !seen.insert(grant_type.clone()) {
                return Err(InvalidSetup::GrantTwice(grant_type));
            }
        }
        if setup.grant_types.contains(&GrantType::DEVICE_CODE) && urls.device_verification.is_none() {
            return Err(InvalidSetup::NoVerification);
        }
        Ok(Self { setup, targets, keys: RwLock::new(Arc::new(keys)), known_headers: KnownHeaders::default() })
    }

    /// Who it is.
    pub const fn issuer(&self) -> &Issuer {
        &self.setup.issuer
    }

    /// Where its endpoints are.
    pub const fn urls(&self) -> &EndpointUrls {
        &self.setup.urls
    }

    /// Which rules hold.
    pub const fn profile(&self) -> &Profile {
        &self.setup.profile
    }

    /// What it is made of.
    pub const fn setup(&self) -> &EndpointSetup {
        &self.setup
    }

    /// Its keys, as they are now.
    pub fn keys(&self) -> Arc<EndpointKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The headers of proofs that clients came with before.
    pub(crate) const fn known_headers(&self) -> &KnownHeaders {
        &self.known_headers
    }

    /// Takes up other keys, as after a rotation. Requests that are under way go on with those they began with.
    pub fn take_up(&self, keys: EndpointKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The public keys that its access tokens are verified with, for `jwks_uri`.
    pub fn jwks(&self) -> JwkSet {
        self.keys().tokens.to_jwk_set()
    }

    pub(crate) const fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(crate) fn extension(&self, grant_type: &GrantType) -> Option<&Arc<dyn ExtensionGrant>> {
        self.setup.extensions.iter().find(|extension| extension.grant_type() == *grant_type)
    }

    /// The audience of a token for no resource in particular.
    pub(crate) fn own_audience(&self) -> String {
        self.setup.issuer.as_str().to_owned()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// Why a server cannot be set up so (T68).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidSetup {
    /// An endpoint's URL is none that a proof could name.
    #[error("an endpoint's url: {0}")]
    Url(InvalidTargetUri),
    /// The window for lost answers is too long.
    #[error("the window for lost answers must be at most 300 seconds")]
    LostAnswer,
    /// Two grants have one name.
    #[error("the grant type {0} is served twice")]
    GrantTwice(GrantType),
    /// Devices are served, and there is no page to confirm them on.
    #[error("devices need a page where people confirm them")]
    NoVerification,
}
