//! Who is who and where: identities and their servers, remembered for a few minutes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;
use vestibule_dpop::NonceMemory;
use vestibule_oauth_core::{HttpClient, Transport, TxtLookup, UnixTime};

use crate::cache::{Cache, CacheLimits};
use crate::discover::{DiscoverError, Discovered, discover_from_pds, discover_from_server};
use crate::{AtIdentifier, DevelopmentNames, Identity, ResolveError, ResolveOptions, ServerOrigin, resolve};

/// Looks up identities and their authorization servers, each once at a time, and remembers them for less than the ten
/// minutes a sign-in may rely on (R28). With both remembered, a login asks only for what is new: a push and a token.
pub struct Directory {
    options: ResolveOptions,
    dns: Arc<dyn TxtLookup>,
    identities: Cache<AtIdentifier, Identity, ResolveError>,
    servers: Cache<ServerOrigin, Discovered, DiscoverError>,
    nonces: Mutex<BTreeMap<String, NonceHint>>,
}

/// The latest nonce an authorization server gave to anybody, so that a login with a known server need not be told again.
/// From then on a session keeps its own.
struct NonceHint {
    nonces: NonceMemory,
    seen: UnixTime,
}

/// For authorization servers: 500 of them for 5 minutes. A failure is not remembered: its cause is being worked on.
const SERVERS: CacheLimits =
    CacheLimits { entries: 500, keep: Duration::from_secs(300), keep_error: Duration::ZERO };

/// The reference server takes a nonce for one to three minutes.
const NONCE_HINT_LIFETIME: Duration = Duration::from_secs(60);

/// As many hints as servers are remembered.
const MAX_NONCE_HINTS: usize = 500;

impl Directory {
    /// A directory that has looked up nothing yet.
    pub const fn new(options: ResolveOptions, dns: Arc<dyn TxtLookup>) -> Self {
        Self {
            options,
            dns,
            identities: Cache::new(CacheLimits::IDENTITY),
            servers: Cache::new(SERVERS),
            nonces: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether names and addresses of development are good here.
    pub const fn development(&self) -> DevelopmentNames {
        self.options.development
    }

    /// Who `subject` is.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn identity(
        &self,
        subject: &AtIdentifier,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Identity, ResolveError> {
        self.identities
            .look_up(subject.clone(), now, || resolve(subject, &self.options, http, &*self.dns))
            .await
    }

    /// Who `subject` is by now, whatever was remembered.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn identity_afresh(
        &self,
        subject: &AtIdentifier,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Identity, ResolveError> {
        self.identities.forget(subject);
        self.identity(subject, now, http).await
    }

    /// The authorization server of the person's server at `pds`.
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn server_of(
        &self,
        pds: &ServerOrigin,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Discovered, DiscoverError> {
        self.servers.look_up(pds.clone(), now, || discover_from_pds(pds, self.transport(), http)).await
    }

    /// The authorization server that a person named, by its own address or by that of a server it rules (R57).
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn server_at(
        &self,
        server: &ServerOrigin,
        http: &dyn HttpClient,
    ) -> Result<Discovered, DiscoverError> {
        discover_from_server(server, self.transport(), http).await
    }

    /// The nonces to begin with at the server of `endpoint`.
    pub(super) fn nonces_for(&self, endpoint: &Url, now: UnixTime) -> NonceMemory {
        let hints = self.hints();
        let hint = hints.get(&endpoint.origin().ascii_serialization());
        let fresh = hint.filter(|hint| now.since(hint.seen) < NONCE_HINT_LIFETIME);
        fresh.map(|hint| hint.nonces.clone()).unwrap_or_default()
    }

    /// Remembers what was learned at the server of `endpoint`.
    pub(super) fn learned(&self, endpoint: &Url, nonces: &NonceMemory, now: UnixTime) {
        let mut hints = self.hints();
        hints.retain(|_, hint| now.since(hint.seen) < NONCE_HINT_LIFETIME);
        if hints.len() < MAX_NONCE_HINTS {
            let origin = endpoint.origin().ascii_serialization();
            hints.insert(origin, NonceHint { nonces: nonces.clone(), seen: now });
        }
    }

    // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
    fn hints(&self) -> MutexGuard<'_, BTreeMap<String, NonceHint>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn transport(&self) -> Transport {
        match self.options.development {
            DevelopmentNames::Refused => Transport::HttpsOnly,
            DevelopmentNames::Allowed => Transport::LoopbackHttpToo,
        }
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("options", &self.options).finish_non_exhaustive()
    }
}
