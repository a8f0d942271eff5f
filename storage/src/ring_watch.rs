//! A server that runs notices when another process has changed the key ring.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::key_ring::{KeyRing, KeyRingError, KeyRingStore, load_ring};
use crate::master_secret::MasterSecret;
use crate::session_seal::SessionSeal;

/// Says when the key ring is another than it was, as after `vestibule key rotate`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use vestibule_oauth_core::UnixTime;
/// use vestibule_storage::{KeyPurpose, MasterSecret, StoreUrl, open, rotate_ring_key};
///
/// let (master, _) = MasterSecret::generate([7; 32]);
/// let now = UnixTime::from_secs(1_700_000_000);
/// let store = open(&StoreUrl::Memory, &master, now).await?;
/// assert!(store.ring_watch.changed().await?.is_none());
///
/// let kid = rotate_ring_key(&*store.key_ring, &master, KeyPurpose::Sign, [8; 32], now).await?;
/// let ring = store.ring_watch.changed().await?.unwrap();
/// assert_eq!(ring.signing_keys()[0].kid, kid);
/// assert!(store.ring_watch.changed().await?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct RingWatch {
    store: Arc<dyn KeyRingStore>,
    master: MasterSecret,
    /// Where sessions are sealed, if they are.
    sessions: Option<Arc<SessionSeal>>,
    seen: Mutex<u64>,
}

impl RingWatch {
    /// Watches a ring, and begins with the ring as it is now.
    pub(crate) async fn start(
        store: Arc<dyn KeyRingStore>,
        master: MasterSecret,
    ) -> Result<(Self, KeyRing), KeyRingError> {
        // The number first: what changes in between is seen the next time.
        let seen = store.version().await.map_err(KeyRingError::Store)?;
        let ring = load_ring(&*store, &master).await?;
        Ok((Self { store, master, sessions: None, seen: Mutex::new(seen) }, ring))
    }

    /// Tells these, too, when the ring has changed.
    pub(crate) fn telling(self, sessions: Arc<SessionSeal>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// The ring as it is now, to the one caller who asks first after it was changed; the sessions of the same store are
    /// sealed under its newest key from then on. Ask every few seconds: as long as nothing has changed, this is one look
    /// at one number.
    ///
    /// # Errors
    /// [`KeyRingError`]: the ring could not be looked at, or does not open. It is tried again the next time.
    pub async fn changed(&self) -> Result<Option<KeyRing>, KeyRingError> {
        let version = self.store.version().await.map_err(KeyRingError::Store)?;
        if version == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(None);
        }
        let ring = load_ring(&*self.store, &self.master).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen >= version {
            return Ok(None);
        }
        *seen = version;
        if let Some(sessions) = &self.sessions {
            sessions.take_up(&ring);
        }
        Ok(Some(ring))
    }
}

impl fmt::Debug for RingWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingWatch").field("seen", &self.seen).finish_non_exhaustive()
    }
}
