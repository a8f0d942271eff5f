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
use crate::provider_id::ProviderId;
use crate::return_to::ReturnTo;
use crate::strategy::{IssuerPolicy, ResponseMode, Stash};

/// What the engine remembers of a login between its two phases. [`Pending::finish`] consumes it: nothing begun once can
/// be finished twice with the same value. Only an [`Engine`](crate::Engine) makes one; in between it is sealed, in the
/// browser or in a store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pending {
    /// With which provider.
    pub provider: ProviderId,
    /// The `state` that was sent.
    pub state: Secret,
    /// The redirect URI that was sent.
    pub redirect_uri: Url,
    /// How the provider was asked to answer.
    pub mode: ResponseMode,
    /// The OpenID Connect `nonce` that was sent.
    pub nonce: Secret,
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
    pub nonce: Secret,
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
            mode: self.mode,
            nonce: self.nonce.expose(),
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
            mode: record.mode,
            nonce: Secret::new(record.nonce.to_owned()),
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
    #[serde(default)]
    mode: ResponseMode,
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

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::{FormRules, Params};

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn site() -> Url {
        Url::parse("https://app.example").unwrap()
    }

    fn pending() -> Pending {
        Pending {
            provider: "sso".parse().unwrap(),
            state: Secret::new("s1".to_owned()),
            redirect_uri: site().join("/callback").unwrap(),
            mode: ResponseMode::Query,
            nonce: Secret::new("n1".to_owned()),
            verifier: PkceVerifier::from_entropy([7; 32]),
            flow: FlowInfo {
                return_to: ReturnTo::parse("/inbox", &site()).ok(),
                intent: Intent::Link { subject: "account \"7\"".to_owned() },
                started_at: NOW,
            },
            expires_at: NOW.after(Pending::LIFETIME),
            stash: Stash::write(&("a", 1)).unwrap(),
        }
    }

    fn finish(
        query: &str,
        provider: &str,
        issuer: &IssuerPolicy,
        seconds: u64,
    ) -> Result<String, &'static str> {
        let callback =
            Callback::read(&Params::parse(query.as_bytes(), &FormRules::DEFAULT).unwrap()).unwrap();
        let now = NOW.after(Duration::from_secs(seconds));
        match pending().finish(callback, &provider.parse().unwrap(), issuer, now) {
            Ok(grant) => Ok(grant.code.unwrap().expose().clone()),
            Err(fault) => Err(fault.kind().code()),
        }
    }

    #[test]
    fn s13_each_rule_before_the_next() {
        let exact = IssuerPolicy::Exact("https://as.example".to_owned());
        for (query, provider, seconds, expected) in [
            // Every rule broken, then one fewer in each row.
            ("state=s2&iss=https://evil.example&error=access_denied", "other", 600, Err("csrf_attack")),
            ("state=s1&iss=https://evil.example&error=access_denied", "other", 600, Err("flow_expired")),
            (
                "state=s1&iss=https://evil.example&error=access_denied",
                "other",
                599,
                Err("flow_provider_mismatch"),
            ),
            ("state=s1&error=access_denied", "sso", 599, Err("issuer_missing")),
            ("state=s1&iss=https://evil.example&error=access_denied", "sso", 599, Err("issuer_mismatch")),
            ("state=s1&iss=https://as.example&error=access_denied", "sso", 599, Err("access_denied")),
            ("state=s1&iss=https://as.example&error=server_error", "sso", 599, Err("provider_error")),
            ("state=s1&iss=https://as.example", "sso", 599, Err("missing_code")),
            ("state=s1&iss=https://as.example&code=c1", "sso", 599, Ok("c1".to_owned())),
            // A clock set back makes no login last longer than it would have.
            ("state=s1&iss=https://as.example&code=c1", "sso", 0, Ok("c1".to_owned())),
        ] {
            assert_eq!(finish(query, provider, &exact, seconds), expected, "{query}");
        }
    }

    #[test]
    fn s16_an_issuer_is_looked_at_as_the_strategy_says() {
        let ours = "https://as.example".to_owned();
        let (none, same, other) = ("", "&iss=https://as.example", "&iss=https://as.example/");
        for (policy, iss, expected) in [
            (IssuerPolicy::Exact(ours.clone()), none, Err("issuer_missing")),
            (IssuerPolicy::Exact(ours.clone()), same, Ok("c1".to_owned())),
            (IssuerPolicy::Exact(ours.clone()), other, Err("issuer_mismatch")),
            (IssuerPolicy::ExactIfPresent(ours.clone()), none, Ok("c1".to_owned())),
            (IssuerPolicy::ExactIfPresent(ours.clone()), same, Ok("c1".to_owned())),
            (IssuerPolicy::ExactIfPresent(ours), other, Err("issuer_mismatch")),
            (IssuerPolicy::NotIdentified, none, Ok("c1".to_owned())),
            (IssuerPolicy::NotIdentified, other, Ok("c1".to_owned())),
        ] {
            let query = format!("state=s1&code=c1{iss}");
            assert_eq!(finish(&query, "sso", &policy, 0), expected, "{policy:?} {iss}");
        }
    }

    #[test]
    fn s11_what_is_sealed_opens_at_its_own_place_only() {
        let keys = SealKeys::new([1; 32], []);
        let sealed = pending().seal(&keys, "here", [2; 24]).unwrap();
        let opened = Pending::open(&sealed, &keys, "here", &site()).unwrap();
        let expected = pending();
        assert_eq!(opened.provider, expected.provider);
        assert!(opened.state.same_as("s1"));
        assert_eq!(opened.redirect_uri, expected.redirect_uri);
        assert!(opened.nonce.same_as("n1"));
        assert_eq!(opened.verifier.expose(), expected.verifier.expose());
        assert_eq!(opened.flow, expected.flow);
        assert_eq!(opened.expires_at, expected.expires_at);
        assert_eq!(opened.stash.read::<(String, u8)>().unwrap(), ("a".to_owned(), 1));

        assert!(Pending::open(&sealed, &keys, "there", &site()).is_none());
        assert!(Pending::open(&sealed, &SealKeys::new([2; 32], []), "here", &site()).is_none());
        assert!(Pending::open(b"", &keys, "here", &site()).is_none());
        let elsewhere = keys.seal(br#"{"v":1}"#, b"here", [3; 24]).unwrap();
        assert!(Pending::open(&elsewhere, &keys, "here", &site()).is_none(), "sealed by us, and no flow");
    }

    #[test]
    fn a_flow_goes_by_names_that_do_not_tell_its_state() {
        let name = FlowName::of("s1");
        assert_eq!(name.cookie, FlowName::of("s1").cookie);
        assert_ne!(name.cookie, FlowName::of("s2").cookie);
        assert_ne!(name.key, FlowName::of("s2").key);
        assert_eq!(name.cookie.len(), COOKIE_PREFIX.len() + 12);
        assert!(!name.cookie.contains("s1"));
    }

    #[test]
    fn s10_debug_shows_no_secret() {
        let verifier = pending().verifier.expose().to_owned();
        let shown = format!("{:?}", pending());
        assert!(!["s1", "n1", &verifier].iter().any(|secret| shown.contains(secret)), "{shown}");
    }
}
