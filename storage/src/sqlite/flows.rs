//! Pending logins.

use rusqlite::{OptionalExtension, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::{SqliteStore, to_column};

impl FlowStore for SqliteStore {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(self.writer.write(move |connection| {
            connection
                .prepare_cached("INSERT INTO flows (key, binding, sealed, expires_at) VALUES (?, ?, ?, ?)")?
                .execute(params![
                    flow.key.as_octets(),
                    flow.binding,
                    flow.sealed,
                    to_column(flow.expires_at.as_secs())
                ])?;
            Ok(())
        }))
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
