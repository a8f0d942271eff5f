//! Pending logins.

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::SqliteStore;
use crate::columns::to_column;
use crate::housekeeping::SWEEP_ROWS;
use crate::limits::{self, PENDING_FLOWS};

/// Throws away those that expire first, until one more fits.
fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    let rows: i64 = connection
        .prepare_cached("SELECT rows FROM counts WHERE name = 'flows'")?
        .query_row([], |row| row.get(0))?;
    let beyond = rows - (PENDING_FLOWS as i64 - 1);
    if beyond > 0 {
        connection.prepare_cached(MAKE_ROOM)?.execute(params![beyond.min(SWEEP_ROWS as i64)])?;
    }
    Ok(())
}

pub(super) const MAKE_ROOM: &str =
    "DELETE FROM flows WHERE key IN (SELECT key FROM flows ORDER BY expires_at, key LIMIT ?)";

impl FlowStore for SqliteStore {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::flow(&flow)?;
            let act = move |connection: &Connection| {
                make_room(connection)?;
                connection
                    .prepare_cached(
                        "INSERT INTO flows (key, binding, sealed, expires_at) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![
                        flow.key.as_octets(),
                        flow.binding,
                        flow.sealed,
                        to_column(flow.expires_at.as_secs())
                    ])?;
                Ok(())
            };
            self.writer.write(act).await
        })
    }

    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>> {
        Box::pin(self.writer.write(move |connection| {
            let taken = connection
                .prepare_cached("DELETE FROM flows WHERE key = ? AND binding = ? RETURNING sealed")?
                .query_row(params![key.as_octets(), binding], |row| row.get(0))
                .optional()?;
            if let Some(sealed) = taken {
                return Ok(TakenFlow::Taken(sealed));
            }
            let is_there = connection
                .prepare_cached("SELECT 1 FROM flows WHERE key = ?")?
                .exists(params![key.as_octets()])?;
            Ok(if is_there { TakenFlow::Foreign } else { TakenFlow::Missing })
        }))
    }
}
