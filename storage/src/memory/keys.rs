//! The key ring, sealed.

use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::{MemoryStore, full, lock, taken};
use crate::key_ring::{ClientKeyUses, KeyPurpose, KeyRingStore, Retired, SealedKey};

/// Keys in the order they were added in.
#[derive(Default, Debug)]
pub(super) struct Keys {
    all: Vec<SealedKey>,
    version: u64,
}

impl Keys {
    fn push(&mut self, key: SealedKey) {
        self.all.push(key);
        self.version += 1;
    }

    fn remove(&mut self, id: &str) {
        self.all.retain(|key| key.id != id);
        self.version += 1;
    }

    fn newest_first(&self) -> Vec<SealedKey> {
        self.all.iter().rev().cloned().collect()
    }

    /// The purpose of this key, and whether it is the newest of it.
    fn place(&self, id: &str) -> Option<(&str, bool)> {
        let purpose = self.all.iter().find(|key| key.id == id)?.purpose.as_str();
        let newest = self.all.iter().rfind(|key| key.purpose == purpose)?;
        Some((purpose, newest.id == id))
    }
}

impl KeyRingStore for MemoryStore {
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move { Ok(lock(&self.keys).newest_first()) })
    }

    fn add<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            if keys.place(&key.id).is_some() {
                taken("key")
            } else if keys.all.len() >= self.limits.keys {
                full("keys")
            } else {
                keys.push(key);
                Ok(())
            }
        })
    }

    fn reseal<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<bool, StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            let Some(known) = keys.all.iter_mut().find(|known| known.id == key.id) else { return Ok(false) };
            known.sealed = key.sealed;
            keys.version += 1;
            Ok(true)
        })
    }

    fn begin<'a>(&'a self, first: Vec<SealedKey>) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            for key in first {
                if keys.all.iter().all(|there| there.purpose != key.purpose) {
                    keys.push(key);
                }
            }
            Ok(keys.newest_first())
        })
    }

    fn retire<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Retired, StoreUnavailable>> {
        Box::pin(async move {
            // Both locks, in the order in which everybody takes them: no session comes in between.
            let sessions = lock(&self.sessions);
            let mut keys = lock(&self.keys);
            let is_sign = match keys.place(id) {
                None => return Ok(Retired::Missing),
                Some((_, true)) => return Ok(Retired::InUse),
                Some((purpose, false)) => purpose == KeyPurpose::Sign.as_str(),
            };
            match if is_sign { sessions.client_keys().of(id) } else { 0 } {
                0 => {
                    keys.remove(id);
                    Ok(Retired::Retired)
                }
                needed => Ok(Retired::Needed(needed)),
            }
        })
    }

    fn version<'a>(&'a self) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move { Ok(lock(&self.keys).version) })
    }

    fn sessions_by_client_key<'a>(&'a self) -> BoxFuture<'a, Result<ClientKeyUses, StoreUnavailable>> {
        Box::pin(async move { Ok(lock(&self.sessions).client_keys()) })
    }
}
