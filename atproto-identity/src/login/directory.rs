//! Who is who and where: identities and their servers, remembered for a few minutes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;
use vestibule_dpop::NonceMemory;
use vestibule_oauth_core::{HttpClient, Transport, TxtLookup, UnixTime};

use crate::cache::{Cache, CacheLimits};
use crate::discover::{DiscoverError, Discovered, discover_from_pds, discover_from_server};
use crate::{
    AtIdentifier, DevelopmentNames, Did, Identity, ResolveError, ResolveOptions, ServerOrigin, resolve,
    resolve_did,
};

/// Looks up identities and their authorization servers, each once at a time, and remembers them for less than the ten
/// minutes a sign-in may rely on (R28). With both remembered, a login asks only for what is new: a push and a token.
pub struct Directory {
    options: ResolveOptions,
    dns: Arc<dyn TxtLookup>,
    identities: Cache<AtIdentifier, Identity, ResolveError>,
    homes: Cache<Did, ServerOrigin, ResolveError>,
    servers: Cache<ServerOrigin, Discovered, DiscoverError>,
    nonces: Mutex<BTreeMap<String, NonceHint>>,
}

/// The latest nonce a server gave to anybody, so that a login with a known server need not be told again. From then on a
/// session keeps its own. Filed under the origin that gave it and under no other: who writes a server's description must
/// not be able to write what others remember of another server.
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
            homes: Cache::new(CacheLimits::IDENTITY),
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
        let resolving = || resolve(subject, &self.options, http, &*self.dns);
        let identity = self.identities.look_up(subject.clone(), now, resolving).await?;
        // The same document says where the account lives, which is what a refresh will ask.
        let home = || async { Ok(identity.pds.clone()) };
        self.homes.look_up(identity.did.clone(), now, home).await?;
        Ok(identity)
    }

    /// Where the account `did` lives, by its document. What handle it goes by is not asked.
    pub(super) async fn home_of(
        &self,
        did: &Did,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<ServerOrigin, ResolveError> {
        let resolving = || async {
            let document = resolve_did(did, &self.options, http).await.map_err(ResolveError::Did)?;
            let pds = document.pds(self.options.development);
            pds.map_err(|cause| ResolveError::Pds { did: did.clone(), cause })
        };
        self.homes.look_up(did.clone(), now, resolving).await
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
        if let AtIdentifier::Did(did) = subject {
            self.homes.forget(did);
        }
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
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Discovered, DiscoverError> {
        let discovered = discover_from_server(server, self.transport(), http).await?;
        match &discovered.pds {
            // The same two documents that the person's server would be looked up by when they come back.
            Some(pds) => self.servers.look_up(pds.clone(), now, || async { Ok(discovered.clone()) }).await,
            None => Ok(discovered),
        }
    }

    /// The nonces to begin with at these endpoints.
    pub(super) fn nonces_for(&self, endpoints: &[&Url], now: UnixTime) -> NonceMemory {
        let hints = self.hints();
        let mut nonces = NonceMemory::default();
        for endpoint in endpoints {
            if let Some(hint) = hints.get(&origin(endpoint)).filter(|hint| hint.is_fresh(now)) {
                nonces.adopt(endpoint, &hint.nonces);
            }
        }
        nonces
    }

    /// Remembers the nonce that the server of `endpoint` has just given.
    pub(super) fn learned(&self, endpoint: &Url, nonces: &NonceMemory, now: UnixTime) {
        let mut own = NonceMemory::default();
        own.adopt(endpoint, nonces);
        if own.nonce_for(endpoint).is_none() {
            return;
        }
        let mut hints = self.hints();
        hints.retain(|_, hint| hint.is_fresh(now));
        if hints.len() >= MAX_NONCE_HINTS {
            let oldest = hints.iter().min_by_key(|(_, hint)| hint.seen).map(|(origin, _)| origin.clone());
            oldest.map(|origin| hints.remove(&origin));
        }
        hints.insert(origin(endpoint), NonceHint { nonces: own, seen: now });
    }

    // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
    fn hints(&self) -> MutexGuard<'_, BTreeMap<String, NonceHint>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn transport(&self) -> Transport {
        self.options.development.transport()
    }
}

