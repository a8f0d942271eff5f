//! Grants, and the refresh tokens that go on with them.

use rusqlite::{Connection, OptionalExtension, Row, params};
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    EndReason, Grant, GrantId, Issuance, RefreshToken, Replaced, Rotated, Rotation, SealedSuccessor,
    StoredGrant, StoredRefreshToken, TokenHash,
};

use super::SqliteStore;
use super::tokens::NewAccess;
use crate::columns::{to_column, to_time};
use crate::record;

/// A grant about to begin, its records written already: what happens under the lock of the file is short.
pub(super) struct NewGrant {
    grant: Grant,
    record: String,
    refresh: Option<RefreshToken>,
    access: Option<NewAccess>,
}

impl NewGrant {
    pub(super) fn of(issuance: Issuance) -> Result<Self, StoreUnavailable> {
        let Issuance { grant, refresh, access } = issuance;
        let record = record::written(&grant)?;
        Ok(Self { grant, record, refresh, access: access.as_deref().map(NewAccess::of).transpose()? })
    }

    pub(super) fn expires_at(&self) -> i64 {
        to_column(self.grant.expires_at.as_secs())
    }

    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO grants (id, client, subject, context, record, created_at, expires_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.grant.id.as_octets(),
                self.grant.client.as_str(),
                self.grant.subject,
                self.grant.context,
                self.record,
                to_column(self.grant.created_at.as_secs()),
                self.expires_at(),
            ])?;
        if let Some(token) = &self.refresh {
            put_refresh(connection, token, self.expires_at())?;
        }
        self.access.as_ref().map_or(Ok(()), |access| access.put(connection))
    }
}

fn put_refresh(connection: &Connection, token: &RefreshToken, keep_until: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO refresh_tokens (hash, grant_id, issued_at, expires_at, keep_until) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            token.hash.as_octets(),
            token.grant.as_octets(),
            to_column(token.issued_at.as_secs()),
            to_column(token.expires_at.as_secs()),
            keep_until,
        ])?;
    Ok(())
}

/// An id out of its column.
pub(super) fn grant_id(octets: &[u8]) -> rusqlite::Result<GrantId> {
    let octets = <[u8; 16]>::try_from(octets).map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(GrantId::from_entropy(octets))
}

/// How a token was replaced, as the [`REPLACED`] columns say, which are the first of the row.
fn replaced(row: &Row<'_>) -> rusqlite::Result<Option<Replaced>> {
    let (Some(at), Some(successor), Some(sealed)) = (row.get(0)?, row.get(1)?, row.get(2)?) else {
        return Ok(None);
    };
    Ok(Some(Replaced {
        at: to_time(at),
        successor: TokenHash::from_octets(successor),
        sealed: SealedSuccessor::from_octets(sealed),
        successor_used: row.get(3)?,
    }))
}

/// How a token `t` was replaced, and whether its successor was replaced in turn.
const REPLACED: &str = "t.replaced_at, t.successor, t.sealed,
     EXISTS (SELECT 1 FROM refresh_tokens AS next WHERE next.hash = t.successor AND next.replaced_at IS NOT NULL)";

