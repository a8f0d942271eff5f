//! One store, opened: every port of it, and the key ring it keeps.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use vestibule_atproto_identity::login::SessionStore;
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_strategy::FlowStore;
use vestibule_token_endpoint::Store;

use crate::accounts::AccountStore;
use crate::client_store::ClientStore;
use crate::entropy;
use crate::housekeeping::Housekeeping;
use crate::key_ring::{KeyRing, KeyRingError, KeyRingStore, open_or_create_ring};
use crate::master_secret::MasterSecret;
use crate::memory::MemoryStore;
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresError, PostgresSessions, PostgresStore};
use crate::ring_watch::RingWatch;
use crate::sqlite::{SqliteError, SqliteSessions, SqliteStore};
use crate::store_url::StoreUrl;
use crate::web_session::WebSessionStore;

/// Opens the store at `url`, made if it is not there, and its key ring, made if it has none. A PostgreSQL database must be there.
///
/// # Errors
/// [`OpenError`].
pub async fn open(url: &StoreUrl, master: &MasterSecret, now: UnixTime) -> Result<Opened, OpenError> {
    match url {
        StoreUrl::Memory => {
            let store = Arc::new(MemoryStore::new());
            let (watch, ring) = open_ring(store.clone(), master, now).await?;
            Ok(Opened::of(store.clone(), store, watch, ring))
        }
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path).await.map_err(OpenError::Sqlite)?;
            let (watch, ring) = open_ring(Arc::new(store.clone()), master, now).await?;
            let sessions = SqliteSessions::new(store.clone(), master.clone(), &ring, now);
            let watch = watch.telling(sessions.seal());
            Ok(Opened::of(Arc::new(store), Arc::new(sessions), watch, ring))
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let store = PostgresStore::open(url).await.map_err(OpenError::Postgres)?;
            let (watch, ring) = open_ring(Arc::new(store.clone()), master, now).await?;
            let sessions = PostgresSessions::new(store.clone(), master.clone(), &ring, now);
            let watch = watch.telling(sessions.seal());
            Ok(Opened::of(Arc::new(store), Arc::new(sessions), watch, ring))
        }
    }
}

async fn open_ring(
    store: Arc<dyn KeyRingStore>,
    master: &MasterSecret,
    now: UnixTime,
) -> Result<(RingWatch, KeyRing), OpenError> {
    let entropy = entropy::draw().map_err(OpenError::Entropy)?;
    open_or_create_ring(&*store, master, entropy, now).await.map_err(OpenError::KeyRing)?;
    RingWatch::start(store, master.clone(), now).await.map_err(OpenError::KeyRing)
}

/// A store that is open. It closes, after what was asked of it is done, when the last port goes.
#[derive(Clone)]
#[non_exhaustive]
pub struct Opened {
    /// Pending logins.
    pub flows: Arc<dyn FlowStore>,
    /// Sessions at people's servers.
    pub sessions: Arc<dyn SessionStore>,
    /// Sessions at this server.
    pub web_sessions: Arc<dyn WebSessionStore>,
    /// The server's keys, sealed.
    pub key_ring: Arc<dyn KeyRingStore>,
    /// Who signs in to which account.
    pub accounts: Arc<dyn AccountStore>,
    /// The clients that were added to this server.
    pub clients: Arc<dyn ClientStore>,
    /// What the token endpoint issues.
    pub issued: Arc<dyn Store>,
    /// What is to be done now and then.
    pub housekeeping: Arc<dyn Housekeeping>,
    /// The server's keys, as they were when the store was opened.
    pub ring: KeyRing,
    /// Says when the server's keys are others than these.
    pub ring_watch: Arc<RingWatch>,
}

impl Opened {
    /// Every port that one value gives, and the sessions, which some stores keep by another.
    fn of<S>(store: Arc<S>, sessions: Arc<dyn SessionStore>, watch: RingWatch, ring: KeyRing) -> Self
    where
        S: FlowStore
            + WebSessionStore
            + KeyRingStore
            + AccountStore
            + ClientStore
            + Store
            + Housekeeping
            + 'static,
    {
        Self {
            flows: store.clone(),
            sessions,
            web_sessions: store.clone(),
            key_ring: store.clone(),
            accounts: store.clone(),
            clients: store.clone(),
            issued: store.clone(),
            housekeeping: store,
            ring,
            ring_watch: Arc::new(watch),
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database cannot be used.
    #[error(transparent)]
    Sqlite(SqliteError),
    /// The PostgreSQL database cannot be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(PostgresError),
    /// The key ring cannot be used.
    #[error(transparent)]
    KeyRing(KeyRingError),
    /// The system gave no randomness.
    #[error(transparent)]
    Entropy(StoreUnavailable),
}
