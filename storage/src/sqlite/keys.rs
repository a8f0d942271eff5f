//! The key ring, sealed.

use rusqlite::{Connection, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::{SqliteStore, to_column, to_time};
use crate::key_ring::{KeyRingStore, Retired, SealedKey};

fn all(connection: &Connection) -> rusqlite::Result<Vec<SealedKey>> {
    let mut statement = connection
        .prepare_cached("SELECT id, purpose, sealed, created_at FROM keys ORDER BY position DESC")?;
    let keys = statement.query_map([], |row| {
        let (id, purpose): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(SealedKey::new(id, purpose, row.get(2)?, to_time(row.get(3)?)))
    })?;
    keys.collect()
}

impl KeyRingStore for SqliteStore {
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(self.writer.read(all))
    }

    fn add<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(self.writer.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO keys (id, position, purpose, sealed, created_at)
                     SELECT ?, coalesce(max(position), 0) + 1, ?, ?, ? FROM keys",
                )?
                .execute(params![key.id, key.purpose, key.sealed, to_column(key.created_at.as_secs())])?;
            Ok(())
        }))
    }

    fn begin<'a>(&'a self, first: Vec<SealedKey>) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(self.writer.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO keys (id, position, purpose, sealed, created_at)
                 SELECT ?1, (SELECT coalesce(max(position), 0) + 1 FROM keys), ?2, ?3, ?4
                 WHERE NOT EXISTS (SELECT 1 FROM keys WHERE purpose = ?2)",
            )?;
            for key in first {
                let created_at = to_column(key.created_at.as_secs());
                statement.execute(params![key.id, key.purpose, key.sealed, created_at])?;
            }
            all(connection)
        }))
    }

    fn retire<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Retired, StoreUnavailable>> {
        let id = id.to_owned();
        Box::pin(self.writer.write(move |connection| {
            let retired = connection
                .prepare_cached(
                    "DELETE FROM keys WHERE id = ? AND position <
                     (SELECT max(position) FROM keys AS same WHERE same.purpose = keys.purpose)",
                )?
                .execute(params![id])?;
            if retired == 1 {
                return Ok(Retired::Retired);
            }
            let is_there =
                connection.prepare_cached("SELECT 1 FROM keys WHERE id = ?")?.exists(params![id])?;
            Ok(if is_there { Retired::InUse } else { Retired::Missing })
        }))
    }
}
