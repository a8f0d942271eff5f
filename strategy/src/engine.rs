//! The engine: runs any strategy, and owns what no strategy may get wrong.
//!
//! `state`, PKCE, the OpenID Connect nonce, the flow's cookie, its age, the provider it belongs to, the callback's issuer
//! and the check that the returning browser is the one that left are all here, once. A strategy says where to go and who
//! came back.
//!
//! Two tabs, a double click and the back button never collide: every flow has a cookie of its own, named after its
//! `state`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{Method, Response, StatusCode};
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{FormRules, HttpClient, Params, PkceVerifier, Secret, Seed, UnixTime, base64url};

use crate::auth::Auth;
use crate::builder::EngineBuilder;
use crate::callback::{Callback, unreadable};
use crate::cookie::CookiePolicy;
use crate::failure::{CsrfCause, Failure, FailureKind, Fault, Phase};
use crate::flow_store::{FlowStore, StoredFlow, TakenFlow};
use crate::pending::{COOKIE_PREFIX, CodeGrant, FlowInfo, FlowName, Intent, Pending, binding_hash};
use crate::provider_id::ProviderId;
use crate::return_to::ReturnTo;
use crate::routes::{Routed, Routes};
use crate::same_origin::{Provenance, is_navigation};
use crate::strategy::{Begin, CallbackCx, CsrfGuard, RequestCx, ResponseMode, Stash, Strategy};

/// Runs the two phases of every configured provider. The documentation of this crate shows it at work.
///
/// ```
/// use url::Url;
/// use vestibule_oauth_core::seal::SealKeys;
/// use vestibule_strategy::{Engine, FlowKeeping};
///
/// let keys = SealKeys::new([7; 32], []);
/// for (site, ok) in [("https://app.example", true), ("http://127.0.0.1:8080", true), ("http://app.example", false)] {
///     let engine = Engine::builder(Url::parse(site).unwrap(), &keys, FlowKeeping::Cookie).build();
///     assert_eq!(engine.is_ok(), ok, "{site}"); // a cookie is safe on https, and on one's own machine
/// }
/// ```
pub struct Engine {
    pub(crate) site: Url,
    pub(crate) cookies: CookiePolicy,
    pub(crate) keys: RwLock<Arc<SealKeys>>,
    pub(crate) keeping: FlowKeeping,
    pub(crate) providers: BTreeMap<ProviderId, Mounted>,
    pub(crate) routes: Routes,
}

/// A provider in its place.
pub(crate) struct Mounted {
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) redirect_uri: Url,
    pub(crate) request_path: String,
    pub(crate) strict_cookie: bool,
}

/// Where flows wait while the person is at the provider.
#[derive(Clone)]
#[non_exhaustive]
pub enum FlowKeeping {
    /// Sealed, in the browser's own cookie. Needs no store; within its ten minutes a copied cookie and callback can be
    /// sent twice, and only the provider's single-use code stops the second.
    Cookie,
    /// In a store, each taken out once. The cookie only binds the flow to the browser.
    Store(Arc<dyn FlowStore>),
}

impl std::fmt::Debug for FlowKeeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cookie => "Cookie",
            Self::Store(_) => "Store(..)",
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let providers: Vec<_> = self.providers.keys().collect();
        let mut shown = f.debug_struct("Engine");
        shown
            .field("site", &self.site.as_str())
            .field("keeping", &self.keeping)
            .field("providers", &providers);
        shown.finish_non_exhaustive()
    }
}

/// A request of a browser, as far as a login is concerned.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Incoming<'a> {
    /// GET or POST.
    pub method: &'a Method,
    /// Cookies, `Origin` and `Sec-Fetch-*` are read from these.
    pub headers: &'a HeaderMap,
    /// The parameters, still encoded: the query of a GET, the body of a POST.
    pub encoded: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// A request with these parts.
    pub const fn new(method: &'a Method, headers: &'a HeaderMap, encoded: &'a [u8]) -> Self {
        Self { method, headers, encoded }
    }
}

