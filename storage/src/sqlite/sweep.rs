//! Housekeeping.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::{Connection, Row, params};
use vestibule_atproto_identity::Did;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::web_sessions::USES;
use super::{SqliteStore, schema};
use crate::columns::{ISSUED, Place, session_key, to_column, to_time};
use crate::housekeeping::{Housekeeping, LOOKED_AT, SWEEP_ROWS, Swept, is_old};
use crate::limits::SESSIONS_PER_PERSON;
use crate::master_secret::for_owner_only;

/// The columns of a session's key, in this order in every statement here.
type Key = (String, String);

fn read_key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok((row.get(0)?, row.get(1)?))
}

fn sweep_flows(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM flows WHERE key IN
             (SELECT key FROM flows WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        )?
        .execute(params![now, SWEEP_ROWS as i64])
}

fn sweep_issued(
    connection: &Connection,
    (table, name, end): (&str, &str, &str),
    now: i64,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "DELETE FROM {table} WHERE {name} IN (SELECT {name} FROM {table} WHERE {end} < ? ORDER BY {end} LIMIT ?)"
    );
    connection.prepare_cached(&sql)?.execute(params![now, SWEEP_ROWS as i64])
}

/// How many went, and the sessions at people's servers that no web session uses any more.
fn sweep_web_sessions(connection: &Connection, now: i64) -> rusqlite::Result<(usize, BTreeSet<Key>)> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM web_sessions WHERE id IN
         (SELECT id FROM web_sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
         RETURNING session_did, session_id",
    )?;
    let removed = statement.query_map(params![now, SWEEP_ROWS as i64], |row| {
        let (did, id): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok(did.zip(id))
    })?;
    let removed = removed.collect::<rusqlite::Result<Vec<Option<Key>>>>()?;
    let count = removed.len();
    let mut uses = connection.prepare_cached(USES)?;
    let mut unused = BTreeSet::new();
    for (did, id) in removed.into_iter().flatten() {
        let count: i64 = uses.query_row(params![did, id, format!("{did}/{id}"), now], |row| row.get(0))?;
        if count == 0 {
            unused.insert((did, id));
        }
    }
    Ok((count, unused))
}

/// Takes sessions that a version before this one has put in for as old as they are when they are first seen.
fn date_sessions(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    connection.prepare_cached(DATE_SESSIONS)?.execute(params![now, SWEEP_ROWS as i64])
}

pub(super) const DATE_SESSIONS: &str = "UPDATE sessions SET created_at = ? WHERE (did, id) IN
     (SELECT did, id FROM sessions WHERE created_at IS NULL LIMIT ?)";

/// Goes through the next [`LOOKED_AT`] sessions, and gives those that are old and that no web session uses. The place to
/// go on from next time is the beginning again after the last of all.
fn next_unused(
    connection: &Connection,
    from: &Place,
    now: UnixTime,
) -> rusqlite::Result<(Place, BTreeSet<Key>)> {
    let mut statement = connection.prepare_cached(NEXT_SESSIONS)?;
    let (did, id) = &from.key;
    let mut rows = statement.query(params![from.created_at, did, id, LOOKED_AT as i64])?;
    let (mut count, mut place, mut unused) = (0, Place::default(), BTreeSet::new());
    while let Some(row) = rows.next()? {
        count += 1;
        place = Place { created_at: row.get(2)?, key: read_key(row)? };
        let is_used: bool = row.get(3)?;
        if !is_used && is_old(to_time(place.created_at), now) {
            unused.insert(place.key.clone());
        }
    }
    Ok((if count == LOOKED_AT { place } else { Place::default() }, unused))
}

pub(super) const NEXT_SESSIONS: &str = "SELECT did, id, created_at, EXISTS
     (SELECT 1 FROM web_sessions WHERE session_did = sessions.did AND session_id = sessions.id)
     OR EXISTS (SELECT 1 FROM grants WHERE context = sessions.did || '/' || sessions.id AND ended IS NULL)
     FROM sessions WHERE (created_at, did, id) > (?, ?, ?) ORDER BY created_at, did, id LIMIT ?";

