//! What a provider has to give: two phases, and nothing that the engine can do for it.

use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;
use vestibule_oauth_core::{
    BoxFuture, HttpClient, Params, PkceChallenge, PkceVerifier, Secret, Seed, UnixTime,
};

use crate::auth::Auth;
use crate::failure::{FailureKind, Fault};
use crate::provider_id::ProviderId;

/// A way to sign in: where to send the person, and who they are when they come back.
///
/// A strategy does no I/O of its own: it is given an [`HttpClient`], the time and a seed of randomness. It has
/// nothing to do with `state`, cookies or the callback's `iss` and `error`: the [`Engine`](crate::Engine) makes them and
/// checks them before the strategy is asked.
pub trait Strategy: Send + Sync {
    /// What kind of strategy this is: `atproto`, `oidc`. Stands in [`Auth::strategy`].
    fn kind(&self) -> &'static str;

    /// How the callback is guarded against another site. The engine applies it.
    fn csrf(&self) -> CsrfGuard {
        CsrfGuard::FlowCookie
    }

    /// Which `iss` the callback must carry ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)), given what the request
    /// phase left behind. The engine compares it, as an exact string.
    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        let _every_login_alike = stash;
        IssuerPolicy::NotIdentified
    }

    /// The parameters of the request that [`RequestCx::param`] may see: what a person may choose.
    fn allowed_params(&self) -> &'static [&'static str] {
        &[]
    }

    /// The request phase: where the person goes.
    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>>;

    /// The callback phase: who the person is.
    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>>;
}

/// How a callback is guarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CsrfGuard {
    /// By the cookie of the flow: the browser that returns is the one that left.
    FlowCookie,
    /// By the origin: the callback is a form of this site, sent by a page of this site.
    SameOriginPost,
}

/// Which `iss` a callback must carry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IssuerPolicy {
    /// This one; a callback without it is refused.
    Exact(String),
    /// This one, where there is one at all.
    ExactIfPresent(String),
    /// The provider names no issuer; one that comes is not looked at.
    NotIdentified,
}

/// What the request phase is given.
#[non_exhaustive]
pub struct RequestCx<'a> {
    /// The provider's configured name.
    pub provider: &'a ProviderId,
    /// Where the provider sends the person back to; the same octets go into the token request.
    pub redirect_uri: &'a Url,
    /// The `state` to send: 256 bits, unguessable, for this login only.
    pub state: &'a str,
    /// The OpenID Connect `nonce` to send, for strategies that take an ID token.
    pub nonce: &'a str,
    /// The PKCE challenge to send.
    pub pkce: &'a PkceChallenge,
    /// Randomness for this phase.
    pub seed: &'a Seed,
    /// The time.
    pub now: UnixTime,
    pub(crate) params: &'a Params<'a>,
    pub(crate) allowed: &'static [&'static str],
}

impl RequestCx<'_> {
    /// What the person chose for the parameter `name`; `None` for one that is not among the strategy's
    /// [`allowed_params`](Strategy::allowed_params).
    pub fn param(&self, name: &str) -> Option<&str> {
        if self.allowed.contains(&name) { self.params.value(name) } else { None }
    }
}

impl std::fmt::Debug for RequestCx<'_> {
    /// Shows which login this is; `state` and the parameters are secrets until it is over.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("RequestCx");
        shown.field("provider", self.provider).field("redirect_uri", &self.redirect_uri.as_str());
        shown.field("now", &self.now).finish_non_exhaustive()
    }
}

/// What the callback phase is given. State, browser, age, provider and issuer hold already.
#[non_exhaustive]
pub struct CallbackCx<'a> {
    /// The provider's configured name.
    pub provider: &'a ProviderId,
    /// Everything the callback carried.
    pub params: &'a Params<'a>,
    /// The redirect URI that the login was begun with.
    pub redirect_uri: &'a Url,
    /// The `nonce` that was sent.
    pub nonce: &'a str,
    /// The PKCE verifier that answers the challenge that was sent.
    pub verifier: &'a PkceVerifier,
    /// What the request phase left behind.
    pub stash: &'a Stash,
    /// Randomness for this phase.
    pub seed: &'a Seed,
    /// The time.
    pub now: UnixTime,
    pub(crate) code: Option<&'a Secret>,
}

