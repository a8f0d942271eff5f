//! Sessions at people's servers.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_atproto_identity::login::{Lease, Leased, Replaced, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::SqliteStore;
use crate::columns::{SealedSession, to_column, to_number, to_time};
use crate::key_ring::KeyRing;
use crate::master_secret::MasterSecret;
use crate::session_seal::{SessionKeys, SessionSeal, Unreadable};

/// Sessions at people's servers, in an SQLite file, sealed under the key ring of that file.
///
/// Each session is sealed again, under the newest key, whenever its tokens are replaced.
pub struct SqliteSessions {
    store: SqliteStore,
    seal: Arc<SessionSeal>,
}

impl SqliteSessions {
    /// The sessions of `store`, under its key ring as it is in use at `now`, which is loaded again with `master` when another process has sealed
    /// under a newer key.
    pub fn new(store: SqliteStore, master: MasterSecret, ring: &KeyRing, now: UnixTime) -> Self {
        let seal = Arc::new(SessionSeal::new(Arc::new(store.clone()), master, ring, now));
        Self { store, seal }
    }

    pub(crate) fn seal(&self) -> Arc<SessionSeal> {
        self.seal.clone()
    }

    async fn sealed(&self, key: &SessionKey) -> Result<Option<Vec<u8>>, StoreUnavailable> {
        let key = key.clone();
        self.store.writer.read(move |connection| select(connection, &key)).await
    }

    /// Opens the row and then deletes it, under one lock: what cannot be read stays.
    async fn take_out(
        &self,
        key: &SessionKey,
        keys: SessionKeys,
    ) -> Result<Option<Result<SessionRecord, Unreadable>>, StoreUnavailable> {
        let key = key.clone();
        let act = move |connection: &Connection| {
            let Some(sealed) = select(connection, &key)? else { return Ok(None) };
            let opened = keys.open(&key, &sealed);
            if opened.is_ok() {
                connection
                    .prepare_cached("DELETE FROM sessions WHERE did = ? AND id = ?")?
                    .execute(params![key.did().as_str(), key.id().as_str()])?;
            }
            Ok(Some(opened))
        };
        self.store.writer.write(act).await
    }

    /// Opens the row and then takes its lease, under one lock: of what cannot be read no lease is taken.
    async fn take_lease(
        &self,
        key: &SessionKey,
        now: UnixTime,
        keys: SessionKeys,
    ) -> Result<Result<Leased, Unreadable>, StoreUnavailable> {
        let key = key.clone();
        let act = move |connection: &Connection| {
            let (did, id) = (key.did().as_str(), key.id().as_str());
            let row: Option<(Option<i64>, Vec<u8>)> = connection
                .prepare_cached("SELECT lease_until, sealed FROM sessions WHERE did = ? AND id = ?")?
                .query_row(params![did, id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((until, sealed)) = row else { return Ok(Ok(Leased::Missing)) };
            if until.is_some_and(|until| Lease::is_held(to_time(until), now)) {
                return Ok(Ok(Leased::Held));
            }
            let record = match keys.open(&key, &sealed) {
                Ok(record) => Box::new(record),
                Err(unreadable) => return Ok(Err(unreadable)),
            };
            let fence = connection
                .prepare_cached(
                    "UPDATE sessions SET lease_until = ?, fence = fence + 1 WHERE did = ? AND id = ?
                     RETURNING fence",
                )?
                .query_row(params![to_column(now.after(Lease::LENGTH).as_secs()), did, id], |row| {
                    row.get(0)
                })?;
            Ok(Ok(Leased::Taken(Lease::new(key, to_number(fence)), record)))
        };
        self.store.writer.write(act).await
    }

    fn unreadable(&self, key: &SessionKey, why: Unreadable) -> StoreUnavailable {
        self.store.unavailable(format_args!("the session {key} {why}"))
    }
}

impl fmt::Debug for SqliteSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessions").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

fn select(connection: &Connection, key: &SessionKey) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT sealed FROM sessions WHERE did = ? AND id = ?")?
        .query_row(params![key.did().as_str(), key.id().as_str()], |row| row.get(0))
        .optional()
}

fn is_there(connection: &Connection, key: &SessionKey) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM sessions WHERE did = ? AND id = ?")?
        .exists(params![key.did().as_str(), key.id().as_str()])
}

impl SessionStore for SqliteSessions {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let row = SealedSession::of(session, &self.seal.keys())?;
            let act = move |connection: &Connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO sessions (did, id, generation, created_at, refreshed_at, client_kid, sealed)
                         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        row.key.did().as_str(),
                        row.key.id().as_str(),
                        row.generation,
                        row.issued_at,
                        row.client_kid,
                        row.sealed
                    ])?;
                Ok(())
            };
            self.store.writer.write(act).await
        })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let Some(sealed) = self.sealed(key).await? else { return Ok(None) };
            let opened = match self.seal.keys().open(key, &sealed) {
                Err(Unreadable::Closed) => self.seal.renewed_keys().await?.open(key, &sealed),
                opened => opened,
            };
            opened.map(Some).map_err(|why| self.unreadable(key, why))
        })
    }

    fn lease<'a>(
        &'a self,
        key: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>> {
        Box::pin(async move {
            let leased = match self.take_lease(key, now, self.seal.keys()).await? {
                Err(Unreadable::Closed) => self.take_lease(key, now, self.seal.renewed_keys().await?).await?,
                leased => leased,
            };
            leased.map_err(|why| self.unreadable(key, why))
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        let (key, fence) = (lease.key.clone(), to_column(lease.fence));
        Box::pin(self.store.writer.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE sessions SET lease_until = NULL
                     WHERE did = ? AND id = ? AND fence = ? AND lease_until IS NOT NULL",
                )?
                .execute(params![key.did().as_str(), key.id().as_str(), fence])?;
            Ok(())
        }))
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            let row = SealedSession::of(session, &self.seal.keys())?;
            let act = move |connection: &Connection| {
                let replaced = connection
                    .prepare_cached(
                        "UPDATE sessions SET generation = ?3, refreshed_at = ?4, client_kid = ?5, sealed = ?6,
                             lease_until = NULL
                         WHERE did = ?1 AND id = ?2 AND generation = ?3 - 1",
                    )?
                    .execute(params![
                        row.key.did().as_str(),
                        row.key.id().as_str(),
                        row.generation,
                        row.issued_at,
                        row.client_kid,
                        row.sealed
                    ])?;
                if replaced == 1 {
                    return Ok(Replaced::Replaced);
                }
                let there = is_there(connection, &row.key)?;
                Ok(if there { Replaced::Superseded } else { Replaced::Missing })
            };
            self.store.writer.write(act).await
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let removed = match self.take_out(key, self.seal.keys()).await? {
                Some(Err(Unreadable::Closed)) => self.take_out(key, self.seal.renewed_keys().await?).await?,
                removed => removed,
            };
            removed.transpose().map_err(|why| self.unreadable(key, why))
        })
    }
}
