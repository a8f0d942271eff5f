//! The key ring, sealed.

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::SqliteStore;
use crate::columns::{to_column, to_number, to_time};
use crate::key_ring::{ClientKeyUses, KeyPurpose, KeyRingStore, Retired, SealedKey};

fn all(connection: &Connection) -> rusqlite::Result<Vec<SealedKey>> {
    let mut statement = connection
        .prepare_cached("SELECT id, purpose, sealed, created_at FROM keys ORDER BY position DESC")?;
    let keys = statement.query_map([], |row| {
        let (id, purpose): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(SealedKey::new(id, purpose, row.get(2)?, to_time(row.get(3)?)))
    })?;
    keys.collect()
}

/// How many sessions need a key. Each of the two is looked up in an index, which it would not be with an OR.
pub(super) const NEEDED: &str = "SELECT (SELECT count(*) FROM sessions WHERE client_kid = ?)
     + (SELECT count(*) FROM sessions WHERE client_kid IS NULL)";

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

    fn reseal<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<bool, StoreUnavailable>> {
        Box::pin(async move {
            let act = move |connection: &Connection| {
                connection
                    .prepare_cached("UPDATE keys SET sealed = ? WHERE id = ?")?
                    .execute(params![key.sealed, key.id])
            };
            Ok(self.writer.write(act).await? == 1)
        })
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
            let place = connection
                .prepare_cached(
                    "SELECT purpose, position = (SELECT max(position) FROM keys AS same
                                                 WHERE same.purpose = keys.purpose)
                     FROM keys WHERE id = ?",
                )?
                .query_row(params![id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))
                .optional()?;
            let is_sign = match place {
                None => return Ok(Retired::Missing),
                Some((_, true)) => return Ok(Retired::InUse),
                Some((purpose, false)) => purpose == KeyPurpose::Sign.as_str(),
            };
            if is_sign {
                let needed: i64 =
                    connection.prepare_cached(NEEDED)?.query_row(params![id], |row| row.get(0))?;
                if needed > 0 {
                    return Ok(Retired::Needed(to_number(needed)));
                }
            }
            connection.prepare_cached("DELETE FROM keys WHERE id = ?")?.execute(params![id])?;
            Ok(Retired::Retired)
        }))
    }

    /// Positions are counted up by one with each key, and the key with the highest is never thrown away, being the newest
    /// of its purpose. So the highest says how many were added, and what of these is not there was thrown away.
    fn version<'a>(&'a self) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move {
            let act = |connection: &Connection| {
                connection
                    .prepare_cached("SELECT 2 * coalesce(max(position), 0) - count(*) FROM keys")?
                    .query_row([], |row| row.get(0))
            };
            Ok(to_number(self.writer.read(act).await?))
        })
    }

    fn sessions_by_client_key<'a>(&'a self) -> BoxFuture<'a, Result<ClientKeyUses, StoreUnavailable>> {
        Box::pin(self.writer.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT client_kid, count(*) FROM sessions WHERE client_kid IS NOT '' GROUP BY client_kid",
            )?;
            let mut rows = statement.query([])?;
            let mut uses = ClientKeyUses::default();
            while let Some(row) = rows.next()? {
                let sessions = to_number(row.get(1)?);
                match row.get::<_, Option<String>>(0)? {
                    Some(kid) => drop(uses.by_key.insert(kid, sessions)),
                    None => uses.unknown = sessions,
                }
            }
            Ok(uses)
        }))
    }
}