impl SqliteStore {
    fn looked_at(&self) -> MutexGuard<'_, Place> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Housekeeping for SqliteStore {
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>> {
        let secs = to_column(now.as_secs());
        Box::pin(async move {
            // Several acts, so that others come in between.
            let flows = self.writer.write(move |connection| sweep_flows(connection, secs)).await?;
            let (web_sessions, mut unused) =
                self.writer.write(move |connection| sweep_web_sessions(connection, secs)).await?;
            let (mut issued, mut full) = (0, false);
            for table in ISSUED {
                let rows = self.writer.write(move |connection| sweep_issued(connection, table, secs)).await?;
                issued += rows as u64;
                full |= rows == SWEEP_ROWS;
            }
            let dated = self.writer.write(move |connection| date_sessions(connection, secs)).await?;
            let from = self.looked_at().clone();
            let (place, more_unused) =
                self.writer.read(move |connection| next_unused(connection, &from, now)).await?;
            *self.looked_at() = place;
            unused.extend(more_unused);
            Ok(Swept {
                flows: flows as u64,
                web_sessions: web_sessions as u64,
                issued,
                unused: unused.iter().filter_map(|(did, id)| session_key(did, id)).collect(),
                more: full || [flows, web_sessions, dated].contains(&SWEEP_ROWS),
            })
        })
    }

    fn surplus<'a>(&'a self, person: &'a Did) -> BoxFuture<'a, Result<Vec<SessionKey>, StoreUnavailable>> {
        let person = person.to_string();
        Box::pin(async move {
            let act = move |connection: &Connection| {
                // In one statement, so that nobody ends a session in between and is followed by one too many.
                connection
                    .prepare_cached(
                        "SELECT did, id FROM sessions WHERE did = ?1 ORDER BY refreshed_at, id
                         LIMIT (SELECT min(max(count(*) - ?2, 0), ?3) FROM sessions WHERE did = ?1)",
                    )?
                    .query_map(params![person, SESSIONS_PER_PERSON as i64, SWEEP_ROWS as i64], read_key)?
                    .collect::<rusqlite::Result<Vec<Key>>>()
            };
            let beyond = self.writer.read(act).await?;
            Ok(beyond.iter().filter_map(|(did, id)| session_key(did, id)).collect())
        })
    }

    fn integrity<'a>(&'a self) -> BoxFuture<'a, Result<Vec<String>, StoreUnavailable>> {
        Box::pin(async move {
            let act = move |connection: &Connection| {
                connection
                    .prepare("PRAGMA integrity_check(20)")?
                    .query_map([], |row| row.get::<_, String>(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            let said = self.writer.read(act).await?;
            Ok(said.into_iter().filter(|line| line != "ok").collect())
        })
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        let to = to.to_owned();
        Box::pin(async move {
            let failed = |error: std::io::Error| self.unavailable(format!("{}: {error}", to.display()));
            // For its owner only, and there before SQLite writes to it; a file that is there already is not written over.
            let made = for_owner_only(OpenOptions::new().write(true).create_new(true)).open(&to);
            made.and_then(|file| file.sync_all()).map_err(failed)?;
            let path = to.clone();
            let copy = move |connection: &Connection| {
                // Another file is written, which a connection that only reads may not do.
                connection.pragma_update(None, "query_only", false)?;
                let copied = connection.execute("VACUUM INTO ?", [path.to_string_lossy()]);
                connection.pragma_update(None, "query_only", true)?;
                copied
            };
            self.writer.read(copy).await?;
            OpenOptions::new().write(true).open(&to).and_then(|file| file.sync_all()).map_err(failed)
        })
    }

    /// Changes a row and changes it back, where acts are written: the thread is well, the file can be read, locked and written to, there is room on its
    /// disk, and no later version has changed it meanwhile.
    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let version = self
                .writer
                .write(|connection| {
                    // A row that is written as it was is not written at all.
                    for change in [1, -1] {
                        connection
                            .prepare_cached("UPDATE counts SET rows = rows + ? WHERE name = 'flows'")?
                            .execute([change])?;
                    }
                    connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                })
                .await?;
            match version {
                schema::VERSION => Ok(()),
                _ => Err(self.unavailable("its form was changed by another version")),
            }
        })
    }
}
