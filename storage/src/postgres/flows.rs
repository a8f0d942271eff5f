//! Pending logins.

use vestibule_oauth_core::{BoxFuture, StoreUnavailable};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::{PostgresStore, secs};
use crate::limits;

impl FlowStore for PostgresStore {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::flow(&flow)?;
            self.room_for_a_flow().await?;
            let (key, binding) = (flow.key.as_octets().as_slice(), flow.binding.as_slice());
            let sql = "INSERT INTO flows (key, binding, sealed, expires_at) VALUES ($1, $2, $3, $4)";
            self.connections.rows(sql, &[&key, &binding, &flow.sealed, &secs(flow.expires_at)]).await?;
            Ok(())
        })
    }

    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>> {
        Box::pin(async move {
            let (key, binding) = (key.as_octets().as_slice(), binding.as_slice());
            let sql = "DELETE FROM flows WHERE key = $1 AND binding = $2 RETURNING sealed";
            if let Some(row) = self.connections.row(sql, &[&key, &binding]).await? {
                return Ok(TakenFlow::Taken(self.connections.column(&row, 0)?));
            }
            let is_there = self.connections.row("SELECT 1 FROM flows WHERE key = $1", &[&key]).await?;
            Ok(if is_there.is_some() { TakenFlow::Foreign } else { TakenFlow::Missing })
        })
    }
}
