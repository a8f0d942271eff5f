//! Access tokens, and what is good once.

use std::sync::Arc;

use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{AccessToken, GrantId, Once, Revoked, TokenHash, TokenPut};

use super::{PostgresStore, secs};
use crate::record;

/// An access token about to be put in, if there is one; each column is empty if there is none.
pub(super) struct NewAccess<'a> {
    pub(super) hash: Option<&'a [u8]>,
    pub(super) grant: Option<&'a [u8]>,
    pub(super) record: Option<String>,
    pub(super) expires_at: Option<i64>,
}

impl<'a> NewAccess<'a> {
    pub(super) fn of(token: Option<&'a AccessToken>) -> Result<Self, StoreUnavailable> {
        Ok(Self {
            hash: token.map(|token| token.hash.as_octets().as_slice()),
            grant: token.and_then(|token| token.facts.grant.as_ref()).map(|id| id.as_octets().as_slice()),
            record: token.map(record::written).transpose()?,
            expires_at: token.map(|token| secs(token.facts.expires_at)),
        })
    }
}

impl PostgresStore {
    pub(super) async fn put_access(&self, token: Arc<AccessToken>) -> Result<TokenPut, StoreUnavailable> {
        let grant = token.facts.grant.as_ref().map(GrantId::as_octets).map(|octets| octets.as_slice());
        let sql = "INSERT INTO access_tokens (hash, grant_id, record, expires_at)
             SELECT $1::bytea, $2::bytea, $3::text, $4::bigint
             WHERE $2::bytea IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $2 AND ended IS NULL) RETURNING 1";
        let (hash, record) = (token.hash.as_octets().as_slice(), record::written(&*token)?);
        let put = self.connections.row(sql, &[&hash, &grant, &record, &secs(token.facts.expires_at)]).await?;
        Ok(if put.is_some() { TokenPut::Kept } else { TokenPut::GrantEnded })
    }

    pub(super) async fn load_access(
        &self,
        name: TokenHash,
    ) -> Result<Option<Arc<AccessToken>>, StoreUnavailable> {
        let sql = "SELECT t.record FROM access_tokens AS t WHERE hash = $1 AND NOT EXISTS
             (SELECT 1 FROM grants WHERE grants.id = t.grant_id AND ended IS NOT NULL)";
        let row = self.connections.row(sql, &[&name.as_octets().as_slice()]).await?;
        row.map(|row| self.record(&row, 0).map(Arc::new)).transpose()
    }

    pub(super) async fn revoke_access(
        &self,
        name: TokenHash,
        until: UnixTime,
    ) -> Result<(), StoreUnavailable> {
        let sql = "WITH gone AS (DELETE FROM access_tokens WHERE hash = $1 RETURNING 1)
             INSERT INTO revoked_tokens (hash, expires_at)
             SELECT $1::bytea, $2::bigint WHERE NOT EXISTS (SELECT 1 FROM gone)
             ON CONFLICT (hash) DO UPDATE SET expires_at = excluded.expires_at";
        self.connections.rows(sql, &[&name.as_octets().as_slice(), &secs(until)]).await?;
        Ok(())
    }

    pub(super) async fn was_revoked(&self, name: TokenHash) -> Result<Revoked, StoreUnavailable> {
        let sql = "SELECT 1 FROM revoked_tokens WHERE hash = $1";
        let row = self.connections.row(sql, &[&name.as_octets().as_slice()]).await?;
        Ok(if row.is_some() { Revoked::Yes } else { Revoked::No })
    }

    /// What was there and has expired is as good as not there: of two that see that, the second sees what the first has put.
    pub(super) async fn once(
        &self,
        key: [u8; 32],
        until: UnixTime,
        now: UnixTime,
    ) -> Result<Once, StoreUnavailable> {
        let has_room = self.has_room_for_one_more_once().await?;
        let sql = "INSERT INTO once (key, expires_at) SELECT $1::bytea, $2::bigint WHERE $4
             ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at WHERE once.expires_at < $3 RETURNING 1";
        let key = key.as_slice();
        let fresh = self.connections.row(sql, &[&key, &secs(until), &secs(now), &has_room]).await?;
        Ok(match fresh {
            Some(_) => Once::Fresh,
            None if has_room => Once::Seen,
            None => {
                let sql = "SELECT 1 FROM once WHERE key = $1 AND expires_at >= $2";
                let seen = self.connections.row(sql, &[&key, &secs(now)]).await?;
                if seen.is_some() { Once::Seen } else { Once::Full }
            }
        })
    }
}