impl SqliteStore {
    pub(super) async fn load_refresh(
        &self,
        name: TokenHash,
    ) -> Result<Option<StoredRefreshToken>, StoreUnavailable> {
        type Columns = (i64, i64, Option<Replaced>, String, Option<String>);
        let row: Option<Columns> = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT {REPLACED}, t.issued_at, t.expires_at, record, ended
                         FROM refresh_tokens AS t JOIN grants ON grants.id = t.grant_id WHERE t.hash = ?"
                    ))?
                    .query_row(params![name.as_octets()], |row| {
                        Ok((row.get(4)?, row.get(5)?, replaced(row)?, row.get(6)?, row.get(7)?))
                    })
                    .optional()
            })
            .await?;
        let Some((issued_at, expires_at, replaced, record, ended)) = row else { return Ok(None) };
        let grant: Grant = self.read_record(&record)?;
        let token = RefreshToken::new(name, grant.id, to_time(issued_at), to_time(expires_at));
        Ok(Some(StoredRefreshToken { token, grant, replaced, ended: self.read_reason(ended.as_deref())? }))
    }

    pub(super) async fn rotate(&self, rotation: Rotation) -> Result<Rotated, StoreUnavailable> {
        let access = rotation.access.as_deref().map(NewAccess::of).transpose()?;
        self.writer
            .write(move |connection| {
                let kept: Option<i64> = connection
                    .prepare_cached(
                        "UPDATE refresh_tokens SET replaced_at = ?2, successor = ?3, sealed = ?4
                         WHERE hash = ?1 AND replaced_at IS NULL
                         AND EXISTS (SELECT 1 FROM grants WHERE id = grant_id AND ended IS NULL)
                         RETURNING keep_until",
                    )?
                    .query_row(
                        params![
                            rotation.old.as_octets(),
                            to_column(rotation.now.as_secs()),
                            rotation.next.hash.as_octets(),
                            rotation.sealed.as_octets(),
                        ],
                        |row| row.get(0),
                    )
                    .optional()?;
                if let Some(keep_until) = kept {
                    put_refresh(connection, &rotation.next, keep_until)?;
                    if let Some(access) = &access {
                        access.put(connection)?;
                    }
                    return Ok(Rotated::Rotated);
                }
                let before = connection
                    .prepare_cached(&format!(
                        "SELECT {REPLACED} FROM refresh_tokens AS t
                         JOIN grants ON grants.id = t.grant_id WHERE t.hash = ? AND ended IS NULL"
                    ))?
                    .query_row(params![rotation.old.as_octets()], replaced)
                    .optional()?;
                Ok(before.flatten().map_or(Rotated::Missing, Rotated::Reused))
            })
            .await
    }

    pub(super) async fn load_grant(&self, id: GrantId) -> Result<Option<StoredGrant>, StoreUnavailable> {
        let row: Option<(String, Option<String>)> = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT record, ended FROM grants WHERE id = ?")?
                    .query_row(params![id.as_octets()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .await?;
        let Some((record, ended)) = row else { return Ok(None) };
        Ok(Some(StoredGrant {
            grant: self.read_record(&record)?,
            ended: self.read_reason(ended.as_deref())?,
        }))
    }

    pub(super) async fn end_one(
        &self,
        id: GrantId,
        reason: EndReason,
        now: UnixTime,
    ) -> Result<Option<Grant>, StoreUnavailable> {
        let record: Option<String> = self
            .writer
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE grants SET ended = ?2, ended_at = ?3 WHERE id = ?1 AND ended IS NULL RETURNING record",
                    )?
                    .query_row(
                        params![id.as_octets(), reason.as_str(), to_column(now.as_secs())],
                        |row| row.get(0),
                    )
                    .optional()
            })
            .await?;
        record.map(|record| self.read_record(&record)).transpose()
    }

    pub(super) async fn live_grants(
        &self,
        subject: &str,
        now: UnixTime,
    ) -> Result<Vec<Grant>, StoreUnavailable> {
        let subject = subject.to_owned();
        let records: Vec<String> = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT record FROM grants WHERE subject = ? AND ended IS NULL AND expires_at > ?
                         ORDER BY created_at DESC, id",
                    )?
                    .query_map(params![subject, to_column(now.as_secs())], |row| row.get(0))?
                    .collect()
            })
            .await?;
        records.iter().map(|record| self.read_record(record)).collect()
    }

    pub(super) async fn end_all(
        &self,
        subject: &str,
        reason: EndReason,
        now: UnixTime,
    ) -> Result<Vec<Grant>, StoreUnavailable> {
        let subject = subject.to_owned();
        let (grants, codes): (Vec<String>, Vec<String>) = self
            .writer
            .write(move |connection| {
                let (reason, now) = (reason.as_str(), to_column(now.as_secs()));
                let grants = connection
                    .prepare_cached(
                        "UPDATE grants SET ended = ?2, ended_at = ?3
                         WHERE subject = ?1 AND ended IS NULL AND expires_at > ?3 RETURNING record",
                    )?
                    .query_map(params![subject, reason, now], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                let codes = connection
                    .prepare_cached(
                        "UPDATE codes SET ended = ?2 WHERE subject = ?1 AND redeemed_at IS NULL AND ended IS NULL
                         AND keep_until > ?3 RETURNING record",
                    )?
                    .query_map(params![subject, reason, now], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                connection
                    .prepare_cached("UPDATE devices SET state = 'denied' WHERE subject = ? AND state = 'approved'")?
                    .execute(params![subject])?;
                Ok((grants, codes))
            })
            .await?;
        let mut ended: Vec<Grant> = Vec::with_capacity(grants.len() + codes.len());
        for record in &grants {
            ended.push(self.read_record(record)?);
        }
        for record in &codes {
            ended.push(self.read_record::<vestibule_token_endpoint::Code>(record)?.grant);
        }
        Ok(ended)
    }
}

/// Ends every grant of a client that is taken away, and its codes.
pub(super) fn end_all_of_client(connection: &Connection, client: &str, now: i64) -> rusqlite::Result<()> {
    let reason = EndReason::ByOperator.as_str();
    // By hand and seldom: these look at every grant, and need no index for it.
    connection
        .prepare_cached("UPDATE grants SET ended = ?2, ended_at = ?3 WHERE client = ?1 AND ended IS NULL")?
        .execute(params![client, reason, now])?;
    connection
        .prepare_cached(
            "UPDATE codes SET ended = ?2
             WHERE redeemed_at IS NULL AND ended IS NULL AND record ->> '$.grant.client' = ?1",
        )?
        .execute(params![client, reason])?;
    Ok(())
}
