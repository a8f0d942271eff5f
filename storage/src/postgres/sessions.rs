//! Sessions at people's servers.

use std::fmt;
use std::sync::Arc;

use tokio_postgres::Row;
use vestibule_atproto_identity::login::{Lease, Leased, Replaced, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{PostgresStore, secs};
use crate::columns::{SealedSession, to_column, to_number};
use crate::key_ring::KeyRing;
use crate::master_secret::MasterSecret;
use crate::session_seal::{SessionSeal, Unreadable};

/// Sessions at people's servers, in a PostgreSQL database, sealed under the key ring of that database.
///
/// Each session is sealed again, under the newest key, whenever its tokens are replaced.
pub struct PostgresSessions {
    store: PostgresStore,
    seal: Arc<SessionSeal>,
}

impl PostgresSessions {
    /// The sessions of `store`, under its key ring as it is in use at `now`, which is loaded again with `master` when another node has
    /// sealed under a newer key.
    pub fn new(store: PostgresStore, master: MasterSecret, ring: &KeyRing, now: UnixTime) -> Self {
        let seal = Arc::new(SessionSeal::new(Arc::new(store.clone()), master, ring, now));
        Self { store, seal }
    }

    pub(crate) fn seal(&self) -> Arc<SessionSeal> {
        self.seal.clone()
    }

    async fn sealed(&self, key: &SessionKey) -> Result<Option<Vec<u8>>, StoreUnavailable> {
        let sql = "SELECT sealed FROM sessions WHERE did = $1 AND id = $2";
        let row = self.store.connections.row(sql, &[&key.did().as_str(), &key.id().as_str()]).await?;
        row.map(|row| self.store.connections.column(&row, 0)).transpose()
    }

    /// What was read from a row, with the keys as they are now if those at hand do not open it.
    async fn opened(&self, key: &SessionKey, sealed: &[u8]) -> Result<SessionRecord, StoreUnavailable> {
        let opened = match self.seal.keys().open(key, sealed) {
            Err(Unreadable::Closed) => self.seal.renewed_keys().await?.open(key, sealed),
            opened => opened,
        };
        opened.map_err(|why| self.unreadable(key, why))
    }

    /// Takes the lease if nobody holds it, and gives its number and the session.
    async fn take_lease(&self, key: &SessionKey, now: UnixTime) -> Result<Option<Row>, StoreUnavailable> {
        // Held, as `Lease::is_held` says: until a time to come, which is not further off than a clock may be wrong.
        let furthest = now.after(Lease::LENGTH.saturating_mul(2));
        let until = now.after(Lease::LENGTH);
        let sql = "UPDATE sessions SET lease_until = $4, fence = fence + 1
             WHERE did = $1 AND id = $2
             AND (lease_until IS NULL OR NOT ($3 < lease_until AND lease_until <= $5))
             RETURNING fence, sealed";
        let (did, id) = (key.did().as_str(), key.id().as_str());
        self.store.connections.row(sql, &[&did, &id, &secs(now), &secs(until), &secs(furthest)]).await
    }

    async fn is_there(&self, key: &SessionKey) -> Result<bool, StoreUnavailable> {
        let sql = "SELECT 1 FROM sessions WHERE did = $1 AND id = $2";
        let row = self.store.connections.row(sql, &[&key.did().as_str(), &key.id().as_str()]).await?;
        Ok(row.is_some())
    }

    fn unreadable(&self, key: &SessionKey, why: Unreadable) -> StoreUnavailable {
        self.store.unavailable(format_args!("the session {key} {why}"))
    }
}

impl fmt::Debug for PostgresSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSessions").field("store", &self.store).finish_non_exhaustive()
    }
}

impl SessionStore for PostgresSessions {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let row = SealedSession::of(session, &self.seal.keys())?;
            let (did, id) = (session.key.did().as_str(), session.key.id().as_str());
            let sql =
                "INSERT INTO sessions (did, id, generation, created_at, refreshed_at, client_kid, sealed)
                 VALUES ($1, $2, $3, $4, $4, $5, $6)";
            self.store
                .connections
                .rows(sql, &[&did, &id, &row.generation, &row.issued_at, &row.client_kid, &row.sealed])
                .await?;
            Ok(())
        })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            match self.sealed(key).await? {
                Some(sealed) => self.opened(key, &sealed).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn lease<'a>(
        &'a self,
        key: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>> {
        Box::pin(async move {
            let Some(row) = self.take_lease(key, now).await? else {
                return Ok(if self.is_there(key).await? { Leased::Held } else { Leased::Missing });
            };
            let fence: i64 = self.store.connections.column(&row, 0)?;
            let sealed: Vec<u8> = self.store.connections.column(&row, 1)?;
            let lease = Lease::new(key.clone(), to_number(fence));
            match self.opened(key, &sealed).await {
                Ok(session) => Ok(Leased::Taken(lease, Box::new(session))),
                // Of what cannot be read nobody has the lease.
                Err(error) => self.release(&lease).await.and(Err(error)),
            }
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let (did, id) = (lease.key.did().as_str(), lease.key.id().as_str());
            let sql = "UPDATE sessions SET lease_until = NULL
                 WHERE did = $1 AND id = $2 AND fence = $3 AND lease_until IS NOT NULL";
            self.store.connections.rows(sql, &[&did, &id, &to_column(lease.fence)]).await?;
            Ok(())
        })
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            let row = SealedSession::of(session, &self.seal.keys())?;
            let (did, id) = (session.key.did().as_str(), session.key.id().as_str());
            let sql = "UPDATE sessions SET generation = $3, refreshed_at = $4, client_kid = $5, sealed = $6,
                     lease_until = NULL
                 WHERE did = $1 AND id = $2 AND generation = $3::bigint - 1 RETURNING 1";
            let replaced = self
                .store
                .connections
                .row(sql, &[&did, &id, &row.generation, &row.issued_at, &row.client_kid, &row.sealed])
                .await?;
            if replaced.is_some() {
                return Ok(Replaced::Replaced);
            }
            let there = self.is_there(&session.key).await?;
            Ok(if there { Replaced::Superseded } else { Replaced::Missing })
        })
    }

    /// Opens the row and then deletes it if it is still the same: what cannot be read stays.
    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            while let Some(sealed) = self.sealed(key).await? {
                let session = self.opened(key, &sealed).await?;
                let (did, id) = (key.did().as_str(), key.id().as_str());
                let sql = "DELETE FROM sessions WHERE did = $1 AND id = $2 AND sealed = $3 RETURNING 1";
                if self.store.connections.row(sql, &[&did, &id, &sealed]).await?.is_some() {
                    return Ok(Some(session));
                }
            }
            Ok(None)
        })
    }
}
