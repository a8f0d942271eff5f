//! The tables that anybody can fill from outside, and the most rows they may have.
//!
//! Rows are counted after so many were put in, not at each: a table may hold that many more for each node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vestibule_oauth_core::StoreUnavailable;

use super::PostgresStore;
use crate::limits::{DEVICES, ONCE, PENDING_FLOWS, PUSHED};

/// How many are put in before they are counted again.
const COUNTED_EVERY: u64 = 1000;

/// How many are refused before a full table is counted again.
const LOOKED_AT_EVERY: u64 = 20;

#[derive(Default)]
pub(super) struct Rooms {
    flows: Room,
    pushed: Room,
    devices: Room,
    once: Room,
}

/// What one node knows of a table.
#[derive(Default)]
struct Room {
    asked: AtomicU64,
    full: AtomicBool,
}

impl Room {
    /// Whether it is time to count.
    fn is_due(&self) -> bool {
        let every = if self.full.load(Ordering::Relaxed) { LOOKED_AT_EVERY } else { COUNTED_EVERY };
        self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(every)
    }
}

impl PostgresStore {
    /// Throws away the flows that expire first, where there are too many.
    pub(super) async fn room_for_a_flow(&self) -> Result<(), StoreUnavailable> {
        self.make_room(&self.rooms.flows, "flows", "key", PENDING_FLOWS as i64).await
    }

    /// Throws away the pushed requests that expire first, where there are too many.
    pub(super) async fn room_for_a_request(&self) -> Result<(), StoreUnavailable> {
        self.make_room(&self.rooms.pushed, "pushed", "name", PUSHED as i64).await
    }

    pub(super) async fn has_room_for_a_device(&self) -> Result<bool, StoreUnavailable> {
        self.has_room(&self.rooms.devices, "devices", DEVICES as i64).await
    }

    pub(super) async fn has_room_for_one_more_once(&self) -> Result<bool, StoreUnavailable> {
        self.has_room(&self.rooms.once, "once", ONCE as i64).await
    }

    async fn make_room(
        &self,
        room: &Room,
        table: &str,
        name: &str,
        most: i64,
    ) -> Result<(), StoreUnavailable> {
        if room.is_due() {
            let sql = format!(
                "DELETE FROM {table} WHERE {name} IN (SELECT {name} FROM {table} ORDER BY expires_at, {name}
                 LIMIT (SELECT greatest(count(*) - $1, 0) FROM {table}))"
            );
            self.connections.rows(&sql, &[&most]).await?;
        }
        Ok(())
    }

    async fn has_room(&self, room: &Room, table: &str, most: i64) -> Result<bool, StoreUnavailable> {
        if room.is_due() {
            let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT $1) AS counted");
            let row = self.connections.row(&sql, &[&most]).await?;
            let rows = row.map_or(Ok(0), |row| self.connections.column::<i64>(&row, 0))?;
            room.full.store(rows >= most, Ordering::Relaxed);
        }
        Ok(!room.full.load(Ordering::Relaxed))
    }
}