impl std::fmt::Debug for Incoming<'_> {
    /// Shows the method: cookies and parameters are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("method", self.method).finish_non_exhaustive()
    }
}

/// How a request phase ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum Begun {
    /// Send the person there, with these cookies.
    Redirect {
        /// The provider's page.
        to: Url,
        /// `Set-Cookie` values to append.
        set_cookies: Vec<HeaderValue>,
    },
    /// The strategy leaves the page to the application.
    PassThrough,
}

impl Begun {
    /// The redirect as a response: 303, never cached, telling the provider nothing of the page it came from. `None` for
    /// [`Begun::PassThrough`].
    pub fn into_response(self) -> Option<Response<Bytes>> {
        let Self::Redirect { to, set_cookies } = self else { return None };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        // A `Url` is ASCII without control characters, which is all a header asks.
        headers.insert(LOCATION, HeaderValue::try_from(String::from(to)).ok()?);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.extend(set_cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
        Some(response)
    }
}

/// How a callback phase ends. Whatever the outcome, the flow is over and its cookie goes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Who it is, or what went wrong.
    pub outcome: Result<Auth, Failure>,
    /// What the login was for; `None` when no flow of this browser was found.
    pub flow: Option<FlowInfo>,
    /// `Set-Cookie` values to append to whatever is answered.
    pub set_cookies: Vec<HeaderValue>,
}

impl Engine {
    /// The most logins one browser may have under way; beyond it the oldest is forgotten. Twice what the tabs of an
    /// impatient person need, and it keeps the `Cookie` header small.
    pub const MAX_PENDING: usize = 8;

    /// Of how many forgotten logins a browser remembers that they were. Who comes back with one of them reads that it is over, and not
    /// that somebody else may have begun it.
    pub const MAX_FORGOTTEN: usize = 16;

    /// An engine to be, for the site at `site`, which is the only source of what counts as "this site" and of every address that
    /// is built. A path that it has stands before all others.
    pub fn builder(site: Url, keys: &SealKeys, keeping: FlowKeeping) -> EngineBuilder {
        EngineBuilder::new(site, keys.for_purpose("flow"), keeping)
    }

    /// Seals flows under these keys of the application from here on, and opens with all of them: when it has a new key, or has lost an old
    /// one.
    pub fn take_up(&self, keys: &SealKeys) {
        let keys = Arc::new(keys.for_purpose("flow"));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn keys(&self) -> Arc<SealKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a request leads. A path may be whole, or without what a framework took away from it in front of the site's own.
    pub fn route(&self, method: &Method, path: &str) -> Routed<'_> {
        self.routes.route(method, path)
    }

