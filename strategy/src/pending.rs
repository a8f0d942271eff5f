//! A login under way: what is remembered while the person is at the provider.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{PkceVerifier, Secret, UnixTime, base64url};
use zeroize::Zeroizing;

use crate::callback::{Answer, Callback, refused};
use crate::failure::{CsrfCause, FailureKind, Fault};
use crate::flow_store::FlowKey;
use crate::provider::ProviderId;
use crate::return_to::ReturnTo;
use crate::strategy::{IssuerPolicy, Stash};

/// What the engine remembers of a login between its two phases. [`Pending::finish`] consumes it: nothing begun once can
/// be finished twice with the same value.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pending {
    /// With which provider.
    pub provider: ProviderId,
    /// The `state` that was sent.
    pub state: Secret,
    /// The redirect URI that was sent.
    pub redirect_uri: Url,
    /// The OpenID Connect `nonce` that was sent.
    pub nonce: String,
    /// The PKCE verifier behind the challenge that was sent.
    pub verifier: PkceVerifier,
    /// What the person goes on to afterwards.
    pub flow: FlowInfo,
    /// From when on it is too late.
    pub expires_at: UnixTime,
    /// What the strategy remembers.
    pub stash: Stash,
}

/// What a login is for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FlowInfo {
    /// Where the person wanted to go.
    pub return_to: Option<ReturnTo>,
    /// To sign in, or to link another identity.
    pub intent: Intent,
    /// When it began.
    pub started_at: UnixTime,
}

/// To what end somebody proves who they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Intent {
    /// To sign in.
    SignIn,
    /// To link the identity to the account that is signed in.
    Link {
        /// The account's permanent name.
        subject: String,
    },
}

/// A code that may be spent: only [`Pending::finish`] makes one, so every check has been made.
#[derive(Debug)]
#[non_exhaustive]
pub struct CodeGrant {
    /// The authorization code.
    pub code: Option<Secret>,
    /// The redirect URI to repeat.
    pub redirect_uri: Url,
    /// The OpenID Connect `nonce` to expect.
    pub nonce: String,
    /// The verifier to send.
    pub verifier: PkceVerifier,
    /// What the strategy remembers.
    pub stash: Stash,
}

impl Pending {
    /// How long a person may take: 10 minutes, the life a pushed request or a code has at most providers.
    pub const LIFETIME: Duration = Duration::from_secs(600);

    /// Reads the callback against what was remembered: state, age, provider, issuer, then the provider's answer. The
    /// provider's own error counts only after the rest holds, since anybody can write one into a link.
    ///
    /// # Errors
    /// One kind of failure for each of these, in this order: [`FailureKind::CsrfAttack`], [`FailureKind::FlowExpired`],
    /// [`FailureKind::FlowProviderMismatch`], [`FailureKind::IssuerMissing`], [`FailureKind::IssuerMismatch`],
    /// [`FailureKind::AccessDenied`] or [`FailureKind::ProviderError`], [`FailureKind::MissingCode`].
    pub fn finish(
        self,
        callback: Callback,
        provider: &ProviderId,
        issuer: &IssuerPolicy,
        now: UnixTime,
    ) -> Result<CodeGrant, Fault> {
        let fault = |kind, detail: String| Err(Fault::new(kind, detail));
        if !self.state.same_as(callback.state()) {
            return fault(
                FailureKind::CsrfAttack(CsrfCause::CookieForeign),
                "state is another login's".to_owned(),
            );
        }
        if now >= self.expires_at {
            let minutes = Self::LIFETIME.as_secs() / 60;
            return fault(
                FailureKind::FlowExpired,
                format!("the login was begun more than {minutes} minutes ago"),
            );
        }
        if self.provider != *provider {
            let detail = format!("the login was begun with {}, the callback is {provider}'s", self.provider);
            return fault(FailureKind::FlowProviderMismatch, detail);
        }
        match (issuer, callback.issuer()) {
            (IssuerPolicy::Exact(_), None) => {
                return fault(FailureKind::IssuerMissing, "the callback has no iss (RFC 9207)".to_owned());
            }
            (IssuerPolicy::Exact(expected) | IssuerPolicy::ExactIfPresent(expected), Some(named))
                if named != expected =>
            {
                return fault(FailureKind::IssuerMismatch, format!("the callback's iss is not {expected}"));
            }
            _ => {}
        }
        let code = match callback.into_answer() {
            Answer::Error(refusal) => return Err(refused(refusal)),
            Answer::Neither => {
                return fault(FailureKind::MissingCode, "the callback has neither code nor error".to_owned());
            }
            Answer::Code(code) => code,
        };
        let Self { redirect_uri, nonce, verifier, stash, .. } = self;
        Ok(CodeGrant { code: Some(code), redirect_uri, nonce, verifier, stash })
    }

