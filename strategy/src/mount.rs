//! The two phases in a server: as a service that answers them, or as a layer around what an application has.
//!
//! [`AuthService`] (features `hyper` and `tower`) answers both addresses of every provider; what a person is shown afterwards says an
//! [`AuthHandler`]. [`AuthLayer`] (feature `tower`) leaves that to the application's own routes, as Ueberauth does: on a callback they
//! find an [`AuthOutcome`] in the request's extensions.
//!
//! Both stand on a [`Mount`]: an [`Engine`], and the clock, the random source and the network that a pure crate does not have. Where a
//! framework nests them below a path, that path is the site's: an engine built for `https://app.example/hall` is found at
//! `/hall/auth/github` and, if the framework takes `/hall` away, at `/auth/github`.

mod endpoint;
#[cfg(feature = "tower")]
mod layer;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use http::{Method, Response, StatusCode, request};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use vestibule_oauth_core::{HttpClient, Seed, UnixTime};

use crate::auth::Auth;
use crate::engine::{Begun, Engine, Finished, Incoming};
use crate::failure::Failure;
use crate::pending::{FlowInfo, Intent};
use crate::provider_id::ProviderId;

pub use endpoint::{AuthHandler, AuthService};
#[cfg(feature = "tower")]
pub use layer::{AuthLayer, AuthLayered};

/// The clock and the random source of whoever mounts an engine.
///
/// ```
/// use std::time::SystemTime;
/// use vestibule_oauth_core::{Seed, UnixTime};
/// use vestibule_strategy::mount::Ambient;
///
/// struct System;
///
/// impl Ambient for System {
///     fn now(&self) -> UnixTime {
///         SystemTime::now().into()
///     }
///
///     fn seed(&self) -> Seed {
///         let mut octets = [0; 32];
/// #       let draw = |octets: &mut [u8; 32]| octets.fill(7);
///         draw(&mut octets); // getrandom::fill, in earnest; without randomness no login is safe
///         Seed::from_entropy(octets)
///     }
/// }
/// assert!(System.now() > UnixTime::from_secs(1_700_000_000));
/// ```
pub trait Ambient: Send + Sync {
    /// The time.
    fn now(&self) -> UnixTime;

    /// Fresh randomness; the same is never given twice.
    fn seed(&self) -> Seed;
}

/// What a login is for, read off the request that begins it.
type IntentOf = dyn Fn(&request::Parts) -> Intent + Send + Sync;

/// An engine in its surroundings. Cheap to clone.
#[derive(Clone)]
pub struct Mount {
    engine: Arc<Engine>,
    http: Arc<dyn HttpClient>,
    ambient: Arc<dyn Ambient>,
    intent: Arc<IntentOf>,
}

impl Mount {
    /// The largest form that is read, in octets: a `form_post` callback with an ID token is the longest.
    pub const MAX_FORM: usize = 64 * 1024;

    /// An engine with this network, clock and random source.
    pub fn new(engine: Arc<Engine>, http: Arc<dyn HttpClient>, ambient: Arc<dyn Ambient>) -> Self {
        Self { engine, http, ambient, intent: Arc::new(|_| Intent::SignIn) }
    }

    /// The same, with logins that are for what `intent` says: to link an identity, if the application's session says who is signed
    /// in. Without it everybody signs in.
    #[must_use]
    pub fn with_intent(mut self, intent: impl Fn(&request::Parts) -> Intent + Send + Sync + 'static) -> Self {
        self.intent = Arc::new(intent);
        self
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    async fn begin(
        &self,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
    ) -> Result<Begun, Failure> {
        let incoming = Incoming::new(&parts.method, &parts.headers, encoded);
        let (intent, seed, now) = ((self.intent)(parts), self.ambient.seed(), self.ambient.now());
        self.engine.begin(provider, incoming, intent, seed, now, &*self.http).await
    }

    async fn finish(
        &self,
        provider: &ProviderId,
        parts: &request::Parts,
        encoded: &[u8],
    ) -> (AuthOutcome, Vec<HeaderValue>) {
        let incoming = Incoming::new(&parts.method, &parts.headers, encoded);
        let (seed, now) = (self.ambient.seed(), self.ambient.now());
        let finished = self.engine.finish(provider, incoming, seed, now, &*self.http).await;
        let Finished { outcome, flow, set_cookies } = finished;
        (AuthOutcome { outcome, flow }, set_cookies)
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// How a login ended, in the extensions of the request that ended it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthOutcome {
    /// Who it is, or what went wrong. Give whoever it is a new session, under a new id.
    pub outcome: Result<Auth, Failure>,
    /// What the login was for, and where the person wanted to go; `None` when no flow of this browser was found, or none was begun.
    pub flow: Option<FlowInfo>,
}

/// The parameters of a request, still encoded: the query of a GET, the form of a POST.
async fn parameters<B>(parts: &request::Parts, body: B) -> Result<Bytes, Response<Bytes>>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if parts.method != Method::POST {
        return Ok(Bytes::copy_from_slice(parts.uri.query().unwrap_or_default().as_bytes()));
    }
    let media = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let sentence = "the body must be application/x-www-form-urlencoded";
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    match Limited::new(body, Mount::MAX_FORM).collect().await {
        Ok(form) => Ok(form.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(plain(StatusCode::PAYLOAD_TOO_LARGE, "the form is larger than 64 KiB"))
        }
        Err(_) => Err(plain(StatusCode::BAD_REQUEST, "the form broke off")),
    }
}

/// An answer in one line of text.
fn plain(status: StatusCode, sentence: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(sentence.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer to a method that an address does not take.
fn wrong_method(allowed: &str) -> Response<Bytes> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method");
    response
        .headers_mut()
        .extend(HeaderValue::try_from(allowed).ok().map(|allowed| (http::header::ALLOW, allowed)));
    response
}

/// What every answer of a login carries (S22): its cookies beside those that are there, and that nobody keeps it.
fn seal_off(headers: &mut HeaderMap, set_cookies: Vec<HeaderValue>) {
    for cookie in set_cookies {
        headers.append(SET_COOKIE, cookie);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
}
