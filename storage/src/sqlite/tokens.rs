//! Access tokens, and what is good once.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{AccessToken, GrantId, Once, Revoked, TokenHash, TokenPut};

use super::SqliteStore;
use crate::columns::to_column;
use crate::limits::ONCE;
use crate::record;

/// An access token about to be put in, its record written already.
pub(super) struct NewAccess {
    hash: TokenHash,
    grant: Option<GrantId>,
    record: String,
    expires_at: i64,
}

impl NewAccess {
    pub(super) fn of(token: &AccessToken) -> Result<Self, StoreUnavailable> {
        Ok(Self {
            hash: token.hash,
            grant: token.facts.grant,
            record: record::written(token)?,
            expires_at: to_column(token.facts.expires_at.as_secs()),
        })
    }

    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO access_tokens (hash, grant_id, record, expires_at) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                self.hash.as_octets(),
                self.grant.as_ref().map(GrantId::as_octets),
                self.record,
                self.expires_at,
            ])?;
        Ok(())
    }
}

impl SqliteStore {
    pub(super) async fn put_access(&self, token: Arc<AccessToken>) -> Result<TokenPut, StoreUnavailable> {
        let new = NewAccess::of(&token)?;
        self.writer
            .write(move |connection| {
                if let Some(grant) = &new.grant {
                    let lives = connection
                        .prepare_cached("SELECT 1 FROM grants WHERE id = ? AND ended IS NULL")?
                        .exists(params![grant.as_octets()])?;
                    if !lives {
                        return Ok(TokenPut::GrantEnded);
                    }
                }
                new.put(connection)?;
                Ok(TokenPut::Kept)
            })
            .await
    }

    pub(super) async fn load_access(
        &self,
        name: TokenHash,
    ) -> Result<Option<Arc<AccessToken>>, StoreUnavailable> {
        let record: Option<String> = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT t.record FROM access_tokens AS t WHERE hash = ? AND NOT EXISTS
                         (SELECT 1 FROM grants WHERE grants.id = t.grant_id AND ended IS NOT NULL)",
                    )?
                    .query_row(params![name.as_octets()], |row| row.get(0))
                    .optional()
            })
            .await?;
        record.map(|record| self.read_record(&record).map(Arc::new)).transpose()
    }

    pub(super) async fn revoke_access(
        &self,
        name: TokenHash,
        until: UnixTime,
    ) -> Result<(), StoreUnavailable> {
        self.writer
            .write(move |connection| {
                let removed = connection
                    .prepare_cached("DELETE FROM access_tokens WHERE hash = ?")?
                    .execute(params![name.as_octets()])?;
                if removed == 0 {
                    connection
                        .prepare_cached(
                            "INSERT OR REPLACE INTO revoked_tokens (hash, expires_at) VALUES (?, ?)",
                        )?
                        .execute(params![name.as_octets(), to_column(until.as_secs())])?;
                }
                Ok(())
            })
            .await
    }

    pub(super) async fn was_revoked(&self, name: TokenHash) -> Result<Revoked, StoreUnavailable> {
        let is_there = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT 1 FROM revoked_tokens WHERE hash = ?")?
                    .exists(params![name.as_octets()])
            })
            .await?;
        Ok(if is_there { Revoked::Yes } else { Revoked::No })
    }

    pub(super) async fn once(
        &self,
        key: [u8; 32],
        until: UnixTime,
        now: UnixTime,
    ) -> Result<Once, StoreUnavailable> {
        self.writer
            .write(move |connection| {
                let (until, now) = (to_column(until.as_secs()), to_column(now.as_secs()));
                let known = connection
                    .prepare_cached("SELECT 1 FROM once WHERE key = ? AND expires_at >= ?")?
                    .exists(params![key, now])?;
                if known {
                    return Ok(Once::Seen);
                }
                let rows: i64 = connection
                    .prepare_cached("SELECT rows FROM counts WHERE name = 'once'")?
                    .query_row([], |row| row.get(0))?;
                if rows >= ONCE as i64 {
                    return Ok(Once::Full);
                }
                connection
                    .prepare_cached(
                        "INSERT INTO once (key, expires_at) VALUES (?, ?)
                         ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at",
                    )?
                    .execute(params![key, until])?;
                Ok(Once::Fresh)
            })
            .await
    }
}