    /// Seals the record for the place called `place`; `nonce` is fresh.
    pub(crate) fn seal(&self, keys: &SealKeys, place: &str, nonce: [u8; 24]) -> Result<Vec<u8>, Fault> {
        let unsealed = |detail: String| Fault::new(FailureKind::Misconfigured, detail);
        let stash: &RawValue = serde_json::from_slice(self.stash.as_json())
            .map_err(|_| unsealed("the stash is not JSON".to_owned()))?;
        let record = Record {
            version: RECORD_VERSION,
            provider: self.provider.as_str(),
            state: self.state.expose(),
            redirect_uri: self.redirect_uri.as_str(),
            nonce: &self.nonce,
            verifier: self.verifier.expose(),
            return_to: self.flow.return_to.as_ref().map(|place| Cow::Borrowed(place.as_str())),
            intent: self.flow.intent.clone(),
            started_at: self.flow.started_at,
            expires_at: self.expires_at,
            stash,
        };
        let plain = Zeroizing::new(
            serde_json::to_vec(&record)
                .map_err(|error| unsealed(format!("the flow cannot be written: {error}")))?,
        );
        keys.seal(&plain, place.as_bytes(), nonce).map_err(|error| unsealed(error.to_string()))
    }

    /// Opens what [`Self::seal`] made for the same place; `site` is where its `return_to` has to lie. `None` for anything
    /// else, of which there is no more to say.
    pub(crate) fn open(sealed: &[u8], keys: &SealKeys, place: &str, site: &Url) -> Option<Self> {
        let plain = keys.open(sealed, place.as_bytes()).ok()?;
        let record: Record<'_> = serde_json::from_slice(plain.expose()).ok()?;
        if record.version != RECORD_VERSION {
            return None;
        }
        Some(Self {
            provider: record.provider.parse().ok()?,
            state: Secret::new(record.state.to_owned()),
            redirect_uri: record.redirect_uri.parse().ok()?,
            nonce: record.nonce.to_owned(),
            verifier: record.verifier.parse().ok()?,
            flow: FlowInfo {
                return_to: record.return_to.and_then(|text| ReturnTo::parse(&text, site).ok()),
                intent: record.intent,
                started_at: record.started_at,
            },
            expires_at: record.expires_at,
            stash: Stash::from_json(record.stash.get().as_bytes().to_vec()),
        })
    }
}

/// The record's form; another version is not read.
const RECORD_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    #[serde(rename = "v")]
    version: u8,
    provider: &'a str,
    state: &'a str,
    redirect_uri: &'a str,
    nonce: &'a str,
    verifier: &'a str,
    #[serde(borrow)]
    return_to: Option<Cow<'a, str>>,
    intent: Intent,
    started_at: UnixTime,
    expires_at: UnixTime,
    #[serde(borrow)]
    stash: &'a RawValue,
}

/// The names a flow goes by; all follow from its `state`, so nothing has to be looked up.
pub(crate) struct FlowName {
    /// In a store.
    pub(crate) key: FlowKey,
    /// In the browser, before the prefix.
    pub(crate) cookie: String,
}

/// How every flow cookie's name begins.
pub(crate) const COOKIE_PREFIX: &str = "vestibule.flow.";

impl FlowName {
    pub(crate) fn of(state: &str) -> Self {
        let hash: [u8; 32] = Sha256::new().chain_update("flow|").chain_update(state).finalize().into();
        let short: String = base64url::encode(hash).chars().take(12).collect();
        Self { key: FlowKey::from_octets(hash), cookie: format!("{COOKIE_PREFIX}{short}") }
    }
}

/// The value in a browser's cookie that binds a stored flow to it, and its hash, which is what the store sees.
pub(crate) fn binding_hash(value: &str) -> [u8; 32] {
    Sha256::new().chain_update("binding|").chain_update(value).finalize().into()
}
