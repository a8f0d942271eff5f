//! A strategy that does what a test says.

use url::Url;
use vestibule_oauth_core::{BoxFuture, HttpClient};

use super::broken::Broken;
use super::callback_query::CallbackQuery;
use crate::auth::Auth;
use crate::failure::{FailureKind, Fault};
use crate::strategy::{Begin, CallbackCx, RequestCx, ResponseMode, Stash, Strategy};

/// Signs in whom it is told to, or fails as it is told to, for the tests of an application. Nothing else is made up: `state`, cookie
/// and every check are the engine's own, so a test that forgets the cookie fails as a browser would.
///
/// ```
/// use std::sync::Arc;
///
/// use http::{HeaderMap, Method};
/// use vestibule_oauth_core::seal::SealKeys;
/// use vestibule_strategy::testing::{MockStrategy, NOW, ScriptedHttp, run, seed};
/// use vestibule_strategy::{Auth, Begun, Engine, FlowKeeping, Incoming, Intent, Provider, ProviderId};
///
/// let sso: ProviderId = "sso".parse().unwrap();
/// let ada = MockStrategy::signs_in(Auth::new("u-1", sso.clone(), "oidc"));
/// let site = "https://app.example".parse().unwrap();
/// let engine = Engine::builder(site, &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
///     .provider(Provider::new(sso.clone(), Arc::new(ada)))
///     .build()
///     .unwrap();
/// let nobody = ScriptedHttp::new();
///
/// let mut headers = HeaderMap::new();
/// let asked = Incoming::new(&Method::GET, &headers, b"");
/// let begun = run(engine.begin(&sso, asked, Intent::SignIn, seed(1), NOW, &nobody)).unwrap().unwrap();
/// let Begun::Redirect { to, set_cookies } = begun else { panic!("a mock sends people away") };
/// let callback = MockStrategy::callback_for(&to).unwrap().encoded();
///
/// // Without the browser's cookie it is as with any provider.
/// let returned = Incoming::new(&Method::GET, &headers, callback.as_bytes());
/// let finished = run(engine.finish(&sso, returned, seed(2), NOW, &nobody)).unwrap();
/// assert_eq!(finished.outcome.unwrap_err().kind().code(), "csrf_attack");
///
/// headers.insert("cookie", set_cookies[0].to_str().unwrap().split(';').next().unwrap().parse().unwrap());
/// let returned = Incoming::new(&Method::GET, &headers, callback.as_bytes());
/// let finished = run(engine.finish(&sso, returned, seed(2), NOW, &nobody)).unwrap();
/// assert_eq!(finished.outcome.unwrap().uid, "u-1");
/// ```
#[derive(Clone, Debug)]
pub struct MockStrategy {
    begins: Result<(), FailureKind>,
    ends: Result<Auth, FailureKind>,
}

impl MockStrategy {
    /// Where people are sent. There is nobody there: [`MockStrategy::callback_for`] says what they come back with.
    pub const AUTHORIZATION_ENDPOINT: &'static str = "https://mock.invalid/authorize";

    /// Signs this person in. The provider in it becomes the configured one.
    pub const fn signs_in(auth: Auth) -> Self {
        Self { begins: Ok(()), ends: Ok(auth) }
    }

    /// Fails so when the person comes back.
    ///
    /// ```
    /// use vestibule_strategy::testing::MockStrategy;
    /// use vestibule_strategy::{FailureKind, Strategy};
    ///
    /// assert_eq!(MockStrategy::fails(FailureKind::IdToken).kind(), "mock");
    /// ```
    pub const fn fails(kind: FailureKind) -> Self {
        Self { begins: Ok(()), ends: Err(kind) }
    }

    /// Fails so when the person is to be sent away.
    pub fn fails_to_begin(kind: FailureKind) -> Self {
        Self { begins: Err(kind.clone()), ends: Err(kind) }
    }

    /// What the person comes back with, who was sent to this address.
    ///
    /// # Errors
    /// [`Broken`] for an address that is not a mock's.
    pub fn callback_for(to: &Url) -> Result<CallbackQuery, Broken> {
        let state = to.query_pairs().find(|(name, _)| name == "state");
        let state = state.ok_or_else(|| Broken::new("a mock sends people away with a state", to))?.1;
        Ok(CallbackQuery::new().with("code", "mock-code").with("state", state))
    }
}

fn fault(kind: &FailureKind) -> Fault {
    Fault::new(kind.clone(), "the mock was told to fail")
}

impl Strategy for MockStrategy {
    fn kind(&self) -> &'static str {
        self.ends.as_ref().map_or("mock", |auth| auth.strategy)
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        let begin = || -> Result<Begin, Fault> {
            self.begins.as_ref().map_err(fault)?;
            let mut to = Url::parse(Self::AUTHORIZATION_ENDPOINT)
                .map_err(|error| Fault::new(FailureKind::Misconfigured, error.to_string()))?;
            to.query_pairs_mut()
                .append_pair("state", cx.state)
                .append_pair("code_challenge", cx.pkce.as_str())
                .append_pair("code_challenge_method", "S256")
                .append_pair("redirect_uri", cx.redirect_uri.as_str());
            Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query })
        };
        Box::pin(std::future::ready(begin()))
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        let signed_in = || -> Result<Auth, Fault> {
            cx.code()?;
            let mut auth = self.ends.clone().map_err(|kind| fault(&kind))?;
            auth.provider = cx.provider.clone();
            Ok(auth)
        };
        Box::pin(std::future::ready(signed_in()))
    }
}
