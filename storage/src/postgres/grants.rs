//! Grants, and the refresh tokens that go on with them.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    Code, EndReason, Grant, GrantId, Issuance, RefreshToken, Replaced, Rotated, Rotation, SealedSuccessor,
    StoredGrant, StoredRefreshToken, TokenHash,
};

use super::tokens::NewAccess;
use super::{PostgresStore, secs};
use crate::columns::to_time;
use crate::record;

/// A statement that spends something, as the one given does with the name `$1` at the time `$2`, and in the same breath puts in the grant
/// that begins with it, and its tokens: all of it or, if there was nothing to spend, nothing. The rest is what [`NewGrant::with`] gives.
macro_rules! begins_a_grant {
    ($spends:literal) => {
        concat!(
            "WITH spent AS (",
            $spends,
            "),
             begun AS (
                 INSERT INTO grants (id, client, subject, context, record, created_at, expires_at)
                 SELECT $3::bytea, $4::text, $5::text, $6::text, $7::text, $8::bigint, $9::bigint FROM spent
             ),
             refreshable AS (
                 INSERT INTO refresh_tokens (hash, grant_id, issued_at, expires_at, keep_until)
                 SELECT $10::bytea, $3::bytea, $11::bigint, $12::bigint, $9::bigint FROM spent
                 WHERE $10::bytea IS NOT NULL
             ),
             accessible AS (
                 INSERT INTO access_tokens (hash, grant_id, record, expires_at)
                 SELECT $13::bytea, $14::bytea, $15::text, $16::bigint FROM spent WHERE $13::bytea IS NOT NULL
             )
             SELECT 1 FROM spent"
        )
    };
}
pub(super) use begins_a_grant;

/// A grant about to begin, in columns.
pub(super) struct NewGrant<'a> {
    id: &'a [u8],
    client: &'a str,
    subject: &'a str,
    context: Option<&'a str>,
    record: String,
    created_at: i64,
    expires_at: i64,
    refresh: Option<&'a [u8]>,
    refresh_issued_at: Option<i64>,
    refresh_expires_at: Option<i64>,
    access: NewAccess<'a>,
}

impl<'a> NewGrant<'a> {
    pub(super) fn of(issuance: &'a Issuance) -> Result<Self, StoreUnavailable> {
        let (grant, refresh) = (&issuance.grant, issuance.refresh.as_ref());
        Ok(Self {
            id: grant.id.as_octets().as_slice(),
            client: grant.client.as_str(),
            subject: &grant.subject,
            context: grant.context.as_deref(),
            record: record::written(grant)?,
            created_at: secs(grant.created_at),
            expires_at: secs(grant.expires_at),
            refresh: refresh.map(|token| token.hash.as_octets().as_slice()),
            refresh_issued_at: refresh.map(|token| secs(token.issued_at)),
            refresh_expires_at: refresh.map(|token| secs(token.expires_at)),
            access: NewAccess::of(issuance.access.as_deref())?,
        })
    }

    /// What goes with a statement of [`begins_a_grant`]: the name of what is spent, and when.
    pub(super) fn with<'s>(&'s self, spent: &'s &[u8], at: &'s i64) -> [&'s (dyn ToSql + Sync); 16] {
        [
            spent,
            at,
            &self.id,
            &self.client,
            &self.subject,
            &self.context,
            &self.record,
            &self.created_at,
            &self.expires_at,
            &self.refresh,
            &self.refresh_issued_at,
            &self.refresh_expires_at,
            &self.access.hash,
            &self.access.grant,
            &self.access.record,
            &self.access.expires_at,
        ]
    }
}

/// How a token `t` was replaced, and whether its successor was replaced in turn: the first columns of a row.
macro_rules! replaced {
    () => {
        "t.replaced_at, t.successor, t.sealed,
         EXISTS (SELECT 1 FROM refresh_tokens AS next WHERE next.hash = t.successor AND next.replaced_at IS NOT NULL)"
    };
}

impl PostgresStore {
    /// A grant's name out of its column.
    pub(super) fn grant_id(&self, row: &Row, place: usize) -> Result<GrantId, StoreUnavailable> {
        let octets: &[u8] = self.connections.column(row, place)?;
        let octets = octets.try_into().map_err(|_| self.unavailable("a grant's name cannot be read"))?;
        Ok(GrantId::from_entropy(octets))
    }

    fn replaced(&self, row: &Row) -> Result<Option<Replaced>, StoreUnavailable> {
        let (at, successor): (Option<i64>, Option<&[u8]>) =
            (self.connections.column(row, 0)?, self.connections.column(row, 1)?);
        let sealed: Option<&[u8]> = self.connections.column(row, 2)?;
        let (Some(at), Some(successor), Some(sealed)) = (at, successor, sealed) else { return Ok(None) };
        let (Ok(successor), Ok(sealed)) = (successor.try_into(), sealed.try_into()) else {
            return Err(self.unavailable("a refresh token's successor cannot be read"));
        };
        Ok(Some(Replaced {
            at: to_time(at),
            successor: TokenHash::from_octets(successor),
            sealed: SealedSuccessor::from_octets(sealed),
            successor_used: self.connections.column(row, 3)?,
        }))
    }

