//! Housekeeping.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::web_sessions::session_key;
use super::{SqliteStore, schema, to_column};
use crate::housekeeping::{Housekeeping, SWEEP_ROWS, Swept};

/// What a web session had of a session at a person's server.
type Used = Option<(String, String)>;

fn sweep_flows(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM flows WHERE key IN
             (SELECT key FROM flows WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        )?
        .execute(params![now, SWEEP_ROWS as i64])
}

/// How many went, and the sessions at people's servers that no web session uses any more.
fn sweep_web_sessions(connection: &Connection, now: i64) -> rusqlite::Result<(usize, Vec<(String, String)>)> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM web_sessions WHERE id IN
         (SELECT id FROM web_sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
         RETURNING session_did, session_id",
    )?;
    let removed = statement.query_map(params![now, SWEEP_ROWS as i64], |row| {
        let (did, id): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok(did.zip(id))
    })?;
    let removed = removed.collect::<rusqlite::Result<Vec<Used>>>()?;
    let count = removed.len();
    let mut is_used =
        connection.prepare_cached("SELECT 1 FROM web_sessions WHERE session_did = ? AND session_id = ?")?;
    let mut unused = Vec::new();
    for (did, id) in removed.into_iter().flatten().collect::<BTreeSet<_>>() {
        if !is_used.exists(params![did, id])? {
            unused.push((did, id));
        }
    }
    Ok((count, unused))
}

impl Housekeeping for SqliteStore {
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>> {
        let now = to_column(now.as_secs());
        Box::pin(async move {
            // Two acts, so that others come in between.
            let flows = self.writer.write(move |connection| sweep_flows(connection, now)).await?;
            let (web_sessions, unused) =
                self.writer.write(move |connection| sweep_web_sessions(connection, now)).await?;
            Ok(Swept {
                flows: flows as u64,
                web_sessions: web_sessions as u64,
                unused: unused.iter().filter_map(|(did, id)| session_key(did, id)).collect(),
                more: flows == SWEEP_ROWS || web_sessions == SWEEP_ROWS,
            })
        })
    }

    /// Reads the file's header: the thread is well, the file can be read, and no later version has changed it meanwhile.
    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let version = self
                .writer
                .read(|connection| {
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
