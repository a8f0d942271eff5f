//! Sessions are sealed before a store that outlives the process sees them.

use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use vestibule_atproto_identity::login::{SessionKey, SessionRecord};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{StoreUnavailable, UnixTime};

use crate::key_ring::{KeyRing, KeyRingStore, load_ring};
use crate::master_secret::MasterSecret;
use crate::{entropy, limits};

/// Seals and opens sessions under the key ring, and loads the ring again when another node has sealed under a newer key.
pub(crate) struct SessionSeal {
    ring: Arc<dyn KeyRingStore>,
    master: MasterSecret,
    keys: Mutex<SessionKeys>,
}

/// The keys of the ring that belong to sessions.
#[derive(Clone)]
pub(crate) struct SessionKeys {
    keys: Arc<SealKeys>,
    /// For which time it was decided which of them seals.
    decided_at: UnixTime,
}

/// Why a sealed session cannot be read.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum Unreadable {
    /// No key opens it in this place.
    #[error("does not open with any key of the ring, or was changed")]
    Closed,
    /// It opens, and another version wrote it.
    #[error("cannot be read by this version")]
    OtherForm,
}

impl SessionSeal {
    pub(crate) fn new(
        ring_store: Arc<dyn KeyRingStore>,
        master: MasterSecret,
        ring: &KeyRing,
        now: UnixTime,
    ) -> Self {
        Self { ring: ring_store, master, keys: Mutex::new(SessionKeys::of(ring, now)) }
    }

    pub(crate) fn keys(&self) -> SessionKeys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals with the key of this ring that is in use at `now` from here on.
    pub(crate) fn take_up(&self, ring: &KeyRing, now: UnixTime) -> SessionKeys {
        let keys = SessionKeys::of(ring, now);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        keys
    }

    /// The keys as the ring has them now. Which of them seals is decided again when the ring is looked at the next time.
    pub(crate) async fn renewed_keys(&self) -> Result<SessionKeys, StoreUnavailable> {
        let ring = load_ring(&*self.ring, &self.master).await;
        let ring = ring.map_err(|error| StoreUnavailable::new(error.to_string()))?;
        let decided_at = self.keys().decided_at;
        Ok(self.take_up(&ring, decided_at))
    }
}

impl SessionKeys {
    fn of(ring: &KeyRing, now: UnixTime) -> Self {
        Self { keys: Arc::new(ring.seal_keys(now).for_purpose("session")), decided_at: now }
    }

    pub(crate) fn seal(&self, session: &SessionRecord) -> Result<Vec<u8>, StoreUnavailable> {
        let octets = session.to_octets().map_err(|error| StoreUnavailable::new(error.to_string()))?;
        limits::session(&octets)?;
        let sealed = self.keys.seal(&octets, &place(&session.key), entropy::draw()?);
        sealed.map_err(|error| StoreUnavailable::new(error.to_string()))
    }

    /// The session of this name.
    pub(crate) fn open(&self, key: &SessionKey, sealed: &[u8]) -> Result<SessionRecord, Unreadable> {
        let octets = self.keys.open(sealed, &place(key)).map_err(|_| Unreadable::Closed)?;
        SessionRecord::from_octets(octets.expose()).map_err(|_| Unreadable::OtherForm)
    }
}

fn place(key: &SessionKey) -> Vec<u8> {
    format!("{}|{}", key.did(), key.id()).into_bytes()
}
