//! A server that runs notices when another process has changed the key ring.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vestibule_oauth_core::UnixTime;

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
/// assert!(store.ring_watch.changed(now).await?.is_none());
///
/// let id = rotate_ring_key(&*store.key_ring, &master, KeyPurpose::Seal, [8; 32], now).await?;
/// let ring = store.ring_watch.changed(now).await?.unwrap();
/// assert_ne!(ring.in_use(KeyPurpose::Seal, now)[0].id(), id); // opened with, and not sealed with yet
/// assert!(store.ring_watch.changed(now).await?.is_none());
///
/// let later = now.after(vestibule_storage::TAKEN_UP_WITHIN);
/// let ring = store.ring_watch.changed(later).await?.unwrap();
/// assert_eq!(ring.in_use(KeyPurpose::Seal, later)[0].id(), id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct RingWatch {
    store: Arc<dyn KeyRingStore>,
    master: MasterSecret,
    /// Where sessions are sealed, if they are.
    sessions: Option<Arc<SessionSeal>>,
    seen: Mutex<Seen>,
}

/// The ring as it was looked at the last time.
struct Seen {
    version: u64,
    ring: KeyRing,
    in_use: Vec<String>,
}

impl RingWatch {
    /// Watches a ring, and begins with the ring as it is now.
    pub(crate) async fn start(
        store: Arc<dyn KeyRingStore>,
        master: MasterSecret,
        now: UnixTime,
    ) -> Result<(Self, KeyRing), KeyRingError> {
        // The number first: what changes in between is seen the next time.
        let version = store.version().await.map_err(KeyRingError::Store)?;
        let ring = load_ring(&*store, &master).await?;
        let seen = Seen { version, ring: ring.clone(), in_use: ring.names_in_use(now) };
        Ok((Self { store, master, sessions: None, seen: Mutex::new(seen) }, ring))
    }

    /// Tells these, too, when the ring has changed.
    pub(crate) fn telling(self, sessions: Arc<SessionSeal>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// The ring as it is now, to the one caller who asks first after it was changed, or after one of its keys has come into use; the
    /// sessions of the same store are sealed under the one in use from then on. Ask every few seconds: as long as nothing has changed, this
    /// is one look at one number.
    ///
    /// # Errors
    /// [`KeyRingError`]: the ring could not be looked at, or does not open. It is tried again the next time.
    pub async fn changed(&self, now: UnixTime) -> Result<Option<KeyRing>, KeyRingError> {
        let version = self.store.version().await.map_err(KeyRingError::Store)?;
        let known = self.seen().version;
        let newer = if version == known { None } else { Some(load_ring(&*self.store, &self.master).await?) };
        let mut seen = self.seen();
        if let Some(ring) = newer
            && seen.version < version
        {
            let in_use = ring.names_in_use(now);
            *seen = Seen { version, ring, in_use };
        } else {
            let in_use = seen.ring.names_in_use(now);
            if in_use == seen.in_use {
                return Ok(None);
            }
            seen.in_use = in_use;
        }
        if let Some(sessions) = &self.sessions {
            sessions.take_up(&seen.ring, now);
        }
        Ok(Some(seen.ring.clone()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RingWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingWatch").field("seen", &self.seen().version).finish_non_exhaustive()
    }
}
