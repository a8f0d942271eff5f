//! Pushed requests, and codes.

use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Code, CodeIssued, Issuance, PushedRequest, Redeemed, StoredCode, TokenHash};

use super::grants::{NewGrant, begins_a_grant};
use super::{PostgresStore, secs};
use crate::columns::to_time;
use crate::record;

impl PostgresStore {
    pub(super) async fn push_request(&self, pushed: PushedRequest) -> Result<(), StoreUnavailable> {
        let request = record::written(&pushed.request)?;
        self.room_for_a_request().await?;
        let sql = "INSERT INTO pushed (name, request, expires_at) VALUES ($1, $2, $3)";
        let name = pushed.name.as_octets().as_slice();
        self.connections.rows(sql, &[&name, &request, &secs(pushed.expires_at)]).await?;
        Ok(())
    }

    pub(super) async fn pushed_request(
        &self,
        name: TokenHash,
    ) -> Result<Option<PushedRequest>, StoreUnavailable> {
        let sql = "SELECT request, expires_at FROM pushed WHERE name = $1";
        let Some(row) = self.connections.row(sql, &[&name.as_octets().as_slice()]).await? else {
            return Ok(None);
        };
        let (request, expires_at) = (self.record(&row, 0)?, to_time(self.connections.column(&row, 1)?));
        Ok(Some(PushedRequest { name, request, expires_at }))
    }

    /// Spends the request that the code answers, and puts in the code only if that was still to be had.
    pub(super) async fn put_code(
        &self,
        code: Code,
        answers: Option<TokenHash>,
    ) -> Result<CodeIssued, StoreUnavailable> {
        let record = record::written(&code)?;
        let answers = answers.as_ref().map(|name| name.as_octets().as_slice());
        let sql = "WITH answered AS (DELETE FROM pushed WHERE name = $8 RETURNING 1)
             INSERT INTO codes (hash, grant_id, client, subject, context, record, keep_until)
             SELECT $1::bytea, $2::bytea, $3::text, $4::text, $5::text, $6::text, $7::bigint
             WHERE $8::bytea IS NULL OR EXISTS (SELECT 1 FROM answered) RETURNING 1";
        let issued = self
            .connections
            .row(
                sql,
                &[
                    &code.hash.as_octets().as_slice(),
                    &code.grant.id.as_octets().as_slice(),
                    &code.grant.client.as_str(),
                    &code.grant.subject,
                    &code.grant.context,
                    &record,
                    &secs(code.expires_at),
                    &answers,
                ],
            )
            .await?;
        Ok(if issued.is_some() { CodeIssued::Issued } else { CodeIssued::RequestSpent })
    }

    pub(super) async fn load_code(&self, name: TokenHash) -> Result<Option<StoredCode>, StoreUnavailable> {
        let sql = "SELECT codes.record, redeemed_at, coalesce(codes.ended, grants.ended)
             FROM codes LEFT JOIN grants ON grants.id = codes.grant_id WHERE hash = $1";
        let Some(row) = self.connections.row(sql, &[&name.as_octets().as_slice()]).await? else {
            return Ok(None);
        };
        let redeemed_at: Option<i64> = self.connections.column(&row, 1)?;
        Ok(Some(StoredCode {
            code: self.record(&row, 0)?,
            redeemed_at: redeemed_at.map(to_time),
            ended: self.reason(&row, 2)?,
        }))
    }

    pub(super) async fn spend_code(
        &self,
        code: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> Result<Redeemed, StoreUnavailable> {
        let new = NewGrant::of(&issuance)?;
        let sql = begins_a_grant!(
            "UPDATE codes SET redeemed_at = $2, keep_until = $9
             WHERE hash = $1 AND redeemed_at IS NULL AND ended IS NULL RETURNING 1"
        );
        let (name, at) = (code.as_octets().as_slice(), secs(now));
        if self.connections.row(sql, &new.with(&name, &at)).await?.is_some() {
            return Ok(Redeemed::Redeemed);
        }
        let sql = "SELECT grant_id, redeemed_at FROM codes WHERE hash = $1 AND redeemed_at IS NOT NULL";
        match self.connections.row(sql, &[&name]).await? {
            Some(row) => Ok(Redeemed::AlreadyRedeemed {
                grant: self.grant_id(&row, 0)?,
                at: to_time(self.connections.column(&row, 1)?),
            }),
            None => Ok(Redeemed::Missing),
        }
    }
}
