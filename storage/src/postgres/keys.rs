//! The key ring, sealed.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::connections::With;
use super::{PostgresStore, secs};
use crate::columns::{to_number, to_time};
use crate::key_ring::{ClientKeyUses, KeyRingStore, Retired, SealedKey};

/// How often a key is added that another was added before, just now.
const TRIES: usize = 10;

impl PostgresStore {
    fn sealed_key(&self, row: &Row) -> Result<SealedKey, StoreUnavailable> {
        let (id, purpose): (String, String) =
            (self.connections.column(row, 0)?, self.connections.column(row, 1)?);
        let sealed: Vec<u8> = self.connections.column(row, 2)?;
        Ok(SealedKey::new(id, purpose, sealed, to_time(self.connections.column(row, 3)?)))
    }

    /// Puts in keys, each in the highest position, all of them or none. Of two nodes that do so at once, the later one tries again.
    async fn put_keys(&self, sql: &str, keys: &[SealedKey]) -> Result<(), StoreUnavailable> {
        let times: Vec<i64> = keys.iter().map(|key| secs(key.created_at)).collect();
        let with: Vec<[&(dyn ToSql + Sync); 4]> = keys
            .iter()
            .zip(&times)
            .map(|(key, time)| -> [&(dyn ToSql + Sync); 4] { [&key.id, &key.purpose, &key.sealed, time] })
            .collect();
        let steps: Vec<(&str, With<'_>)> = with.iter().map(|with| (sql, with.as_slice())).collect();
        for _ in 0..TRIES {
            if self.connections.together_unless_taken(&steps).await?.is_some() {
                return Ok(());
            }
        }
        Err(self.unavailable("a key of this name is there, or too many are being added"))
    }
}

impl KeyRingStore for PostgresStore {
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "SELECT id, purpose, sealed, created_at FROM keys ORDER BY position DESC";
            let rows = self.connections.rows(sql, &[]).await?;
            rows.iter().map(|row| self.sealed_key(row)).collect()
        })
    }

    fn add<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let sql = "INSERT INTO keys (id, position, purpose, sealed, created_at)
                 SELECT $1::text, coalesce(max(position), 0) + 1, $2::text, $3::bytea, $4::bigint FROM keys";
            self.put_keys(sql, &[key]).await
        })
    }

    fn begin<'a>(&'a self, first: Vec<SealedKey>) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "INSERT INTO keys (id, position, purpose, sealed, created_at)
                 SELECT $1::text, (SELECT coalesce(max(position), 0) + 1 FROM keys), $2::text, $3::bytea, $4::bigint
                 WHERE NOT EXISTS (SELECT 1 FROM keys WHERE purpose = $2::text)";
            self.put_keys(sql, &first).await?;
            self.list().await
        })
    }

    fn reseal<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<bool, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "UPDATE keys SET sealed = $2 WHERE id = $1 RETURNING 1";
            Ok(self.connections.row(sql, &[&key.id, &key.sealed]).await?.is_some())
        })
    }

    fn retire<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Retired, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "DELETE FROM keys WHERE id = $1
                 AND position < (SELECT max(position) FROM keys AS same WHERE same.purpose = keys.purpose)
                 AND (purpose <> 'sign' OR NOT EXISTS (SELECT 1 FROM sessions WHERE client_kid = $1))
                 RETURNING 1";
            if self.connections.row(sql, &[&id]).await?.is_some() {
                return Ok(Retired::Retired);
            }
            let sql = "SELECT position = (SELECT max(position) FROM keys AS same WHERE same.purpose = keys.purpose),
                     (SELECT count(*) FROM sessions WHERE client_kid = $1)
                 FROM keys WHERE id = $1";
            let Some(row) = self.connections.row(sql, &[&id]).await? else { return Ok(Retired::Missing) };
            let in_use: bool = self.connections.column(&row, 0)?;
            let needed = to_number(self.connections.column(&row, 1)?);
            Ok(if in_use { Retired::InUse } else { Retired::Needed(needed) })
        })
    }

    /// Positions are counted up by one with each key, and the key with the highest is never thrown away, being the newest
    /// of its purpose. So the highest says how many were added, and what of these is not there was thrown away.
    fn version<'a>(&'a self) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "SELECT 2 * coalesce(max(position), 0) - count(*) FROM keys";
            let row = self.connections.row(sql, &[]).await?;
            row.map_or(Ok(0), |row| self.connections.column(&row, 0).map(to_number))
        })
    }

    fn sessions_by_client_key<'a>(&'a self) -> BoxFuture<'a, Result<ClientKeyUses, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "SELECT client_kid, count(*) FROM sessions WHERE client_kid <> '' GROUP BY client_kid";
            let mut uses = ClientKeyUses::default();
            for row in self.connections.rows(sql, &[]).await? {
                let kid: String = self.connections.column(&row, 0)?;
                uses.by_key.insert(kid, to_number(self.connections.column(&row, 1)?));
            }
            Ok(uses)
        })
    }
}
