//! A strategy under observation: what the engine gave it, and how often it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vestibule_oauth_core::{BoxFuture, HttpClient};

use crate::auth::Auth;
use crate::failure::Fault;
use crate::strategy::{Begin, CallbackCx, CsrfGuard, IssuerPolicy, RequestCx, Stash, Strategy};

pub(super) struct Watched {
    inner: Arc<dyn Strategy>,
    seen: Mutex<Seen>,
}

/// What was seen of the latest login.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) challenge: String,
    pub(super) redirect_uri: String,
    pub(super) policy: Option<IssuerPolicy>,
    pub(super) verifier: Option<String>,
    /// How many callbacks came through to the strategy, of all logins.
    pub(super) callbacks: usize,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn Strategy>) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strategy for Watched {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn csrf(&self) -> CsrfGuard {
        self.inner.csrf()
    }

    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        let policy = self.inner.issuer(stash);
        self.lock().policy = Some(policy.clone());
        policy
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        self.inner.allowed_params()
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        {
            let mut seen = self.lock();
            let callbacks = seen.callbacks;
            *seen = Seen {
                state: cx.state.to_owned(),
                nonce: cx.nonce.to_owned(),
                challenge: cx.pkce.as_str().to_owned(),
                redirect_uri: cx.redirect_uri.as_str().to_owned(),
                callbacks,
                ..Seen::default()
            };
        }
        self.inner.request(cx, http)
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        {
            let mut seen = self.lock();
            seen.callbacks += 1;
            seen.verifier = Some(cx.verifier.expose().to_owned());
        }
        self.inner.callback(cx, http)
    }
}