impl NonceHint {
    /// Whether it may still be good; one from the future was noted by a clock that has been set back since.
    fn is_fresh(&self, now: UnixTime) -> bool {
        self.seen <= now && now.since(self.seen) < NONCE_HINT_LIFETIME
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::{BoxFuture, TxtError, TxtRecord};

    use http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    struct NoDns;

    impl TxtLookup for NoDns {
        fn txt<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn directory() -> Directory {
        Directory::new(ResolveOptions::new("https://plc.directory".parse().unwrap()), Arc::new(NoDns))
    }

    fn learn(directory: &Directory, endpoint: &str, nonce: &'static str, now: UnixTime) {
        let endpoint: Url = endpoint.parse().unwrap();
        let field = (DPOP_NONCE, HeaderValue::from_static(nonce));
        let mut nonces = NonceMemory::default();
        nonces.observe(&endpoint, &HeaderMap::from_iter([field]), now);
        directory.learned(&endpoint, &nonces, now);
    }

    fn known(directory: &Directory, endpoint: &str, now: UnixTime) -> Option<String> {
        let endpoint: Url = endpoint.parse().unwrap();
        directory.nonces_for(&[&endpoint], now).nonce_for(&endpoint).map(str::to_owned)
    }

    #[test]
    fn a_nonce_serves_the_next_login_at_the_same_server_for_a_minute() {
        let directory = directory();
        learn(&directory, "https://as.example.com/token", "n1", NOW);
        let later = |seconds| NOW.after(Duration::from_secs(seconds));
        for (endpoint, now, expected) in [
            ("https://as.example.com/token", NOW, Some("n1")),
            ("https://as.example.com/par", later(59), Some("n1")),
            ("https://as.example.com/token", later(60), None),
            ("https://as.example.com:8443/token", NOW, None),
            ("https://as2.example.com/token", NOW, None),
        ] {
            assert_eq!(known(&directory, endpoint, now).as_deref(), expected, "{endpoint} {now}");
        }
        learn(&directory, "https://as.example.com/token", "n2", later(30));
        assert_eq!(known(&directory, "https://as.example.com/token", later(80)).as_deref(), Some("n2"));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_nonce_alive() {
        let directory = directory();
        learn(&directory, "https://as.example.com/token", "n1", NOW);
        assert_eq!(
            known(&directory, "https://as.example.com/token", NOW.before(Duration::from_secs(1))),
            None
        );
    }

    /// A description of a server may name an endpoint of another one.
    #[test]
    fn what_one_server_gave_is_not_noted_for_another() {
        let directory = directory();
        let [evil, good]: [Url; 2] =
            ["https://evil.example.com/par", "https://as.example.com/token"].map(|url| url.parse().unwrap());
        learn(&directory, good.as_str(), "n1", NOW);
        let mut nonces = NonceMemory::default();
        for url in [&good, &evil] {
            let field = (DPOP_NONCE, HeaderValue::from_static("forged"));
            nonces.observe(url, &HeaderMap::from_iter([field]), NOW);
        }
        directory.learned(&evil, &nonces, NOW);
        assert_eq!(known(&directory, good.as_str(), NOW).as_deref(), Some("n1"));
        assert_eq!(known(&directory, evil.as_str(), NOW).as_deref(), Some("forged"));
        let both = directory.nonces_for(&[&evil, &good], NOW);
        assert_eq!((both.nonce_for(&evil), both.nonce_for(&good)), (Some("forged"), Some("n1")));
    }

    #[test]
    fn hints_are_bounded_and_old_ones_make_room() {
        let directory = directory();
        for number in 0..=MAX_NONCE_HINTS {
            learn(&directory, &format!("https://as{number}.example.com/token"), "n", NOW);
        }
        assert_eq!(directory.hints().len(), MAX_NONCE_HINTS);
        let later = NOW.after(NONCE_HINT_LIFETIME);
        learn(&directory, "https://new.example.com/token", "n", later);
        assert_eq!(directory.hints().len(), 1);
        assert_eq!(known(&directory, "https://new.example.com/token", later).as_deref(), Some("n"));
    }

    #[test]
    fn a_server_that_is_known_is_known_again_when_hints_are_full() {
        let directory = directory();
        for number in 0..MAX_NONCE_HINTS {
            learn(&directory, &format!("https://as{number}.example.com/token"), "n1", NOW);
        }
        learn(&directory, "https://as7.example.com/token", "n2", NOW);
        assert_eq!(known(&directory, "https://as7.example.com/token", NOW).as_deref(), Some("n2"));
    }
}