    pub(super) async fn load_refresh(
        &self,
        name: TokenHash,
    ) -> Result<Option<StoredRefreshToken>, StoreUnavailable> {
        let sql = concat!(
            "SELECT ",
            replaced!(),
            ", t.issued_at, t.expires_at, record, ended
             FROM refresh_tokens AS t JOIN grants ON grants.id = t.grant_id WHERE t.hash = $1"
        );
        let Some(row) = self.connections.row(sql, &[&name.as_octets().as_slice()]).await? else {
            return Ok(None);
        };
        let (issued_at, expires_at): (i64, i64) =
            (self.connections.column(&row, 4)?, self.connections.column(&row, 5)?);
        let grant: Grant = self.record(&row, 6)?;
        let token = RefreshToken::new(name, grant.id, to_time(issued_at), to_time(expires_at));
        Ok(Some(StoredRefreshToken {
            token,
            grant,
            replaced: self.replaced(&row)?,
            ended: self.reason(&row, 7)?,
        }))
    }

    pub(super) async fn rotate(&self, rotation: Rotation) -> Result<Rotated, StoreUnavailable> {
        let access = NewAccess::of(rotation.access.as_deref())?;
        let sql = "WITH spent AS (
                 UPDATE refresh_tokens SET replaced_at = $2, successor = $3, sealed = $4
                 WHERE hash = $1 AND replaced_at IS NULL
                 AND EXISTS (SELECT 1 FROM grants WHERE id = grant_id AND ended IS NULL)
                 RETURNING keep_until
             ),
             refreshable AS (
                 INSERT INTO refresh_tokens (hash, grant_id, issued_at, expires_at, keep_until)
                 SELECT $3::bytea, $5::bytea, $6::bigint, $7::bigint, keep_until FROM spent
             ),
             accessible AS (
                 INSERT INTO access_tokens (hash, grant_id, record, expires_at)
                 SELECT $8::bytea, $9::bytea, $10::text, $11::bigint FROM spent WHERE $8::bytea IS NOT NULL
             )
             SELECT 1 FROM spent";
        let old = rotation.old.as_octets().as_slice();
        let rotated = self
            .connections
            .row(
                sql,
                &[
                    &old,
                    &secs(rotation.now),
                    &rotation.next.hash.as_octets().as_slice(),
                    &rotation.sealed.as_octets().as_slice(),
                    &rotation.next.grant.as_octets().as_slice(),
                    &secs(rotation.next.issued_at),
                    &secs(rotation.next.expires_at),
                    &access.hash,
                    &access.grant,
                    &access.record,
                    &access.expires_at,
                ],
            )
            .await?;
        if rotated.is_some() {
            return Ok(Rotated::Rotated);
        }
        let sql = concat!(
            "SELECT ",
            replaced!(),
            " FROM refresh_tokens AS t JOIN grants ON grants.id = t.grant_id WHERE t.hash = $1 AND ended IS NULL"
        );
        let before = self.connections.row(sql, &[&old]).await?;
        let before = before.map(|row| self.replaced(&row)).transpose()?;
        Ok(before.flatten().map_or(Rotated::Missing, Rotated::Reused))
    }

    pub(super) async fn load_grant(&self, id: GrantId) -> Result<Option<StoredGrant>, StoreUnavailable> {
        let sql = "SELECT record, ended FROM grants WHERE id = $1";
        let row = self.connections.row(sql, &[&id.as_octets().as_slice()]).await?;
        row.map(|row| Ok(StoredGrant { grant: self.record(&row, 0)?, ended: self.reason(&row, 1)? }))
            .transpose()
    }

    pub(super) async fn end_one(
        &self,
        id: GrantId,
        reason: EndReason,
        now: UnixTime,
    ) -> Result<Option<Grant>, StoreUnavailable> {
        let sql =
            "UPDATE grants SET ended = $2, ended_at = $3 WHERE id = $1 AND ended IS NULL RETURNING record";
        let row =
            self.connections.row(sql, &[&id.as_octets().as_slice(), &reason.as_str(), &secs(now)]).await?;
        row.map(|row| self.record(&row, 0)).transpose()
    }

    pub(super) async fn live_grants(
        &self,
        subject: &str,
        now: UnixTime,
    ) -> Result<Vec<Grant>, StoreUnavailable> {
        let sql = "SELECT record FROM grants WHERE subject = $1 AND ended IS NULL AND expires_at > $2
             ORDER BY created_at DESC, id";
        let rows = self.connections.rows(sql, &[&subject, &secs(now)]).await?;
        rows.iter().map(|row| self.record(row, 0)).collect()
    }

    /// Codes and devices first, and grants after that: what somebody redeems meanwhile has its grant by then.
    pub(super) async fn end_all(
        &self,
        subject: &str,
        reason: EndReason,
        now: UnixTime,
    ) -> Result<Vec<Grant>, StoreUnavailable> {
        let codes = "UPDATE codes SET ended = $2 WHERE subject = $1 AND redeemed_at IS NULL AND ended IS NULL
             AND keep_until > $3 RETURNING record";
        let devices = "UPDATE devices SET state = 'denied' WHERE subject = $1 AND state = 'approved'";
        let grants = "UPDATE grants SET ended = $2, ended_at = $3
             WHERE subject = $1 AND ended IS NULL AND expires_at > $3 RETURNING record";
        let (reason, now) = (reason.as_str(), secs(now));
        let rows = self
            .connections
            .together(&[
                (codes, &[&subject, &reason, &now]),
                (devices, &[&subject]),
                (grants, &[&subject, &reason, &now]),
            ])
            .await?;
        let mut ended = Vec::new();
        for (place, rows) in rows.iter().enumerate() {
            for row in rows {
                ended.push(if place == 0 {
                    self.record::<Code>(row, 0)?.grant
                } else {
                    self.record(row, 0)?
                });
            }
        }
        Ok(ended)
    }
}
