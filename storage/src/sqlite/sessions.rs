//! Sessions at people's servers.

use std::fmt;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use vestibule_atproto_identity::login::{Replaced, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::{BoxFuture, Secret, StoreUnavailable};

use super::{SqliteStore, to_column};
use crate::key_ring::KeyRing;
use crate::master_secret::MasterSecret;
use crate::session_seal::{SessionKeys, SessionSeal};

/// Sessions at people's servers, in an SQLite file, sealed under the key ring of that file.
///
/// Each session is sealed again, under the newest key, whenever its tokens are replaced.
pub struct SqliteSessions {
    store: SqliteStore,
    seal: SessionSeal,
}

impl SqliteSessions {
    /// The sessions of `store`, under its key ring, which is loaded again with `master` when another process has sealed
    /// under a newer key.
    pub fn new(store: SqliteStore, master: MasterSecret, ring: &KeyRing) -> Self {
        let seal = SessionSeal::new(Arc::new(store.clone()), master, ring);
        Self { store, seal }
    }

    async fn select(&self, key: &SessionKey) -> Result<Option<SessionRecord>, StoreUnavailable> {
        let (did, id) = columns(key);
        let sealed: Option<Vec<u8>> = self
            .store
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT sealed FROM sessions WHERE did = ? AND id = ?")?
                    .query_row(params![did, id], |row| row.get(0))
                    .optional()
            })
            .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let octets = match self.seal.keys().open(key, &sealed) {
            Some(octets) => octets,
            None => {
                let opened = self.seal.renewed_keys().await?.open(key, &sealed);
                opened.ok_or_else(|| self.unreadable(key))?
            }
        };
        self.record(&octets).map(Some)
    }

    /// Opens the row and then deletes it, under one lock: what cannot be opened stays.
    async fn delete(&self, key: &SessionKey, keys: SessionKeys) -> Result<Removal, StoreUnavailable> {
        let (did, id) = columns(key);
        let key = key.clone();
        let act = move |connection: &rusqlite::Connection| {
            let sealed: Option<Vec<u8>> = connection
                .prepare_cached("SELECT sealed FROM sessions WHERE did = ? AND id = ?")?
                .query_row(params![did, id], |row| row.get(0))
                .optional()?;
            let Some(sealed) = sealed else { return Ok(Removal::Missing) };
            let Some(octets) = keys.open(&key, &sealed) else { return Ok(Removal::Unreadable) };
            connection
                .prepare_cached("DELETE FROM sessions WHERE did = ? AND id = ?")?
                .execute(params![did, id])?;
            Ok(Removal::Done(octets))
        };
        self.store.writer.write(act).await
    }

    fn record(&self, octets: &Secret<Vec<u8>>) -> Result<SessionRecord, StoreUnavailable> {
        SessionRecord::from_octets(octets.expose()).map_err(|error| self.store.unavailable(error))
    }

    fn unreadable(&self, key: &SessionKey) -> StoreUnavailable {
        let why = "does not open with any key of the ring, or was changed";
        self.store.unavailable(format_args!("the session {key} {why}"))
    }
}

enum Removal {
    Done(Secret<Vec<u8>>),
    Missing,
    Unreadable,
}

fn columns(key: &SessionKey) -> (String, String) {
    (key.did().to_string(), key.id().to_string())
}

impl fmt::Debug for SqliteSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessions").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

impl SessionStore for SqliteSessions {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let sealed = self.seal.keys().seal(session)?;
            let (did, id) = columns(&session.key);
            let generation = to_column(session.generation);
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached("INSERT INTO sessions (did, id, generation, sealed) VALUES (?, ?, ?, ?)")?
                    .execute(params![did, id, generation, sealed])?;
                Ok(())
            };
            self.store.writer.write(act).await
        })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(self.select(key))
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            let sealed = self.seal.keys().seal(session)?;
            let (did, id) = columns(&session.key);
            let generation = to_column(session.generation);
            let act = move |connection: &rusqlite::Connection| {
                let replaced = connection
                    .prepare_cached(
                        "UPDATE sessions SET generation = ?1, sealed = ?2
                         WHERE did = ?3 AND id = ?4 AND generation = ?1 - 1",
                    )?
                    .execute(params![generation, sealed, did, id])?;
                if replaced == 1 {
                    return Ok(Replaced::Replaced);
                }
                let is_there = connection
                    .prepare_cached("SELECT 1 FROM sessions WHERE did = ? AND id = ?")?
                    .exists(params![did, id])?;
                Ok(if is_there { Replaced::Superseded } else { Replaced::Missing })
            };
            self.store.writer.write(act).await
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let mut removal = self.delete(key, self.seal.keys()).await?;
            if matches!(removal, Removal::Unreadable) {
                removal = self.delete(key, self.seal.renewed_keys().await?).await?;
            }
            match removal {
                Removal::Done(octets) => self.record(&octets).map(Some),
                Removal::Missing => Ok(None),
                Removal::Unreadable => Err(self.unreadable(key)),
            }
        })
    }
}
