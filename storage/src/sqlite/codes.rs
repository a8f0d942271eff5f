//! Pushed requests, and codes.

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Code, CodeIssued, Issuance, PushedRequest, Redeemed, StoredCode, TokenHash};

use super::SqliteStore;
use super::grants::{NewGrant, grant_id};
use crate::columns::{to_column, to_time};
use crate::housekeeping::SWEEP_ROWS;
use crate::limits::PUSHED;
use crate::record;

fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    let rows: i64 = connection
        .prepare_cached("SELECT rows FROM counts WHERE name = 'pushed'")?
        .query_row([], |row| row.get(0))?;
    let beyond = rows - (PUSHED as i64 - 1);
    if beyond > 0 {
        connection
            .prepare_cached(
                "DELETE FROM pushed WHERE name IN (SELECT name FROM pushed ORDER BY expires_at, name LIMIT ?)",
            )?
            .execute(params![beyond.min(SWEEP_ROWS as i64)])?;
    }
    Ok(())
}

impl SqliteStore {
    pub(super) async fn push_request(&self, pushed: PushedRequest) -> Result<(), StoreUnavailable> {
        let request = record::written(&pushed.request)?;
        self.writer
            .write(move |connection| {
                make_room(connection)?;
                connection
                    .prepare_cached("INSERT INTO pushed (name, request, expires_at) VALUES (?, ?, ?)")?
                    .execute(params![
                        pushed.name.as_octets(),
                        request,
                        to_column(pushed.expires_at.as_secs())
                    ])?;
                Ok(())
            })
            .await
    }

    pub(super) async fn pushed_request(
        &self,
        name: TokenHash,
    ) -> Result<Option<PushedRequest>, StoreUnavailable> {
        let row = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT request, expires_at FROM pushed WHERE name = ?")?
                    .query_row(params![name.as_octets()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
                    .optional()
            })
            .await?;
        let Some((request, expires_at)) = row else { return Ok(None) };
        Ok(Some(PushedRequest {
            name,
            request: self.read_record(&request)?,
            expires_at: to_time(expires_at),
        }))
    }

    pub(super) async fn put_code(
        &self,
        code: Code,
        answers: Option<TokenHash>,
    ) -> Result<CodeIssued, StoreUnavailable> {
        let record = record::written(&code)?;
        self.writer
            .write(move |connection| {
                if let Some(name) = answers {
                    let taken = connection
                        .prepare_cached("DELETE FROM pushed WHERE name = ?")?
                        .execute(params![name.as_octets()])?;
                    if taken == 0 {
                        return Ok(CodeIssued::RequestSpent);
                    }
                }
                connection
                    .prepare_cached(
                        "INSERT INTO codes (hash, grant_id, subject, context, record, keep_until)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        code.hash.as_octets(),
                        code.grant.id.as_octets(),
                        code.grant.subject,
                        code.grant.context,
                        record,
                        to_column(code.expires_at.as_secs()),
                    ])?;
                Ok(CodeIssued::Issued)
            })
            .await
    }

    pub(super) async fn load_code(&self, name: TokenHash) -> Result<Option<StoredCode>, StoreUnavailable> {
        type Columns = (String, Option<i64>, Option<String>);
        let row: Option<Columns> = self
            .writer
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT codes.record, redeemed_at, coalesce(codes.ended, grants.ended)
                         FROM codes LEFT JOIN grants ON grants.id = codes.grant_id WHERE hash = ?",
                    )?
                    .query_row(params![name.as_octets()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()
            })
            .await?;
        let Some((record, redeemed_at, ended)) = row else { return Ok(None) };
        Ok(Some(StoredCode {
            code: self.read_record(&record)?,
            redeemed_at: redeemed_at.map(to_time),
            ended: self.read_reason(ended.as_deref())?,
        }))
    }

    pub(super) async fn spend_code(
        &self,
        code: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> Result<Redeemed, StoreUnavailable> {
        let new = NewGrant::of(issuance)?;
        self.writer
            .write(move |connection| {
                let redeemed = connection
                    .prepare_cached(
                        "UPDATE codes SET redeemed_at = ?2, keep_until = ?3
                         WHERE hash = ?1 AND redeemed_at IS NULL AND ended IS NULL",
                    )?
                    .execute(params![code.as_octets(), to_column(now.as_secs()), new.expires_at()])?;
                if redeemed == 1 {
                    new.put(connection)?;
                    return Ok(Redeemed::Redeemed);
                }
                let before: Option<(Vec<u8>, Option<i64>)> = connection
                    .prepare_cached("SELECT grant_id, redeemed_at FROM codes WHERE hash = ?")?
                    .query_row(params![code.as_octets()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                Ok(match before {
                    Some((id, Some(at))) => {
                        Redeemed::AlreadyRedeemed { grant: grant_id(&id)?, at: to_time(at) }
                    }
                    _ => Redeemed::Missing,
                })
            })
            .await
    }
}