impl std::fmt::Debug for CallbackCx<'_> {
    /// Shows which login this is; everything else about it is a secret until it is over.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("CallbackCx");
        shown.field("provider", self.provider).field("redirect_uri", &self.redirect_uri.as_str());
        shown.field("now", &self.now).finish_non_exhaustive()
    }
}

impl CallbackCx<'_> {
    /// The authorization code.
    ///
    /// # Errors
    /// [`FailureKind::MissingCode`] when the callback has none.
    pub fn code(&self) -> Result<&Secret, Fault> {
        self.code
            .ok_or_else(|| Fault::new(FailureKind::MissingCode, "the callback has neither code nor error"))
    }
}

/// How a request phase ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum Begin {
    /// The person goes to the provider.
    Redirect {
        /// Where exactly.
        to: Url,
        /// What the callback phase will need.
        stash: Stash,
        /// How the provider will answer.
        mode: ResponseMode,
    },
    /// The application shows a page of its own, a form say.
    PassThrough,
}

/// How a provider sends the person back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResponseMode {
    /// By a redirect, parameters in the query.
    #[default]
    Query,
    /// By a form that the browser posts. Its flow cookie has to be `SameSite=None`, so it works on https only.
    FormPost,
}

impl ResponseMode {
    /// The method the callback arrives by.
    pub const fn method(self) -> Method {
        match self {
            Self::Query => Method::GET,
            Self::FormPost => Method::POST,
        }
    }
}

/// What a strategy hands from its request phase to its callback phase: any value that serde writes and reads, kept sealed
/// in between, and shown by no `Debug`.
///
/// ```
/// use vestibule_strategy::Stash;
///
/// let stash = Stash::write(&("did:plc:abc", 7)).unwrap();
/// assert_eq!(stash.read::<(String, u32)>().unwrap(), ("did:plc:abc".to_owned(), 7));
/// assert_eq!(format!("{stash:?}"), "Stash(Secret(..))");
/// ```
#[derive(Clone, Debug)]
pub struct Stash(Secret<Vec<u8>>);

impl Stash {
    /// The most a stash may hold, in octets: sealed, beside the rest of the flow, it fits the 8 KiB of a stored one. In a
    /// cookie there is room for about 2 KB, which the engine sees to.
    pub const MAX_OCTETS: usize = 6 * 1024;

    /// Nothing to remember.
    pub fn empty() -> Self {
        Self(Secret::new(b"null".to_vec()))
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`FailureKind::Misconfigured`] for a value that cannot be written as JSON or is larger than
    /// [`Stash::MAX_OCTETS`].
    pub fn write(value: &impl Serialize) -> Result<Self, Fault> {
        let fault = |detail: String| Fault::new(FailureKind::Misconfigured, detail);
        let octets = serde_json::to_vec(value)
            .map_err(|error| fault(format!("the stash cannot be written: {error}")))?;
        if octets.len() > Self::MAX_OCTETS {
            return Err(fault(format!("the stash is larger than {} octets", Self::MAX_OCTETS)));
        }
        Ok(Self(Secret::new(octets)))
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// [`FailureKind::Misconfigured`] for a stash that a different version of the strategy wrote.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        // The error of serde_json may quote the value, so it is not passed on.
        let unread = |_| Fault::new(FailureKind::Misconfigured, "the stash was written by another version");
        serde_json::from_slice(self.0.expose()).map_err(unread)
    }

    pub(crate) fn from_json(octets: Vec<u8>) -> Self {
        Self(Secret::new(octets))
    }

    pub(crate) fn as_json(&self) -> &[u8] {
        self.0.expose()
    }
}