    /// The names of the providers, in their order.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderId> {
        self.providers.keys()
    }

    /// The whole path at which logins with this provider begin; `None` for one that is not known.
    pub fn request_path(&self, provider: &ProviderId) -> Option<&str> {
        self.providers.get(provider).map(|mounted| mounted.request_path.as_str())
    }

    /// The redirect URI of this provider, as it has to be registered there; `None` for one that is not known.
    pub fn redirect_uri(&self, provider: &ProviderId) -> Option<&Url> {
        self.providers.get(provider).map(|mounted| &mounted.redirect_uri)
    }

    /// Where the site is.
    pub const fn site(&self) -> &Url {
        &self.site
    }

    /// The request phase. `seed` is fresh.
    ///
    /// A POST is a form of this site; a GET is a person opening a page, and only to sign in.
    ///
    /// # Errors
    /// A [`Failure`]; nothing was begun.
    pub async fn begin(
        &self,
        provider: &ProviderId,
        incoming: Incoming<'_>,
        intent: Intent,
        seed: Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Begun, Failure> {
        let begun = self.try_begin(provider, incoming, intent, seed, now, http).await;
        begun.map_err(|fault| Failure::new(provider.clone(), Phase::Request, fault))
    }

    async fn try_begin(
        &self,
        id: &ProviderId,
        incoming: Incoming<'_>,
        intent: Intent,
        seed: Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Begun, Fault> {
        let provider = self.provider(id)?;
        self.may_begin(&incoming, &intent)?;
        let params = Params::parse(incoming.encoded, &FORM_RULES).map_err(|error| unreadable(&error))?;

        let state = base64url::encode(seed.derive("state"));
        let nonce = base64url::encode(seed.derive("nonce"));
        let verifier = PkceVerifier::from_entropy(seed.derive("verifier"));
        let begin = {
            let cx = RequestCx {
                provider: id,
                redirect_uri: &provider.redirect_uri,
                state: &state,
                nonce: &nonce,
                pkce: &verifier.challenge(),
                seed: &seed.child("strategy"),
                now,
                params: &params,
                allowed: provider.strategy.allowed_params(),
            };
            provider.strategy.request(cx, http).await?
        };
        let (to, stash, mode) = match begin {
            Begin::PassThrough => return Ok(Begun::PassThrough),
            Begin::Redirect { to, stash, mode } => (to, stash, mode),
        };

        let return_to = params.value("return_to").and_then(|text| ReturnTo::parse(text, &self.site).ok());
        let pending = Pending {
            provider: id.clone(),
            state: Secret::new(state),
            redirect_uri: provider.redirect_uri.clone(),
            mode,
            nonce: Secret::new(nonce),
            verifier,
            flow: FlowInfo { return_to, intent, started_at: now },
            expires_at: now.after(Pending::LIFETIME),
            stash,
        };
        let set_cookies = self.keep(&pending, provider.strict_cookie, &seed, incoming.headers).await?;
        Ok(Begun::Redirect { to, set_cookies })
    }

    /// Where a login may be started from (S20).
    fn may_begin(&self, incoming: &Incoming<'_>, intent: &Intent) -> Result<(), Fault> {
        let from = Provenance::of(incoming.headers, &self.site);
        let may = match *incoming.method {
            Method::POST => from.may_post() || (from == Provenance::Unsaid && *intent == Intent::SignIn),
            Method::GET => *intent == Intent::SignIn && from.may_start() && is_navigation(incoming.headers),
            _ => false,
        };
        if may {
            return Ok(());
        }
        let detail = format!("a {} from {from:?} may not start this flow at {}", incoming.method, self.site);
        Err(Fault::new(FailureKind::CrossSiteRequest, detail))
    }

    /// Puts a flow where flows wait, and makes the cookies that say so.
    async fn keep(
        &self,
        pending: &Pending,
        strict: bool,
        seed: &Seed,
        headers: &HeaderMap,
    ) -> Result<Vec<HeaderValue>, Fault> {
        let name = FlowName::of(pending.state.expose());
        let sealing_nonce = first_24(seed.derive("sealing nonce"));
        let sealed = pending.seal(&self.keys(), &name.cookie, sealing_nonce)?;
        let value = match &self.keeping {
            FlowKeeping::Cookie => base64url::encode(sealed),
            FlowKeeping::Store(store) => {
                let binding = base64url::encode(seed.derive("binding"));
                let flow = StoredFlow::new(name.key, binding_hash(&binding), sealed, pending.expires_at);
                store
                    .put(flow)
                    .await
                    .map_err(|error| Fault::new(FailureKind::StoreUnavailable, error.to_string()))?;
                binding
            }
        };
        if value.len() > MAX_COOKIE_OCTETS {
            let detail = format!("the flow's cookie would be {} octets long", value.len());
            return Err(Fault::new(FailureKind::Misconfigured, detail));
        }
        let lifetime = Some(Pending::LIFETIME.as_secs());
        let forgotten = self.forget_surplus(headers, lifetime);
        let set = match pending.mode {
            ResponseMode::Query if strict => self.cookies.set_strict(&name.cookie, &value, lifetime),
            ResponseMode::Query => self.cookies.set(&name.cookie, &value, lifetime),
            ResponseMode::FormPost => {
                let set = self.cookies.set_for_other_sites(&name.cookie, &value, lifetime);
                let detail = "a provider that answers by form_post needs a site on https";
                Some(set.ok_or_else(|| Fault::new(FailureKind::Misconfigured, detail))?)
            }
        };
        Ok(forgotten.into_iter().chain(set).collect())
    }

    /// Makes room for one more flow: the oldest are forgotten, and of those forgotten before the oldest leave no trace.
    fn forget_surplus(&self, headers: &HeaderMap, lifetime: Option<u64>) -> Vec<HeaderValue> {
        let known = self.cookies.with_prefix(headers, COOKIE_PREFIX);
        let (gone, pending): (Vec<_>, Vec<_>) = known.partition(|(_, value)| *value == FORGOTTEN);
        let surplus = (pending.len() + 1).saturating_sub(Self::MAX_PENDING);
        let traces = (gone.len() + surplus).saturating_sub(Self::MAX_FORGOTTEN);
        let cleared = gone.iter().take(traces).filter_map(|(name, _)| self.cookies.clear(name));
        let forgotten = pending.iter().take(surplus);
        let forgotten = forgotten.filter_map(|(name, _)| self.cookies.set(name, FORGOTTEN, lifetime));
        cleared.chain(forgotten).collect()
    }

    /// The callback phase. `seed` is fresh.
    pub async fn finish(
        &self,
        provider: &ProviderId,
        incoming: Incoming<'_>,
        seed: Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Finished {
        let mut finished = Finishing { flow: None, set_cookies: Vec::new() };
        let outcome = self.try_finish(provider, incoming, seed, now, http, &mut finished).await;
        Finished {
            outcome: outcome.map_err(|fault| Failure::new(provider.clone(), Phase::Callback, fault)),
            flow: finished.flow,
            set_cookies: finished.set_cookies,
        }
    }

    async fn try_finish(
        &self,
        id: &ProviderId,
        incoming: Incoming<'_>,
        seed: Seed,
        now: UnixTime,
        http: &dyn HttpClient,
        finishing: &mut Finishing,
    ) -> Result<Auth, Fault> {
        let provider = self.provider(id)?;
        let strategy = &*provider.strategy;
        let params = Params::parse(incoming.encoded, &FORM_RULES).map_err(|error| unreadable(&error))?;
        let grant = match strategy.csrf() {
            CsrfGuard::FlowCookie => {
                let callback = Callback::read(&params);
                // What cannot be read is believed no more than what can: first it has to be about a flow of this
                // browser. Such a flow is over, readable or not (S6).
                let Some(state) = params.value("state") else { return Err(stateless(callback)) };
                let pending = self.take(&FlowName::of(state), incoming.headers, finishing).await?;
                finishing.flow = Some(pending.flow.clone());
                // A code that was to come in a form has been in a URL, and in every log on the way.
                if pending.mode == ResponseMode::FormPost && *incoming.method != Method::POST {
                    let detail = "the provider was asked to answer by a form, and the callback is none";
                    return Err(Fault::new(FailureKind::InvalidCallbackRequest, detail));
                }
                let issuer = strategy.issuer(&pending.stash);
                pending.finish(callback?, id, &issuer, now)?
            }
            CsrfGuard::SameOriginPost => {
                let from = Provenance::of(incoming.headers, &self.site);
                if *incoming.method != Method::POST || !from.may_post() {
                    let detail = format!("a {} from {from:?} is not this site's form", incoming.method);
                    return Err(Fault::new(FailureKind::CrossSiteRequest, detail));
                }
                CodeGrant {
                    code: None,
                    redirect_uri: provider.redirect_uri.clone(),
                    nonce: Secret::new(base64url::encode(seed.derive("nonce"))),
                    verifier: PkceVerifier::from_entropy(seed.derive("verifier")),
                    stash: Stash::empty(),
                }
            }
        };
        let cx = CallbackCx {
            provider: id,
            params: &params,
            redirect_uri: &grant.redirect_uri,
            nonce: grant.nonce.expose(),
            verifier: &grant.verifier,
            stash: &grant.stash,
            seed: &seed.child("strategy"),
            now,
            code: grant.code.as_ref(),
        };
        strategy.callback(cx, http).await
    }

    /// Takes the flow this browser began out of where it waits. From here on its cookie goes, whatever comes.
    async fn take(
        &self,
        name: &FlowName,
        headers: &HeaderMap,
        finishing: &mut Finishing,
    ) -> Result<Pending, Fault> {
        let csrf = |cause, detail: &str| Err(Fault::new(FailureKind::CsrfAttack(cause), detail));
        let Some(value) = self.cookies.read(headers, &name.cookie) else {
            return csrf(CsrfCause::CookieAbsent, "the browser has no cookie for this state");
        };
        if value == FORGOTTEN {
            finishing.set_cookies.extend(self.cookies.clear(&name.cookie));
            let detail = format!(
                "the browser has begun {} logins since, and this one was forgotten",
                Self::MAX_PENDING
            );
            return Err(Fault::new(FailureKind::FlowMissing, detail));
        }
        let sealed = match &self.keeping {
            FlowKeeping::Cookie => base64url::decode(value),
            FlowKeeping::Store(store) => {
                let taken = store.take(name.key, binding_hash(value)).await;
                match taken.map_err(|error| Fault::new(FailureKind::StoreUnavailable, error.to_string()))? {
                    TakenFlow::Taken(sealed) => Some(sealed),
                    TakenFlow::Foreign => {
                        finishing.set_cookies.extend(self.cookies.clear(&name.cookie));
                        return csrf(CsrfCause::CookieForeign, "the browser's cookie is another login's");
                    }
                    TakenFlow::Missing => {
                        finishing.set_cookies.extend(self.cookies.clear(&name.cookie));
                        let detail = "the login was finished before, or has expired";
                        return Err(Fault::new(FailureKind::FlowMissing, detail));
                    }
                }
            }
        };
        finishing.set_cookies.extend(self.cookies.clear(&name.cookie));
        match sealed.and_then(|sealed| Pending::open(&sealed, &self.keys(), &name.cookie, &self.site)) {
            Some(pending) => Ok(pending),
            None => csrf(CsrfCause::CookieUnreadable, "the flow cannot be opened with this server's keys"),
        }
    }

    fn provider(&self, id: &ProviderId) -> Result<&Mounted, Fault> {
        let missing = || Fault::new(FailureKind::Misconfigured, format!("no provider is called {id}"));
        self.providers.get(id).ok_or_else(missing)
    }
}

/// The fault of a callback that has no state.
fn stateless(callback: Result<Callback, Fault>) -> Fault {
    callback.err().unwrap_or_else(|| Fault::new(FailureKind::FlowMissing, "the callback has no state"))
}

/// What a callback phase has gathered when it ends, however it ends.
struct Finishing {
    flow: Option<FlowInfo>,
    set_cookies: Vec<HeaderValue>,
}

/// A `form_post` callback with an ID token is the largest: 16 KiB of token, encoded.
const FORM_RULES: FormRules = FormRules::DEFAULT.with_max_octets(64 * 1024);

/// What stands in the cookie of a flow that was forgotten. No flow's own cookie is this short.
const FORGOTTEN: &str = "forgotten";

/// Browsers drop cookies of more than 4096 octets, name and attributes included.
const MAX_COOKIE_OCTETS: usize = 3800;

fn first_24(octets: [u8; 32]) -> [u8; 24] {
    let mut out = [0; 24];
    for (slot, octet) in out.iter_mut().zip(octets) {
        *slot = octet;
    }
    out
}
